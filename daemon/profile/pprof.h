/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes a selection as a gzip'd pprof (pprof.proto), in pieces: neither the message nor its plain
 * bytes are ever in memory as a whole.
 *
 * Sample types: (samples, count), (cpu, nanoseconds). A location per frame, leaf first; its mapping
 * is the frame's module and tells its kind (frame_text.h). A Python function's lines are locations
 * of one function. Labels of a sample: process (the daemon's number) and pid as numbers; comm,
 * unit, slice, container, pod where known; gil, gc, thread, task as attributes.h has them;
 * truncated, the reason, where the stack is not complete.
 */
#pragma once

#include "base/buf.h"
#include "selection.h"

/* What is said of a process. NULL: nothing. The strings may hold any bytes. */
struct pp_process_facts {
	pid_t pid;
	const char *comm, *unit, *slice, *container, *pod;
};

struct pp_pprof_options {
	/* Fills ret (zeroed) with what stays valid until the next call. */
	void (*facts)(void *userdata, uint64_t process, struct pp_process_facts *ret);
	void *userdata;
	uint32_t frequency; /* samples per second and CPU */
	const char *version;
};

/* Appends to out, whose max bounds the result. Returns 0, -ENOBUFS or -ENOMEM. */
int pp_pprof_write(const struct pp_selection *s, const struct pp_pprof_options *options,
		   struct pp_buf *out);
