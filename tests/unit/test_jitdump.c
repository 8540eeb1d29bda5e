/* SPDX-License-Identifier: GPL-2.0-only */
/* Jitdumps: good ones, cut anywhere, written twice by a fork, and nonsense. */
#include "base/counters.h"
#include "python/jitdump.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define MAGIC 0x4A695444U
#define PID   4321
#define CODE  0x7f0000001000ULL

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

/* ---- Writing one ----------------------------------------------------------------------------- */

static struct pp_buf file;

static void put(const void *data, size_t len)
{
	assert_return_code(pp_buf_add(&file, data, len), 0);
}

static void put32(uint32_t v)
{
	put(&v, sizeof(v));
}

static void put64(uint64_t v)
{
	put(&v, sizeof(v));
}

static void header_of(uint32_t magic, uint32_t version, uint32_t size, uint32_t machine)
{
	put32(magic);
	put32(version);
	put32(size);
	put32(machine);
	put32(0);
	put32(PID);
	put64(1);
	put64(0);
	for (uint32_t i = 40; i < size && i < 64; i++)
		put("x", 1);
}

static void header(void)
{
	header_of(MAGIC, 1, 40, MACHINE);
}

static void record(uint32_t id, uint32_t size)
{
	put32(id);
	put32(size);
	put64(123);
}

static void load_of(uint32_t pid, uint64_t address, uint64_t size, const char *name, size_t len)
{
	static const uint8_t code[64];

	record(0, (uint32_t)(56 + len + 1 + size));
	put32(pid);
	put32(pid);
	put64(address);
	put64(address);
	put64(size);
	put64(7);
	put(name, len);
	put("", 1);
	for (uint64_t i = 0; i < size; i++)
		put(&code[i % sizeof(code)], 1);
}

static void load(uint64_t address, const char *name)
{
	load_of(PID, address, 11, name, strlen(name));
}

static void unwinding(void)
{
	record(4, 112);
	put64(68);
	put64(20);
	put64(80);
	for (int i = 40; i < 112; i++)
		put("\4", 1); /* would be a record's id */
}

static void move(uint64_t from, uint64_t to, uint64_t size)
{
	record(1, 64);
	put32(PID);
	put32(PID);
	put64(to);
	put64(from);
	put64(to);
	put64(size);
	put64(7);
}

/* ---- Reading it ------------------------------------------------------------------------------ */

static struct pp_perfmaps *all;
static struct pp_perfmap *map;
static struct pp_jitdump *dump;

static int begin(void **state)
{
	(void)state;
	assert_return_code(pp_perfmaps_new(&all, PP_PERFMAPS_MEMORY_MAX), 0);
	assert_return_code(pp_perfmap_new(&map, all), 0);
	assert_return_code(pp_jitdump_new(&dump, all, map), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	dump = pp_jitdump_free(dump);
	map = pp_perfmap_free(map);
	all = pp_perfmaps_free(all);
	pp_buf_done(&file);
	return 0;
}

static void feed(size_t chunk)
{
	for (size_t at = 0; at < file.len; at += chunk)
		pp_jitdump_feed(dump, file.data + at, MIN(chunk, file.len - at));
	file.len = 0;
}

static void assert_name(uint64_t address, const char *wanted)
{
	_cleanup_buf_ struct pp_buf name = PP_BUF(0);
	struct pp_perfmap_entry entry;

	if (!wanted) {
		assert_false(pp_perfmap_lookup(map, address, &entry));
		return;
	}
	assert_true(pp_perfmap_lookup(map, address, &entry));
	assert_return_code(pp_name_write(&name, &entry.name), 0);
	assert_return_code(pp_buf_add(&name, "", 1), 0);
	assert_string_equal((char *)name.data, wanted);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_names(void **state)
{
	static const size_t chunks[] = { 1, 3, 40, 57, 4096 };

	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		if (i) {
			end(state);
			begin(state);
		}
		header();
		unwinding();
		load(CODE, "py::f:/a b/c.py");
		unwinding();
		load(CODE + 64, "LazyCompile:~g file.js:1:2");
		record(2, 48); /* lines of source */
		put64(CODE);
		put64(0);
		for (int n = 32; n < 48; n++)
			put("\1", 1);
		record(3, 16); /* the end, and yet more */
		load(CODE + 128, "py::h:");
		feed(chunks[i]);
		assert_int_equal(pp_jitdump_state(dump), PP_JITDUMP_GOOD);
		assert_name(CODE, "py::f:/a b/c.py");
		assert_name(CODE + 10, "py::f:/a b/c.py");
		assert_name(CODE + 11, NULL);
		assert_name(CODE + 64, "LazyCompile:~g file.js:1:2");
		assert_name(CODE + 128, "py::h:");
		assert_int_equal(pp_jitdump_stats(dump)->loads, 3);
		assert_int_equal(pp_jitdump_stats(dump)->bad, 0);
		assert_int_equal(pp_jitdump_stats(dump)->damaged, 0);
	}
}

static void test_headers(void **state)
{
	static const struct {
		uint32_t magic, version, size, machine;
		bool good;
	} rows[] = {
		{ MAGIC, 1, 40, MACHINE, true },
		{ MAGIC, 1, 48, MACHINE, true },
		{ MAGIC, 1, 40, EM_NONE, true },
		{ MAGIC, 1, 40, EM_386, false },
		{ MAGIC, 2, 40, MACHINE, false },
		{ MAGIC, 1, 39, MACHINE, false },
		{ MAGIC, 1, PP_JITDUMP_HEADER_MAX + 1, MACHINE, false },
		{ __builtin_bswap32(MAGIC), 1, 40, MACHINE, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t foreign = pp_counters[PP_C_jitdumps_foreign];

		end(state);
		begin(state);
		assert_int_equal(pp_jitdump_state(dump), PP_JITDUMP_EMPTY);
		header_of(rows[i].magic, rows[i].version, rows[i].size, rows[i].machine);
		load(CODE, "py::f:f.py");
		feed(7);
		assert_int_equal(pp_jitdump_state(dump),
				 rows[i].good ? PP_JITDUMP_GOOD : PP_JITDUMP_FOREIGN);
		assert_int_equal(pp_counters[PP_C_jitdumps_foreign] - foreign, !rows[i].good);
		assert_name(CODE, rows[i].good ? "py::f:f.py" : NULL);
	}
	/* Another file may follow. */
	pp_jitdump_restart(dump);
	header();
	load(CODE, "py::f:f.py");
	feed(100);
	assert_name(CODE, "py::f:f.py");
}

static void test_moves(void **state)
{
	(void)state;
	header();
	load(CODE, "py::f:f.py");
	move(CODE, CODE + 4096, 20);
	move(CODE + 999, CODE + 8192, 20); /* nothing known there */
	move(CODE, UINT64_MAX, 20);
	feed(5);
	assert_name(CODE + 4096 + 19, "py::f:f.py");
	assert_name(CODE + 8192, NULL);
	assert_int_equal(pp_jitdump_stats(dump)->moves, 1);
	assert_int_equal(pp_jitdump_stats(dump)->bad, 2);
}

static void test_last_entry_wins(void **state)
{
	(void)state;
	header();
	load(CODE, "py::first:f.py");
	load(CODE, "py::second:f.py");
	feed(11);
	assert_name(CODE, "py::second:f.py");
}

/* Fields that make no sense cost their own record. */
static void test_bad_records(void **state)
{
	(void)state;
	header();
	load_of(PID, CODE, 0, "empty", 5);
	load_of(PID, 1ULL << 60, 8, "kernel", 6);
	load(CODE + 64, "");
	record(0, 60); /* code longer than the record */
	put32(PID);
	put32(PID);
	put64(CODE);
	put64(CODE);
	put64(1ULL << 40);
	put64(0);
	put("abc", 4);
	move(CODE + 999, CODE, 8); /* of nothing */
	load(CODE + 128, "py::good:f.py");
	feed(9);
	assert_int_equal(pp_jitdump_stats(dump)->bad, 5);
	assert_int_equal(pp_jitdump_stats(dump)->damaged, 0);
	assert_name(CODE, NULL);
	assert_name(CODE + 128, "py::good:f.py");
}

/* What cannot be a record: the next load is found. */
static void test_damage(void **state)
{
	static const struct {
		uint32_t id, size;
	} rows[] = { { 5, 64 },		{ 99, 64 },  { 0, 15 },	 { 0, 56 },
		     { 0, UINT32_MAX }, { 1, 63 },   { 1, 999 }, { 2, 31 },
		     { 2, 1U << 31 },	{ 3, 1000 }, { 4, 39 },	 { 4, 4096 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		end(state);
		begin(state);
		header();
		record(rows[i].id, rows[i].size);
		for (int n = 0; n < 3000; n++)
			put("\1\0\0\0\7" + n % 5, 1);
		load(CODE, "py::f:f.py");
		feed(17);
		assert_int_equal(pp_jitdump_stats(dump)->damaged, 1);
		assert_name(CODE, "py::f:f.py");
	}
}

/* A forked child writes what was in the buffer too: from the middle of a record, or header first.
 */
static void test_written_twice(void **state)
{
	static const size_t chunks[] = { 1, 64, 1000, 100000 };
	_cleanup_buf_ struct pp_buf once = PP_BUF(0);

	header();
	for (int i = 0; i < 8; i++) {
		char name[32];

		snprintf(name, sizeof(name), "py::f%d:f.py", i);
		unwinding();
		load(CODE + 64 * (unsigned int)i, name);
	}
	assert_return_code(pp_buf_add(&once, file.data, file.len), 0);
	for (size_t c = 0; c < ARRAY_SIZE(chunks); c++) {
		for (size_t from = 0; from < once.len; from += 13) {
			end(state);
			begin(state);
			put(once.data, once.len);
			put(once.data + from, once.len - from);
			unwinding();
			load(CODE + 4096, "py::parent:f.py");
			load(CODE + 4160, "py::later:f.py");
			feed(chunks[c]);
			assert_name(CODE, "py::f0:f.py");
			assert_name(CODE + 64 * 7, "py::f7:f.py");
			assert_name(CODE + 4096, "py::parent:f.py");
			assert_name(CODE + 4160, "py::later:f.py");
		}
	}
}

static void test_long_names(void **state)
{
	size_t len = PP_PERFMAP_NAME_MAX + 100;
	char *name = malloc(len + 1);
	struct pp_perfmap_entry entry;
	uint64_t cut = pp_counters[PP_C_perfmap_names_cut];
	size_t before = pp_perfmaps_memory(all), held;

	(void)state;
	assert_non_null(name);
	memset(name, 'n', len);
	name[len] = '\0';
	header();
	load_of(PID, CODE, 11, name, len);
	load(CODE + 64, "py::next:f.py");
	feed(1000);
	assert_true(pp_perfmap_lookup(map, CODE, &entry));
	assert_int_equal(entry.name.len, PP_PERFMAP_NAME_MAX);
	assert_int_equal(pp_counters[PP_C_perfmap_names_cut] - cut, 1);
	assert_name(CODE + 64, "py::next:f.py");
	/* The name is kept, the room it was gathered in is not. */
	held = pp_perfmaps_memory(all);
	assert_true(held - before > PP_PERFMAP_NAME_MAX);
	dump = pp_jitdump_free(dump);
	assert_in_range(held - pp_perfmaps_memory(all), 1, 2048);
	free(name);
}

/* What is being written when it is read. */
static void test_unfinished(void **state)
{
	(void)state;
	header();
	load(CODE, "py::f:f.py");
	for (size_t at = 0; at < 40 + 56 + strlen("py::f:f.py"); at++)
		pp_jitdump_feed(dump, file.data + at, 1);
	assert_name(CODE, NULL);
	pp_jitdump_feed(dump, "", 1); /* the name's NUL; its code is not waited for */
	assert_name(CODE, "py::f:f.py");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_names),	    TEST(test_headers),	    TEST(test_moves),
		TEST(test_last_entry_wins), TEST(test_bad_records), TEST(test_written_twice),
		TEST(test_damage),	    TEST(test_long_names),  TEST(test_unfinished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
