/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/growth.h"

/* Makes `slot` the newest; slots that were passed are empty. */
static void turn(struct pp_growth *g, uint64_t slot)
{
	if (slot > g->slot + PP_GROWTH_SLOTS)
		g->slot = slot - PP_GROWTH_SLOTS;
	while (g->slot < slot)
		g->slots[++g->slot % PP_GROWTH_SLOTS] = (struct pp_growth_rate){ 0 };
}

/* part / whole of amount. */
static uint64_t share(uint64_t amount, uint64_t part, uint64_t whole)
{
	return (uint64_t)((__uint128_t)amount * part / whole);
}

void pp_growth_add(struct pp_growth *g, uint64_t from, uint64_t to, uint64_t entries,
		   uint64_t bytes)
{
	uint64_t newest = to / PP_GROWTH_SLOT_NS, oldest, whole;

	/* A moment at least, so that there is something to divide by. */
	if (from >= to)
		from = to ? to - 1 : 0;
	whole = to - from;
	if (!whole)
		return;
	turn(g, newest);
	oldest = newest >= PP_GROWTH_SLOTS ? newest - PP_GROWTH_SLOTS + 1 : 0;
	/* Rounding loses less than one for each slot. */
	for (uint64_t slot = MAX(oldest, from / PP_GROWTH_SLOT_NS); slot <= newest; slot++) {
		struct pp_growth_rate *s = &g->slots[slot % PP_GROWTH_SLOTS];
		uint64_t start = MAX(from, slot * PP_GROWTH_SLOT_NS);
		uint64_t end = MIN(to, (slot + 1) * PP_GROWTH_SLOT_NS);

		if (start >= end)
			continue;
		s->entries += share(entries, end - start, whole);
		s->bytes += share(bytes, end - start, whole);
	}
}

struct pp_growth_rate pp_growth_rate(struct pp_growth *g, uint64_t now)
{
	struct pp_growth_rate sum = { 0 };

	turn(g, now / PP_GROWTH_SLOT_NS);
	for (size_t i = 0; i < PP_GROWTH_SLOTS; i++) {
		sum.entries += g->slots[i].entries;
		sum.bytes += g->slots[i].bytes;
	}
	return sum;
}
