/* SPDX-License-Identifier: GPL-2.0-only */
/* A perf map's index, and what it says of an address. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/counters.h"
#include "python/perfmap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct pp_perfmaps *all;

static inline int setup(void **state)
{
	(void)state;
	return pp_perfmaps_new(&all, PP_PERFMAPS_MEMORY_MAX);
}

/* Whatever a test allocated must be accounted for, and gone. Dictionaries stay until the end. */
static inline int teardown(void **state)
{
	(void)state;
	all = pp_perfmaps_free(all);
	return 0;
}

static inline struct pp_perfmap *new_map(void)
{
	struct pp_perfmap *map = NULL;

	assert_int_equal(pp_perfmap_new(&map, all), 0);
	return map;
}

static inline void feed(struct pp_perfmap *map, const char *text)
{
	pp_perfmap_feed(map, text, strlen(text));
}

/* The whole name at address, as the map had it; "" where there is none. Static buffer. */
static inline const char *name_at(struct pp_perfmap *map, uint64_t address)
{
	static char text[2 * PP_PERFMAP_NAME_MAX];
	_cleanup_buf_ struct pp_buf out = { 0 };
	struct pp_perfmap_entry entry;

	if (!pp_perfmap_lookup(map, address, &entry))
		return "";
	assert_true(address >= entry.start && address < entry.start + entry.size);
	assert_int_equal(pp_name_write(&out, &entry.name), 0);
	assert_true(out.len < sizeof(text));
	memcpy(text, out.data, out.len);
	text[out.len] = 0;
	return text;
}

static inline struct pp_perfmap_stats stats_of(const struct pp_perfmap *map)
{
	struct pp_perfmap_stats stats;

	pp_perfmap_get_stats(map, &stats);
	return stats;
}

/* ---- Against a model: one name number per address ------------------------------------------- */

#define MODEL_SPAN 3000

static uint64_t random_state;

static inline uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((random_state >> 33) % n);
}

static inline void model_check(struct pp_perfmap *map, const uint32_t *model, uint64_t base)
{
	for (uint32_t i = 0; i < MODEL_SPAN; i++) {
		char want[32] = "";

		if (model[i])
			snprintf(want, sizeof(want), "py::f%u:/file%u", model[i], model[i] % 7);
		assert_string_equal(name_at(map, base + i), want);
	}
}

/* Adds an entry of random place and length to both; returns the line. */
static inline const char *model_line(uint32_t *model, uint64_t base, uint32_t number,
				     uint32_t size_max)
{
	static char text[128];
	uint32_t start = random_below(MODEL_SPAN), size = 1 + random_below(size_max);

	size = MIN(size, MODEL_SPAN - start);
	for (uint32_t i = start; i < start + size; i++)
		model[i] = number;
	snprintf(text, sizeof(text), "%" PRIx64 " %x py::f%u:/file%u\n", base + start, size, number,
		 number % 7);
	return text;
}
