/* SPDX-License-Identifier: GPL-2.0-only */
/* Who may see and do what, and the kernel's word on a process. */
#include "api/policy.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <cmocka.h>

#define GROUP 900
#define USER  1000

static const struct pp_policy strict = { .group = GROUP, .paranoid = 2 };
static const struct pp_policy open_kernel = { .group = GROUP, .paranoid = 1 };
static const struct pp_policy no_group = { .group = (gid_t)-1, .paranoid = 2 };

static void test_rank(void **state _unused_)
{
	static const gid_t groups[] = { 4, GROUP }, others[] = { 4, GROUP + 1, (gid_t)-1 };
	struct pp_peer root = { .uid = 0, .gid = 0 };
	struct pp_peer primary = { .uid = USER, .gid = GROUP };
	struct pp_peer member = { .uid = USER, .gid = USER, .groups = groups, .nr_groups = 2 };
	struct pp_peer other = { .uid = USER, .gid = 0, .groups = others, .nr_groups = 3 };

	assert_int_equal(pp_policy_rank(&strict, &root), PP_RANK_ROOT);
	assert_int_equal(pp_policy_rank(&no_group, &root), PP_RANK_ROOT);
	assert_int_equal(pp_policy_rank(&strict, &primary), PP_RANK_GROUP);
	assert_int_equal(pp_policy_rank(&strict, &member), PP_RANK_GROUP);
	assert_int_equal(pp_policy_rank(&strict, &other), PP_RANK_OTHER);
	/* where there is no such group, no number stands for it */
	assert_int_equal(pp_policy_rank(&no_group, &member), PP_RANK_OTHER);
	assert_int_equal(pp_policy_rank(&no_group, &other), PP_RANK_OTHER);
}

/* Each of the facts alone takes a process away from its user. */
static void test_sees(void **state _unused_)
{
	const struct pp_policy_subject own = { true, USER, USER, USER, true };
	const struct pp_policy_subject not_own[] = {
		{ false, USER, USER, USER, true },    { true, USER + 1, USER, USER, true },
		{ true, USER, USER + 1, USER, true }, { true, USER, USER, USER + 1, true },
		{ true, USER, USER, USER, false },    { true, 0, 0, 0, true },
		{ true, USER, 0, 0, true },	      { 0 },
	};

	assert_true(pp_policy_sees(PP_RANK_OTHER, USER, &own));
	for (size_t i = 0; i < ARRAY_SIZE(not_own); i++) {
		assert_false(pp_policy_sees(PP_RANK_OTHER, USER, &not_own[i]));
		assert_true(pp_policy_sees(PP_RANK_GROUP, USER, &not_own[i]));
		assert_true(pp_policy_sees(PP_RANK_ROOT, 0, &not_own[i]));
	}
}

static void test_kernel(void **state _unused_)
{
	assert_int_equal(pp_policy_kernel(&strict, PP_RANK_OTHER), PP_KERNEL_HIDDEN);
	assert_int_equal(pp_policy_kernel(&open_kernel, PP_RANK_OTHER), PP_KERNEL_NAMES);
	assert_int_equal(pp_policy_kernel(&strict, PP_RANK_GROUP), PP_KERNEL_NAMES);
	assert_int_equal(pp_policy_kernel(&strict, PP_RANK_ROOT), PP_KERNEL_FULL);
}

static void test_limits(void **state _unused_)
{
	assert_int_equal(pp_policy_frequency(PP_RANK_OTHER), 99);
	assert_int_equal(pp_policy_frequency(PP_RANK_GROUP), 9999);
	assert_int_equal(pp_policy_sessions(PP_RANK_OTHER), 4);
	assert_int_equal(pp_policy_sessions(PP_RANK_ROOT), 64);
}

static void test_paranoid(void **state _unused_)
{
	FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
	int value;

	if (!f)
		skip();
	assert_int_equal(fscanf(f, "%d", &value), 1);
	fclose(f);
	assert_int_equal(pp_policy_read_paranoid(), value);
}

static void test_own_subject(void **state _unused_)
{
	struct pp_policy_subject s = { 0 };
	uid_t r, e, u;

	getresuid(&r, &e, &u);
	assert_int_equal(pp_policy_read_subject(getpid(), &s), 0);
	assert_true(s.known && s.dumpable);
	assert_true(s.ruid == r && s.euid == e && s.suid == u);
	assert_int_equal(pp_policy_read_subject(0x3fffffff, &s), -ESRCH);
}

/* A child of other uids, dumpable or not, as the kernel shows it. */
static struct pp_policy_subject subject_of_child(uid_t ruid, uid_t euid, uid_t suid, int dumpable)
{
	struct pp_policy_subject s = { 0 };
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setresuid(ruid, euid, suid) < 0 || prctl(PR_SET_DUMPABLE, dumpable) < 0)
			_exit(1);
		(void)!write(ready[1], "", 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	assert_int_equal(pp_policy_read_subject(pid, &s), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return s;
}

static void test_child_subject(void **state _unused_)
{
	struct pp_policy_subject s;

	if (geteuid() != 0)
		skip();
	s = subject_of_child(USER, USER, USER, 1);
	assert_true(pp_policy_sees(PP_RANK_OTHER, USER, &s));
	s = subject_of_child(USER, USER, USER, 0);
	assert_true(s.known && !s.dumpable);
	assert_false(pp_policy_sees(PP_RANK_OTHER, USER, &s));
	s = subject_of_child(USER, USER + 1, USER + 2, 1);
	assert_true(s.ruid == USER && s.euid == USER + 1 && s.suid == USER + 2);
	assert_false(pp_policy_sees(PP_RANK_OTHER, USER, &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank),	      cmocka_unit_test(test_sees),
		cmocka_unit_test(test_kernel),	      cmocka_unit_test(test_limits),
		cmocka_unit_test(test_paranoid),      cmocka_unit_test(test_own_subject),
		cmocka_unit_test(test_child_subject),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
