/* SPDX-License-Identifier: GPL-2.0-only */
/* The perf map index: against a naive model, in any chunking, under fork, and with hostile lines.
 */
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

static int setup(void **state)
{
	(void)state;
	return pp_perfmaps_new(&all, PP_PERFMAPS_MEMORY_MAX);
}

/* Whatever a test allocated must be accounted for, and gone. Dictionaries stay until the end. */
static int teardown(void **state)
{
	(void)state;
	all = pp_perfmaps_free(all);
	return 0;
}

static struct pp_perfmap *new_map(void)
{
	struct pp_perfmap *map = NULL;

	assert_int_equal(pp_perfmap_new(&map, all), 0);
	return map;
}

static void feed(struct pp_perfmap *map, const char *text)
{
	pp_perfmap_feed(map, text, strlen(text));
}

/* The whole name at address, as the map had it; "" where there is none. Static buffer. */
static const char *name_at(struct pp_perfmap *map, uint64_t address)
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

static struct pp_perfmap_stats stats_of(const struct pp_perfmap *map)
{
	struct pp_perfmap_stats stats;

	pp_perfmap_get_stats(map, &stats);
	return stats;
}

static void test_lines(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	struct pp_perfmap_entry entry;

	(void)state;
	feed(map, "7f1b7f5cd840 b py::C.meth:/x/t1.py\n"
		  "0x7f1b7f5cd850 0xB py::f.<locals>.<lambda>:<frozen importlib._bootstrap>\n"
		  "1000 20 LazyCompile:~foo /a/b.js:1:2\n"
		  "2000 1 py::nofile\n"
		  "3000 1 py::<module>:(null)\n"
		  "4000 1 py::x:\n"
		  "5000 1 py::q:C:\\dir:with colons.py\n");
	assert_true(pp_perfmap_lookup(map, 0x7f1b7f5cd84a, &entry));
	assert_int_equal(entry.start, 0x7f1b7f5cd840);
	assert_int_equal(entry.size, 11);
	assert_int_equal(entry.name.kind, PP_NAME_PYTHON);
	assert_memory_equal(entry.name.name, "C.meth", entry.name.len);
	assert_int_equal(entry.name.len, 6);
	assert_memory_equal(entry.name.file, "/x/t1.py", entry.name.file_len);
	assert_int_equal(entry.name.file_len, 8);
	assert_false(pp_perfmap_lookup(map, 0x7f1b7f5cd84b, &entry));
	assert_false(pp_perfmap_lookup(map, 0x7f1b7f5cd83f, &entry));
	assert_string_equal(name_at(map, 0x7f1b7f5cd85a),
			    "py::f.<locals>.<lambda>:<frozen importlib._bootstrap>");
	assert_true(pp_perfmap_lookup(map, 0x101f, &entry));
	assert_int_equal(entry.name.kind, PP_NAME_JIT);
	assert_string_equal(name_at(map, 0x101f), "LazyCompile:~foo /a/b.js:1:2");
	assert_string_equal(name_at(map, 0x2000), "py::nofile");
	assert_string_equal(name_at(map, 0x3000), "py::<module>:(null)");
	assert_string_equal(name_at(map, 0x4000), "py::x:");
	assert_true(pp_perfmap_lookup(map, 0x5000, &entry));
	assert_int_equal(entry.name.len, 1);
	assert_string_equal(name_at(map, 0x5000), "py::q:C:\\dir:with colons.py");
	assert_int_equal(stats_of(map).entries, 7);
}

static void test_bad_lines(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	uint64_t before = pp_counters[PP_C_perfmap_lines_bad];
	struct pp_perfmap_stats s;

	(void)state;
	feed(map, "\n"
		  "colon.py\n"
		  " 1000 b py::space\n"
		  "0x b py::digits\n"
		  "10000000000000000 b py::seventeen\n"
		  "1000\n");
	assert_int_equal(stats_of(map).bad_address, 6);
	feed(map, "1000 \n"
		  "1000 xyz py::a\n"
		  "1000  b py::two spaces\n"
		  "1000 b\n"
		  "1000 -1 py::minus\n");
	assert_int_equal(stats_of(map).bad_size, 5);
	feed(map, "1000 0 py::empty\n"
		  "1000 100000000 py::4GiB\n"
		  "ffffffff81000000 10 py::kernel\n"
		  "100000000000000 1 py::beyond\n"
		  "ffffffffffffff 2 py::over\n");
	assert_int_equal(stats_of(map).bad_range, 5);
	feed(map, "1000 b \n");
	s = stats_of(map);
	assert_int_equal(s.no_name, 1);
	assert_int_equal(s.entries, 0);
	assert_int_equal(pp_counters[PP_C_perfmap_lines_bad] - before, 17);
	assert_string_equal(name_at(map, 0x1000), "");
	/* The extremes of what is right. */
	feed(map, "ffffffffffffff 1 last\n0 1 first\n1000 ffffffff wide\n");
	assert_string_equal(name_at(map, 0xffffffffffffff), "last");
	assert_string_equal(name_at(map, 0), "first");
	assert_string_equal(name_at(map, 0x100000ffe), "wide");
	assert_string_equal(name_at(map, 0x100000fff), "");
}

static void test_last_wins(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();

	(void)state;
	feed(map, "1000 100 a\n1080 10 b\n10f0 20 c\n");
	assert_string_equal(name_at(map, 0x107f), "a");
	assert_string_equal(name_at(map, 0x1080), "b");
	assert_string_equal(name_at(map, 0x108f), "b");
	assert_string_equal(name_at(map, 0x1090), "a");
	assert_string_equal(name_at(map, 0x10ef), "a");
	assert_string_equal(name_at(map, 0x10f0), "c");
	assert_string_equal(name_at(map, 0x110f), "c");
	feed(map, "1000 100 d\n");
	assert_string_equal(name_at(map, 0x1080), "d");
	assert_string_equal(name_at(map, 0x10ff), "d");
	assert_string_equal(name_at(map, 0x1100), "c");
	feed(map, "1000 100 e\n1000 100 f\n");
	assert_string_equal(name_at(map, 0x1080), "f");
}

/* ---- Against a model: one name number per address ------------------------------------------- */

#define MODEL_SPAN 3000

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((random_state >> 33) % n);
}

static void model_check(struct pp_perfmap *map, const uint32_t *model, uint64_t base)
{
	for (uint32_t i = 0; i < MODEL_SPAN; i++) {
		char want[32] = "";

		if (model[i])
			snprintf(want, sizeof(want), "py::f%u:/file%u", model[i], model[i] % 7);
		assert_string_equal(name_at(map, base + i), want);
	}
}

/* Adds an entry of random place and length to both; returns the line. */
static const char *model_line(uint32_t *model, uint64_t base, uint32_t number, uint32_t size_max)
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

static void test_model(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 60; round++) {
		_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
		uint32_t model[MODEL_SPAN] = { 0 };
		uint32_t sizes[] = { 1, 11, 300, MODEL_SPAN };
		uint32_t lines = 1 + random_below(2000);
		/* Across a 64 KiB block and a 4 GiB border. */
		uint64_t base = 0x100000000 * (1 + round % 3) - MODEL_SPAN / 2;

		random_state = round;
		for (uint32_t n = 1; n <= lines; n++) {
			feed(map, model_line(model, base, n, sizes[round % ARRAY_SIZE(sizes)]));
			/* Look-ups in between make runs, and merge them. */
			if (random_below(20) == 0)
				name_at(map, base + random_below(MODEL_SPAN));
		}
		model_check(map, model, base);
		assert_int_equal(stats_of(map).entries, lines);
	}
}

/* Whenever an answer changed, `replaced` must have risen. */
static void test_replaced(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	uint32_t model[MODEL_SPAN] = { 0 }, before[MODEL_SPAN];
	uint64_t seen;

	(void)state;
	random_state = 7;
	for (uint32_t n = 1; n <= 3000; n++) {
		bool changed = false;

		memcpy(before, model, sizeof(model));
		seen = pp_perfmap_replaced(map);
		feed(map, model_line(model, 0x7f0000000000, n, 40));
		for (uint32_t i = 0; i < MODEL_SPAN; i++)
			changed |= before[i] && before[i] != model[i];
		if (changed)
			assert_true(pp_perfmap_replaced(map) > seen);
	}
	/* And a map that only grows leaves it alone. */
	map = pp_perfmap_free(map);
	map = new_map();
	for (uint32_t n = 0; n < 20000; n++) {
		char text[64];

		snprintf(text, sizeof(text), "%x b py::f%u:/x\n", 0x10000000 + n * 16, n);
		feed(map, text);
	}
	assert_int_equal(pp_perfmap_replaced(map), 0);
	feed(map, "1000 7fffffff wide\n");
	assert_true(pp_perfmap_replaced(map) > 0);
	seen = pp_perfmap_replaced(map);
	feed(map, "70000000 1 within\n");
	assert_true(pp_perfmap_replaced(map) > seen);
}

static void test_many(void **state)
{
	enum { COUNT = 300000, TIMES = 7 };
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();

	(void)state;
	/* 7 and COUNT share no factor: every address once, out of order, over several logs. */
	for (uint32_t n = 0; n < COUNT; n++) {
		char text[96];
		uint32_t i = (uint32_t)((uint64_t)n * TIMES % COUNT);

		snprintf(text, sizeof(text), "%" PRIx64 " b py::g%u:/file%u\n",
			 0x7f0000000000 + (uint64_t)i * 16, i, i / 40);
		feed(map, text);
	}
	for (uint32_t i = 0; i < COUNT; i += 13) {
		char want[64];

		snprintf(want, sizeof(want), "py::g%u:/file%u", i, i / 40);
		assert_string_equal(name_at(map, 0x7f0000000000 + (uint64_t)i * 16 + i % 11), want);
		assert_string_equal(name_at(map, 0x7f0000000000 + (uint64_t)i * 16 + 11), "");
	}
	assert_int_equal(stats_of(map).entries, COUNT);
	assert_true(stats_of(map).memory < COUNT * 40ULL);
}

/* ---- Chunks and long lines ------------------------------------------------------------------- */

static void test_chunks(void **state)
{
	static const char text[] = "1000 10 py::a:/x\nmore\n1010 10 py::b b:/\xff\xfe y\n"
				   "1020 10 py::torn\n1030 10 py::d:/x\n1040 10 py::unterminated";

	(void)state;
	for (size_t first = 0; first < sizeof(text); first++) {
		for (size_t second = first; second < sizeof(text); second++) {
			_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();

			pp_perfmap_feed(map, text, first);
			pp_perfmap_feed(map, text + first, second - first);
			pp_perfmap_feed(map, text + second, sizeof(text) - 1 - second);
			assert_string_equal(name_at(map, 0x1000), "py::a:/x\nmore");
			assert_string_equal(name_at(map, 0x1010), "py::b b:/\xff\xfe y");
			assert_string_equal(name_at(map, 0x1020), "py::torn");
			assert_string_equal(name_at(map, 0x1030), "py::d:/x");
			assert_string_equal(name_at(map, 0x1040), "");
			feed(map, "-until-now:/y\n");
			assert_string_equal(name_at(map, 0x1040), "py::unterminated-until-now:/y");
			assert_int_equal(stats_of(map).entries, 5);
			assert_int_equal(stats_of(map).bad_address, 0);
		}
	}
}

/* CPython writes a newline in a name as it is. */
static void test_newlines(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	uint64_t replaced;

	(void)state;
	feed(map, "1000 10 py::f:/a\n");
	assert_string_equal(name_at(map, 0x1000), "py::f:/a");
	replaced = pp_perfmap_replaced(map);
	feed(map, "\nadd b.py\n1010 10 jitted\nno more of it\n");
	assert_string_equal(name_at(map, 0x100f), "py::f:/a\n\nadd b.py");
	assert_string_equal(name_at(map, 0x1010), "jitted");
	assert_true(pp_perfmap_replaced(map) > replaced);
	assert_int_equal(stats_of(map).entries, 2);
	assert_int_equal(stats_of(map).bad_address, 1);
	/* Not for ever, and not into another file. */
	feed(map, "1020 10 py::g:/a\n1\n2\n3\n4\n5\n6\n");
	assert_string_equal(name_at(map, 0x1020), "py::g:/a\n1\n2\n3\n4");
	assert_int_equal(stats_of(map).bad_address, 3);
	feed(map, "1030 10 py::h:/a\n");
	pp_perfmap_restart(map);
	feed(map, "x\n");
	assert_string_equal(name_at(map, 0x1030), "py::h:/a");
}

/* As the JITs of others write them; functions move, and the last entry wins. */
static void test_other_jits(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();

	(void)state;
	feed(map, "7f0000001000 2c LazyCompile:~f file.js:1:2\n" /* V8 */
		  "7f0000001040 80 Interpreter\n"
		  "7f00000010c0 10 JS:*f /a b/file.js:1:2\n"
		  "0x7f0000002000 0x40 Lcom/example/Main;::run\n" /* perf-map-agent, .NET */
		  "00007F0000003000 1F int32 [System.Private.CoreLib] A::B(int32)[Tier1]\n"
		  "7f0000004000 40 TRACE_12::main.lua:3\n" /* LuaJIT */
		  "7f0000001000 30 JS:^f file.js:1:2\n");  /* moved onto the old one */
	assert_string_equal(name_at(map, 0x7f0000001000), "JS:^f file.js:1:2");
	assert_string_equal(name_at(map, 0x7f0000001050), "Interpreter");
	assert_string_equal(name_at(map, 0x7f00000010c0), "JS:*f /a b/file.js:1:2");
	assert_string_equal(name_at(map, 0x7f000000203f), "Lcom/example/Main;::run");
	assert_string_equal(name_at(map, 0x7f0000003000),
			    "int32 [System.Private.CoreLib] A::B(int32)[Tier1]");
	assert_string_equal(name_at(map, 0x7f0000004000), "TRACE_12::main.lua:3");
}

static void test_restart(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();

	(void)state;
	feed(map, "1000 10 a\n2000 10 half a li");
	pp_perfmap_restart(map);
	feed(map, "3000 10 b\n");
	assert_string_equal(name_at(map, 0x1000), "a");
	assert_string_equal(name_at(map, 0x2000), "");
	assert_string_equal(name_at(map, 0x3000), "b");
}

static void long_line(struct pp_perfmap *map, size_t len, size_t chunk)
{
	_cleanup_free_ char *text = malloc(len + 64);
	size_t n = (size_t)sprintf(text, "0x0000000000001000 0x0000000000000010 ");

	memset(text + n, 'n', len);
	strcpy(text + n + len, "\n2000 10 next\n");
	n = strlen(text);
	for (size_t i = 0; i < n; i += chunk)
		pp_perfmap_feed(map, text + i, MIN(chunk, n - i));
}

static void test_long_names(void **state)
{
	static const size_t lens[] = { PP_PERFMAP_NAME_MAX - 1, PP_PERFMAP_NAME_MAX,
				       PP_PERFMAP_NAME_MAX + 1, 300000 };
	static const size_t chunks[] = { 777, 4096, 1000000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(chunks); k++) {
			_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
			uint64_t before = pp_counters[PP_C_perfmap_names_cut];
			size_t want = MIN(lens[i], (size_t)PP_PERFMAP_NAME_MAX);

			long_line(map, lens[i], chunks[k]);
			assert_int_equal(strlen(name_at(map, 0x1000)), want);
			assert_string_equal(name_at(map, 0x2000), "next");
			assert_int_equal(stats_of(map).cut, lens[i] > PP_PERFMAP_NAME_MAX);
			assert_int_equal(pp_counters[PP_C_perfmap_names_cut] - before,
					 lens[i] > PP_PERFMAP_NAME_MAX);
		}
	}
}

/* Both parts as long as may be, and what is written behind them stays right. */
static void test_long_parts(void **state)
{
	static char name[64 * KIB + 1], file[64 * KIB + 1], text[2 * PP_PERFMAP_NAME_MAX];
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	for (size_t len = sizeof(file) - 8; len < sizeof(file); len++) {
		memset(file, 'f', len);
		file[len] = 0;
		snprintf(text, sizeof(text), "4000 10 py:::%s\n", file);
		feed(map, text);
		snprintf(text, sizeof(text), "1000 10 py::%s:%s\n2000 10 x\n3000 10 py::y\n", name,
			 file);
		feed(map, text);
		snprintf(text, sizeof(text), "py:::%s", file);
		assert_string_equal(name_at(map, 0x4000), text);
		snprintf(text, sizeof(text), "py::%s:%s", name, file);
		assert_string_equal(name_at(map, 0x1000), text);
		assert_string_equal(name_at(map, 0x2000), "x");
		assert_string_equal(name_at(map, 0x3000), "py::y");
	}
	assert_int_equal(stats_of(map).cut, 0);
}

static void test_endless_line(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	char zeros[4096] = { 0 };

	(void)state;
	for (int i = 0; i < 10000; i++)
		pp_perfmap_feed(map, zeros, sizeof(zeros));
	assert_true(stats_of(map).memory < 256 * KIB);
	feed(map, "\n1000 10 after\n");
	assert_string_equal(name_at(map, 0x1000), "after");
	assert_int_equal(stats_of(map).bad_address, 1);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void test_budget(void **state)
{
	_cleanup_(pp_perfmaps_freep) struct pp_perfmaps *small = NULL;
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *greedy = NULL, *second = NULL, *meek = NULL;
	uint64_t before = pp_counters[PP_C_perfmap_entries_refused];

	(void)state;
	assert_int_equal(pp_perfmaps_new(&small, 8 * MIB), 0);
	assert_int_equal(pp_perfmap_new(&greedy, small), 0);
	assert_int_equal(pp_perfmap_new(&second, small), 0);
	for (uint32_t i = 0; i < 400000; i++) {
		char text[96];

		snprintf(text, sizeof(text), "%x b py::greedy%u:/file%u\n", 0x10000000 + i * 16, i,
			 i);
		feed(greedy, text);
		feed(second, text);
	}
	assert_true(stats_of(greedy).full);
	assert_true(stats_of(greedy).refused > 0);
	assert_int_equal(pp_counters[PP_C_perfmap_entries_refused] - before,
			 stats_of(greedy).refused + stats_of(second).refused);
	assert_int_equal(stats_of(greedy).entries + stats_of(greedy).refused, 400000);
	assert_true(pp_perfmaps_memory(small) < 8 * MIB);
	/* What came first stays, and a newcomer finds room. */
	assert_string_equal(name_at(greedy, 0x10000000), "py::greedy0:/file0");
	assert_int_equal(pp_perfmap_new(&meek, small), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		char text[96];

		snprintf(text, sizeof(text), "%x b py::meek%u:/m\n", 0x10000000 + i * 16, i);
		feed(meek, text);
	}
	assert_false(stats_of(meek).full);
	assert_string_equal(name_at(meek, 0x10000000 + 4999 * 16), "py::meek4999:/m");
}

/* Long names must not outrun the budget between two looks at it. */
static void test_budget_names(void **state)
{
	_cleanup_(pp_perfmaps_freep) struct pp_perfmaps *small = NULL;
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = NULL;
	_cleanup_free_ char *text = malloc(70000);

	(void)state;
	assert_int_equal(pp_perfmaps_new(&small, 4 * MIB), 0);
	assert_int_equal(pp_perfmap_new(&map, small), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		int n = sprintf(text, "%x b py::%u", 0x1000 + i * 16, i);

		memset(text + n, 'x', 60000);
		strcpy(text + n + 60000, "\n");
		feed(map, text);
		assert_true(pp_perfmaps_memory(small) < 4 * MIB);
	}
	assert_true(stats_of(map).refused > 900);
}

static void test_byte_limit(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	_cleanup_free_ char *text = malloc(MIB);
	uint64_t before = pp_counters[PP_C_perfmap_bytes_refused];

	(void)state;
	memset(text, '\n', MIB);
	for (uint64_t i = 0; i < PP_PERFMAP_BYTES_MAX / MIB - 1; i++)
		pp_perfmap_feed(map, text, MIB);
	feed(map, "1000 10 before\n");
	pp_perfmap_feed(map, text, MIB);
	assert_true(stats_of(map).full);
	assert_int_equal(pp_counters[PP_C_perfmap_bytes_refused] - before, 15);
	feed(map, "2000 10 after\n");
	assert_string_equal(name_at(map, 0x1000), "before");
	assert_string_equal(name_at(map, 0x2000), "");
	assert_int_equal(stats_of(map).bytes, PP_PERFMAP_BYTES_MAX);
}

/* ---- Fork ------------------------------------------------------------------------------------ */

static void test_fork(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *parent = new_map(), *child = new_map();
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *grandchild = new_map();
	uint64_t seen;

	(void)state;
	feed(parent, "1000 10 a\n2000 10 b\n");
	feed(child, "2000 10 own\n");
	seen = pp_perfmap_replaced(child);
	assert_int_equal(pp_perfmap_inherit(child, parent), 0);
	assert_true(pp_perfmap_replaced(child) > seen);
	feed(parent, "1000 10 later\n3000 10 c\n");
	assert_string_equal(name_at(parent, 0x1000), "later");
	assert_string_equal(name_at(child, 0x1000), "a");
	assert_string_equal(name_at(child, 0x2000), "own");
	assert_string_equal(name_at(child, 0x3000), "");
	feed(child, "1008 10 more\n");
	assert_string_equal(name_at(child, 0x1007), "a");
	assert_string_equal(name_at(child, 0x1008), "more");
	assert_string_equal(name_at(parent, 0x1008), "later");
	assert_int_equal(pp_perfmap_inherit(grandchild, child), 0);
	parent = pp_perfmap_free(parent);
	child = pp_perfmap_free(child);
	assert_string_equal(name_at(grandchild, 0x1007), "a");
	assert_string_equal(name_at(grandchild, 0x1008), "more");
	assert_string_equal(name_at(grandchild, 0x2000), "own");
}

static void test_thousand_forks(void **state)
{
	enum { FORKS = 1000, ENTRIES = 5000 };
	struct pp_perfmap *children[FORKS];
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *parent = new_map();
	size_t before;
	char text[96];

	(void)state;
	for (uint32_t i = 0; i < ENTRIES; i++) {
		snprintf(text, sizeof(text), "%x b py::f%u:/x\n", 0x10000000 + i * 16, i);
		feed(parent, text);
	}
	before = pp_perfmaps_memory(all);
	for (uint32_t i = 0; i < FORKS; i++) {
		children[i] = new_map();
		assert_int_equal(pp_perfmap_inherit(children[i], parent), 0);
		snprintf(text, sizeof(text), "%x b py::child%u:/x\n", 0x10000000, i);
		feed(children[i], text);
		snprintf(text, sizeof(text), "%x b py::p%u:/x\n", 0x20000000 + i * 16, i);
		feed(parent, text);
	}
	assert_true(pp_perfmaps_memory(all) - before < FORKS * 4 * KIB);
	for (uint32_t i = 0; i < FORKS; i++) {
		snprintf(text, sizeof(text), "py::child%u:/x", i);
		assert_string_equal(name_at(children[i], 0x10000000), text);
		assert_string_equal(name_at(children[i], 0x10000010), "py::f1:/x");
		if (i)
			assert_string_equal(name_at(children[i], 0x20000000), "py::p0:/x");
		assert_string_equal(name_at(children[i], 0x20000000 + i * 16), "");
		pp_perfmap_free(children[i]);
	}
}

/* A chain of forks as long as it likes: each inherits what all before it had. */
static void test_fork_chain(void **state)
{
	struct pp_perfmap *map = new_map();
	uint32_t model[MODEL_SPAN] = { 0 }, n = 0;

	(void)state;
	random_state = 3;
	for (int generation = 0; generation < 200; generation++) {
		struct pp_perfmap *child = new_map();

		for (int i = 0; i < 20; i++)
			feed(map, model_line(model, 0x7f0000000000, ++n, 60));
		assert_int_equal(pp_perfmap_inherit(child, map), 0);
		feed(map, "7f0000000000 1000 too-late\n");
		pp_perfmap_free(map);
		map = child;
		if (generation % 20 == 0)
			model_check(map, model, 0x7f0000000000);
	}
	model_check(map, model, 0x7f0000000000);
	pp_perfmap_free(map);
}

/* ---- Sharing and leaks ----------------------------------------------------------------------- */

static void test_shared_names(void **state)
{
	struct pp_perfmap *maps[100];
	size_t one = 0, before = pp_perfmaps_memory(all);

	(void)state;
	for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
		maps[m] = new_map();
		for (uint32_t i = 0; i < 5000; i++) {
			char text[128];

			snprintf(text, sizeof(text),
				 "%zx b py::Shared.function_%u:/usr/lib/python3/module_%u.py\n",
				 0x10000000 * (m + 1) + i * 16, i, i / 40);
			feed(maps[m], text);
		}
		name_at(maps[m], 0);
		if (m == 0)
			one = pp_perfmaps_memory(all) - before;
	}
	/* 16 bytes an entry and little more; names are kept once. */
	assert_true(pp_perfmaps_memory(all) - before < one + 99 * 5000 * 18);
	for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
		assert_string_equal(name_at(maps[m], 0x10000000 * (m + 1) + 4000 * 16),
				    "py::Shared.function_4000:/usr/lib/python3/module_100.py");
		pp_perfmap_free(maps[m]);
	}
}

/* Dictionaries follow one another, are bounded, and go when nobody needs them. */
static void test_dictionaries(void **state)
{
	struct pp_perfmap *maps[12];
	size_t before = pp_perfmaps_memory(all), full;
	char text[64];

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
			maps[m] = new_map();
			for (uint32_t i = 0; i < 20000; i++) {
				snprintf(text, sizeof(text), "%x b py::%zu_%zu_%u:/x\n",
					 0x1000 + i * 16, round, m, i);
				feed(maps[m], text);
			}
		}
		for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
			snprintf(text, sizeof(text), "py::%zu_%zu_19999:/x", round, m);
			assert_string_equal(name_at(maps[m], 0x1000 + 19999 * 16), text);
			snprintf(text, sizeof(text), "py::%zu_%zu_7:/x", round, m);
			assert_string_equal(name_at(maps[m], 0x1000 + 7 * 16), text);
		}
		full = pp_perfmaps_memory(all);
		for (size_t m = 0; m < ARRAY_SIZE(maps); m++)
			pp_perfmap_free(maps[m]);
		assert_true(pp_perfmaps_memory(all) < full);
	}
	/* The next map sweeps them up. */
	pp_perfmap_free(new_map());
	assert_true(pp_perfmaps_memory(all) < before + 2 * MIB);
}

/* Runs made before the dictionary was full join runs made after, whose names are the map's own: by
 * appending (ascending addresses) and by merging (descending ones). */
static void joins_past_dictionary(bool ascending)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	const unsigned int nr = 20000; /* the dictionary takes 16384 */
	char line[128], name[128];

	for (unsigned int i = 0; i < nr; i++) {
		unsigned int slot = ascending ? i : nr - i;

		snprintf(line, sizeof(line), "%x b py::made_%u:/made.py\n", 0x10000 + slot * 16,
			 slot);
		feed(map, line);
		if (i % 100 == 0) {
			snprintf(name, sizeof(name), "py::made_%u:/made.py", slot);
			assert_string_equal(name_at(map, 0x10000 + slot * 16), name);
		}
	}
	assert_string_equal(name_at(map, 0x10000 + 16 * (nr - 1)), "py::made_19999:/made.py");
	assert_string_equal(name_at(map, 0x10000 + 16 * 1), "py::made_1:/made.py");
}

static void test_join_past_dictionary(void **state)
{
	(void)state;
	joins_past_dictionary(true);
	joins_past_dictionary(false);
}

/* With everything freed not a byte may stay accounted. */
static void test_accounting(void **state)
{
	struct pp_perfmaps *own = NULL;
	struct pp_perfmap *parent = NULL, *child = NULL;

	(void)state;
	assert_int_equal(pp_perfmaps_new(&own, MIB), 0);
	assert_int_equal(pp_perfmap_new(&parent, own), 0);
	assert_int_equal(pp_perfmap_new(&child, own), 0);
	for (uint32_t i = 0; i < 30000; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%x %x py::f%u:/x%u\n",
			 0x1000 + (i * 7919) % 30000 * 8, 1 + i % 13, i, i % 100);
		feed(parent, text);
	}
	feed(parent, "unterminated");
	assert_int_equal(pp_perfmap_inherit(child, parent), 0);
	parent = pp_perfmap_free(parent);
	assert_string_not_equal(name_at(child, 0x1000), "");
	child = pp_perfmap_free(child);
	/* Only the dictionary, with its 16 Ki names at most, is left. */
	assert_true(pp_perfmaps_memory(own) < 700 * KIB);
	pp_perfmaps_free(own);
}

/* ---- A real CPython's map ---------------------------------------------------------------------
 */

#define REAL_SCRIPT                                           \
	"import os, sys, json, asyncio\n"                     \
	"def probe_function(): pass\n"                        \
	"probe_function()\n"                                  \
	"class K:\n def method(self): return (lambda: 1)()\n" \
	"K().method()\n"                                      \
	"path = '/tmp/perf-%d.map' % os.getpid()\n"           \
	"sys.stdout.buffer.write(open(path, 'rb').read())\n"  \
	"os.unlink(path)\n"

/* The first Python with trampolines that there is: PYTHON, or one on the PATH. */
static FILE *real_python(void)
{
	static const char command[] =
		"for p in \"$PYTHON\" python3 python3.15 python3.14 python3.13 python3.12; do "
		"[ -n \"$p\" ] && \"$p\" -X perf -c 'import sys; "
		"sys.exit(not sys.is_stack_trampoline_active())' 2>/dev/null || continue; "
		"exec \"$p\" -X perf -c \"$SCRIPT\"; done";

	setenv("SCRIPT", REAL_SCRIPT, 1);
	return popen(command, "re");
}

static void test_real(void **state)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
	_cleanup_buf_ struct pp_buf text = { 0 };
	size_t n, lines = 0;
	char chunk[1000];
	FILE *f = real_python();

	(void)state;
	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
		pp_perfmap_feed(map, chunk, n);
		assert_int_equal(pp_buf_add(&text, chunk, n), 0);
	}
	pclose(f);
	if (!text.len) {
		map = pp_perfmap_free(map);
		skip(); /* no Python with trampolines here */
	}
	assert_int_equal(pp_buf_add(&text, "", 1), 0);
	for (char *line = (char *)text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
		uint64_t start;
		unsigned int size;
		int at;

		*end = 0;
		assert_int_equal(sscanf(line, "%" SCNx64 " %x %n", &start, &size, &at), 2);
		assert_string_equal(name_at(map, start), line + at);
		assert_string_equal(name_at(map, start + size - 1), line + at);
		lines++;
	}
	assert_true(lines > 100);
	assert_int_equal(stats_of(map).entries, lines);
	assert_int_equal(stats_of(map).bad_address + stats_of(map).bad_size, 0);
	assert_int_equal(pp_perfmap_replaced(map), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	     cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_last_wins),    cmocka_unit_test(test_model),
		cmocka_unit_test(test_replaced),     cmocka_unit_test(test_many),
		cmocka_unit_test(test_chunks),	     cmocka_unit_test(test_newlines),
		cmocka_unit_test(test_other_jits),   cmocka_unit_test(test_restart),
		cmocka_unit_test(test_long_names),   cmocka_unit_test(test_long_parts),
		cmocka_unit_test(test_endless_line), cmocka_unit_test(test_budget),
		cmocka_unit_test(test_budget_names), cmocka_unit_test(test_byte_limit),
		cmocka_unit_test(test_fork),	     cmocka_unit_test(test_thousand_forks),
		cmocka_unit_test(test_fork_chain),   cmocka_unit_test(test_shared_names),
		cmocka_unit_test(test_dictionaries), cmocka_unit_test(test_join_past_dictionary),
		cmocka_unit_test(test_accounting),   cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
