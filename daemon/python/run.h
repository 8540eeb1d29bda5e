/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A run: an immutable (once shared), sorted array of pieces [start, start + size) that do not
 * overlap, each with a name. A perf map is a stack of runs; the newest one that covers an address
 * has its name.
 */
#pragma once

#include "python/names.h"

struct pp_piece {
	uint64_t start;
	uint32_t size; /* never 0 */
	uint32_t name; /* reference into one of the run's two pools */
};
#define PP_PIECE_SHARED (1U << 31) /* in name: it is the dictionary's */

/* An entry of a log that is to become a run: of those that cover an address, the one of the highest
 * rank is visible. */
struct pp_entry {
	struct pp_piece piece;
	uint32_t rank;
};

static inline uint64_t pp_piece_end(const struct pp_piece *p)
{
	return p->start + p->size;
}

struct pp_run {
	uint32_t refs;
	uint32_t len;
	struct pp_names *own, *dictionary; /* references, NULL where no piece needs it */
	size_t *account;
	struct pp_piece pieces[];
};

/* Sorts and resolves a log; its order is lost. len > 0, ranks differ. account: as for pp_names_new.
 */
int pp_run_new(struct pp_run **ret, struct pp_entry *log, size_t len, struct pp_names *own,
	       struct pp_names *dictionary, size_t *account);
/* One run that says what newer over older says; pools that both have must be the same. */
int pp_run_merge(struct pp_run **ret, const struct pp_run *older, const struct pp_run *newer);
/* The same in place, without copying older: possible while nobody else holds it and newer lies
 * entirely behind it. */
bool pp_run_can_append(const struct pp_run *older, const struct pp_run *newer);
int pp_run_append(struct pp_run **older, const struct pp_run *newer);
struct pp_run *pp_run_ref(struct pp_run *r);
struct pp_run *pp_run_unref(struct pp_run *r); /* returns NULL, accepts NULL */
PP_DEFINE_CLEANUP(struct pp_run *, pp_run_unref)

static inline size_t pp_run_memory(const struct pp_run *r)
{
	return sizeof(*r) + r->len * sizeof(*r->pieces);
}

/* Runs are never empty. */
static inline uint64_t pp_run_start(const struct pp_run *r)
{
	return r->pieces[0].start;
}

static inline uint64_t pp_run_end(const struct pp_run *r)
{
	return pp_piece_end(&r->pieces[r->len - 1]);
}

/* The piece that covers address, or NULL. */
const struct pp_piece *pp_run_find(const struct pp_run *r, uint64_t address);
/* The first piece that begins at address or behind it; len: none does. */
uint32_t pp_run_from(const struct pp_run *r, uint64_t address);
void pp_run_name(const struct pp_run *r, const struct pp_piece *piece, struct pp_name *ret);
