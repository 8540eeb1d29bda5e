/* SPDX-License-Identifier: GPL-2.0-only */
#include "ids.h"

#include <string.h>

#define SMALLEST_ARRAY 64 /* elements; also a whole word of a bitmap */

int pp_array_reserve(void **array, size_t size, uint32_t *cap, uint32_t n)
{
	uint32_t bigger = MAX(*cap, (uint32_t)SMALLEST_ARRAY);
	void *moved;

	if (n < *cap)
		return 0;
	while (bigger <= n) {
		/* Half as much again: doubling a big table costs more memory than it saves time. */
		if (__builtin_add_overflow(bigger, bigger / 2, &bigger))
			return -ENOMEM;
	}
	moved = reallocarray(*array, bigger, size);
	if (!moved)
		return -ENOMEM;
	*array = moved;
	*cap = bigger;
	return 0;
}

void pp_array_trim(void **array, size_t size, uint32_t *cap, uint32_t used)
{
	uint32_t smaller = MAX(used + used / 4, (uint32_t)SMALLEST_ARRAY);
	void *moved;

	if (used >= *cap / 2 || smaller >= *cap)
		return;
	moved = reallocarray(*array, smaller, size);
	if (!moved)
		return;
	*array = moved;
	*cap = smaller;
}

static int grow(struct pp_ids *ids)
{
	uint32_t cap = MAX(ids->cap * 2, (uint32_t)SMALLEST_ARRAY);
	size_t old = ids->cap / 8, bytes = cap / 8;
	uint64_t *live, *marked;

	live = realloc(ids->live, bytes);
	if (!live)
		return -ENOMEM;
	ids->live = live;
	marked = realloc(ids->marked, bytes);
	if (!marked)
		return -ENOMEM;
	ids->marked = marked;
	memset((char *)live + old, 0, bytes - old);
	memset((char *)marked + old, 0, bytes - old);
	ids->cap = cap;
	return 0;
}

int pp_ids_take(struct pp_ids *ids, size_t max, uint32_t *ret)
{
	uint32_t id = ids->bound;

	if (ids->count >= max)
		return -ENOSPC;
	if (ids->count < ids->bound) {
		uint32_t word = ids->hint / 64;

		while (!~ids->live[word])
			word++;
		id = word * 64 + (uint32_t)__builtin_ctzll(~ids->live[word]);
	} else if (id == ids->cap) {
		int r = grow(ids);

		if (r < 0)
			return r;
	}
	ids->live[id / 64] |= 1ULL << id % 64;
	ids->bound = MAX(ids->bound, id + 1);
	ids->hint = id + 1;
	ids->count++;
	*ret = id;
	return 0;
}

bool pp_ids_mark(struct pp_ids *ids, uint32_t id)
{
	if (!pp_ids_is_live(ids, id) || pp_ids_is_marked(ids, id))
		return false;
	ids->marked[id / 64] |= 1ULL << id % 64;
	return true;
}

void pp_ids_sweep(struct pp_ids *ids)
{
	uint64_t *live = ids->marked;
	uint32_t words = ids->cap / 64;

	ids->marked = ids->live;
	ids->live = live;
	if (words)
		memset(ids->marked, 0, ids->cap / 8);
	ids->count = ids->bound = ids->hint = 0;
	for (uint32_t i = 0; i < words; i++) {
		if (!live[i])
			continue;
		ids->count += (uint32_t)__builtin_popcountll(live[i]);
		ids->bound = i * 64 + 64 - (uint32_t)__builtin_clzll(live[i]);
	}
}

void pp_ids_done(struct pp_ids *ids)
{
	free(ids->live);
	free(ids->marked);
	*ids = (struct pp_ids){ 0 };
}
