/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers for the rows of a table: which are in use, which were marked since the last sweep. The
 * lowest free number is given out first, so tables stay dense.
 */
#pragma once

#include "base/macro.h"

struct pp_ids {
	uint64_t *live, *marked; /* bitmaps of cap bits */
	uint32_t cap;
	uint32_t bound; /* every number in use is below */
	uint32_t count; /* in use */
	uint32_t hint;	/* no free number below this one */
};

/* Returns 0, -ENOSPC (max are in use) or -ENOMEM. */
int pp_ids_take(struct pp_ids *ids, size_t max, uint32_t *ret);
/* Marks a number in use; returns whether it was unmarked before. */
bool pp_ids_mark(struct pp_ids *ids, uint32_t id);
/* Frees what is not marked, and unmarks the rest. */
void pp_ids_sweep(struct pp_ids *ids);
void pp_ids_done(struct pp_ids *ids);

static inline bool pp_ids_is_live(const struct pp_ids *ids, uint32_t id)
{
	return id < ids->bound && ids->live[id / 64] >> id % 64 & 1;
}

static inline bool pp_ids_is_marked(const struct pp_ids *ids, uint32_t id)
{
	return id < ids->bound && ids->marked[id / 64] >> id % 64 & 1;
}

static inline size_t pp_ids_bytes(const struct pp_ids *ids)
{
	return 2 * (size_t)ids->cap / 8;
}

/* Grows an array to hold element n. Returns 0 or -ENOMEM. */
int pp_array_reserve(void **array, size_t size, uint32_t *cap, uint32_t n);
/* Gives memory back where less than half of an array is in use. */
void pp_array_trim(void **array, size_t size, uint32_t *cap, uint32_t used);
