/* SPDX-License-Identifier: GPL-2.0-only */
#include "turn.h"

#include "base/clock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

/* How often the thread has waited of its own accord. */
static long switches(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) < 0 ? 0 : usage.ru_nvcsw;
}

/* For how long the thread was ready and had no CPU. 0: the kernel does not say. */
static uint64_t queued_ns(void)
{
	static int fd = -1;
	char text[128], *queued;
	ssize_t n;

	if (fd < 0)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* Time run, time queued, how often. */
	queued = strchr(text, ' ');
	return queued ? strtoull(queued, NULL, 10) : 0;
}

void pp_turn_begin(struct pp_turn *t)
{
	t->start_switches = switches();
	t->start_cpu_ns = pp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	t->start_ns = pp_now_ns();
	/* What it waits from here to the end is in the time that it takes, and more. */
	t->start_queued_ns = queued_ns();
}

uint64_t pp_turn_end(struct pp_turn *t)
{
	uint64_t queued = queued_ns() - t->start_queued_ns, took = pp_now_ns() - t->start_ns;

	if (took > t->longest_ns && switches() == t->start_switches)
		took = pp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - t->start_cpu_ns;
	else if (took > t->longest_ns)
		took -= MIN(took, queued);
	t->longest_ns = MAX(t->longest_ns, took);
	return took;
}
