/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/remedy.h"
#include "python/version.h"

#include <string.h>

/* Fewer unnamed stubs than one in so many are names that were still on their way. */
#define UNNAMED_SHARE 100

#define RESTART_AND_REMOVE "remove the file and restart it"

static const struct pp_remedy off = {
	"trampolines are off",
	"set PYTHONPERFSUPPORT=1 and restart it, or let it call "
	"sys.activate_stack_trampoline(\"perf\")",
};

static const struct pp_remedy off_spawned = {
	"trampolines are off: -X perf does not reach multiprocessing's spawn and forkserver "
	"children",
	"set PYTHONPERFSUPPORT=1 in the environment of its parent and restart that",
};

static const struct pp_remedy late = {
	"some of its functions run without trampolines: they were called before those were turned "
	"on, "
	"or in a subinterpreter",
	"set PYTHONPERFSUPPORT=1 and restart it; in a subinterpreter call "
	"sys.activate_stack_trampoline(\"perf\") too",
};

static const struct pp_remedy old = {
	"this Python has no trampolines",
	"run it with Python 3.12 or later",
};

static const struct pp_remedy full = {
	"its perf map is larger than what is kept of it",
	"find what keeps making code (eval, exec, namedtuple), or restart it",
};

static const struct pp_remedy incomplete = {
	"functions run that its perf map does not have: it was truncated, replaced, or could not "
	"be "
	"written",
	"see that its /tmp has room, and restart it",
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
	[PP_PYMAP_LINKS] = {
		"its perf map has other hard links, so it cannot be trusted",
		RESTART_AND_REMOVE,
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

static bool stubs_unnamed(const struct pp_coverage *c)
{
	return c->unnamed > (c->named + c->unnamed) / UNNAMED_SHARE;
}

struct pp_remedy pp_remedy_find(const struct pp_remedy_facts *f)
{
	enum pp_trampolines trampolines = pp_coverage_trampolines(&f->coverage);
	bool old_version = f->version && (f->version >> 24 < 3 || (f->version >> 16 & 0xff)) &&
			   f->version < PP_PYVERSION_TRAMPOLINES;

	/* Whose own frames are walked needs nothing from its trampolines. */
	if (pp_coverage_named_by(&f->coverage) & PP_NAMED_BY_INTERPRETER)
		return (struct pp_remedy){ 0 };
	if (old_version)
		return old;
	if (trampolines == PP_TRAMPOLINES_OFF && !f->entries)
		return f->spawned ? off_spawned : off;
	if (stubs_unnamed(&f->coverage)) {
		if (f->map_full)
			return full;
		if (f->map == PP_PYMAP_REFUSED && refused[f->reason].problem)
			return refused[f->reason];
		if (f->map == PP_PYMAP_OPEN)
			return incomplete;
	}
	if (trampolines == PP_TRAMPOLINES_LATE || trampolines == PP_TRAMPOLINES_OFF)
		return late;
	return (struct pp_remedy){ 0 };
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
