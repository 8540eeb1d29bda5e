/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts of samples by (process, stack, attributes, how it ended): what a window, a session and a
 * stream's next delta are made of. Counting a key that is there allocates nothing. A closed set of
 * counts is an exact array without its index.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"
#include "index.h"

struct pp_entry {
	uint64_t cpu_ns;
	uint32_t process; /* the daemon's number of that life of the pid */
	uint32_t attributes;
	uint32_t node;
	uint32_t samples : 24; /* a 25th bit makes a second entry */
	uint32_t end : 8;      /* enum pp_end */
};

struct pp_counts {
	struct pp_entry *entries;
	uint32_t nr, cap;
	struct pp_index index; /* empty once closed */
};

/* Returns 1 where the key is new, 0 where it was there, -ENOSPC (a new key, and nr is max already)
 * or -ENOMEM. */
int pp_counts_add(struct pp_counts *c, uint32_t process, uint32_t node, uint32_t attributes,
		  enum pp_end end, uint64_t cpu_ns, size_t max);
/* Nothing is added any more: gives back what only adding needs. */
void pp_counts_close(struct pp_counts *c);
void pp_counts_clear(struct pp_counts *c); /* empties, keeps the memory */
void pp_counts_done(struct pp_counts *c);
size_t pp_counts_bytes(const struct pp_counts *c);
