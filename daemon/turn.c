/* SPDX-License-Identifier: GPL-2.0-only */
#include "turn.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>

#define SCHEDSTAT_MAX 64 /* three numbers of at most 20 digits */

/* Time spent waiting for a CPU so far; 0 where the kernel does not say. */
static uint64_t delay_ns(const struct pp_turn *t)
{
	unsigned long long delay = 0;
	char text[SCHEDSTAT_MAX];
	ssize_t n = t->fd >= 0 ? pread(t->fd, text, sizeof(text) - 1, 0) : -1;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%*u %llu", &delay) == 1 ? delay : 0;
}

void pp_turn_init(struct pp_turn *t)
{
	*t = (struct pp_turn){ .fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) };
}

void pp_turn_done(struct pp_turn *t)
{
	t->fd = pp_close(t->fd);
}

void pp_turn_begin(struct pp_turn *t)
{
	t->start_delay_ns = delay_ns(t);
	t->start_ns = pp_now_ns();
}

uint64_t pp_turn_end(struct pp_turn *t)
{
	uint64_t took = pp_now_ns() - t->start_ns, delay;

	if (took <= t->longest_ns)
		return took;
	delay = delay_ns(t) - t->start_delay_ns;
	took -= MIN(took, delay);
	t->longest_ns = MAX(t->longest_ns, took);
	return took;
}
