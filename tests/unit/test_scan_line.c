/* SPDX-License-Identifier: GPL-2.0-only */
/* Which process is scanned next: those that samples wait for, in order, then the others. */
#include "bpf/pp_types.h"
#include "proc/processes.h"
#include "trace/life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PIDS 6

static struct pp_processes *table;

static int setup(void **state)
{
	int r = pp_processes_new(&table, NULL, NULL, NULL);

	(void)state;
	for (pid_t pid = 1; pid <= PIDS && r >= 0; pid++) {
		struct pp_life fork = { .kind = PP_LIFE_FORK, .pid = pid, .tid = pid, .ppid = 100 };

		fork.time_ns = (uint64_t)pid;
		r = pp_processes_life(table, &fork);
	}
	return r;
}

static int teardown(void **state)
{
	(void)state;
	table = pp_processes_free(table);
	return 0;
}

static struct pp_process *of(pid_t pid)
{
	return pp_processes_by_pid(table, pid);
}

static void want(pid_t pid)
{
	pp_processes_want_scan(table, of(pid));
}

static void sample(pid_t pid)
{
	assert_non_null(pp_processes_sample(table, pid, (uint64_t)pid * NSEC_PER_SEC, 1, "a", 200));
}

/* Takes everybody in line, and compares with the pids given, which a 0 ends. */
static void expect_line(const pid_t *pids)
{
	struct pp_process *p;

	for (; (p = pp_processes_take_scan(table, 300)); pids++) {
		assert_int_equal(p->pid, *pids);
		pp_processes_scanned(table, p, -ESRCH, NULL);
	}
	assert_int_equal(*pids, 0);
}

static void test_first_come_first_served(void **state)
{
	(void)state;
	want(3);
	want(1);
	want(2);
	want(1);
	expect_line((pid_t[]){ 3, 1, 2, 0 });
	expect_line((pid_t[]){ 0 });
}

static void test_samples_go_before(void **state)
{
	(void)state;
	for (pid_t pid = 1; pid <= 4; pid++)
		want(pid);
	sample(3); /* from the middle */
	sample(6); /* not in line yet */
	sample(4); /* from the end */
	sample(3);
	want(5);
	want(6);
	sample(1); /* from the front of the others */
	expect_line((pid_t[]){ 3, 6, 4, 1, 2, 5, 0 });
}

static void test_the_last_who_waits_goes(void **state)
{
	struct pp_process *p;

	(void)state;
	want(1);
	sample(2);
	p = pp_processes_take_scan(table, 300);
	assert_int_equal(p->pid, 2);
	pp_processes_scanned(table, p, -ESRCH, NULL);
	sample(4);
	want(5);
	sample(3);
	expect_line((pid_t[]){ 4, 3, 1, 5, 0 });
}

static void test_who_has_ended_is_passed_over(void **state)
{
	struct pp_life exit = { .kind = PP_LIFE_EXIT, .pid = 2, .tid = 2, .time_ns = 250 };

	(void)state;
	want(1);
	sample(2);
	sample(3);
	assert_return_code(pp_processes_life(table, &exit), 0);
	expect_line((pid_t[]){ 3, 1, 0 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_come_first_served, setup, teardown),
		cmocka_unit_test_setup_teardown(test_samples_go_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_who_waits_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_has_ended_is_passed_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
