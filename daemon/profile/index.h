/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds a table's rows by what is in them: a hash table of row numbers only, linear probing, at
 * most three quarters full. Inline, so that the callbacks are.
 *
 * A table of a million rows takes longer to make anew than a turn of the loop may. So when it
 * grows, the slots it had stay beside the new ones, and every row that is put takes a few of them
 * along; until they are all there, a row may be in either.
 */
#pragma once

#include "base/macro.h"

#define PP_INDEX_SMALLEST 64
/* Old slots taken along by each put: with two, all would have been by the next growth. */
#define PP_INDEX_MOVES 4
#define PP_INDEX_GONE  UINT32_MAX /* an old slot whose row was taken out */

struct pp_index {
	uint32_t *slots; /* row + 1; 0: free */
	uint32_t cap;	 /* a power of two, or 0 */
	uint32_t count;
	uint32_t *old; /* NULL: all are in slots */
	uint32_t old_cap, moved;
};

typedef uint64_t (*pp_index_hash_fn)(const void *table, uint32_t row);
typedef bool (*pp_index_equal_fn)(const void *table, uint32_t row, const void *key);

/* The slot that holds the row equal to key, or the free one where it would go; NULL: no slots. */
static inline uint32_t *pp_index_find(const struct pp_index *x, uint64_t hash,
				      pp_index_equal_fn equal, const void *table, const void *key)
{
	uint32_t mask = x->cap - 1, i = (uint32_t)hash & mask, k;

	if (!x->cap)
		return NULL;
	while (x->slots[i] && !equal(table, x->slots[i] - 1, key))
		i = (i + 1) & mask;
	if (x->slots[i] || !x->old)
		return &x->slots[i];
	mask = x->old_cap - 1;
	for (k = (uint32_t)hash & mask; x->old[k]; k = (k + 1) & mask)
		if (x->old[k] != PP_INDEX_GONE && equal(table, x->old[k] - 1, key))
			return &x->old[k];
	return &x->slots[i];
}

static inline void pp_index_insert(struct pp_index *x, uint64_t hash, uint32_t row)
{
	uint32_t mask = x->cap - 1, i = (uint32_t)hash & mask;

	while (x->slots[i])
		i = (i + 1) & mask;
	x->slots[i] = row + 1;
}

/* Takes the next n old slots along. */
static inline void pp_index_move(struct pp_index *x, uint32_t n, pp_index_hash_fn hash,
				 const void *table)
{
	for (; x->old && n; n--) {
		uint32_t slot = x->old[x->moved];

		if (slot && slot != PP_INDEX_GONE)
			pp_index_insert(x, hash(table, slot - 1), slot - 1);
		if (++x->moved < x->old_cap)
			continue;
		free(x->old);
		x->old = NULL;
	}
}

/* Puts a row that is not there; there must be room. */
static inline void pp_index_put(struct pp_index *x, uint64_t hash, uint32_t row,
				pp_index_hash_fn hash_row, const void *table)
{
	pp_index_insert(x, hash, row);
	x->count++;
	pp_index_move(x, PP_INDEX_MOVES, hash_row, table);
}

/* Makes room for `rows` rows in all. Slots found before are no longer valid. */
static inline int pp_index_reserve(struct pp_index *x, size_t rows, pp_index_hash_fn hash,
				   const void *table)
{
	uint32_t cap = MAX(x->cap, (uint32_t)PP_INDEX_SMALLEST), *slots;

	while (rows > (size_t)cap / 4 * 3)
		if (__builtin_mul_overflow(cap, 2U, &cap))
			return -ENOMEM;
	if (cap == x->cap)
		return 0;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	pp_index_move(x, x->old_cap, hash, table);
	x->old = x->slots;
	x->old_cap = x->cap;
	x->moved = 0;
	x->slots = slots;
	x->cap = cap;
	return 0;
}

/* Empties it, to be filled with `rows` rows anew; smaller where that will do. Never fails: it has
 * room for as many rows as it had. */
static inline void pp_index_reset(struct pp_index *x, size_t rows)
{
	uint32_t cap = x->cap;

	free(x->old);
	x->old = NULL;
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

/* Empties the slot that holds a row, if it is there; those behind it that collided move up. */
static inline void pp_index_cut(struct pp_index *x, uint64_t hash, uint32_t row,
				pp_index_hash_fn hash_row, const void *table)
{
	uint32_t mask = x->cap - 1, hole = (uint32_t)hash & mask, i;

	while (x->slots[hole] && x->slots[hole] != row + 1)
		hole = (hole + 1) & mask;
	if (!x->slots[hole])
		return;
	for (i = (hole + 1) & mask; x->slots[i]; i = (i + 1) & mask) {
		uint32_t home = (uint32_t)hash_row(table, x->slots[i] - 1) & mask;

		/* One that is found without passing the hole stays. */
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		x->slots[hole] = x->slots[i];
		hole = i;
	}
	x->slots[hole] = 0;
}

/* Takes out a row that is there, whose hash is `hash`. */
static inline void pp_index_remove(struct pp_index *x, uint64_t hash, uint32_t row,
				   pp_index_hash_fn hash_row, const void *table)
{
	uint32_t mask = x->old_cap - 1, i = (uint32_t)hash & mask;

	pp_index_cut(x, hash, row, hash_row, table);
	x->count--;
	if (!x->old)
		return;
	while (x->old[i] && x->old[i] != row + 1)
		i = (i + 1) & mask;
	if (x->old[i])
		x->old[i] = PP_INDEX_GONE;
}

static inline void pp_index_done(struct pp_index *x)
{
	free(x->slots);
	free(x->old);
	*x = (struct pp_index){ 0 };
}

static inline size_t pp_index_bytes(const struct pp_index *x)
{
	return ((size_t)x->cap + (x->old ? x->old_cap : 0)) * sizeof(*x->slots);
}
