/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sampling set's perf events: one per online CPU, all at one rate, running the set's program.
 * CPUs that come and go are followed by pp_events_follow().
 */
#pragma once

#include "base/macro.h"

#define PP_FREQUENCY_MAX 9999

enum pp_event {
	PP_EVENT_CPU_CLOCK, /* a timer per CPU: everywhere */
	PP_EVENT_CYCLES,    /* the hardware's counter, where there is one */
};

struct pp_bpf;
struct pp_events;

/* Whether the event can be opened here: 0, or the errno of the attempt. */
int pp_event_probe(enum pp_event event);
const char *pp_event_name(enum pp_event event);

/* Opens and starts them. -EINVAL: a rate outside 1..PP_FREQUENCY_MAX; -EOPNOTSUPP: no such event.
 */
int pp_events_new(struct pp_events **ret, struct pp_bpf *bpf, unsigned int set, enum pp_event event,
		  unsigned int frequency);
struct pp_events *pp_events_free(struct pp_events *e);
PP_DEFINE_CLEANUP(struct pp_events *, pp_events_free)

/* Closes the events of CPUs that went and opens those of CPUs that came. Returns how many changed.
 */
int pp_events_follow(struct pp_events *e);

unsigned int pp_events_frequency(const struct pp_events *e);
unsigned int pp_events_cpus(const struct pp_events *e); /* with an event */
/* CPU time in ns that one sample stands for. */
uint64_t pp_events_period_ns(const struct pp_events *e);
/* How many times the event should have fired on the CPU since it was opened: its count / period.
 * What idle time, throttling and late timers skip is in it. 0 for a CPU without an event. */
uint64_t pp_events_expected(const struct pp_events *e, unsigned int cpu);
