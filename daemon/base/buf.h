/* SPDX-License-Identifier: GPL-2.0-only */
/* A growable byte buffer with a hard limit. Zero-initialised is empty with no limit set. */
#pragma once

#include "macro.h"

struct pp_buf {
	uint8_t *data;
	size_t len, cap;
	size_t max; /* growing beyond is -ENOBUFS; 0 = no limit */
};

#define PP_BUF(limit)          \
	{                      \
		.max = (limit) \
	}

/* Makes room for `more` bytes behind len. Returns 0, -ENOBUFS (limit) or -ENOMEM. */
int pp_buf_reserve(struct pp_buf *b, size_t more);
int pp_buf_add(struct pp_buf *b, const void *data, size_t len);
int pp_buf_printf(struct pp_buf *b, const char *format, ...) _printf_(2, 3);
/* Drops the first n bytes. */
void pp_buf_consume(struct pp_buf *b, size_t n);
void pp_buf_done(struct pp_buf *b);

#define _cleanup_buf_ _cleanup_(pp_buf_done)
