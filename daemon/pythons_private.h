/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of pp_pythons, for pythons.c (lives and frames) and pythons_maps.c. */
#pragma once

#include "pythons.h"

struct pp_pythons {
	struct pp_reader *reader;
	struct pp_store *store;
	struct pp_perfmaps *maps;
	struct pp_links all, busy;
	uint64_t look_ns; /* when all are looked at, busy or not */
	size_t examining; /* looks in flight */
	bool named;	  /* something has been: the daemon is at work */
};

/* Something has come of it, or is to: it is looked at with every drain until it rests. */
static inline void pp_pythons_wake(struct pp_pythons *ps, struct pp_python *py)
{
	pp_list_join(&ps->busy, &py->busy);
}

/* Does what its map wants now. */
void pp_pythons_serve(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns);
/* New entries came: settles what was waiting for them. */
void pp_pythons_settle(struct pp_pythons *ps, struct pp_python *py);
/* Goes on with the look that is wanted at it, if any. How many are not done: 0 or 1, or 2 where its
 * map is read on as well. */
size_t pp_python_look_on(struct pp_pythons *ps, struct pp_python *py);
