/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The script for another user's process: root makes it as that user, so nothing is made where a
 * process leads that could not make it itself; and it is for processes of that user's alone.
 */
#include "remote/script.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define NOBODY 65534

static char root[] = "/tmp/pyprof-test-XXXXXX", tmp[64];

/* A process of these users that sees `root` as its root. */
static pid_t start(uid_t real, uid_t effective, uid_t saved)
{
	int ready[2];
	pid_t pid;
	char byte;

	assert_return_code(pipe(ready), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0) {
		if (chroot(root) == 0 && chdir("/") == 0 && setgid(NOBODY) == 0 &&
		    setresuid(real, effective, saved) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static int make_script(struct pp_script *s, mode_t mode)
{
	_cleanup_target_ struct pp_target t = PP_TARGET;
	pid_t pid = start(NOBODY, NOBODY, NOBODY);
	int r;

	assert_return_code(chmod(tmp, mode), errno);
	r = pp_target_open(&t, pid);
	if (!r)
		r = pp_script_new(s, &t, true);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return r;
}

static void assert_is_nobodys(int fd, mode_t mode)
{
	struct stat st;

	assert_return_code(fstat(fd, &st), errno);
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(st.st_gid, NOBODY);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void is_made_as_the_process_user(_unused_ void **state)
{
	struct pp_script s = PP_SCRIPT;
	int fd;

	if (geteuid())
		skip();
	assert_int_equal(make_script(&s, 01777), 0);
	assert_is_nobodys(s.dir, 0700);
	assert_is_nobodys(s.answer, 0600);
	fd = openat(s.dir, "script.py", O_RDONLY);
	assert_is_nobodys(fd, 0400);
	close(fd);
	pp_script_done(&s);
	assert_return_code(rmdir(tmp), errno); /* nothing is left */
	assert_return_code(mkdir(tmp, 0755), errno);
}

/* It may mount any directory in that place. */
static void is_not_made_where_the_user_may_make_nothing(_unused_ void **state)
{
	struct pp_script s = PP_SCRIPT;

	if (geteuid())
		skip();
	assert_int_equal(make_script(&s, 0755), PP_EXIT_FAILED);
	pp_script_done(&s);
	assert_return_code(rmdir(tmp), errno);
	assert_return_code(mkdir(tmp, 0755), errno);
}

/* Another process of the user that it only seems to be would say what root's runs. */
static void is_not_for_who_may_be_another_user(_unused_ void **state)
{
	static const uid_t ids[][3] = {
		{ NOBODY, NOBODY, 0 },
		{ NOBODY, 0, 0 },
		{ 0, NOBODY, NOBODY },
	};

	if (geteuid())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		_cleanup_target_ struct pp_target t = PP_TARGET;
		pid_t pid = start(ids[i][0], ids[i][1], ids[i][2]);

		assert_int_equal(pp_target_open(&t, pid), PP_EXIT_FAILED);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void a_change_of_user_is_noticed(_unused_ void **state)
{
	_cleanup_target_ struct pp_target t = PP_TARGET;
	pid_t pid;

	if (geteuid())
		skip();
	pid = start(NOBODY, NOBODY, NOBODY);
	assert_int_equal(pp_target_open(&t, pid), 0);
	assert_true(pp_target_keeps_user(&t));
	t.uid++;
	assert_false(pp_target_keeps_user(&t));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(pp_target_keeps_user(&t));
}

static int setup(_unused_ void **state)
{
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		return -1;
	snprintf(tmp, sizeof(tmp), "%s/tmp", root);
	return mkdir(tmp, 0755);
}

static int teardown(_unused_ void **state)
{
	return rmdir(tmp) < 0 || rmdir(root) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_made_as_the_process_user),
		cmocka_unit_test(is_not_made_where_the_user_may_make_nothing),
		cmocka_unit_test(is_not_for_who_may_be_another_user),
		cmocka_unit_test(a_change_of_user_is_noticed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
