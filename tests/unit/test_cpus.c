/* SPDX-License-Identifier: GPL-2.0-only */
/* Lists of CPUs as the kernel writes them, and the length of turns. */
#include "base/clock.h"
#include "trace/cpus.h"
#include "turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void lists(_unused_ void **state)
{
	static const struct {
		const char *text;
		unsigned int online;
		bool is[8];
	} good[] = {
		{ "0\n", 1, { true } },
		{ "0-3\n", 4, { true, true, true, true } },
		{ "0,2-3,7\n", 4, { true, false, true, true, false, false, false, true } },
		{ "1-1", 1, { false, true } },
		{ "\n", 0, { false } },
		{ "", 0, { false } },
		{ "6-99", 2, { false, false, false, false, false, false, true, true } },
		{ "3,3,2-3", 2, { false, false, true, true } },
	};
	static const char *const bad[] = { "3-1", "0-", "x", "0;1", "-1", "0-3x", "0 1" };
	struct pp_cpus c = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(pp_cpus_parse(&c, good[i].text, 8), 0);
		assert_int_equal(c.online, good[i].online);
		assert_memory_equal(c.is, good[i].is, sizeof(good[i].is));
		pp_cpus_done(&c);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (pp_cpus_parse(&c, bad[i], 8) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
}

static void this_machine(_unused_ void **state)
{
	struct pp_cpus c = { 0 };

	assert_int_equal(pp_cpus_online(&c, (unsigned int)sysconf(_SC_NPROCESSORS_CONF)), 0);
	assert_int_equal(c.online, sysconf(_SC_NPROCESSORS_ONLN));
	pp_cpus_done(&c);
}

static void a_turn_that_blocks_counts_by_the_wall(_unused_ void **state)
{
	struct pp_turn turn = { 0 };

	pp_turn_begin(&turn);
	usleep(20000);
	assert_true(pp_turn_end(&turn) >= 20 * NSEC_PER_MSEC);
	assert_true(turn.longest_ns >= 20 * NSEC_PER_MSEC);
}

static void a_turn_that_computes_counts_its_cpu_time(_unused_ void **state)
{
	struct pp_turn turn = { 0 };
	uint64_t cpu = pp_clock_ns(CLOCK_THREAD_CPUTIME_ID), took;

	pp_turn_begin(&turn);
	while (pp_clock_ns(CLOCK_THREAD_CPUTIME_ID) < cpu + 10 * NSEC_PER_MSEC)
		;
	took = pp_turn_end(&turn);
	cpu = pp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	/* However long this process waited for a CPU meanwhile. */
	assert_true(took <= cpu);
	assert_true(took >= 9 * NSEC_PER_MSEC);
	assert_int_equal(turn.longest_ns, took);
	/* A shorter one does not change that. */
	pp_turn_begin(&turn);
	assert_true(pp_turn_end(&turn) < took);
	assert_int_equal(turn.longest_ns, took);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(this_machine),
		cmocka_unit_test(a_turn_that_blocks_counts_by_the_wall),
		cmocka_unit_test(a_turn_that_computes_counts_its_cpu_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
