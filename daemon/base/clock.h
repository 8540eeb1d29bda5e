/* SPDX-License-Identifier: GPL-2.0-only */
/* Clocks. Samples, side-band records and deadlines all use CLOCK_MONOTONIC in nanoseconds. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t pp_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static inline uint64_t pp_now_ns(void)
{
	return pp_clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t pp_wall_ns(void)
{
	return pp_clock_ns(CLOCK_REALTIME);
}
