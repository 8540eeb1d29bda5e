/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a stack looks like, leaf first (CPython 3.12 to 3.15): a C function,
 * _PyEval_EvalFrameDefault, the stub that called it, py_trampoline_evaluator that called the stub,
 * _PyEval_Vector or PyObject_Vectorcall and so on, _PyEval_EvalFrameDefault of the caller, its
 * stub. A stub may also be the leaf: it is about to call, or has returned from, the eval loop.
 */
#include "python/coverage.h"

#include <string.h>

/*
 * Bare frames are normal at start-up (the import system runs before trampolines come on) and around
 * a fork. They mean something where they called trampolined code, so still run, or are called by
 * it: more than one frame in LATE_SHARE; or where they are very many: one in BARE_SHARE, and at
 * least BARE_MIN.
 */
#define LATE_SHARE 100
#define BARE_SHARE 4
#define BARE_MIN   200
/* A start-up or a fork has passed when so many bare frames were seen below others: at 19 Hz, a
 * second of CPU time. */
#define INNER_MIN 20
/* So many stacks in a row without a stub: at 19 Hz, some three seconds of CPU time. A loop that
 * calls nothing for as long is one function, and is without a name all that time too. */
#define STREAK_MIN 60

/* Whether name is function, or one of the parts a compiler made of it (.cold, .constprop.0, ...).
 */
static bool is_part_of(const char *name, size_t len, const char *function)
{
	size_t n = strlen(function);

	return len >= n && memcmp(name, function, n) == 0 && (len == n || name[n] == '.');
}

static bool has_prefix(const char *name, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len > n && memcmp(name, prefix, n) == 0;
}

enum pp_pyframe pp_pyframe_native(const char *name, size_t len)
{
	/* The tail-calling interpreter (3.14) has a function for each instruction, and only the one
	 * that runs has a frame. */
	if (is_part_of(name, len, "_PyEval_EvalFrameDefault") ||
	    has_prefix(name, len, "_TAIL_CALL_"))
		return PP_PYFRAME_EVAL;
	return PP_PYFRAME_OTHER;
}

static bool is_stub(uint8_t class)
{
	return class == PP_PYFRAME_NAMED || class == PP_PYFRAME_UNNAMED ||
	       class == PP_PYFRAME_PENDING;
}

void pp_coverage_add(struct pp_coverage *c, const uint8_t *classes, size_t n, uint64_t weight)
{
	bool stub_below = false; /* a stub was passed on the way from the leaf */
	uint64_t leafward = 0;	 /* bare frames before the first stub */

	for (size_t i = 0; i < n; i++) {
		if (i && classes[i - 1] == PP_PYFRAME_EVAL && !is_stub(classes[i])) {
			c->bare += weight;
			if (stub_below)
				c->late += weight;
			else
				leafward += weight;
		}
		stub_below |= is_stub(classes[i]);
		if (classes[i] == PP_PYFRAME_NAMED)
			c->named += weight;
		else if (classes[i] == PP_PYFRAME_UNNAMED)
			c->unnamed += weight;
	}
	if (stub_below) {
		c->inner += leafward;
		c->streak = 0;
	} else if (leafward) {
		c->streak += weight;
	}
}

void pp_coverage_settle(struct pp_coverage *c, uint64_t frames, bool named)
{
	if (named)
		c->shown += frames;
	else
		c->missing += frames;
}

void pp_coverage_decay(struct pp_coverage *c)
{
	c->named /= 2;
	c->unnamed /= 2;
	c->bare /= 2;
	c->late /= 2;
	c->inner /= 2;
	c->shown /= 2;
	c->missing /= 2;
	c->walked /= 2;
}

enum pp_named_by pp_coverage_named_by(const struct pp_coverage *c)
{
	unsigned int by = PP_NAMED_BY_NONE;

	if (c->named)
		by |= PP_NAMED_BY_TRAMPOLINE;
	if (c->walked)
		by |= PP_NAMED_BY_INTERPRETER;
	return (enum pp_named_by)by;
}

const char *pp_named_by_text(enum pp_named_by n)
{
	static const char *const texts[] = {
		[PP_NAMED_BY_NONE] = "none",
		[PP_NAMED_BY_TRAMPOLINE] = "trampoline",
		[PP_NAMED_BY_INTERPRETER] = "interpreter",
		[PP_NAMED_BY_BOTH] = "both",
	};

	return texts[n];
}

enum pp_covered pp_coverage_judge(const struct pp_coverage *c)
{
	uint64_t frames = pp_coverage_frames(c);

	if (!frames)
		return PP_COVERED_UNSEEN;
	if (c->streak >= STREAK_MIN)
		return PP_COVERED_NONE;
	if (c->bare == frames)
		return PP_COVERED_BARE;
	if (c->late > frames / LATE_SHARE)
		return PP_COVERED_LATE;
	if (c->inner >= INNER_MIN && c->inner > frames / LATE_SHARE)
		return PP_COVERED_INNER;
	if (c->bare >= BARE_MIN && c->bare > frames / BARE_SHARE)
		return PP_COVERED_MIXED;
	return PP_COVERED_ALL;
}
