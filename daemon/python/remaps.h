/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a process's executable memory was mapped anew, and when: what an address was called before
 * says nothing about what runs there since. Only mappings are reported, unmappings are not, so a
 * mapping over one that was known is all that tells of memory given back and used again.
 *
 * The kernel joins neighbours and reports the whole. So a mapping that wholly contains those known
 * in its range, and more, is theirs made longer: only what is between and beside them is new.
 */
#pragma once

#include "base/macro.h"

/* Each is memory that is scarce in a process that does not do this all day long. */
#define PP_REMAPS_MAX 64
/* CPython's arenas lie side by side, and are few mappings. */
#define PP_SPANS_MAX 1024

struct pp_remap {
	uint64_t start, end;
	uint64_t at_ns;
	bool reused; /* something was known there before */
};

struct pp_span {
	uint64_t start, end;
};

struct pp_remaps {
	struct pp_span *spans; /* mappings known, by address, without overlaps */
	uint32_t nr_spans;
	size_t cap_spans;
	uint32_t nr;
	struct pp_remap *list; /* oldest first */
	bool keep_all;	       /* those over nothing known are remembered, too */
	bool forgot;	       /* some could not be remembered */
};

void pp_remaps_done(struct pp_remaps *r);

/* A mapping is there, since whenever. */
void pp_remaps_seen(struct pp_remaps *r, uint64_t start, uint64_t end);
/* A mapping was reported at at_ns. Returns whether it reuses what was known. */
bool pp_remaps_add(struct pp_remaps *r, uint64_t start, uint64_t end, uint64_t at_ns);
/* A forked child has what its parent has, and remembers all that it maps itself. */
void pp_remaps_fork(struct pp_remaps *child, const struct pp_remaps *parent);

/* The latest remapping of address at or before time_ns, or NULL. */
const struct pp_remap *pp_remaps_at(const struct pp_remaps *r, uint64_t address, uint64_t time_ns);
/* When address was first mapped anew after time_ns; UINT64_MAX: not since. */
uint64_t pp_remaps_after(const struct pp_remaps *r, uint64_t address, uint64_t time_ns);
