/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon's side of the worker: worker.c (whose request is next) and worker_reply.c. */
#pragma once

#include "elf/worker.h"
#include "elf/worker_wire.h"

/* One call, waiting or under way. */
struct pp_worker_call {
	struct pp_worker_call *next;
	struct pp_worker *worker;
	uid_t uid;
	uint64_t since_ns;  /* handed over */
	uint64_t queued_ns; /* pp_child_queued_ns() then */
	union {
		pp_elf_loaded_fn loaded;
		pp_elf_names_fn named;
	};
	void *userdata;
	int fds[2]; /* the file's; the cache's, the debug file's or -1; ours */
	size_t nr_addresses;
	struct pp_wire_request request; /* with the addresses behind it */
};

/* Both return 0, -EPROTO (the answer does not hold up), -ENOMEM, or the error it reports. */
int pp_worker_check_loaded(const void *data, size_t len, const int *fds, size_t nr_fds,
			   struct pp_elf_info *ret);
/* Calls call->named with what holds up. */
int pp_worker_check_names(const struct pp_worker_call *call, const void *data, size_t len,
			  const int *fds, size_t nr_fds);
