/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace/events.h without a kernel, but for what a test wants to see of its events' lives: it
 * defines pp_events_new, pp_events_free and pp_events_expected itself. Included by a test's one
 * source file, after fake_bpf.h.
 */
#pragma once

#include "base/clock.h"
#include "trace/events.h"

struct pp_events {
	unsigned int set, frequency;
};

int pp_events_follow(_unused_ struct pp_events *e)
{
	return 0;
}

unsigned int pp_events_frequency(const struct pp_events *e)
{
	return e->frequency;
}

unsigned int pp_events_cpus(_unused_ const struct pp_events *e)
{
	return FAKE_CPUS;
}

uint64_t pp_events_period_ns(const struct pp_events *e)
{
	return NSEC_PER_SEC / e->frequency;
}
