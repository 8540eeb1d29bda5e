/* SPDX-License-Identifier: GPL-2.0-only */
/* What keeps a Python's functions from being named, and what to do about it, in one line each. */
#pragma once

#include "proc/reader.h"
#include "python/coverage.h"
#include "python/pymap.h"

enum pp_trampolines {
	PP_TRAMPOLINES_UNKNOWN, /* nothing says yet */
	PP_TRAMPOLINES_OFF,	/* of what runs, nothing has one */
	PP_TRAMPOLINES_ON,
	PP_TRAMPOLINES_INHERITED, /* on, as its parent's were when it was forked */
	PP_TRAMPOLINES_LATE,	  /* on, but functions run that were called before */
	PP_TRAMPOLINES_PARTIAL,	  /* on in some interpreters or threads, or for some time */
};
/* "unknown", "off", "on", "inherited", "late", "partial" */
const char *pp_trampolines_text(enum pp_trampolines t);

/* Whether the interpreter's own frames are walked, which names its functions without trampolines.
 */
enum pp_walk {
	PP_WALK_NO,
	PP_WALK_UNKNOWN, /* it has not been looked at, or runs nothing yet */
	PP_WALK_YES,
};

struct pp_remedy_facts {
	uint32_t version; /* as version.h has it; 0: not known */
	struct pp_coverage coverage;
	enum pp_walk walk;
	enum pp_inspect_answer unwalked; /* with PP_WALK_NO: why */
	enum pp_pymap_state map;
	enum pp_pymap_reason reason; /* with REFUSED */
	bool map_full;		     /* a limit was reached */
	bool map_shared;	     /* another process writes to the same file */
	bool jitdump;		     /* it is one, with its writer's buffer before it */
	uint64_t entries;	     /* that its map has */
	bool inherited;		     /* it was forked by a Python with generated code */
	bool no_arena;		     /* its mappings are known, and none holds generated code */
	bool spawned;	 /* a multiprocessing spawn or forkserver child, by its command line */
	enum pp_tmp tmp; /* its /tmp, where it was looked at */
};

enum pp_trampolines pp_remedy_trampolines(const struct pp_remedy_facts *facts);

/* Whether the walk of its own frames names its functions, as far as it was seen. */
bool pp_remedy_is_walked(const struct pp_remedy_facts *facts);

struct pp_remedy {
	const char *problem; /* NULL: nothing is wrong, or nothing is known yet */
	const char *remedy;  /* NULL with problem NULL */
};

/* Texts are constants. */
struct pp_remedy pp_remedy_find(const struct pp_remedy_facts *facts);

/* Whether a command line (argv joined by NULs, as /proc has it, or by spaces) is that of a
 * multiprocessing child which -X perf does not reach. */
bool pp_remedy_is_spawned(const char *command, size_t len);
