/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of pp_pythons, for pythons.c (lives and frames) and pythons_maps.c. */
#pragma once

#include "pythons.h"

struct pp_pythons {
	struct pp_reader *reader;
	struct pp_store *store;
	struct pp_perfmaps *maps;
	struct pp_python *newest;
	size_t examining; /* looks in flight */
	bool named;	  /* something has been: the daemon is at work */
};

/* Does what its map wants now. */
void pp_pythons_serve(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns);
/* New entries came: settles what was waiting for them. */
void pp_pythons_settle(struct pp_pythons *ps, struct pp_python *py);
