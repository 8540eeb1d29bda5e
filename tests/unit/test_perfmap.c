/* SPDX-License-Identifier: GPL-2.0-only */
/* The perf map index: against a naive model, in any chunking, and with hostile lines. */
#include "perfmap_map.h"

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

/* Lines that come together, of one file or of many, names with newlines among them. */
static void test_model_at_once(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 40; round++) {
		_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = new_map();
		_cleanup_buf_ struct pp_buf text = { 0 };
		uint32_t model[MODEL_SPAN] = { 0 }, lines = 1 + random_below(3000);
		uint64_t base = 0x7f0000000000;
		size_t chunk = 1 + random_below(1U << round % 17);

		random_state = round;
		for (uint32_t n = 1; n <= lines; n++) {
			/* All of one file, or each of another than the one before. */
			uint32_t number = round % 2 ? n * 7 : n;
			const char *line = model_line(model, base, number, 1 + round);

			assert_int_equal(pp_buf_add(&text, line, strlen(line)), 0);
			if (random_below(50) == 0)
				assert_int_equal(pp_buf_add(&text, "0 1 py::x\ny:/file1\n", 20), 0);
		}
		for (size_t at = 0; at < text.len; at += chunk)
			pp_perfmap_feed(map, text.data + at, MIN(chunk, text.len - at));
		model_check(map, model, base);
		if (lines > 1000)
			assert_string_equal(name_at(map, 0), "py::x\ny:/file1");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	      cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_last_wins),     cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_at_once), cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_many),	      cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_newlines),      cmocka_unit_test(test_other_jits),
		cmocka_unit_test(test_restart),	      cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_long_parts),    cmocka_unit_test(test_endless_line),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
