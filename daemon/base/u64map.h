/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hash table from u64 to u64 with a hard cap: open addressing, linear probing, backward-shift
 * deletion (no tombstones, so a table that churns does not slow down). Keys are mixed, so dense
 * pids and page-aligned addresses spread alike. Every key is legal, 0 included.
 *
 * Pointers are stored through the _ptr helpers. For composite keys, use a hash (pp_hash) as key
 * and chain the objects whose hashes agree.
 */
#pragma once

#include "macro.h"

struct pp_u64map_slot {
	uint64_t key, value;
};

struct pp_u64map {
	struct pp_u64map_slot *slots;
	uint8_t *used;
	size_t len, cap; /* cap: a power of two, or 0 */
	size_t max;	 /* entries; a put beyond is -ENOSPC; 0 = no limit */
};

bool pp_u64map_get(const struct pp_u64map *m, uint64_t key, uint64_t *ret_value);
/* Inserts or replaces. Returns 0, -ENOSPC (cap reached) or -ENOMEM. */
int pp_u64map_put(struct pp_u64map *m, uint64_t key, uint64_t value);
/* The value of key, 0 where it was not there, to be changed in place; good until another key is put
 * or deleted. NULL: it was not there, and there is no room or no memory for it. */
uint64_t *pp_u64map_at(struct pp_u64map *m, uint64_t key);
/* Returns whether the key was there. */
bool pp_u64map_del(struct pp_u64map *m, uint64_t key);
/* Makes `to`, which holds nothing, the same as `from`. Returns 0 or -ENOMEM. */
int pp_u64map_copy(struct pp_u64map *to, const struct pp_u64map *from);
/* Keeps the entries for which keep() says so; it may change the value. Without memory it keeps
 * none. */
void pp_u64map_filter(struct pp_u64map *m, bool (*keep)(void *userdata, uint64_t *value),
		      void *userdata);
void pp_u64map_clear(struct pp_u64map *m);
void pp_u64map_done(struct pp_u64map *m);

/* Iterates in no particular order: `size_t i = 0; while (pp_u64map_next(m, &i, &k, &v))`. The map
 * must not change meanwhile. Returns false at the end. */
bool pp_u64map_next(const struct pp_u64map *m, size_t *i, uint64_t *ret_key, uint64_t *ret_value);

static inline void *pp_u64map_get_ptr(const struct pp_u64map *m, uint64_t key)
{
	uint64_t v;

	return pp_u64map_get(m, key, &v) ? (void *)(uintptr_t)v : NULL;
}

static inline int pp_u64map_put_ptr(struct pp_u64map *m, uint64_t key, void *p)
{
	return pp_u64map_put(m, key, (uintptr_t)p);
}

/* A seeded 64-bit hash of bytes; the seed differs per process, so nobody can aim collisions. */
uint64_t pp_hash(const void *data, size_t len);
/* The same mixing for integers. */
uint64_t pp_mix(uint64_t x);
