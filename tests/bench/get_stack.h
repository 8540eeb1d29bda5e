/* SPDX-License-Identifier: GPL-2.0-only */
/* What get_stack.bpf.c counts, per CPU. */
#pragma once

#include <linux/types.h>

#define GET_STACK_FRAMES_MAX 127 /* the kernel's limit (perf_event_max_stack) */

struct get_stack_counts {
	__u64 runs;   /* samples of the process */
	__u64 frames; /* user frames in them */
	__u64 ns;     /* time inside the program */
};
