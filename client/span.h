/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Waiting for the end of a recording: its time is over, a signal asks for it, its process or
 * command has ended, or the daemon is gone.
 */
#pragma once

#include "command.h"

struct pp_span {
	int signals, process; /* signalfd; pidfd of a process whose end is the span's, or -1 */
	sigset_t mask;	      /* what it was */
	bool interrupted;     /* a signal asked for the end */
};

#define PP_SPAN                              \
	{                                    \
		.signals = -1, .process = -1 \
	}

/* From here on signals are taken by pp_span_wait(). Returns an exit code. */
int pp_span_new(struct pp_span *s);
/* Lets the span end with this process. */
void pp_span_follow(struct pp_span *s, pid_t pid);
/*
 * Waits for duration_ms (< 0: without end). client and command may be NULL. With a command, signals
 * go to it and its end is the span's. On a terminal, stderr shows the time passed.
 */
void pp_span_wait(struct pp_span *s, int64_t duration_ms, struct pp_client *client,
		  struct pp_command *command);
/* Signals have their old meaning again: a second Ctrl-C ends the program. */
void pp_span_done(struct pp_span *s);
#define _cleanup_span_ _cleanup_(pp_span_done)
