/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast a perf map grows: entries and bytes of the last minute, in slots of ten seconds. A map
 * is read when names are missing, which may be rarely; what came with one read is spread evenly
 * over the time since the read before. Times are CLOCK_MONOTONIC ns.
 */
#pragma once

#include "base/macro.h"

#define PP_GROWTH_SLOT_NS   (10 * NSEC_PER_SEC)
#define PP_GROWTH_SLOTS	    6
#define PP_GROWTH_WINDOW_NS (PP_GROWTH_SLOTS * PP_GROWTH_SLOT_NS)

struct pp_growth_rate {
	uint64_t entries, bytes; /* of a minute */
};

struct pp_growth {
	uint64_t slot; /* the newest */
	struct pp_growth_rate slots[PP_GROWTH_SLOTS];
};

/* So much came between two times, from <= to; calls are in the order of time. */
void pp_growth_add(struct pp_growth *g, uint64_t from, uint64_t to, uint64_t entries,
		   uint64_t bytes);
/* What came in the window that ends now: five to six slots. */
struct pp_growth_rate pp_growth_rate(struct pp_growth *g, uint64_t now);
