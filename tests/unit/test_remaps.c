/* SPDX-License-Identifier: GPL-2.0-only */
/* Which memory was mapped anew, played as the kernel reports it: neighbours joined, unmaps untold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "python/remaps.h"

#define A 0x10000ULL
#define B 0x20000ULL
#define C 0x30000ULL
#define D 0x40000ULL

static struct pp_remaps r;

static int stop(_unused_ void **state)
{
	pp_remaps_done(&r);
	return 0;
}

static void expect_at(uint64_t address, uint64_t time_ns, uint64_t at_ns)
{
	const struct pp_remap *m = pp_remaps_at(&r, address, time_ns);

	assert_int_equal(m ? m->at_ns : 0, at_ns);
}

static void arenas_grow_side_by_side(_unused_ void **state)
{
	assert_false(pp_remaps_add(&r, B, C, 1));
	assert_false(pp_remaps_add(&r, A, C, 2)); /* below, joined */
	assert_false(pp_remaps_add(&r, A, D, 3)); /* above */
	assert_int_equal(r.nr, 0);
}

static void a_hole_is_filled(_unused_ void **state)
{
	pp_remaps_seen(&r, A, B);
	pp_remaps_seen(&r, C, D);
	r.keep_all = true;
	assert_false(pp_remaps_add(&r, A, D, 5)); /* between the two, joined with both */
	expect_at(B, 5, 5);
	expect_at(C - 1, 5, 5);
	expect_at(A, 9, 0);
	expect_at(C, 9, 0);
	/* The same again says that something in it was given back. */
	assert_true(pp_remaps_add(&r, A, D, 7));
	expect_at(A, 7, 7);
}

static void memory_is_reused(_unused_ void **state)
{
	assert_false(pp_remaps_add(&r, A, D, 1));
	assert_true(pp_remaps_add(&r, B, C, 5)); /* in the middle */
	expect_at(B, 4, 0);
	expect_at(B, 5, 5);
	expect_at(A, 9, 0);
	expect_at(C, 9, 0);
	assert_int_equal(pp_remaps_after(&r, B, 4), 5);
	assert_int_equal(pp_remaps_after(&r, B, 5), UINT64_MAX);
	assert_int_equal(pp_remaps_after(&r, A, 0), UINT64_MAX);
	assert_true(pp_remaps_add(&r, B, C, 8)); /* and again */
	expect_at(B, 7, 5);
	expect_at(B, 8, 8);
	assert_int_equal(pp_remaps_after(&r, B, 4), 5);
	assert_true(pp_remaps_add(&r, B + 8, D + 8, 9)); /* over an edge */
	expect_at(D, 9, 9);
	expect_at(A, 9, 0);
}

static void a_child_remembers_its_own(_unused_ void **state)
{
	struct pp_remaps parent = { 0 };

	pp_remaps_add(&parent, C, D, 1);
	pp_remaps_fork(&r, &parent);
	pp_remaps_done(&parent);
	assert_false(pp_remaps_add(&r, B, D, 5)); /* joined with what it has inherited */
	expect_at(C, 9, 0);
	expect_at(B, 9, 5);
	assert_false(pp_remaps_add(&r, A, D, 6)); /* that one grows */
	assert_int_equal(r.nr, 1);
	expect_at(A, 9, 5);
}

static void what_is_forgotten_shows(_unused_ void **state)
{
	pp_remaps_seen(&r, A, B);
	for (uint64_t i = 1; i <= PP_REMAPS_MAX; i++)
		assert_true(pp_remaps_add(&r, A, B, i));
	assert_false(r.forgot);
	pp_remaps_add(&r, A, B, 1000);
	assert_true(r.forgot);
	expect_at(A, 1, 0);
	expect_at(A, 1000, 1000);
}

static void spans_are_bounded(_unused_ void **state)
{
	for (uint64_t i = 0; i < 2 * PP_SPANS_MAX; i++)
		pp_remaps_seen(&r, 2 * i * A, (2 * i + 1) * A);
	assert_true(r.forgot);
	assert_true(r.nr_spans <= PP_SPANS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(arenas_grow_side_by_side, stop),
		cmocka_unit_test_teardown(a_hole_is_filled, stop),
		cmocka_unit_test_teardown(memory_is_reused, stop),
		cmocka_unit_test_teardown(a_child_remembers_its_own, stop),
		cmocka_unit_test_teardown(what_is_forgotten_shows, stop),
		cmocka_unit_test_teardown(spans_are_bounded, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
