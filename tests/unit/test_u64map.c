/* SPDX-License-Identifier: GPL-2.0-only */
/* The hash table: what a copy and a filter leave in it. */
#include "base/u64map.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define STEP 4096 /* between keys, as between pages */

static void fill(struct pp_u64map *m, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		assert_int_equal(pp_u64map_put(m, i * STEP, i), 0);
	assert_int_equal(m->len, nr);
}

static bool keep(void *userdata, uint64_t *value)
{
	const uint64_t *divisor = userdata;

	if (*value % *divisor == 0)
		return false;
	*value += 1;
	return true;
}

static void a_filter_keeps_what_it_is_told_to(_unused_ void **state)
{
	for (uint64_t divisor = 1; divisor < 9; divisor++)
		for (uint64_t nr = 0; nr < 3000; nr += 1 + nr / 3) {
			struct pp_u64map m = { .max = 3000 };
			uint64_t value, kept = 0;

			fill(&m, nr);
			pp_u64map_filter(&m, keep, &divisor);
			for (uint64_t i = 0; i < nr; i++) {
				bool found = pp_u64map_get(&m, i * STEP, &value);

				assert_int_equal(found, i % divisor != 0);
				kept += found;
				if (found)
					assert_int_equal(value, i + 1);
			}
			assert_int_equal(m.len, kept);
			assert_int_equal(m.max, 3000);
			/* There is room. */
			for (uint64_t i = kept; i < 3000; i++)
				assert_int_equal(pp_u64map_put(&m, i * STEP + 1, i), 0);
			assert_int_equal(pp_u64map_put(&m, 2, 2), -ENOSPC);
			pp_u64map_done(&m);
		}
}

static void a_copy_is_another(_unused_ void **state)
{
	struct pp_u64map from = { .max = 100 }, to = { 0 };
	uint64_t value;

	assert_int_equal(pp_u64map_copy(&to, &from), 0);
	assert_int_equal(to.len, 0);
	fill(&from, 50);
	assert_int_equal(pp_u64map_copy(&to, &from), 0);
	pp_u64map_clear(&from);
	assert_int_equal(to.len, 50);
	assert_int_equal(to.max, 100);
	for (uint64_t i = 0; i < 50; i++) {
		assert_true(pp_u64map_get(&to, i * STEP, &value));
		assert_int_equal(value, i);
	}
	pp_u64map_done(&from);
	pp_u64map_done(&to);
}

static void a_value_is_changed_in_place(_unused_ void **state)
{
	struct pp_u64map m = { .max = 100 };
	uint64_t value;

	for (uint64_t round = 1; round <= 3; round++)
		for (uint64_t i = 0; i < 100; i++) {
			uint64_t *at = pp_u64map_at(&m, i * STEP);

			assert_non_null(at);
			assert_int_equal(*at, (round - 1) * i);
			*at += i;
		}
	assert_null(pp_u64map_at(&m, 1));
	assert_true(pp_u64map_get(&m, 99 * STEP, &value));
	assert_int_equal(value, 3 * 99);
	pp_u64map_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filter_keeps_what_it_is_told_to),
		cmocka_unit_test(a_copy_is_another),
		cmocka_unit_test(a_value_is_changed_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
