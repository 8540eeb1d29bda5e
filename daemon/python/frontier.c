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

static void put_back(struct pp_frontier *f)
{
	size_t before = pp_frontier_memory(f);

	/* No room: from now on anything may be used already. */
	if (f->end && pp_u64map_put(&f->blocks, f->block, f->end) < 0)
		pp_frontier_add_span(f, 0, UINT64_MAX);
	f->end = 0;
	*f->account += pp_frontier_memory(f) - before;
}

/* Marks [start, end) within one block as used; returns whether it may have been used before. */
static bool mark(struct pp_frontier *f, uint64_t start, uint64_t end)
{
	uint64_t block = start >> BLOCK_SHIFT;
	bool again;

	if (f->block != block || !f->end) {
		put_back(f);
		f->block = block;
		if (!pp_u64map_get(&f->blocks, block, &f->end))
			f->end = start;
	}
	again = start < f->end;
	f->end = MAX(f->end, end);
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
