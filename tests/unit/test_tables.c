/* SPDX-License-Identifier: GPL-2.0-only */
/* The unwind store: its allocator, growth, what settles when, and how much blocks may take. */
#include "base/clock.h"
#include "trace/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "fake_bpf.h"

#define CHUNK_BYTES (PP_CHUNK_WORDS * sizeof(uint32_t))
#define SETTLED	    (pp_now_ns() + NSEC_PER_SEC) /* by then all that is dropped now has */

static struct pp_tables *tables;

static void start(size_t chunks)
{
	memset(&fake, 0, sizeof(fake));
	assert_int_equal(pp_tables_new(&tables, NULL, chunks * CHUNK_BYTES), 0);
}

static int stop(_unused_ void **state)
{
	tables = pp_tables_free(tables);
	assert_int_equal(fake.nr_chunks, 0);
	return 0;
}

/* Waits for the child that gives the store its new chunks. */
static void let_grow(void)
{
	struct pp_tables_usage before, now;

	pp_tables_usage(tables, &before);
	for (int i = 0; i < 2000; i++) {
		pp_tables_settle(tables, 0);
		pp_tables_usage(tables, &now);
		if (now.bytes > before.bytes)
			return;
		usleep(1000);
	}
	fail_msg("the store did not grow");
}

/* A table of n row words, all by one rule, and one bucket. */
static struct pp_table_source table_of(uint32_t n, const uint32_t *rule)
{
	static uint32_t rows[4 * PP_CHUNK_WORDS], index[1];

	memset(rows, 0, n * sizeof(*rows));
	return (struct pp_table_source){ .start = 0x1000,
					 .index = index,
					 .rows = rows,
					 .rules = rule,
					 .nr_buckets = 1,
					 .nr_row_words = n,
					 .nr_rules = 1 };
}

static int put(uint32_t n)
{
	static const uint32_t rule = PP_RULE(PP_RULE_RSP, 2, 0);
	struct pp_table_source t = table_of(n, &rule);

	return pp_tables_put(tables, &t);
}

static int put_growing(uint32_t n)
{
	int slot = put(n);

	while (slot == -EAGAIN) {
		let_grow();
		slot = put(n);
	}
	return slot;
}

static void rules_are_numbered_for_all(_unused_ void **state)
{
	const uint32_t a[] = { PP_RULE(PP_RULE_RSP, 2, 0), PP_RULE(PP_RULE_RBP, 2, 2) };
	const uint32_t b[] = { a[1], PP_RULE(PP_RULE_END, 0, 0) };
	const uint32_t rows[] = { PP_ROW(0, 0), PP_ROW(16, 1) }, index[] = { PP_INDEX(0, 2) };
	struct pp_table_source t = { 0x400000, index, rows, a, 1, 2, 2 };
	const struct pp_table *first, *second;
	int slot;

	start(1);
	slot = pp_tables_put(tables, &t);
	assert_true(slot >= 0);
	first = &fake.tables[slot];
	t.rules = b;
	slot = pp_tables_put(tables, &t);
	assert_true(slot >= 0);
	second = &fake.tables[slot];

	assert_int_equal(first->start, 0x400000);
	assert_int_equal(first->nr_buckets, 1);
	assert_int_equal(fake_word(first->index), index[0]);
	assert_int_equal(fake_word(first->rows + 1) >> 16, 16);
	assert_int_equal(fake.rules[fake_word(first->rows) & 0xffff], a[0]);
	assert_int_equal(fake.rules[fake_word(first->rows + 1) & 0xffff], a[1]);
	assert_int_equal(fake_word(second->rows) & 0xffff, fake_word(first->rows + 1) & 0xffff);
	assert_int_equal(fake.rules[fake_word(second->rows + 1) & 0xffff], b[1]);
}

static void tables_are_aligned_and_apart(_unused_ void **state)
{
	uint32_t end = 0;

	start(4);
	for (int i = 0; i < 40; i++) {
		uint32_t n = 1 + (uint32_t)i * 997;
		int slot = put_growing(n);

		assert_true(slot >= 0);
		assert_int_equal(fake.tables[slot].rows % PP_ROWS_ALIGN, 0);
		assert_true(fake.tables[slot].rows >= end);
		end = fake.tables[slot].index + 1;
		assert_true(pp_tables_words(tables, slot) >= n + 1);
	}
}

static void a_table_may_cross_chunks(_unused_ void **state)
{
	int slot;

	start(4);
	assert_true(put(PP_CHUNK_WORDS / 2) >= 0);
	slot = put_growing(PP_CHUNK_WORDS * 2);
	assert_true(slot >= 0);
	assert_int_equal(fake_word(fake.tables[slot].index), 0);
	assert_int_equal(fake.nr_chunks, 4);
}

static void blocks_stay_in_a_chunk(_unused_ void **state)
{
	static struct pp_mapping maps[PP_MAPPINGS_MAX];
	uint32_t words = PP_MAPPINGS_MAX * PP_MAPPING_WORDS, word;

	start(4);
	maps[0].start = 0x1234567890;
	/* What is left of the first chunk is less than a block. */
	assert_true(put(PP_CHUNK_WORDS - words) >= 0);
	assert_int_equal(pp_tables_put_block(tables, maps, PP_MAPPINGS_MAX, &word), -EAGAIN);
	let_grow();
	assert_int_equal(pp_tables_put_block(tables, maps, PP_MAPPINGS_MAX, &word), 0);
	assert_int_not_equal(word, 0);
	assert_int_equal(word / PP_CHUNK_WORDS, (word + words - 1) / PP_CHUNK_WORDS);
	assert_int_equal(fake_word(word), 0x34567890);
}

static void the_budget_ends_growth(_unused_ void **state)
{
	struct pp_tables_usage u;

	start(2);
	while (put_growing(PP_CHUNK_WORDS / 4) >= 0)
		;
	assert_int_equal(put(PP_CHUNK_WORDS / 4), -ENOSPC);
	assert_int_equal(put(2 * PP_CHUNK_WORDS), -EFBIG);
	pp_tables_usage(tables, &u);
	assert_int_equal(u.bytes, u.budget);
	assert_int_equal(u.tables, 7);
}

static void the_dropped_settle_before_reuse(_unused_ void **state)
{
	uint64_t dropped_ns;
	int slot;

	start(1);
	slot = put(PP_CHUNK_WORDS / 2);
	assert_true(slot >= 0);
	pp_tables_drop(tables, slot);
	dropped_ns = pp_now_ns();
	assert_int_equal(fake.tables[slot].nr_buckets, 0);
	assert_int_equal(pp_tables_settling(tables), pp_tables_words(tables, slot));
	assert_int_equal(put(PP_CHUNK_WORDS / 2), -ENOSPC);
	/* Blocks may lead there as long as the caller says so, however late it is. */
	pp_tables_settle(tables, dropped_ns);
	assert_int_equal(put(PP_CHUNK_WORDS / 2), -ENOSPC);
	pp_tables_settle(tables, SETTLED);
	assert_int_equal(pp_tables_settling(tables), 0);
	assert_int_equal(put(PP_CHUNK_WORDS / 2), slot);
}

static void blocks_leave_room_for_tables(_unused_ void **state)
{
	static struct pp_mapping maps[PP_MAPPINGS_MAX];
	uint32_t words[64], word;
	size_t n = 0;
	int r;

	start(1);
	while (!(r = pp_tables_put_block(tables, maps, PP_MAPPINGS_MAX, &words[n])))
		n++;
	assert_int_equal(r, -EDQUOT);
	assert_int_equal(n * PP_MAPPINGS_MAX * PP_MAPPING_WORDS, PP_CHUNK_WORDS / 2);
	pp_tables_drop_block(tables, words[0], PP_MAPPINGS_MAX);
	assert_int_equal(pp_tables_put_block(tables, maps, PP_MAPPINGS_MAX, &word), 0);
	assert_int_not_equal(word, words[0]);
}

static void slots_run_out(_unused_ void **state)
{
	start(17);
	for (int i = 0; i < PP_TABLES_MAX; i++)
		if (put_growing(1) < 0)
			fail_msg("table %d", i);
	assert_int_equal(put(1), -ENOSPC);
	pp_tables_drop(tables, 17);
	pp_tables_settle(tables, SETTLED);
	assert_int_equal(put(1), 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(rules_are_numbered_for_all, stop),
		cmocka_unit_test_teardown(tables_are_aligned_and_apart, stop),
		cmocka_unit_test_teardown(a_table_may_cross_chunks, stop),
		cmocka_unit_test_teardown(blocks_stay_in_a_chunk, stop),
		cmocka_unit_test_teardown(the_budget_ends_growth, stop),
		cmocka_unit_test_teardown(the_dropped_settle_before_reuse, stop),
		cmocka_unit_test_teardown(blocks_leave_room_for_tables, stop),
		cmocka_unit_test_teardown(slots_run_out, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
