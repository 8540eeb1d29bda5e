/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds a table's rows by what is in them: a hash table of row numbers only, linear probing, at
 * most three quarters full. Rows are never removed singly; a sweep rebuilds. Inline, so that the
 * callbacks are.
 */
#pragma once

#include "base/macro.h"

#define PP_INDEX_SMALLEST 64

struct pp_index {
	uint32_t *slots; /* row + 1; 0: free */
	uint32_t cap;	 /* a power of two, or 0 */
	uint32_t count;
};

typedef uint64_t (*pp_index_hash_fn)(const void *table, uint32_t row);
typedef bool (*pp_index_equal_fn)(const void *table, uint32_t row, const void *key);

/* The slot that holds the row equal to key, or the free one where it would go; NULL: no slots. */
static inline uint32_t *pp_index_find(const struct pp_index *x, uint64_t hash,
				      pp_index_equal_fn equal, const void *table, const void *key)
{
	uint32_t mask = x->cap - 1, i = (uint32_t)hash & mask;

	if (!x->cap)
		return NULL;
	while (x->slots[i] && !equal(table, x->slots[i] - 1, key))
		i = (i + 1) & mask;
	return &x->slots[i];
}

static inline void pp_index_put(struct pp_index *x, uint64_t hash, uint32_t row)
{
	uint32_t mask = x->cap - 1, i = (uint32_t)hash & mask;

	while (x->slots[i])
		i = (i + 1) & mask;
	x->slots[i] = row + 1;
	x->count++;
}

/* Makes room for `rows` rows in all. Slots found before are no longer valid. */
static inline int pp_index_reserve(struct pp_index *x, size_t rows, pp_index_hash_fn hash,
				   const void *table)
{
	struct pp_index bigger = { .cap = MAX(x->cap, (uint32_t)PP_INDEX_SMALLEST) };

	while (rows > (size_t)bigger.cap / 4 * 3)
		if (__builtin_mul_overflow(bigger.cap, 2U, &bigger.cap))
			return -ENOMEM;
	if (bigger.cap == x->cap)
		return 0;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->cap; i++)
		if (x->slots[i])
			pp_index_put(&bigger, hash(table, x->slots[i] - 1), x->slots[i] - 1);
	free(x->slots);
	*x = bigger;
	return 0;
}

/* Empties it, to be filled with `rows` rows anew; smaller where that will do. Never fails: it has
 * room for as many rows as it had. */
static inline void pp_index_reset(struct pp_index *x, size_t rows)
{
	uint32_t cap = x->cap;

	while (cap > PP_INDEX_SMALLEST && rows < (size_t)cap / 4)
		cap /= 2;
	x->count = 0;
	if (cap != x->cap) {
		uint32_t *slots = calloc(cap, sizeof(*slots));

		if (slots) {
			free(x->slots);
			x->slots = slots;
			x->cap = cap;
			return;
		}
	}
	for (uint32_t i = 0; i < x->cap; i++)
		x->slots[i] = 0;
}

static inline void pp_index_done(struct pp_index *x)
{
	free(x->slots);
	*x = (struct pp_index){ 0 };
}

static inline size_t pp_index_bytes(const struct pp_index *x)
{
	return (size_t)x->cap * sizeof(*x->slots);
}
