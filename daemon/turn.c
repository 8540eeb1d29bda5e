/* SPDX-License-Identifier: GPL-2.0-only */
#include "turn.h"

#include "base/clock.h"

#include <sys/resource.h>

/* How often the thread has waited of its own accord. */
static long switches(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) < 0 ? 0 : usage.ru_nvcsw;
}

void pp_turn_begin(struct pp_turn *t)
{
	t->start_switches = switches();
	t->start_cpu_ns = pp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	t->start_ns = pp_now_ns();
}

uint64_t pp_turn_end(struct pp_turn *t)
{
	uint64_t took = pp_now_ns() - t->start_ns;

	if (took > t->longest_ns && switches() == t->start_switches)
		took = pp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - t->start_cpu_ns;
	t->longest_ns = MAX(t->longest_ns, took);
	return took;
}
