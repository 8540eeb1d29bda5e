/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The script that a process is to run, and the file that it answers into: in a directory of their
 * own in the /tmp that the process sees, whatever its root and mount namespace. Both belong to the
 * process's user, and nobody else can read or replace them.
 */
#pragma once

#include "target.h"

#define PP_ANSWER_MAX 512 /* bytes of an answer; what is longer is cut */

struct pp_script {
	int tmp, dir, answer;
	uid_t uid; /* the process's, for files */
	gid_t gid;
	char name[32]; /* of the directory */
	char path[64]; /* of the script, as the process sees it */
};

#define PP_SCRIPT                                  \
	{                                          \
		.tmp = -1, .dir = -1, .answer = -1 \
	}

/* on: whether it turns trampolines on or off. Returns an exit code, having said why. */
int pp_script_new(struct pp_script *s, const struct pp_target *t, bool on);
/*
 * What the process has answered: text of PP_ANSWER_MAX bytes, not clean. Returns false where it has
 * not. An answer is "on", "off", "was on", "was off" or, after "error ", what went wrong.
 */
bool pp_script_answer(const struct pp_script *s, char *text);
/* Removes all of it. */
void pp_script_done(struct pp_script *s);
#define _cleanup_script_ _cleanup_(pp_script_done)
