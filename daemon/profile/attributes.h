/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is said of a sample besides its process and stack: the GIL, the garbage collector, the
 * thread, the asyncio task. A set of attributes is kept once and known by a number.
 *
 * It is a stack like any other, of two to three frames that are no code: so it is bounded, shared,
 * collected, and its task gets its name later, as everything else in the store.
 */
#pragma once

#include "store.h"

struct pp_attributes {
	uint8_t gil;	 /* enum pp_gil */
	uint8_t gc;	 /* enum pp_gc */
	uint32_t thread; /* string: its name; 0: not known */
	uint32_t task; /* frame of its coroutine's function; PP_FRAME_UNKNOWN: none, or not known */
};

#define PP_ATTRIBUTES_NONE 0 /* nothing is said */

/* The number of this set, a node in the store's tree of stacks. Returns 0, -ENOSPC or -ENOMEM. */
int pp_attributes_get(struct pp_store *s, const struct pp_attributes *a, uint32_t *ret);

/* What a number stands for: a node in `stacks`, the store's or a copy with the same frames. The
 * task is a final frame. */
struct pp_attributes pp_attributes_read(const struct pp_store *s, const struct pp_stacks *stacks,
					uint32_t id);

/* "held", "running", …: the varlink interface's words, which pprof labels have too. NULL for
 * PP_GIL_NONE and PP_GC_NONE. */
const char *pp_gil_text(enum pp_gil gil);
const char *pp_gc_text(enum pp_gc gc);
/* PP_GIL_MAX: no such word. */
enum pp_gil pp_gil_of_text(const char *text);
