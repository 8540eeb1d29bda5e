/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of pp_unwind, for unwind.c (processes and their blocks) and unwind_tables.c. */
#pragma once

#include "base/holdings.h"
#include "base/u64map.h"
#include "trace/tables.h"
#include "unwind.h"

#define PP_WAITING_MAX 64 /* tables that wait for room; more are refused */

struct pp_queued {
	uint64_t since_ns;
	uint32_t process;
};

/* A table that waits for room. */
struct pp_waiting {
	uint32_t object;
	int fd;
	unsigned int tries;
};

struct pp_unwind {
	struct pp_bpf *bpf;
	struct pp_files *files;
	struct pp_processes *processes;
	struct pp_tables *tables;
	uint32_t gen;
	uint32_t slot_refs[PP_TABLES_MAX];    /* objects that share a table */
	uint64_t slot_used_ns[PP_TABLES_MAX]; /* scratch of evict() */
	uint32_t slot_user[PP_TABLES_MAX];    /* the same */
	struct pp_holdings spaces, blocks;    /* of users: address spaces in BPF, words of blocks */
	/* Blocks made in the sync in progress, by the array of mappings that processes have in
	 * common since a fork. */
	struct pp_u64map shared;
	struct pp_queued *queue; /* processes to sync, first come first */
	size_t nr_queue, queue_cap;
	struct pp_waiting waiting[PP_WAITING_MAX];
	size_t nr_waiting;
};

/*
 * Makes room for so many words of a user's, and for a slot, at the cost of who holds most. It is
 * there when what was dropped has settled, that is when no block leads to it any more: -EAGAIN.
 * -ENOSPC: there is nothing to drop.
 */
int pp_unwind_evict(struct pp_unwind *u, uint32_t user, uint32_t words);
/* Installs the tables for which there is room by now. */
void pp_unwind_install_waiting(struct pp_unwind *u);
