/* SPDX-License-Identifier: GPL-2.0-only */
/* What to say where Pythons run whose functions cannot be named. */
#pragma once

#include "base/macro.h"

#include <jansson.h>

struct pp_pythons {
	size_t running;	 /* Pythons that the caller sees */
	size_t named;	 /* of them those whose functions have names */
	size_t nameless; /* those that were sampled, and no function had one */
	bool one;	 /* one process was asked about, not the machine */
};

/* processes: of a ListProcesses reply. pid: the process that is looked at, 0: all. */
void pp_pythons_count(const json_t *processes, int64_t pid, struct pp_pythons *ret);

/* The sentence to open with, NULL where none is needed. */
const char *pp_pythons_banner(const struct pp_pythons *p);
/* The same for a screen with room for half a line. */
const char *pp_pythons_banner_short(const struct pp_pythons *p);
