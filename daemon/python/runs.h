/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A perf map's runs, oldest first: the newest one that covers an address has its name. Those taken
 * over from a parent at a fork lie beneath the map's own and stay as they are; the own ones are
 * merged as they come, so that there are few.
 */
#pragma once

#include "python/run.h"

/* log2(entries) of a map's own, and as many again for each fork above it. */
#define PP_RUNS_MAX	      48
#define PP_RUNS_INHERITED_MAX 24

struct pp_runs {
	struct pp_run *runs[PP_RUNS_MAX];
	uint32_t nr, nr_inherited;
};

void pp_runs_done(struct pp_runs *rs);

/* Takes over run. There must be room (pp_runs_full). */
void pp_runs_push(struct pp_runs *rs, struct pp_run *run);
static inline bool pp_runs_full(const struct pp_runs *rs)
{
	return rs->nr == PP_RUNS_MAX;
}

/* Puts references to all of parent's runs beneath child's, which has inherited none yet. -ENOSPC
 * where they are more than PP_RUNS_INHERITED_MAX or do not fit. */
int pp_runs_inherit(struct pp_runs *child, const struct pp_runs *parent);

/* The piece that is visible at address and the run it is in, or NULL. */
const struct pp_piece *pp_runs_find(const struct pp_runs *rs, uint64_t address,
				    const struct pp_run **ret_run);

bool pp_runs_is_inherited(const struct pp_runs *rs, const struct pp_run *run);

/* Of the runs that are not inherited: bytes, pieces. */
size_t pp_runs_memory(const struct pp_runs *rs);
size_t pp_runs_pieces(const struct pp_runs *rs);
/* How many of those begin in [start, end); where any does, the address of one. */
size_t pp_runs_count(const struct pp_runs *rs, uint64_t start, uint64_t end, uint64_t *ret_first);
