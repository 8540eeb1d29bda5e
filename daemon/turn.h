/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long the loop's turns take: from when it wakes up to when it waits again, without the time
 * that the daemon was ready to run and other processes had the CPU. What blocks counts, what
 * computes counts, a busy machine does not.
 */
#pragma once

#include "base/macro.h"

struct pp_turn {
	int fd; /* the kernel's figures about this thread */
	uint64_t start_ns, start_delay_ns;
	uint64_t longest_ns;
};

void pp_turn_init(struct pp_turn *t);
void pp_turn_done(struct pp_turn *t);
void pp_turn_begin(struct pp_turn *t);
/* Returns how long it took. */
uint64_t pp_turn_end(struct pp_turn *t);
