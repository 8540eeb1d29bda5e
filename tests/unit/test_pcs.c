/* SPDX-License-Identifier: GPL-2.0-only */
/* The frames of one place's pcs: those waiting for names, collections, a cache that is full. */
#include "pcs.h"
#include "profile/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct pp_store *store;
static struct pp_pcs pcs;

static int start(_unused_ void **state)
{
	return pp_store_new(&store);
}

static int stop(_unused_ void **state)
{
	pp_pcs_done(&pcs, store);
	assert_int_equal(pp_frames_count_pending(store->frames), 0);
	store = pp_store_free(store);
	return 0;
}

static uint32_t pend(uint64_t key, uint64_t time_ns)
{
	uint32_t frame;

	assert_int_equal(pp_frames_pending(store->frames, PP_KIND_NATIVE, 0, key, &frame), 0);
	assert_int_equal(pp_pcs_put_pending(&pcs, key, frame, time_ns), 0);
	return frame;
}

static uint32_t named(const char *name)
{
	uint32_t frame;

	assert_int_equal(
		pp_store_frame(store, PP_KIND_NATIVE, name, strlen(name), NULL, 0, NULL, 0, &frame),
		0);
	return frame;
}

static void what_waits_is_counted_by_time(_unused_ void **state)
{
	uint32_t frame = pend(1, 100), got = 0;

	pend(2, 200);
	pend(3, 300);
	assert_int_equal(pp_pcs_pending(&pcs, 99), 0);
	assert_int_equal(pp_pcs_pending(&pcs, 200), 2);
	assert_int_equal(pp_pcs_pending(&pcs, UINT64_MAX), 3);
	assert_true(pp_pcs_get(&pcs, 1, &got));
	assert_int_equal(got, frame);
	/* Another key takes the place of the one dropped. */
	assert_int_equal(pp_frames_give_up(store->frames, pcs.pending[0].frame), 0);
	pp_pcs_drop_pending(&pcs, 0);
	assert_int_equal(pcs.nr_pending, 2);
	assert_int_equal(pcs.pending[0].key, 3);
	assert_true(pp_pcs_get(&pcs, 1, &got));
}

static void forgetting_spares_what_waits(_unused_ void **state)
{
	uint32_t frame = pend(1, 0), got = 0;

	pp_pcs_put(&pcs, 2, named("two"));
	pp_pcs_forget(&pcs);
	assert_false(pp_pcs_get(&pcs, 2, &got));
	assert_true(pp_pcs_get(&pcs, 1, &got));
	assert_int_equal(got, frame);
	pp_pcs_drop(&pcs, 1);
	assert_false(pp_pcs_get(&pcs, 1, &got));
}

static void a_collection_takes_what_nobody_marks(_unused_ void **state)
{
	uint32_t frame = pend(1, 0), got = 0;

	pp_pcs_put(&pcs, 2, named("unmarked"));
	pp_store_collect(store);
	pp_pcs_swept(&pcs, store);
	assert_false(pp_pcs_get(&pcs, 2, &got));
	assert_true(pp_pcs_get(&pcs, 1, &got));
	assert_int_equal(got, frame);
}

static void a_full_cache_begins_anew(_unused_ void **state)
{
	uint32_t frame = pend(UINT64_MAX, 0), name = named("name"), got = 0;

	for (uint64_t key = 0; key < PP_PCS_MAX; key++)
		pp_pcs_put(&pcs, key, name);
	/* The last did not fit: the others went, but for what waits. */
	assert_true(pp_pcs_get(&pcs, PP_PCS_MAX - 1, &got));
	assert_false(pp_pcs_get(&pcs, 0, &got));
	assert_true(pp_pcs_get(&pcs, UINT64_MAX, &got));
	assert_int_equal(got, frame);
	pend(UINT64_MAX - 1, 0);
	assert_int_equal(pcs.nr_pending, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_waits_is_counted_by_time, start, stop),
		cmocka_unit_test_setup_teardown(forgetting_spares_what_waits, start, stop),
		cmocka_unit_test_setup_teardown(a_collection_takes_what_nobody_marks, start, stop),
		cmocka_unit_test_setup_teardown(a_full_cache_begins_anew, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
