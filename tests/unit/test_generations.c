/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What changes the rules of a process's code makes a new generation, or takes the block away: the
 * events that no program can be made to show in a moment. See make_block() in daemon/unwind.c, and
 * accuracy/test_remapped for the others.
 */
#include "process_table.h"

#include "changes.h"
#include "layouts.h"
#include "unwind_private.h"

#include "unwind_world.h"

#define A     0x100000ULL
#define B     0x200000ULL
#define PAGES 16
#define FILE1 1001
#define FILE2 1002

static struct pp_unwind *unwind;

static void forked(_unused_ void *userdata, struct pp_process *parent, struct pp_process *child)
{
	pp_unwind_forked(unwind, parent, child);
}

static void mapped(_unused_ void *userdata, struct pp_process *p, struct pp_map *map)
{
	pp_unwind_mapped(unwind, p, map);
}

static void told(_unused_ void *userdata, struct pp_process *p, _unused_ const struct pp_map *map)
{
	pp_unwind_refresh(unwind, p);
}

static void scanned(_unused_ void *userdata, struct pp_process *p)
{
	pp_unwind_scanned(unwind, p);
}

static void ended(_unused_ void *userdata, struct pp_process *p)
{
	pp_unwind_ended(unwind, p);
}

static void gone(_unused_ void *userdata, struct pp_process *p)
{
	pp_unwind_gone(unwind, p);
}

static int begin(_unused_ void **state)
{
	static const struct pp_processes_hooks follow = {
		.on_fork = forked,
		.on_mapping = mapped,
		.on_memory = told,
		.on_scanned = scanned,
		.on_exit = ended,
		.on_free = gone,
	};

	memset(&fake, 0, sizeof(fake));
	memset(pp_counters, 0, sizeof(pp_counters));
	assert_return_code(pp_objects_new(&objects, NULL, NULL), 0);
	assert_return_code(pp_processes_new(&table, NULL, &follow, NULL), 0);
	return pp_unwind_new(&unwind, NULL, table, BUDGET);
}

static int end(_unused_ void **state)
{
	table = pp_processes_free(table);
	unwind = pp_unwind_free(unwind);
	objects = pp_objects_free(objects);
	return 0;
}

static void sync_all(void)
{
	pp_unwind_sync(unwind, UINT64_MAX / 2);
}

/* A program in this pid that maps a file at A, and that BPF knows. */
static struct pp_process *start(pid_t pid, uint64_t ino)
{
	struct pp_process *p;

	do_exec(pid, "x", 1);
	p = of(pid);
	p->start_ns = p->exec_id = 1;
	do_mmap(pid, A, PAGES, 0, ino, "/file", 2);
	sync_all();
	assert_int_equal(fake_enter(pid).nr_mappings, 1);
	return p;
}

static uint32_t gen_of(pid_t pid)
{
	return fake_enter(pid).gen;
}

/* Mapping i of what walks of the process go by. */
static const struct pp_mapping *mapping_of(pid_t pid, uint32_t i)
{
	struct pp_space space = fake_enter(pid);
	uint32_t word = space.block + i * PP_MAPPING_WORDS;

	assert_true(i < space.nr_mappings);
	return (void *)&fake.chunks[word / PP_CHUNK_WORDS][word % PP_CHUNK_WORDS];
}

static void scan(struct pp_process *p, const char *maps)
{
	struct pp_scan answer = scan_of(maps);

	answer.start_ticks = p->start_ticks;
	pp_processes_want_scan(table, p);
	assert_ptr_equal(pp_processes_take_scan(table, pp_now_ns()), p);
	pp_processes_scanned(table, p, 0, &answer);
	assert_null(pp_processes_take_scan(table, pp_now_ns()));
}

/* ---- Mappings ----------------------------------------------------------------------------------
 */

static void a_file_is_mapped_over(_unused_ void **state)
{
	uint32_t gen;

	start(10, FILE1);
	gen = gen_of(10);
	do_mmap(10, A, PAGES, 0, FILE2, "/file", 3);
	sync_all();
	assert_int_not_equal(gen_of(10), gen);
	gen = gen_of(10);
	do_mmap(10, A, PAGES, 0, 0, "//anon", 4);
	sync_all();
	assert_int_not_equal(gen_of(10), gen);
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_ANON);
}

/* BPF has given the child what the parent had, which is out of date already. */
static void a_fork_comes_before_the_block(_unused_ void **state)
{
	uint32_t gen;

	start(10, FILE1);
	gen = gen_of(10);
	do_mmap(10, A, PAGES, 0, FILE2, "/file", 3);
	do_fork(10, 11, 5);
	of(11)->start_ns = 2;
	of(11)->exec_id = 1;
	sync_all();
	assert_int_not_equal(gen_of(11), gen);
	assert_int_equal(gen_of(11), gen_of(10)); /* the same memory still */
}

/* Records were lost: also of a process that no sample was taken of since its fork. */
static void a_scan_finds_others(_unused_ void **state)
{
	struct pp_process *parent = start(10, FILE1), *child;
	uint32_t gen;

	do_fork(10, 11, 5);
	child = of(11);
	child->start_ns = 2;
	child->exec_id = 1;
	sync_all();
	gen = gen_of(10);
	assert_int_equal(gen_of(11), gen);
	scan(child, "100000-110000 r-xp 00000000 08:01 1001 /file\n");
	sync_all();
	assert_int_equal(gen_of(11), gen); /* the same mappings */
	scan(child, "100000-110000 r-xp 00000000 08:01 1002 /file\n");
	sync_all();
	assert_int_not_equal(gen_of(11), gen);
	assert_int_equal(gen_of(10), gen);
	assert_true(parent->alive);
}

static void memory_is_told_again(_unused_ void **state)
{
	uint32_t gen, parents;

	start(10, FILE1);
	do_mmap(10, B, PAGES, 0, 0, "//anon", 3);
	sync_all();
	gen = gen_of(10);
	do_fork(10, 11, 5);
	of(11)->start_ns = 2;
	of(11)->exec_id = 1;
	sync_all();
	assert_int_equal(gen_of(11), gen);
	/* Each has code of its own there from then on. */
	do_mmap(10, B, PAGES, 0, 0, "//anon", 6);
	do_mmap(11, B, PAGES, 0, 0, "//anon", 7);
	sync_all();
	parents = gen_of(10);
	assert_int_not_equal(parents, gen);
	assert_int_not_equal(gen_of(11), gen);
	assert_int_not_equal(gen_of(11), parents);
	/* The same code of the same file is nothing new. */
	do_mmap(10, A, PAGES, 0, FILE1, "/file", 8);
	sync_all();
	assert_int_equal(gen_of(10), parents);
}

/* ---- Tables ------------------------------------------------------------------------------------
 */

static void a_table_is_loaded(_unused_ void **state)
{
	struct pp_object *o;

	start(10, FILE1);
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_PENDING);
	o = file_of(FILE1, 1);
	give_table(unwind, o);
	sync_all();
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_TABLE);
	assert_int_equal(mapping_of(10, 0)->table, o->table);
	assert_int_equal(mapping_of(10, 0)->bias, A - CODE_ADDRESS);
}

static void a_file_turns_out_to_have_none(_unused_ void **state)
{
	struct pp_object *o;

	start(10, FILE1);
	o = file_of(FILE1, 1);
	o->state = PP_OBJECT_FAILED;
	pp_unwind_loaded(unwind, o, -1);
	sync_all();
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_FP);
}

static void a_file_is_identified(_unused_ void **state)
{
	struct pp_object *o = file_of(FILE1, 1);
	struct pp_process *p;

	give_table(unwind, o);
	p = start(10, FILE1);
	p->maps->maps[0].object = NULL; /* as it is until the reader has said which it is */
	pp_unwind_touch(unwind, p);
	sync_all();
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_TABLE);
}

/* It makes way for others', one of which gets its slot. */
static void a_table_is_evicted(_unused_ void **state)
{
	struct pp_object *o;

	start(10, FILE1);
	o = file_of(FILE1, 1);
	pp_object_use(o, 7, 1);
	give_table(unwind, o);
	sync_all();
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_TABLE);
	for (uint64_t i = 0; i < 32 && o->table >= 0; i++) {
		struct pp_object *other = file_of(FILE2 + i, 2 + i);

		pp_object_use(other, 7, 2 + i);
		give_table(unwind, other);
	}
	assert_int_equal(o->table, -1);
	sync_all();
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_PENDING);
}

/* Until what makes way for it has settled. */
static void a_table_waits(_unused_ void **state)
{
	struct pp_object *o;

	for (uint64_t i = 0; i < 16; i++) {
		o = file_of(FILE2 + i, 2 + i);
		pp_object_use(o, 7, 2 + i);
		give_table(unwind, o);
	}
	start(10, FILE1);
	o = file_of(FILE1, 1);
	pp_object_use(o, 7, 100);
	give_table(unwind, o);
	assert_true(pp_counters[PP_C_tables_evicted] > 0);
	sync_all();
	assert_int_equal(mapping_of(10, 0)->kind, PP_MAPPING_TABLE);
	assert_int_equal(mapping_of(10, 0)->table, o->table);
}

/* ---- Spaces ------------------------------------------------------------------------------------
 */

static void a_space_is_dropped(_unused_ void **state)
{
	struct pp_process *p = start(10, FILE1);

	pp_processes_life(
		table,
		&(struct pp_life){ .kind = PP_LIFE_EXIT, .time_ns = 9, .pid = 10, .tid = 10 });
	assert_false(p->alive);
	assert_int_equal(fake_enter(10).nr_mappings, 0);
}

/* BPF has removed it as the last thread ended. One of them may still be on its way out, on a CPU
 * that remembers it. */
static void a_space_is_gone_already(_unused_ void **state)
{
	start(10, FILE1);
	fake.spaces[fake_space(10)].pid = 0;
	assert_int_equal(fake_enter(10).nr_mappings, 1);
	do_exit(10, 10, 9);
	assert_int_equal(fake_enter(10).nr_mappings, 0);
}

static void generations_begin_anew(_unused_ void **state)
{
	uint32_t old;

	start(10, FILE1);
	start(11, FILE1);
	old = gen_of(10);
	assert_int_equal(fake.rules_forgotten, 0);
	unwind->gen = UINT32_MAX;
	start(12, FILE1);
	assert_int_equal(gen_of(12), 1);
	assert_int_equal(fake.rules_forgotten, 1);
	/* Nobody goes by a generation from before, and the next are all different. */
	assert_int_equal(fake_enter(10).nr_mappings, 0);
	assert_int_equal(fake_enter(11).nr_mappings, 0);
	pp_unwind_check(unwind, of(10), pp_now_ns());
	pp_unwind_check(unwind, of(11), pp_now_ns());
	sync_all();
	assert_int_equal(old, 1);
	assert_int_not_equal(gen_of(10), gen_of(11));
	assert_int_not_equal(gen_of(10), 1);
	assert_int_not_equal(gen_of(11), 1);
}

/* Three with one array of mappings; between two of them the generations begin anew, which drops the
 * block that they would share. */
static void a_shared_block_is_dropped(_unused_ void **state)
{
	start(10, FILE1);
	for (pid_t pid = 11; pid <= 12; pid++) {
		do_fork(10, pid, 5);
		of(pid)->start_ns = (uint64_t)pid;
		of(pid)->exec_id = 1;
	}
	start(20, FILE2);
	for (int i = 0; i < 3; i++)
		pp_unwind_touch(unwind, of((pid_t[]){ 11, 20, 12 }[i]));
	unwind->gen = UINT32_MAX - 1;
	sync_all();
	sync_all();
	assert_int_equal(fake_enter(11).nr_mappings, 0); /* until it is sampled */
	assert_int_equal(gen_of(20), 1);
	assert_int_equal(gen_of(12), 2);
	do_exit(12, 12, 9);
	pp_unwind_check(unwind, of(11), pp_now_ns());
	sync_all();
	assert_int_equal(mapping_of(11, 0)->start, A);
}

/* ---- Layouts -----------------------------------------------------------------------------------
 */

static bool bpf_has(uint32_t id)
{
	return id && fake.layouts[id % PP_LAYOUTS_MAX].id == id;
}

static void a_layout_s_place_is_given_away(_unused_ void **state)
{
	struct pp_layout layout = { .form = PP_FRAMES_ENTRIES };
	struct pp_layouts *layouts;
	uint32_t first, second, known = 0;

	memset(&fake, 0, sizeof(fake));
	assert_return_code(pp_layouts_new(&layouts, NULL), 0);
	while (fake.layouts[known].id)
		assert_true(pp_layouts_is_fixed(layouts, fake.layouts[known++].id));
	assert_true(known > 0);
	layout.state_first = 8;
	first = pp_layouts_get(layouts, &layout, 7);
	assert_true(bpf_has(first) && !pp_layouts_is_fixed(layouts, first));
	pp_layouts_move(layouts, 0, first);
	assert_int_equal(pp_layouts_get(layouts, &layout, 8), first);
	/* Its process turns out to have none; BPF is not told yet when another gets the place. */
	pp_layouts_move(layouts, first, 0);
	layout.state_first = 16;
	second = pp_layouts_get(layouts, &layout, 8);
	assert_int_equal(second % PP_LAYOUTS_MAX, first % PP_LAYOUTS_MAX);
	assert_true(bpf_has(second));
	assert_false(bpf_has(first));
	layouts = pp_layouts_free(layouts);
}

static void layouts_of_a_user_are_few(_unused_ void **state)
{
	struct pp_layout layout = { 0 };
	struct pp_layouts *layouts;
	uint32_t id;
	int n = 0;

	memset(&fake, 0, sizeof(fake));
	assert_return_code(pp_layouts_new(&layouts, NULL), 0);
	for (layout.state_first = 1; (id = pp_layouts_get(layouts, &layout, 7));
	     layout.state_first++, n++)
		pp_layouts_move(layouts, 0, id);
	assert_int_equal(n, 8);
	assert_true(pp_layouts_get(layouts, &layout, 8));
	layouts = pp_layouts_free(layouts);
}

/* ---- What a walk could not know ----------------------------------------------------------------
 */

static uint32_t known_of(const struct pp_changes *c, uint32_t gen, uint64_t time_ns)
{
	struct {
		struct pp_sample s;
		uint64_t pcs[4];
	} sample = { .s = { .gen = gen, .time_ns = time_ns, .nr_user = 4 } };

	/* The last is a return address behind a call at the very end of A's page. */
	sample.pcs[0] = B;
	sample.pcs[1] = B + 1;
	sample.pcs[2] = PP_PC(A + PAGE, PP_WALKER_ROWS) | PP_PC_EVAL;
	sample.pcs[3] = A - 1;
	return pp_changes_known(c, &sample.s);
}

static void walks_by_what_was_there(_unused_ void **state)
{
	struct pp_changes c = { 0 };

	assert_int_equal(known_of(&c, 1, 100), 4);
	pp_changes_add(&c, A, A + PAGE, 50, 5);
	assert_int_equal(known_of(&c, 5, 100), 2);
	assert_int_equal(known_of(&c, 4, 50), 2);
	assert_int_equal(known_of(&c, 5, 49), 4);  /* it was taken before */
	assert_int_equal(known_of(&c, 6, 100), 4); /* BPF knew */
	pp_changes_add(&c, B, B + PAGE, 60, 6);
	assert_int_equal(known_of(&c, 6, 100), 0);
	assert_int_equal(known_of(&c, 6, 59), 4);
	assert_int_equal(known_of(&c, 5, 59), 2);
	/* Of too many none is forgotten. */
	for (uint64_t i = 0; i < 2 * PP_CHANGES_MAX; i++)
		pp_changes_add(&c, 2 * B + i * PAGE, 2 * B + (i + 1) * PAGE, 70, 7);
	assert_int_equal(known_of(&c, 5, 100), 0);
	assert_int_equal(known_of(&c, 7, 100), 0);
	assert_int_equal(known_of(&c, 8, 100), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_mapped_over),
		TEST(a_fork_comes_before_the_block),
		TEST(a_scan_finds_others),
		TEST(memory_is_told_again),
		TEST(a_table_is_loaded),
		TEST(a_file_turns_out_to_have_none),
		TEST(a_file_is_identified),
		TEST(a_table_is_evicted),
		TEST(a_table_waits),
		TEST(a_space_is_dropped),
		TEST(a_space_is_gone_already),
		TEST(generations_begin_anew),
		TEST(a_shared_block_is_dropped),
		cmocka_unit_test(a_layout_s_place_is_given_away),
		cmocka_unit_test(layouts_of_a_user_are_few),
		cmocka_unit_test(walks_by_what_was_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
