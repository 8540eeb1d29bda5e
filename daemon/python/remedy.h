/* SPDX-License-Identifier: GPL-2.0-only */
/* What keeps a Python's functions from being named, and what to do about it, in one line each. */
#pragma once

#include "python/coverage.h"
#include "python/pymap.h"

struct pp_remedy_facts {
	uint32_t version; /* as version.h has it; 0: not known */
	struct pp_coverage coverage;
	enum pp_pymap_state map;
	enum pp_pymap_reason reason; /* with REFUSED */
	bool map_full;		     /* a limit was reached */
	uint64_t entries;	     /* that its map has */
	bool spawned; /* a multiprocessing spawn or forkserver child, by its command line */
};

struct pp_remedy {
	const char *problem; /* NULL: nothing is wrong, or nothing is known yet */
	const char *remedy;  /* NULL with problem NULL */
};

/* Texts are constants. */
struct pp_remedy pp_remedy_find(const struct pp_remedy_facts *facts);

/* Whether a command line (argv joined by NULs, as /proc has it, or by spaces) is that of a
 * multiprocessing child which -X perf does not reach. */
bool pp_remedy_is_spawned(const char *command, size_t len);
