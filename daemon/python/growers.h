/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which names a growing perf map gets again and again: the most frequent ones of what came lately,
 * in space that does not depend on how much that is (the space-saving sketch of Metwally et al.).
 * Every name that makes up more than one in PP_GROWERS of what came is among them; how far a count
 * may be too high is known. Once a minute all counts are halved, so it speaks of the present.
 *
 * A program that imports or starts up adds names that differ. One that keeps creating code objects
 * adds the same few, each at another address.
 */
#pragma once

#include "python/name.h"

#define PP_GROWERS 16
/* Names are cut: they are shown, and compared by hash. */
#define PP_GROWER_NAME_MAX 128

struct pp_grower {
	uint64_t hash;
	uint64_t count, error;	    /* really count - error to count */
	uint64_t bytes;		    /* of the map, for count lines */
	uint64_t first_ns, last_ns; /* when it was seen */
	enum pp_name_kind kind;
	uint8_t name_len, file_len;
	char name[PP_GROWER_NAME_MAX], file[PP_GROWER_NAME_MAX];
};

struct pp_growers {
	uint64_t now_ns; /* of what is added; set by pp_growers_turn */
	uint64_t since_ns;
	uint64_t total; /* of all counts added, halved as they are */
	uint32_t nr;
	struct pp_grower growers[PP_GROWERS];
};

/* Time goes on to now_ns. */
void pp_growers_turn(struct pp_growers *g, uint64_t now_ns);
/* An entry came with a line of so many bytes. */
void pp_growers_add(struct pp_growers *g, const struct pp_name *name, size_t bytes);
/* The most frequent one, or NULL. */
const struct pp_grower *pp_growers_top(const struct pp_growers *g);

/* The growth alarm: one name keeps coming. */
struct pp_growth_alarm {
	const struct pp_grower *grower; /* NULL: there is no alarm */
	uint64_t entries, bytes;	/* a minute, of this one alone */
	bool severe;
};

/* entries, bytes: what the map grew by in the last minute. g may be NULL. */
struct pp_growth_alarm pp_growers_alarm(const struct pp_growers *g, uint64_t entries,
					uint64_t bytes, uint64_t now_ns);
