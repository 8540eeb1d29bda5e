/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Life-cycle records: what the kernel's side-band says about processes, in the order of its clock.
 * An executable mapping is reported when it is made or becomes executable; munmap is not reported.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum pp_life_kind {
	PP_LIFE_EXEC, /* a new program in an old pid; its mappings follow */
	PP_LIFE_COMM, /* a thread has renamed itself */
	PP_LIFE_FORK,
	PP_LIFE_EXIT, /* of one thread; of the process where tid == pid and no other is left */
	PP_LIFE_MMAP,
	PP_LIFE_LOST, /* records are missing: nothing of ours is certain any more */
};

struct pp_life {
	enum pp_life_kind kind;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	/* FORK: pid and tid are the child's, ppid its maker's; a new thread has pid == ppid. */
	pid_t pid, tid, ppid;
	char comm[16]; /* EXEC, COMM */
	/* MMAP, executable ones only: */
	uint64_t start, len, pgoff; /* bytes */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	uint32_t prot;
	uint32_t order;	  /* the trace's own: records of one instant stay in theirs */
	const char *path; /* valid during the call; "//anon", "[vdso]", … */
};
