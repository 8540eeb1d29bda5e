/* SPDX-License-Identifier: GPL-2.0-only */
/* What all perf maps share; private to perfmap.c, whose header declares its public functions. */
#pragma once

#include "python/names.h"
#include "python/perfmap.h"

/* The shared dictionary: names a machine's Pythons have in common (a stdlib-heavy start has 1,500).
 * A full one is followed by another; with so many alive, new maps do without. */
#define PP_DICTIONARY_NAMES_MAX (16U * 1024)
#define PP_DICTIONARIES_MAX	8

struct pp_perfmaps {
	uint32_t refs;
	size_t used, max;				    /* bytes */
	uint64_t texts;					    /* file keys given out */
	struct pp_names *dictionaries[PP_DICTIONARIES_MAX]; /* the first is the one in use */
};

struct pp_perfmaps *pp_perfmaps_ref(struct pp_perfmaps *all);

/* A reference to the dictionary for a new map; NULL where there can be none. */
struct pp_names *pp_perfmaps_dictionary(struct pp_perfmaps *all);

/* Whether a map that holds `own` bytes may take more. */
static inline bool pp_perfmaps_may_grow(const struct pp_perfmaps *all, size_t own)
{
	/* Everybody may hold as much as is left, so there is always something left. */
	return all->used < all->max && own <= all->max - all->used;
}
