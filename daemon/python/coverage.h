/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much of a process's Python has names, from its stacks alone. Each Python frame runs in a C
 * frame of the eval loop; with trampolines on, the eval loop's caller is the frame's stub, in an
 * arena, whose name is the function's. An eval frame whose caller is no stub is *bare*: Python that
 * cannot be named (and, without trampolines, one eval frame may run many Python frames).
 */
#pragma once

#include "base/macro.h"

/* What a resolved frame is to this count; a property of the frame, so worth keeping with it. */
enum pp_pyframe {
	PP_PYFRAME_OTHER,
	PP_PYFRAME_EVAL,    /* the eval loop */
	PP_PYFRAME_NAMED,   /* a trampoline stub with its name */
	PP_PYFRAME_UNNAMED, /* a trampoline stub whose name is missing */
	PP_PYFRAME_PENDING, /* a trampoline stub whose name is being looked up: counts as neither */
};

/* The class of a native function by its name (without offset). */
enum pp_pyframe pp_pyframe_native(const char *name, size_t len);

/* Python frames of one stack, or of all stacks of a process. */
struct pp_coverage {
	uint64_t named, unnamed; /* stubs */
	uint64_t bare;		 /* eval frames without one */
	/* Of the bare ones: those that called into trampolined code, and those that were called
	 * by such code and called no more of it. The others are in stacks without any stub. */
	uint64_t late, inner;
	uint64_t streak; /* stacks of Python since the last one that had a stub */
	/* What stacks show, whoever named it: Python frames with a name, and those without. */
	uint64_t shown, missing;
	uint64_t walked; /* of those shown: the interpreter's own frames said so */
};

/* Adds one stack, `weight` times. classes: enum pp_pyframe of its user frames, leaf first. An eval
 * frame at the end, whose caller was not found, is not counted. */
void pp_coverage_add(struct pp_coverage *c, const uint8_t *classes, size_t n, uint64_t weight);

/* Python frames of so many stacks, which were pending when those were added, have their names, or
 * will get none. */
void pp_coverage_settle(struct pp_coverage *c, uint64_t frames, bool named);

/* Halves the counts: called now and then, they speak of the present. */
void pp_coverage_decay(struct pp_coverage *c);

static inline uint64_t pp_coverage_frames(const struct pp_coverage *c)
{
	return c->named + c->unnamed + c->bare;
}

/* How a process's Python frames get their names, if they do. */
enum pp_named_by {
	PP_NAMED_BY_NONE,
	PP_NAMED_BY_TRAMPOLINE,
	PP_NAMED_BY_INTERPRETER, /* the walk of its own frames */
	PP_NAMED_BY_BOTH,
};
enum pp_named_by pp_coverage_named_by(const struct pp_coverage *c);
const char *pp_named_by_text(enum pp_named_by n); /* "none", "trampoline", "interpreter", "both" */

/* What the stacks alone say. */
enum pp_covered {
	PP_COVERED_UNSEEN, /* no Python frame was sampled */
	PP_COVERED_BARE,   /* the few frames sampled have none: it may have been starting */
	PP_COVERED_NONE,   /* no frame has a stub, for so long that none seems to come */
	PP_COVERED_LATE,   /* frames without one called code that has one: they were there before */
	PP_COVERED_INNER,  /* code that has one calls code that does not get one */
	PP_COVERED_MIXED,  /* some stacks have no stub at all, others do */
	PP_COVERED_ALL,	   /* but for what is normal at a start, and around a fork */
};
enum pp_covered pp_coverage_judge(const struct pp_coverage *c);
