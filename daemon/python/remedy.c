/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/remedy.h"
#include "python/version.h"

#include <string.h>

/* Fewer unnamed stubs than one in so many are names that were still on their way. */
#define UNNAMED_SHARE 100

/* Frames that tell whether names are to be had. Fewer may be those of one sample at its start, of a
 * module's body that was gone before it was read. */
#define SEEN_MIN 32

#define RESTART_AND_REMOVE "remove the file and restart it"

/* None of these says to call sys.activate_stack_trampoline() once more, or in a subinterpreter:
 * CPython crashes after a second activation in one process (client/enable.c). */

static const struct pp_remedy off = {
	"trampolines are off",
	"set PYTHONPERFSUPPORT=1 and restart it, or let it call "
	"sys.activate_stack_trampoline(\"perf\")",
};

/* From 3.14 on it can be asked from outside. */
static const struct pp_remedy off_asked = {
	"trampolines are off",
	"turn them on while it runs, with `pyprofctl enable` and its pid, or set "
	"PYTHONPERFSUPPORT=1 and restart it",
};

static const struct pp_remedy off_spawned = {
	"trampolines are off: -X perf does not reach multiprocessing's spawn and forkserver "
	"children",
	"set PYTHONPERFSUPPORT=1 in the environment of its parent and restart that",
};

static const struct pp_remedy off_again = {
	"nothing that runs has a trampoline: it was called before those were turned on, or they "
	"were turned off again",
	"set PYTHONPERFSUPPORT=1 and restart it, or call those functions anew if they are still on",
};

static const struct pp_remedy late = {
	"some of its functions run without trampolines: they were called before those were turned "
	"on",
	"set PYTHONPERFSUPPORT=1 and restart it, or call those functions anew",
};

static const struct pp_remedy inner = {
	"functions with trampolines call some that get none: in a subinterpreter, or after "
	"sys.deactivate_stack_trampoline()",
	"run that code outside subinterpreters, or restart it and leave trampolines on",
};

static const struct pp_remedy mixed = {
	"some of its threads run without trampolines: they began before those were turned on, or "
	"in another subinterpreter",
	"set PYTHONPERFSUPPORT=1 and restart it; code in subinterpreters gets none",
};

static const struct pp_remedy old = {
	"this Python has no trampolines",
	"run it with Python 3.12 or later",
};

/*
 * Its own frames cannot be walked. What else names it are trampolines: the first is said where it
 * could have them and has not, the second where it cannot. What is to be done differs too.
 */
static const char *const unwalked_off[PP_INSPECT_ANSWERS] = {
#define X(name, text) \
	[PP_INSPECT_##name] = "its own frames cannot be read (" text "), and trampolines are off",
	PP_INSPECT_REFUSALS(X)
#undef X
};

static const char *const unwalked_old[PP_INSPECT_ANSWERS] = {
#define X(name, text)                                                                    \
	[PP_INSPECT_##name] = "its own frames cannot be read (" text "), and it has no " \
			      "trampolines",
	PP_INSPECT_REFUSALS(X)
#undef X
};

static const char *const unwalked_remedies[PP_INSPECT_ANSWERS] = {
	[PP_INSPECT_EARLY] = "wait until it runs something; where it does, restart it",
	[PP_INSPECT_VERSION] = "run it with CPython 3.12 or later, or take a newer pyprofd",
	[PP_INSPECT_FREE_THREADED] = "run it with a build that has the GIL",
	[PP_INSPECT_LAYOUT] = "run it with a release build of CPython, not a debug or patched one",
	[PP_INSPECT_LIBC] = "run it where the C library is glibc, not musl",
	[PP_INSPECT_SLOT] = "run it with a release build of CPython 3.12 or later",
	[PP_INSPECT_UNREADABLE] = "run pyprofd as root, with the capabilities its unit gives it",
	[PP_INSPECT_LAYOUTS] = "end the Pythons of other builds, and restart it",
	[PP_INSPECT_STRIPPED] = "run it with a CPython that exports its symbols",
	[PP_INSPECT_PYPY] = "run it with CPython",
};

static const struct pp_remedy full = {
	"its perf map is larger than what is kept of it",
	"find what keeps making code (eval, exec, namedtuple), or restart it",
};

static const struct pp_remedy shared = {
	"its perf map is another container's as well, with functions at the same addresses",
	"give each container a /tmp of its own, or leave address randomization on",
};

static const struct pp_remedy incomplete = {
	"functions run that its perf map does not have: it was truncated, replaced, or could not "
	"be "
	"written",
	"see that its /tmp has room, and restart it",
};

static const struct pp_remedy unflushed = {
	"the names of its newest functions are in the buffer of its jitdump",
	"use -X perf or PYTHONPERFSUPPORT=1, not perf_jit: a perf map has no buffer",
};

static const struct pp_remedy refused[PP_PYMAP_REASON_MAX] = {
	[PP_PYMAP_MISSING] = {
		"trampolines run, but there is no perf map",
		"give it a /tmp that it can write to, and restart it",
	},
	[PP_PYMAP_NOT_REGULAR] = {
		"its perf map is no regular file",
		RESTART_AND_REMOVE,
	},
	[PP_PYMAP_OWNER] = {
		"its perf map belongs to another user: a leftover of another process",
		RESTART_AND_REMOVE,
	},
	[PP_PYMAP_STALE] = {
		"its perf map is older than it: a leftover of another process",
		RESTART_AND_REMOVE,
	},
	[PP_PYMAP_LINKS] = {
		"its perf map has other hard links, so it cannot be trusted",
		RESTART_AND_REMOVE,
	},
	[PP_PYMAP_FOREIGN] = {
		"its jitdump is none, or of another version or machine",
		"use -X perf or PYTHONPERFSUPPORT=1, not perf_jit",
	},
	[PP_PYMAP_DUMP] = {
		"what it holds open as its jitdump is no regular file, or another user's",
		"use -X perf or PYTHONPERFSUPPORT=1, not perf_jit",
	},
	[PP_PYMAP_DENIED] = {
		"its perf map may not be read",
		"run pyprofd as root, with the capabilities its unit gives it",
	},
	[PP_PYMAP_STUCK] = {
		"its files do not answer: reading them hangs",
		"move its /tmp off the file system that hangs, and restart it",
	},
	[PP_PYMAP_ERROR] = {
		"its perf map cannot be read",
		"restart it",
	},
};

/* Why there is no map, where its /tmp says so. */
static const struct pp_remedy missing[PP_TMP_MAX] = {
	[PP_TMP_MISSING] = {
		"trampolines run, but there is no /tmp in its root to write a perf map to",
		"mount a /tmp that it can write to, and restart it",
	},
	[PP_TMP_READ_ONLY] = {
		"trampolines run, but its /tmp is read-only, so there is no perf map",
		"mount a writable /tmp (a tmpfs will do), and restart it",
	},
	[PP_TMP_DENIED] = {
		"trampolines run, but its user may not write to its /tmp, so there is no perf map",
		"give its /tmp mode 1777, and restart it",
	},
	[PP_TMP_FULL] = {
		"trampolines run, but its /tmp is full, so there is no perf map",
		"make room in its /tmp, and restart it",
	},
	[PP_TMP_GOOD] = {
		"trampolines run, but it has written no perf map, though its /tmp is writable",
		"see that it may create files (limits on open files, seccomp), and restart it",
	},
};

static bool stubs_unnamed(const struct pp_coverage *c)
{
	return c->unnamed > (c->named + c->unnamed) / UNNAMED_SHARE;
}

static bool is_old(const struct pp_remedy_facts *f)
{
	return f->version && (f->version >> 24 < 3 || (f->version >> 16 & 0xff)) &&
	       f->version < PP_PYVERSION_TRAMPOLINES;
}

enum pp_trampolines pp_remedy_trampolines(const struct pp_remedy_facts *f)
{
	enum pp_covered covered = pp_coverage_judge(&f->coverage);

	switch (covered) {
	case PP_COVERED_ALL:
		return f->inherited ? PP_TRAMPOLINES_INHERITED : PP_TRAMPOLINES_ON;
	case PP_COVERED_LATE:
		return PP_TRAMPOLINES_LATE;
	case PP_COVERED_INNER:
	case PP_COVERED_MIXED:
		return PP_TRAMPOLINES_PARTIAL;
	case PP_COVERED_NONE:
		return PP_TRAMPOLINES_OFF;
	default:
		break;
	}
	if (f->no_arena || is_old(f))
		return PP_TRAMPOLINES_OFF;
	/* Hardly anything that it does was seen, but it has names. */
	if (f->inherited)
		return PP_TRAMPOLINES_INHERITED;
	if (f->entries)
		return PP_TRAMPOLINES_ON;
	return covered == PP_COVERED_BARE ? PP_TRAMPOLINES_OFF : PP_TRAMPOLINES_UNKNOWN;
}

const char *pp_trampolines_text(enum pp_trampolines t)
{
	static const char *const texts[] = {
		[PP_TRAMPOLINES_UNKNOWN] = "unknown",
		[PP_TRAMPOLINES_OFF] = "off",
		[PP_TRAMPOLINES_ON] = "on",
		[PP_TRAMPOLINES_LATE] = "late",
		[PP_TRAMPOLINES_INHERITED] = "inherited",
		[PP_TRAMPOLINES_PARTIAL] = "partial",
	};

	return texts[t];
}

/* What is wrong with the names of frames that have trampolines. */
static struct pp_remedy find_unnamed(const struct pp_remedy_facts *f)
{
	if (f->map_full)
		return full;
	if (f->map == PP_PYMAP_REFUSED && f->reason == PP_PYMAP_MISSING && missing[f->tmp].problem)
		return missing[f->tmp];
	if (f->map == PP_PYMAP_REFUSED && refused[f->reason].problem)
		return refused[f->reason];
	if (f->map == PP_PYMAP_OPEN)
		return f->map_shared ? shared : f->jitdump ? unflushed : incomplete;
	return (struct pp_remedy){ 0 };
}

bool pp_remedy_is_walked(const struct pp_remedy_facts *f)
{
	const struct pp_coverage *c = &f->coverage;

	/* What it ran before it was first looked at is without names, and passes. */
	if (c->shown + c->missing >= SEEN_MIN)
		return c->walked && c->missing <= c->shown;
	return f->walk == PP_WALK_YES;
}

/* Its frames are walked, and their names are not to be had. */
static const struct pp_remedy unread = {
	"its code objects cannot be read: its memory is gone, hangs, or is not what it should be",
	"restart it",
};

/* It has no trampolines, and cannot have any. */
static struct pp_remedy find_old(const struct pp_remedy_facts *f)
{
	if (!f->unwalked)
		return old;
	return (struct pp_remedy){ unwalked_old[f->unwalked], unwalked_remedies[f->unwalked] };
}

/* It could have trampolines. */
static struct pp_remedy find_off(const struct pp_remedy_facts *f)
{
	struct pp_remedy r = f->spawned ? off_spawned : off;

	/* Whose frames cannot be read cannot be asked either. */
	if (f->unwalked)
		r.problem = unwalked_off[f->unwalked];
	else if (f->version >= PP_PYVERSION_ATTACH)
		r = off_asked;
	return r;
}

struct pp_remedy pp_remedy_find(const struct pp_remedy_facts *f)
{
	enum pp_covered covered = pp_coverage_judge(&f->coverage);
	struct pp_remedy r = { 0 };

	/* Whose own frames are walked needs nothing from its trampolines. */
	if (pp_remedy_is_walked(f))
		return r;
	/* It has run nothing that would tell. */
	if (f->walk == PP_WALK_UNKNOWN && !f->coverage.shown && !f->coverage.missing)
		return r;
	if (f->walk == PP_WALK_YES && f->coverage.walked > f->coverage.shown)
		return unread;
	if (is_old(f) || f->unwalked == PP_INSPECT_PYPY)
		return find_old(f);
	if (pp_remedy_trampolines(f) == PP_TRAMPOLINES_OFF && !f->entries && !f->inherited)
		return find_off(f);
	if (stubs_unnamed(&f->coverage))
		r = find_unnamed(f);
	if (r.problem)
		return r;
	switch (covered) {
	case PP_COVERED_NONE:
		return off_again;
	case PP_COVERED_LATE:
		return late;
	case PP_COVERED_INNER:
		return inner;
	case PP_COVERED_MIXED:
		return mixed;
	default:
		return r;
	}
}

bool pp_remedy_is_spawned(const char *command, size_t len)
{
	static const char *const signs[] = {
		"from multiprocessing.spawn import spawn_main",
		"from multiprocessing.forkserver import main",
		"--multiprocessing-fork",
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (memmem(command, len, signs[i], strlen(signs[i])))
			return true;
	return false;
}
