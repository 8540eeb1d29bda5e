/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of processes: their mappings. */
#include "process_table.h"

static void test_mapping_fields(void **state)
{
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	do_mmap(10, 0x10000, 4, 2, 77, "/lib/a.so", 110);
	p = of(10);
	assert_map(p, 0, 0x10000, 0x14000, 2);
	assert_int_equal(p->maps->maps[0].dev, makedev(8, 1));
	assert_int_equal(p->maps->maps[0].ino, 77);
	assert_int_equal(p->maps->maps[0].kind, PP_MAP_FILE);
	assert_string_equal(p->maps->maps[0].path->text, "/lib/a.so");
	assert_int_equal(seen.mapping, 1);
	assert_true(p->dirty);
	p->dirty = false;
	do_mmap(10, 0x10000, 4, 2, 77, "/lib/a.so", 120); /* told again */
	assert_int_equal(seen.mapping, 1);
	assert_false(p->dirty);
	assert_ptr_equal(pp_process_map_at(p, 0x10000), &p->maps->maps[0]);
	assert_ptr_equal(pp_process_map_at(p, 0x13fff), &p->maps->maps[0]);
	assert_null(pp_process_map_at(p, 0x14000));
	assert_null(pp_process_map_at(p, 0xffff));
	/* Deleted or not, it is the same path. */
	do_mmap(10, 0x20000, 1, 0, 78, "/lib/b.so (deleted)", 130);
	assert_string_equal(pp_process_map_at(p, 0x20000)->path->text, "/lib/b.so");
}

static void test_mapping_kinds(void **state)
{
	static const struct {
		const char *path;
		uint64_t ino;
		enum pp_map_kind kind;
	} kinds[] = {
		{ "//anon", 0, PP_MAP_ANON },
		{ "", 0, PP_MAP_ANON },
		{ "[heap]", 0, PP_MAP_ANON },
		{ "[stack]", 0, PP_MAP_ANON },
		{ "[anon:cpython:perf_jit_trampoline]", 0, PP_MAP_ANON },
		{ "/dev/zero (deleted)", 5, PP_MAP_ANON },
		{ "/SYSV00000000 (deleted)", 5, PP_MAP_ANON },
		{ "/anon_hugepage (deleted)", 5, PP_MAP_ANON },
		{ "[vdso]", 0, PP_MAP_VDSO },
		{ "[uprobes]", 0, PP_MAP_SPECIAL },
		{ "anon_inode:[perf_event]", 9, PP_MAP_SPECIAL },
		{ "/memfd:jit (deleted)", 9, PP_MAP_FILE },
		{ "/usr/bin/x", 9, PP_MAP_FILE },
	};

	(void)state;
	do_fork(1, 10, 100);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		do_mmap(10, (2 * i + 1) * 0x10000, 1, 3, kinds[i].ino, kinds[i].path, 200 + i);
		assert_int_equal(seen.map.kind, kinds[i].kind);
		assert_int_equal(seen.map.pgoff, kinds[i].kind == PP_MAP_ANON ? 0 : 3 * PAGE);
	}
}

static void test_arenas_merge(void **state)
{
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	do_mmap(10, 0x10000, 16, 0x10, 0, "//anon", 110);
	do_mmap(10, 0x30000, 16, 0x30, 0, "//anon", 120);
	assert_int_equal(pp_process_nr_maps(p), 2);
	do_mmap(10, 0x20000, 16, 0x20, 0, "//anon", 130); /* fills the gap */
	assert_int_equal(pp_process_nr_maps(p), 1);
	assert_map(p, 0, 0x10000, 0x40000, 0);
	assert_int_equal(seen.map.start, 0x10000);
	/* A named one is another mapping, and so is a file. */
	do_mmap(10, 0x40000, 16, 0, 0, "[anon:other]", 140);
	do_mmap(10, 0x0f000, 1, 0, 7, "/lib/x", 150);
	assert_int_equal(pp_process_nr_maps(p), 3);
	do_mmap(10, 0x12000, 1, 0, 0, "//anon", 160); /* within: known */
	assert_int_equal(pp_process_nr_maps(p), 3);
}

static void test_mapping_splits(void **state)
{
	struct pp_process *p;
	int object;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	do_mmap(10, 0x10000, 16, 0, 77, "/lib/a.so", 110);
	p->maps->maps[0].object = &object;
	seen.objects++;
	do_mmap(10, 0x14000, 4, 9, 78, "/lib/b.so", 120);
	assert_int_equal(pp_process_nr_maps(p), 3);
	assert_map(p, 0, 0x10000, 0x14000, 0);
	assert_map(p, 1, 0x14000, 0x18000, 9);
	assert_map(p, 2, 0x18000, 0x20000, 8);
	assert_ptr_equal(p->maps->maps[0].object, &object);
	assert_null(p->maps->maps[1].object);
	assert_ptr_equal(p->maps->maps[2].object, &object);
	assert_int_equal(seen.objects, 2);
	/* The whole again, grown: it is the same file at the same place. */
	do_mmap(10, 0x10000, 32, 0, 77, "/lib/a.so", 130);
	assert_int_equal(pp_process_nr_maps(p), 1);
	assert_ptr_equal(p->maps->maps[0].object, &object);
	assert_int_equal(seen.objects, 1);
	/* Elsewhere in the file: another matter. */
	do_mmap(10, 0x10000, 32, 5, 77, "/lib/a.so", 140);
	assert_int_equal(pp_process_nr_maps(p), 1);
	assert_null(p->maps->maps[0].object);
	assert_int_equal(seen.objects, 0);
}

/* Against a model that keeps a file and an offset for every page. */
static void test_mappings_against_model(void **state)
{
	enum { PAGES = 64 };
	struct {
		uint64_t ino, pgoff;
	} model[PAGES] = { 0 };
	struct pp_process *p;

	(void)state;
	srand(1);
	do_fork(1, 10, 100);
	p = of(10);
	for (int round = 0; round < 20000; round++) {
		uint64_t first = (uint64_t)rand() % PAGES;
		uint64_t n = 1 + (uint64_t)rand() % MIN(PAGES - first, 12ULL);
		uint64_t ino = (uint64_t)rand() % 4, pgoff = ino ? (uint64_t)rand() % 8 : 0;

		do_mmap(10, (1 + first) * PAGE, n, pgoff, ino, ino ? "/f" : "//anon",
			200 + (uint64_t)round);
		for (uint64_t i = 0; i < n; i++) {
			model[first + i].ino = ino + 1;
			model[first + i].pgoff = ino ? pgoff + i : 0;
		}
		for (uint64_t i = 0; i < PAGES; i++) {
			struct pp_map *map = pp_process_map_at(p, (1 + i) * PAGE + 5);

			assert_int_equal(!!map, !!model[i].ino);
			if (!map)
				continue;
			assert_int_equal(map->ino, model[i].ino - 1);
			if (map->ino)
				assert_int_equal(map->pgoff + (1 + i) * PAGE - map->start,
						 model[i].pgoff * PAGE);
		}
		for (uint32_t i = 1; i < p->maps->len; i++)
			assert_true(p->maps->maps[i - 1].end <= p->maps->maps[i].start);
	}
}

static void test_mapping_refusals(void **state)
{
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	do_mmap(10, 0x1000, 0, 0, 7, "/f", 110);
	do_mmap(10, UINT64_MAX - PAGE, 2, 0, 7, "/f", 110);
	do_mmap(10, 1ULL << 63, 2, 0, 7, "/f", 110);
	assert_int_equal(pp_counters[PP_C_mappings_malformed], 3);
	assert_int_equal(pp_process_nr_maps(p), 0);
	for (uint64_t i = 0; i < PP_MAPPINGS_MAX + 10; i++)
		do_mmap(10, (1 + 2 * i) * PAGE, 1, i, 7, "/f", 200 + i);
	assert_in_range(pp_process_nr_maps(p), PP_MAPPINGS_MAX - 3, PP_MAPPINGS_MAX);
	assert_int_equal(pp_counters[PP_C_mappings_cut],
			 PP_MAPPINGS_MAX + 10 - pp_process_nr_maps(p));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mapping_fields),	   TEST(test_mapping_kinds),
		TEST(test_arenas_merge),	   TEST(test_mapping_splits),
		TEST(test_mappings_against_model), TEST(test_mapping_refusals),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
