/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last bytes that were read of a file that grows. They are read again before what follows: a
 * file that was cut and has grown beyond the offset meanwhile shows it there.
 */
#pragma once

#include "base/macro.h"

/* More than any two lines of a perf map have in common, for the address differs. */
#define PP_SEAM_MAX 64

struct pp_seam {
	uint8_t last[PP_SEAM_MAX];
	uint32_t len;
};

/* len bytes were read behind those before. */
void pp_seam_add(struct pp_seam *s, const uint8_t *data, size_t len);
/* Whether data begins with what was read last. */
bool pp_seam_fits(const struct pp_seam *s, const void *data, size_t len);
