/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/frontier.h"

#define BLOCK_SHIFT	 16
#define BLOCK		 (1ULL << BLOCK_SHIFT)
#define BLOCKS_MAX	 4096 /* 256 MiB of code; beyond, replaced rises too often */
#define ENTRY_BLOCKS_MAX 16   /* an entry over more of them is remembered as a span */

void pp_frontier_init(struct pp_frontier *f, size_t *account)
{
	*f = (struct pp_frontier){ .blocks.max = BLOCKS_MAX, .account = account };
}

void pp_frontier_done(struct pp_frontier *f)
{
	*f->account -= pp_frontier_memory(f);
	pp_u64map_done(&f->blocks);
}

size_t pp_frontier_memory(const struct pp_frontier *f)
{
	return f->blocks.cap * (sizeof(*f->blocks.slots) + sizeof(*f->blocks.used));
}

void pp_frontier_add_span(struct pp_frontier *f, uint64_t start, uint64_t end)
{
	f->span_start = f->span_end ? MIN(f->span_start, start) : start;
	f->span_end = MAX(f->span_end, end);
}

/* How far a block is used, to be changed in place; NULL: there is no room for it. */
static uint64_t *end_of(struct pp_frontier *f, uint64_t block)
{
	size_t before = pp_frontier_memory(f);
	uint64_t *end = pp_u64map_at(&f->blocks, block);

	/* No room: from now on anything may be used already. */
	if (!end)
		pp_frontier_add_span(f, 0, UINT64_MAX);
	*f->account += pp_frontier_memory(f) - before;
	return end;
}

/* Marks [start, end) within one block as used; returns whether it may have been used before. */
static bool mark(struct pp_frontier *f, uint64_t start, uint64_t end)
{
	uint64_t block = start >> BLOCK_SHIFT;
	bool again;

	if (f->block != block || !f->end) {
		f->block = block;
		f->end = end_of(f, block);
		if (!f->end)
			return true;
	}
	again = start < *f->end;
	*f->end = MAX(*f->end, end);
	return again;
}

bool pp_frontier_cross(struct pp_frontier *f, uint64_t start, uint64_t end)
{
	bool again = start < f->span_end && end > f->span_start;

	if (((end - 1) >> BLOCK_SHIFT) - (start >> BLOCK_SHIFT) >= ENTRY_BLOCKS_MAX) {
		pp_frontier_add_span(f, start, end);
		return true;
	}
	while (start < end) {
		uint64_t stop = MIN(end, (start | (BLOCK - 1)) + 1);

		again |= mark(f, start, stop);
		start = stop;
	}
	return again;
}
