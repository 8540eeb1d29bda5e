/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The code of a process that was mapped anew lately, and the last generation under which walks knew
 * what was there before. Between the mapping and the new block BPF walks by the old rules: what
 * such a walk says beyond the first pc in new code may be wrong, and nothing in it shows that.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

/* A program is loaded by some mappings, and then plugins one by one. Of more the oldest are taken
 * together. */
#define PP_CHANGES_MAX 8

struct pp_change {
	uint64_t start, end; /* [start, end) */
	uint64_t at_ns;	     /* CLOCK_MONOTONIC */
	uint32_t gen;	     /* walks under it and earlier ones do not know */
};

struct pp_changes {
	uint32_t nr;
	struct pp_change list[PP_CHANGES_MAX]; /* oldest first */
};

/* gen: the last that was given out; it never decreases. */
void pp_changes_add(struct pp_changes *c, uint64_t start, uint64_t end, uint64_t at_ns,
		    uint32_t gen);

/* How many of the sample's user frames were unwound by the rules of the code that was there: those
 * before the first in code that is newer than the walk's generation. That one was there; what comes
 * behind it are guesses, and so is that the stack is complete. */
uint32_t pp_changes_known(const struct pp_changes *c, const struct pp_sample *s);
