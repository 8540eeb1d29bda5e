/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file that appears whole or not at all: it is written beside its place under another name and
 * then put there, with the caller's rights and umask. `-` is stdout; what exists and is no regular
 * file (a terminal, a pipe) is written straight.
 */
#pragma once

#include "commands.h"

struct pp_output {
	FILE *file;
	char *path, *temporary; /* temporary: NULL where written straight */
};

/* All three return an exit code, and say what went wrong. */

/* Whether it looks as if path could be written: asked before a long recording, not after it. */
int pp_output_check(const char *path);
int pp_output_open(struct pp_output *o, const char *path);
int pp_output_commit(struct pp_output *o);
/* Closes, and removes what was not committed. */
void pp_output_done(struct pp_output *o);
#define _cleanup_output_ _cleanup_(pp_output_done)
