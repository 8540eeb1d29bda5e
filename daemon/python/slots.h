/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A hash table from 32-bit hashes to numbers other than 0, for keys that the caller keeps
 * elsewhere: it walks the slots of a hash and compares what the numbers stand for. Nothing is ever
 * removed.
 */
#pragma once

#include "base/macro.h"

struct pp_slot {
	uint32_t hash, number; /* number 0: an empty slot */
};

struct pp_slots {
	struct pp_slot *slots;
	uint32_t len, cap; /* cap: a power of two, or 0 */
};

/* A seeded hash of text, chained with h. */
uint32_t pp_slots_hash(const char *text, size_t len, uint64_t h);

/* Walks the slots where hash may be: `for (s = first; s->number; s = next)`. cap must not be 0. */
static inline struct pp_slot *pp_slots_first(const struct pp_slots *t, uint32_t hash)
{
	return &t->slots[hash & (t->cap - 1)];
}

static inline struct pp_slot *pp_slots_next(const struct pp_slots *t, struct pp_slot *s)
{
	return ++s == t->slots + t->cap ? t->slots : s;
}

/* Adds a pair that is not there. Returns 0 or -ENOMEM. */
int pp_slots_put(struct pp_slots *t, uint32_t hash, uint32_t number);
void pp_slots_done(struct pp_slots *t);

static inline size_t pp_slots_memory(const struct pp_slots *t)
{
	return t->cap * sizeof(*t->slots);
}
