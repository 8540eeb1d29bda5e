/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One entry's stack as a person wants to see it. A view leaves frames out; what their code cost
 * goes to the frame that is left nearest below them (their caller).
 */
#pragma once

#include "profile.h"

/* Frames of one stack. No walker goes nearly as deep; a file with a deeper stack is refused. It
 * bounds the recursion of whoever draws a tree. */
#define PP_STACK_MAX 8192

enum pp_view {
	PP_VIEW_ALL = 0,
	/* Only Python functions: the interpreter's own frames between them vanish, and the time of
	 * C extensions and the kernel is their Python caller's. */
	PP_VIEW_PYTHON = 1 << 0,
	PP_VIEW_NO_KERNEL = 1 << 1,
	PP_VIEW_NO_NATIVE = 1 << 2, /* also hides code nobody knows */
	/* Each line of a Python function is a frame of its own; without it functions are whole. */
	PP_VIEW_LINES = 1 << 3,
};

/* Frames, root first. Zero-initialised is empty; reused from entry to entry. */
struct pp_stack {
	uint32_t *frames;
	size_t len, cap;
};

void pp_stack_done(struct pp_stack *s);
#define _cleanup_stack_ _cleanup_(pp_stack_done)

/*
 * Replaces *s by the entry's stack. It is never empty: where the view leaves nothing, a fixed frame
 * says so. A stack that is not complete starts with its note. Returns 0, -ENOMEM or -ENOSPC.
 */
int pp_stack_get(struct pp_stack *s, const struct pp_profile *p, const struct pp_entry *e,
		 unsigned int view);
