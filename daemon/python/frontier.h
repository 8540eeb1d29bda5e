/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How far each block of addresses is used by a map's entries. CPython's arenas are 64 KiB and fill
 * upwards, so an entry beyond its block's frontier overlaps none that came before; one below it
 * may. Cheap, and wrong only on the safe side.
 */
#pragma once

#include "base/u64map.h"

struct pp_frontier {
	struct pp_u64map blocks;       /* block -> end of what is used in it */
	uint64_t block, *end;	       /* the one touched last, and its value; NULL: none */
	uint64_t span_start, span_end; /* anything in here may be used; span_end 0: nothing */
	size_t *account;	       /* the memory of blocks is added here */
};

void pp_frontier_init(struct pp_frontier *f, size_t *account);
void pp_frontier_done(struct pp_frontier *f);
size_t pp_frontier_memory(const struct pp_frontier *f);

/* From now on anything in [start, end) may be used. */
void pp_frontier_add_span(struct pp_frontier *f, uint64_t start, uint64_t end);
/* Marks [start, end), not empty, as used. Returns whether part of it may have been used before. */
bool pp_frontier_cross(struct pp_frontier *f, uint64_t start, uint64_t end);
