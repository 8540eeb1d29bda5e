/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long the loop's turns take: from when it wakes up to when it waits again. A turn that blocked
 * somewhere counts by the clock on the wall, less what it was ready and waited for a CPU; one that
 * did not by the CPU time it took. So a daemon that hangs or computes too long shows, and a machine
 * that gives it no CPU does not.
 */
#pragma once

#include "base/macro.h"

struct pp_turn {
	uint64_t start_ns, start_cpu_ns, start_queued_ns;
	long start_switches;
	uint64_t longest_ns;
};

void pp_turn_begin(struct pp_turn *t);
/* Returns how long it took. */
uint64_t pp_turn_end(struct pp_turn *t);
