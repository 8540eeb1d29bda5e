/* SPDX-License-Identifier: GPL-2.0-only */
/* What get_stack.bpf.c counts, per CPU. */
#pragma once

#ifndef __bpf__
#include "bpf/pp_types.h"
#else
#define PP_TIME_BUCKET_NS                                                      \
	64 /* as in bpf/pp_types.h, whose types are not those of <linux/bpf.h> \
	    */
#define PP_TIME_BUCKETS 2048
#endif

#define GET_STACK_FRAMES_MAX 127 /* the kernel's limit (perf_event_max_stack) */

struct get_stack_counts {
	__u64 runs;   /* samples of the process */
	__u64 frames; /* user frames in them */
	/* Of the program, from its entry to the record's hand-over; of bpf_get_stack() alone. */
	__u32 whole[PP_TIME_BUCKETS];
	__u32 stack[PP_TIME_BUCKETS];
};
