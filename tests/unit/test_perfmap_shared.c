/* SPDX-License-Identifier: GPL-2.0-only */
/* What perf maps share: a budget, entries under fork, names; and a real CPython's map. */
#include "perfmap_map.h"

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
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_budget_names),
		cmocka_unit_test(test_byte_limit),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_thousand_forks),
		cmocka_unit_test(test_fork_chain),
		cmocka_unit_test(test_shared_names),
		cmocka_unit_test(test_dictionaries),
		cmocka_unit_test(test_join_past_dictionary),
		cmocka_unit_test(test_accounting),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
