/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From what a sample says of its thread to a set of attributes (profile/attributes.h).
 *
 * The thread's name is what the kernel has (comm), and the process's to choose: one that makes up
 * ever new ones has only so many of them kept. The task is that of the interpreter: the function of
 * the coroutine, named as every other code object is.
 */
#pragma once

#include "bpf/pp_types.h"
#include "proc/process.h"

struct pp_codes;
struct pp_store;

/* The attributes of a sample of this life of a process; PP_ATTRIBUTES_NONE where they could not be
 * kept, which is counted. */
uint32_t pp_states_attributes(struct pp_store *store, struct pp_codes *codes, struct pp_process *p,
			      const struct pp_sample *s);
