/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Another process, held so that it cannot be mistaken for a later one: by a pidfd, its directory in
 * /proc, and its memory, which stays that of the program it ran when it was opened.
 *
 * All of this is done with the caller's own rights: the kernel decides whether they may.
 */
#pragma once

#include "commands.h"

#define PP_COMM_MAX 64 /* of 15 bytes, each of which may be shown as \xHH */

struct pp_target {
	pid_t pid;
	int pidfd, proc, mem;
	uid_t uid;		/* whose it is, alone */
	gid_t gid;		/* with which it opens files */
	char comm[PP_COMM_MAX]; /* clean (lib/clean.h) */
};

#define PP_TARGET                                  \
	{                                          \
		.pidfd = -1, .proc = -1, .mem = -1 \
	}

/* A line of /proc/PID/maps. */
struct pp_map {
	uint64_t start, end;
	uint64_t inode; /* 0: no file */
	bool readable, writable, executable, private;
};

/* Returns an exit code, having said why. */
int pp_target_open(struct pp_target *t, pid_t pid);
void pp_target_done(struct pp_target *t);
#define _cleanup_target_ _cleanup_(pp_target_done)

/* Whether it still runs. */
bool pp_target_alive(const struct pp_target *t);
/* Whether it still is its user's alone: it may have run another program, of another's. */
bool pp_target_keeps_user(const struct pp_target *t);
/* The state of its main thread, as ps(1) has it; 0 where there is none. */
char pp_target_state(const struct pp_target *t, pid_t tid);

/* Reads its memory: all of it or nothing. */
bool pp_target_read(const struct pp_target *t, uint64_t address, void *to, size_t len);
/* Calls take() for each mapping until it returns other than 0, and returns that; or a negative
 * errno. */
int pp_target_maps(const struct pp_target *t, int (*take)(const struct pp_map *m, void *arg),
		   void *arg);
