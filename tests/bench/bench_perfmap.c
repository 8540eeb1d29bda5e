/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast a perf map is indexed and what an entry costs: 1,000,000 lines (or argv[1]) as CPython
 * writes them, in order and shuffled, fed in chunks as the reader delivers them, first look-up
 * included, in CPU time. Bytes an entry are given both as the index accounts for them and as the
 * growth of the process's resident memory.
 *
 *   bench_perfmap [LINES [DIRECTORY]]
 *
 * DIRECTORY: where the two maps are left, for other readers.
 */
#include "base/clock.h"
#include "python/perfmap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINES_DEFAULT 1000000
#define LINE_MAX_LEN  160
#define CHUNK	      (120 * KIB) /* of one read */
#define ROUNDS	      5
#define ARENA	      (64 * KIB)
#define STRIDE	      16
#define CODE_SIZE     11
#define LOOKUPS	      1000000

struct input {
	char *text;
	size_t len;
	size_t nr_lines;
};

/* Names as a large program has them: some 40 functions a file, 25 characters each, paths of 60. */
static size_t make_line(char *to, size_t i)
{
	static const char *const packages[] = { "asyncio",	  "django/db/models", "numpy/core",
						"sqlalchemy/orm", "werkzeug",	      "json" };
	size_t file = i / 40;
	uint64_t start =
		0x7f1b00000000 + i / (ARENA / STRIDE) * ARENA + i % (ARENA / STRIDE) * STRIDE;

	return (size_t)snprintf(
		to, LINE_MAX_LEN,
		"%" PRIx64
		" %x py::Handler%zu.on_event_%zu:/usr/lib/python3/dist-packages/%s/module_%zu.py\n",
		start, CODE_SIZE, file % 1000, i, packages[file % ARRAY_SIZE(packages)], file);
}

static void make(struct input *in, size_t n, bool shuffled)
{
	uint32_t *order = malloc(n * sizeof(*order));
	uint64_t random = 42;

	in->text = malloc(n * LINE_MAX_LEN);
	if (!order || !in->text)
		abort();
	in->len = 0;
	in->nr_lines = n;
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = n - 1; shuffled && i > 0; i--) {
		uint32_t *a = &order[i], *b, swap;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		b = &order[(random >> 33) % (i + 1)];
		swap = *a;
		*a = *b;
		*b = swap;
	}
	for (size_t i = 0; i < n; i++)
		in->len += make_line(in->text + in->len, order[i]);
	free(order);
}

static size_t resident(void)
{
	size_t size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%zu %zu", &size, &pages) != 2)
			pages = 0;
		fclose(f);
	}
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t load(struct pp_perfmap *map, const struct input *in)
{
	struct pp_perfmap_entry entry;
	uint64_t begin = pp_clock_ns(CLOCK_PROCESS_CPUTIME_ID);

	for (size_t at = 0; at < in->len; at += CHUNK)
		pp_perfmap_feed(map, in->text + at, MIN(CHUNK, in->len - at));
	pp_perfmap_lookup(map, 0x7f1b00000000, &entry);
	return pp_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

static void lookups(struct pp_perfmap *map, size_t n)
{
	struct pp_perfmap_entry entry;
	uint64_t begin = pp_now_ns(), random = 1, found = 0;

	for (size_t i = 0; i < LOOKUPS; i++) {
		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		found += pp_perfmap_lookup(map, 0x7f1b00000000 + (random >> 33) % n * STRIDE,
					   &entry);
	}
	printf("  look-up: %.0f ns (%.0f%% found)\n", (double)(pp_now_ns() - begin) / LOOKUPS,
	       100.0 * (double)found / LOOKUPS);
}

static void measure(const char *what, const struct input *in)
{
	uint64_t best = UINT64_MAX, worst = 0;
	size_t memory = 0, grown = 0;

	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_(pp_perfmaps_freep) struct pp_perfmaps *all = NULL;
		_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = NULL;
		struct pp_perfmap_stats stats;
		size_t before = resident();
		uint64_t ns;

		if (pp_perfmaps_new(&all, PP_PERFMAPS_MEMORY_MAX) < 0 ||
		    pp_perfmap_new(&map, all) < 0)
			abort();
		ns = load(map, in);
		best = MIN(best, ns);
		worst = MAX(worst, ns);
		pp_perfmap_get_stats(map, &stats);
		if (stats.entries != in->nr_lines || stats.full)
			printf("  only %" PRIu64 " of %zu lines taken\n", stats.entries,
			       in->nr_lines);
		memory = pp_perfmaps_memory(all);
		grown = resident() - before;
		if (round == ROUNDS - 1)
			lookups(map, in->nr_lines);
	}
	printf("%s: %zu lines, %.0f MB: %.1f M lines/s (%.0f-%.0f ms), %.1f B an entry accounted, "
	       "%.1f B resident\n",
	       what, in->nr_lines, (double)in->len / 1e6, (double)in->nr_lines * 1e3 / (double)best,
	       (double)best / 1e6, (double)worst / 1e6, (double)memory / (double)in->nr_lines,
	       (double)grown / (double)in->nr_lines);
}

static void leave(const char *directory, const char *name, const struct input *in)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "we");
	if (!f || fwrite(in->text, 1, in->len, f) != in->len || fclose(f) != 0)
		abort();
}

int main(int argc, char **argv)
{
	static const char *const orders[] = { "in order", "shuffled" };
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : LINES_DEFAULT;

	for (int shuffled = 0; n && shuffled < 2; shuffled++) {
		struct input in;

		make(&in, n, shuffled);
		measure(orders[shuffled], &in);
		if (argc > 2)
			leave(argv[2], orders[shuffled], &in);
		free(in.text);
	}
	return n ? 0 : 2;
}
