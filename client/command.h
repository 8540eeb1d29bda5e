/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command of `record -- COMMAND`: forked first and held, so that its sampling has begun before
 * its first instruction; then let go. It runs as it would without us: nothing of its environment is
 * changed unless that is asked for.
 */
#pragma once

#include "commands.h"

#include <signal.h>
#include <sys/signalfd.h>

struct pp_command {
	pid_t pid;	/* 0: there is none */
	int hold;	/* closing it without a word ends a held child */
	int exec_error; /* the errno of a failed exec comes through it */
	bool started, ended;
	int status; /* of waitpid(2), once ended */
};

#define PP_COMMAND                           \
	{                                    \
		.hold = -1, .exec_error = -1 \
	}

/* trampolines: with PYTHONPERFSUPPORT=1 in its environment. mask: the signal mask that it is to
 * have. Returns an exit code. */
int pp_command_hold(struct pp_command *c, char **argv, bool trampolines, const sigset_t *mask);
/* Lets it go. Returns an exit code: as a shell, 127 where there is no such program, 126 where it
 * cannot be run. */
int pp_command_start(struct pp_command *c, const char *name);
/* Passes on a signal that was meant for us alone. A terminal's reach the command by themselves. */
void pp_command_signal(const struct pp_command *c, const struct signalfd_siginfo *si);
/* Takes notice of its end. */
void pp_command_reap(struct pp_command *c);
/* The exit code to pass on: its own, 128 + n if signal n killed it. */
int pp_command_exit_code(const struct pp_command *c);
void pp_command_done(struct pp_command *c);
#define _cleanup_command_ _cleanup_(pp_command_done)
