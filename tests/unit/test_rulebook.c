/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers of rules: shared, given back, and not to be used up by made-up files. */
#include "trace/rulebook.h"

#include "base/counters.h"
#include "bpf/pp_types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint32_t shared[PP_RULES_MAX];
static uint32_t rules[PP_RULES_MAX];
static uint16_t numbers[PP_RULES_MAX], others[PP_RULES_MAX];

/* Rules that no real file has, from `first` on. */
static void make_up(uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		rules[i] = PP_RULE(PP_RULE_RSP, first + i, 1);
}

static void test_shared(_unused_ void **state)
{
	_cleanup_(pp_rulebook_freep) struct pp_rulebook *b = NULL;

	assert_int_equal(pp_rulebook_new(&b, shared), 0);
	make_up(0, 100);
	assert_int_equal(pp_rulebook_take(b, rules, 100, numbers), 0);
	assert_int_equal(pp_rulebook_take(b, rules + 50, 50, others), 0);
	assert_memory_equal(others, numbers + 50, 50 * sizeof(*others));
	assert_int_equal(pp_rulebook_count(b), 101);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(shared[numbers[i]], rules[i]);
	/* The second half is the other table's still. */
	pp_rulebook_release(b, numbers, 100);
	assert_int_equal(pp_rulebook_count(b), 51);
	make_up(1000, 50);
	assert_int_equal(pp_rulebook_take(b, rules, 50, numbers), 0);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(shared[numbers[i]], rules[i]);
		assert_int_equal(shared[others[i]], PP_RULE(PP_RULE_RSP, 50 + i, 1));
	}
}

static uint32_t nr_unsupported(uint32_t n)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++)
		found += shared[numbers[i]] == PP_RULE(PP_RULE_UNSUPPORTED, 0, 0);
	return found;
}

/* Files with made-up rules take one another's numbers, and give them back. */
static void test_exhausted(_unused_ void **state)
{
	_cleanup_(pp_rulebook_freep) struct pp_rulebook *b = NULL;
	uint64_t refused = pp_counters[PP_C_rules_refused];

	assert_int_equal(pp_rulebook_new(&b, shared), 0);
	for (int again = 0; again < 20; again++) {
		make_up(0, PP_RULES_MAX);
		assert_int_equal(pp_rulebook_take(b, rules, PP_RULES_MAX, numbers), 0);
		assert_true(nr_unsupported(PP_RULES_MAX) > PP_RULES_MAX / 2);
		assert_true(pp_counters[PP_C_rules_refused] > refused);
		make_up(PP_RULES_MAX, 1000);
		assert_int_equal(pp_rulebook_take(b, rules, 1000, others), 0);
		pp_rulebook_release(b, numbers, PP_RULES_MAX);
		pp_rulebook_release(b, others, 1000);
		assert_int_equal(pp_rulebook_count(b), 1);
	}
	make_up(0, 1000);
	assert_int_equal(pp_rulebook_take(b, rules, 1000, numbers), 0);
	assert_int_equal(nr_unsupported(1000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_exhausted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
