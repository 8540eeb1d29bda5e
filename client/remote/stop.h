/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Holds all threads of a process still, by ptrace(2), for as long as it takes to write a few bytes
 * that they must not change at the same time.
 *
 * It is a stop like a debugger's: no signal is lost, a process that is stopped already stays so,
 * and a system call that is interrupted is begun again, except that a few of them (epoll_wait, ...)
 * return EINTR. Whatever becomes of us, the kernel lets the threads go when we end.
 */
#pragma once

#include "target.h"

struct pp_held {
	pid_t tid;
	int signal; /* that was on its way to it: goes on with it */
	bool stopped, gone;
};

struct pp_stop {
	struct pp_held *threads;
	size_t nr, cap;
};

/*
 * Returns 0, or -EPERM (not permitted, or another debugger has it), -ETIMEDOUT (a thread does not
 * stop: it is deep in the kernel), -E2BIG (too many threads), -ESRCH (it has ended), -ENOMEM. After
 * an error pp_stop_end() lets go of all that can be; a thread that could not be stopped only when
 * we end, which should be soon.
 */
int pp_stop_begin(struct pp_stop *s, const struct pp_target *t);
void pp_stop_end(struct pp_stop *s);
#define _cleanup_stop_ _cleanup_(pp_stop_end)
