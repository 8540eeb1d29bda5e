/* SPDX-License-Identifier: GPL-2.0-only */
/* The index of rows against a plain table of what must be found, while it grows and shrinks. */
#include "profile/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROWS  20000
#define STEPS 400000

/* Row i's key; few bits of hash, so that rows collide. */
struct table {
	uint64_t keys[ROWS];
	bool in[ROWS];
	struct pp_index index;
};

static uint64_t hash_key(uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ULL) >> 47;
}

static uint64_t hash_row(const void *table, uint32_t row)
{
	return hash_key(((const struct table *)table)->keys[row]);
}

static bool equal_row(const void *table, uint32_t row, const void *key)
{
	return ((const struct table *)table)->keys[row] == *(const uint64_t *)key;
}

static uint32_t find(const struct table *t, uint64_t key)
{
	const uint32_t *slot = pp_index_find(&t->index, hash_key(key), equal_row, t, &key);

	return slot ? *slot : 0;
}

static void put(struct table *t, uint32_t row)
{
	assert_int_equal(pp_index_reserve(&t->index, (size_t)t->index.count + 1, hash_row, t), 0);
	pp_index_put(&t->index, hash_row(t, row), row, hash_row, t);
	t->in[row] = true;
}

static void check(const struct table *t)
{
	uint32_t count = 0;

	for (uint32_t row = 0; row < ROWS; row++) {
		assert_int_equal(find(t, t->keys[row]), t->in[row] ? row + 1 : 0);
		count += t->in[row];
	}
	assert_int_equal(t->index.count, count);
}

static void rows_are_found_while_they_come_and_go(void **state)
{
	static struct table t;
	size_t growths = 0;

	(void)state;
	srandom(1);
	for (uint32_t row = 0; row < ROWS; row++)
		t.keys[row] = (uint64_t)random() << 32 | row;
	for (int step = 0; step < STEPS; step++) {
		/* More come than go, then more go than come. */
		bool grow = random() % 100 < (step < STEPS / 2 ? 60 : 40);
		uint32_t row = (uint32_t)random() % ROWS, cap = t.index.cap;

		if (grow && !t.in[row]) {
			put(&t, row);
		} else if (!grow && t.in[row]) {
			pp_index_remove(&t.index, hash_row(&t, row), row, hash_row, &t);
			t.in[row] = false;
		}
		assert_int_equal(find(&t, t.keys[row]), t.in[row] ? row + 1 : 0);
		growths += t.index.cap != cap;
		/* In the middle of taking old slots along, and between. */
		if (step % (STEPS / 50) == 0 || (t.index.old && step % 501 == 0))
			check(&t);
	}
	assert_in_range(growths, 5, 20);
	check(&t);
	pp_index_done(&t.index);
}

static void a_growth_is_spread_over_the_puts_that_follow(void **state)
{
	static struct table t;
	uint32_t row = 0, with_old = 0;

	(void)state;
	for (uint32_t i = 0; i < ROWS; i++)
		t.keys[i] = i;
	for (; row < ROWS; row++) {
		uint32_t moved = t.index.old ? t.index.moved : 0;
		bool old = t.index.old;

		put(&t, row);
		if (old && t.index.old)
			assert_int_equal(t.index.moved, moved + PP_INDEX_MOVES);
		with_old += t.index.old ? 1 : 0;
	}
	assert_in_range(with_old, ROWS / 10, ROWS);
	check(&t);
	pp_index_done(&t.index);
}

static void a_reset_index_is_empty(void **state)
{
	static struct table t;

	(void)state;
	for (uint32_t row = 0; row < 1000; row++) {
		t.keys[row] = row;
		put(&t, row);
	}
	pp_index_reset(&t.index, 10);
	for (uint32_t row = 0; row < 1000; row++) {
		assert_int_equal(find(&t, row), 0);
		t.in[row] = false;
	}
	assert_true(t.index.cap < 1000);
	put(&t, 7);
	assert_int_equal(find(&t, 7), 8);
	pp_index_done(&t.index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_found_while_they_come_and_go),
		cmocka_unit_test(a_growth_is_spread_over_the_puts_that_follow),
		cmocka_unit_test(a_reset_index_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
