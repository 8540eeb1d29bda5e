/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stream of deltas of a profile (Watch): what was counted since the last take, in numbers of the
 * stream's own, which are never reused. Frames, nodes and sets of attributes are told once, before
 * they are referred to; a frame that was told without its name is told again, under its number,
 * when it has one.
 */
#pragma once

#include "selection.h"

/* Keys counted between two takes; samples of more are left out and counted as lost. */
#define PP_DELTA_ENTRIES_MAX (1U << 16)

struct pp_delta;

struct pp_delta_frame {
	uint32_t id;	/* the stream's number, from 1 */
	uint32_t frame; /* the store's, for pp_frame_text(); already final */
};

struct pp_delta_node {
	uint32_t id, parent, frame; /* the stream's numbers; node 0: no parent */
};

struct pp_delta_attributes {
	uint32_t id;	 /* the stream's number */
	uint8_t gil;	 /* enum pp_gil */
	uint8_t gc;	 /* enum pp_gc */
	uint32_t thread; /* string of the store's; 0: not known */
	uint32_t task;	 /* frame, the stream's number; 0: none */
};

struct pp_delta_count {
	uint64_t process;
	uint64_t samples, cpu_ns;
	uint32_t node;	     /* the stream's; 0: an empty stack */
	uint32_t attributes; /* the stream's; 0: none */
	uint8_t end;	     /* enum pp_end */
};

struct pp_delta_process {
	uint64_t id;
	bool first; /* not in an earlier take */
};

struct pp_delta_take {
	uint64_t start_wall_ns, end_wall_ns;
	const struct pp_delta_frame *frames;
	const struct pp_delta_node *nodes; /* parents before children */
	const struct pp_delta_attributes *attributes;
	const struct pp_delta_count *counts;
	const struct pp_delta_process *processes; /* those in counts, each once; the profile still
						     keeps them known */
	size_t nr_frames, nr_nodes, nr_attributes, nr_counts, nr_processes;
	uint64_t lost, hidden; /* hidden: processes */
};

/* Starts at now_ns. When the profile is freed first, the stream ends: takes give nothing more. */
int pp_delta_new(struct pp_delta **ret, struct pp_profile *profile, uint64_t now_ns);
struct pp_delta *pp_delta_free(struct pp_delta *d);
PP_DEFINE_CLEANUP(struct pp_delta *, pp_delta_free)

/* Takes what was counted since the last take; its frames and strings stay until the next one.
 * query's since_ns is not used; its kernel view must be the same in every call. What was counted
 * for a process that is not wanted now is forgotten. The arrays are valid until the next call on d.
 * Returns 0, or -ENOMEM, -ENOSPC: the stream cannot go on, as what it has told is no longer
 * certain. */
int pp_delta_take(struct pp_delta *d, uint64_t now_ns, const struct pp_query *query,
		  struct pp_delta_take *ret);
