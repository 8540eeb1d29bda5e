/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One life of a process: from its birth, or from an exec, to the next exec or its exit. A pid that
 * execs gets a new struct pp_process with a new id, so a name can never come from another life.
 *
 * What is known comes from life-cycle records (mappings, name, parent) and, where those are not
 * enough, from a scan of /proc by the reader child. Owned by struct pp_processes; others hold
 * references. Read-only for them but for the slots marked so.
 */
#pragma once

#include "base/macro.h"
#include "proc/atoms.h"
#include <sys/types.h>

#define PP_EXEC_ID_UNKNOWN UINT32_MAX
#define PP_TICKS_UNKNOWN   UINT64_MAX

enum pp_map_kind {
	PP_MAP_FILE,
	PP_MAP_ANON, /* a trampoline arena or another JIT's code */
	PP_MAP_VDSO,
	PP_MAP_SPECIAL, /* [vsyscall], [uprobes], … */
};

/* An executable mapping, [start, end). */
struct pp_map {
	uint64_t start, end;
	uint64_t pgoff; /* bytes into the file */
	uint64_t dev;	/* dev_t as /proc/PID/maps shows it */
	uint64_t ino;
	uint64_t seen_ns; /* CLOCK_MONOTONIC of the record or the scan that told of it */
	struct pp_atom *path;
	void *object; /* slot for upper rooms: whatever they know about the file */
	enum pp_map_kind kind;
	bool replaces; /* when it came something else was known there */
};

/* Sorted by address, without overlaps. A child shares its parent's until one of them changes. */
struct pp_maps {
	uint32_t refs;
	uint32_t user; /* on whose account it is */
	uint32_t len, cap;
	struct pp_map maps[];
};

struct pp_processes;

struct pp_process {
	uint32_t id;   /* never reused, never 0 */
	uint32_t refs; /* of upper rooms */
	struct pp_processes *table;

	pid_t pid, ppid;
	pid_t nspid;	      /* pid in its innermost namespace; 0: not known yet */
	uint64_t start_ns;    /* of the thread group leader, CLOCK_BOOTTIME; 0: not known yet */
	uint64_t start_ticks; /* the same in clock ticks, as /proc says; or PP_TICKS_UNKNOWN */
	uint32_t exec_id;     /* the task's own count of execs, or PP_EXEC_ID_UNKNOWN */
	uint32_t exec_gen;    /* execs of this pid that we saw */
	uint32_t nr_threads;  /* 0: not known */
	uint64_t born_ns;     /* CLOCK_MONOTONIC: since when we know this life */
	uint64_t exit_ns;     /* CLOCK_MONOTONIC, 0 while alive */
	uint64_t gone_ns;     /* when the reader did not find it; 0: it has not missed it */
	bool alive;
	bool execed;	  /* ended by an exec: another life has followed in this pid */
	bool leader_gone; /* its main thread has ended, others have not */

	char comm[16];
	uint64_t comm_ns;	       /* of the record that told it */
	uid_t ruid, euid, suid, fsuid; /* valid with has_ids; until then ruid is a guess, or 0 */
	bool has_ids;
	uint32_t account; /* the user on whose account it is */
	bool dumpable;	  /* its user may look into it */
	bool kernel_thread;
	struct pp_atom *cmdline; /* arguments separated by spaces; NULL: not known, or none */
	struct pp_atom *exe, *unit, *slice, *container, *pod; /* NULL: none, or not known */

	struct pp_maps *maps; /* NULL: none known */
	bool dirty;	      /* maps, or code in them; whoever installs them clears it */
	bool maps_known;      /* maps are complete: followed from birth or exec, or scanned */

	bool scanned; /* facts above were read from /proc in this life */
	bool scan_wanted, scanning;
	bool scan_queued; /* in line */
	bool scan_waited; /* among the first of it, as a sample waits */
	uint8_t scan_tries;
	uint64_t scan_started_ns;

	uint64_t samples, complete; /* counted by the upper rooms */
	uint32_t thread_names;	    /* of its threads, kept lately; as of: */
	uint64_t thread_names_ns;
	/* Slots for upper rooms, theirs to free in the on_free hook. */
	void *unwind, *names, *python, *interp, *codes;

	/* The table's lists: all by age, lives of this pid, those to scan, those to free. */
	struct pp_process *older, *newer;
	struct pp_process *prev_life, *next_life;
	struct pp_process *scan_prev, *scan_next;
	struct pp_process *idle_next;
	bool idle;
};

struct pp_process *pp_process_ref(struct pp_process *p);
/* Returns NULL; accepts NULL. One that has ended is freed by pp_processes_reap. */
struct pp_process *pp_process_unref(struct pp_process *p);

/* The mapping that address lies in, or NULL. Valid until the process's mappings change. */
struct pp_map *pp_process_map_at(const struct pp_process *p, uint64_t address);

static inline size_t pp_process_nr_maps(const struct pp_process *p)
{
	return p->maps ? p->maps->len : 0;
}
