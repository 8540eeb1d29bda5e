/* SPDX-License-Identifier: GPL-2.0-only */
/* What is bounded for all and filled by one user: others still get what they need of it. */
#include "base/holdings.h"

#include "base/counters.h"

#include "unwind_world.h"

#define BOB  1007
#define EVE  1008
#define PAGE 4096ULL

/* ---- Fixture ------------------------------------------------------------------------------------
 */

static struct pp_processes *table;
static struct pp_unwind *unwind;
static pid_t last_pid;

static void on_exit_hook(_unused_ void *userdata, struct pp_process *p)
{
	pp_unwind_ended(unwind, p);
}

static void on_free_hook(_unused_ void *userdata, struct pp_process *p)
{
	pp_unwind_gone(unwind, p);
}

static int setup(_unused_ void **state)
{
	static const struct pp_processes_hooks hooks = { .on_exit = on_exit_hook,
							 .on_free = on_free_hook };

	memset(&fake, 0, sizeof(fake));
	memset(pp_counters, 0, sizeof(pp_counters));
	assert_return_code(pp_processes_new(&table, NULL, &hooks, NULL), 0);
	assert_return_code(pp_unwind_new(&unwind, NULL, table, BUDGET), 0);
	return pp_objects_new(&objects, NULL, NULL);
}

static int teardown(_unused_ void **state)
{
	table = pp_processes_free(table);
	unwind = pp_unwind_free(unwind);
	objects = pp_objects_free(objects);
	return 0;
}

/* A process of the user with so many mappings, none beside another. */
static struct pp_process *begin(uint32_t user, size_t mappings)
{
	struct pp_life life = {
		.kind = PP_LIFE_EXEC, .pid = ++last_pid, .tid = last_pid, .time_ns = 1, .comm = "x"
	};
	struct pp_process *p;

	assert_return_code(pp_processes_life(table, &life), 0);
	p = pp_processes_by_pid(table, last_pid);
	assert_non_null(p);
	p->ruid = user;
	p->start_ns = p->exec_id = 1;
	life = (struct pp_life){ .kind = PP_LIFE_MMAP,
				 .pid = last_pid,
				 .tid = last_pid,
				 .time_ns = 2,
				 .path = "//anon",
				 .len = PAGE };
	for (size_t i = 0; i < mappings; i++) {
		life.start = (1 + 2 * i) * PAGE;
		assert_return_code(pp_processes_life(table, &life), 0);
	}
	pp_unwind_touch(unwind, p);
	return p;
}

static void sync_all(void)
{
	pp_unwind_sync(unwind, UINT64_MAX / 2);
}

static bool has_space(const struct pp_process *p)
{
	struct pp_space space;

	return pp_bpf_get_space(NULL, p->pid, &space) && space.nr_mappings;
}

/* ---- Tests --------------------------------------------------------------------------------------
 */

static void test_who_yields(_unused_ void **state)
{
	struct pp_holdings h = { 0 };

	assert_int_equal(pp_holdings_yields(&h, BOB, 1), BOB);
	(void)pp_holdings_add(&h, EVE, 10);
	assert_int_equal(pp_holdings_yields(&h, BOB, 9), EVE);
	assert_int_equal(pp_holdings_yields(&h, BOB, 10), BOB);
	assert_int_equal(pp_holdings_yields(&h, EVE, 1), EVE);
	(void)pp_holdings_add(&h, BOB, 4);
	pp_holdings_take(&h, EVE, 7);
	assert_int_equal(pp_holdings_of(&h, EVE), 3);
	assert_int_equal(pp_holdings_yields(&h, EVE, 1), EVE);
	assert_int_equal(pp_holdings_yields(&h, 0, 1), BOB);
	pp_holdings_take(&h, BOB, 100);
	assert_int_equal(pp_holdings_of(&h, BOB), 0);
	pp_holdings_done(&h);
}

static void test_spaces(_unused_ void **state)
{
	struct pp_process *bob, *more;

	for (int i = 0; i < FAKE_SPACES + 8; i++)
		begin(EVE, 1);
	sync_all();
	assert_int_equal(pp_counters[PP_C_spaces_refused], 8);
	assert_int_equal(pp_counters[PP_C_spaces_evicted], 0);

	bob = begin(BOB, 1);
	sync_all();
	assert_true(has_space(bob));
	assert_true(pp_counters[PP_C_spaces_evicted] > 0);

	/* Hers come back as far as there is room, and not at his cost. */
	for (int i = 0; i < FAKE_SPACES; i++)
		begin(EVE, 1);
	sync_all();
	assert_int_equal(fake_space(0), -1);
	assert_true(has_space(bob));

	/* He may have as many as she; then neither takes from the other. */
	for (int i = 0; i < FAKE_SPACES; i++) {
		more = begin(BOB, 1);
		sync_all();
		assert_int_equal(has_space(more), i + 1 < FAKE_SPACES / 2);
	}
}

static void test_blocks(_unused_ void **state)
{
	struct pp_process *bob;
	uint64_t evicted;

	for (int i = 0; i < 10; i++) {
		begin(EVE, PP_MAPPINGS_MAX);
		sync_all();
	}
	assert_true(pp_counters[PP_C_spaces_refused] > 0);
	assert_int_equal(pp_counters[PP_C_spaces_evicted], 0);

	bob = begin(BOB, 100);
	for (int i = 0; i < 4 && !has_space(bob); i++) {
		sync_all();
		usleep(SETTLE_US);
	}
	assert_true(has_space(bob));
	evicted = pp_counters[PP_C_spaces_evicted];
	assert_true(evicted > 0);
	for (int i = 0; i < 4; i++) {
		begin(EVE, PP_MAPPINGS_MAX);
		sync_all();
	}
	assert_true(has_space(bob));
	assert_int_equal(pp_counters[PP_C_spaces_evicted], evicted);
}

/* A file of the user's, with a table. */
static struct pp_object *load(uint32_t user, uint64_t now_ns)
{
	static uint64_t number;
	struct pp_object *o = file_of(++number, now_ns);

	pp_object_use(o, user, now_ns);
	give_table(unwind, o);
	return o;
}

static void test_tables(_unused_ void **state)
{
	struct pp_object *shared = load(BOB, 1), *bobs = load(BOB, 2), *hers[24];

	pp_object_use(shared, EVE, 3); /* her process runs in it, too */
	assert_int_equal(shared->user, PP_OBJECT_MANY);
	for (size_t i = 0; i < ARRAY_SIZE(hers); i++) {
		hers[i] = load(EVE, 10 + i);
		assert_true(hers[i]->table >= 0);
	}
	/* His were not used for longest, and are there; of hers the older ones made way. */
	assert_true(pp_counters[PP_C_tables_evicted] > 0);
	assert_true(bobs->table >= 0);
	assert_true(shared->table >= 0);
	assert_int_equal(hers[0]->table, -1);

	/* More of his come at her cost. */
	for (int i = 0; i < 4; i++)
		assert_true(load(BOB, 1000)->table >= 0);
	assert_true(bobs->table >= 0);
	assert_true(shared->table >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_yields),
		cmocka_unit_test_setup_teardown(test_spaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
