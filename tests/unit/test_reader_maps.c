/* SPDX-License-Identifier: GPL-2.0-only */
/* The reader child and what keeps a Python named: perf maps, jitdumps, the state of its /tmp. */
#include "reader.h"

/* ---- Perf maps ---------------------------------------------------------------------------------
 */

static void map_name(char *out, size_t size, pid_t pid)
{
	snprintf(out, size, "/tmp/perf-%d.map", pid);
}

static void hold_map(void)
{
	char path[64];

	map_name(path, sizeof(path), getpid());
	if (pp_write_full(open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), "held", 4) < 0)
		_exit(1);
}

static void hold_deleted_map(void)
{
	char path[64];

	hold_map();
	map_name(path, sizeof(path), getpid());
	unlink(path);
}

static void test_perfmap_held(void **state)
{
	pid_t pid = start_target(hold_map, true);
	char path[64];

	(void)state;
	map_name(path, sizeof(path), pid);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_HELD);
	assert_int_equal(got.found.nspid, pid);
	assert_int_equal(got.found.key.size, 4);
	assert_non_null(strstr(got.path, path));
	assert_pin_holds(got.fd, "held");
	close(got.fd);
	stop_target(pid);

	pid = start_target(hold_deleted_map, true);
	map_name(path, sizeof(path), pid);
	put_file(path, "left by another", -1);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_HELD);
	assert_pin_holds(got.fd, "held");
	close(got.fd);
	stop_target(pid);
}

static void map_jitdump(void) /* to be noticed, without holding it open */
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/tmp/jit-%d.dump", getpid());
	fd = open(path, O_RDWR | O_CREAT, 0666);
	if (pp_write_full(fd, "dump", 4) < 0 ||
	    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		_exit(1);
	close(fd);
	hold_map();
}

static void test_jitdump(void **state)
{
	pid_t pid = start_target(map_jitdump, true);

	(void)state;
	for (int i = 1; i >= 0; i--) {
		want_dump = i;
		assert_return_code(perfmap(pid), 0);
		assert_pin_holds(got.fd, i ? "dump" : "held");
		close(got.fd);
	}
	stop_target(pid);
}

static void become_nobody(void)
{
	if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
}

static void hold_map_and_drop(void)
{
	usleep(50000); /* a file is stamped by the last tick, the process began before that */
	hold_map();
	become_nobody();
}

static void hold_foreign_map_for_reading(void)
{
	char path[64];

	hold_map();
	map_name(path, sizeof(path), getpid());
	close(3);
	for (int fd = 3; fd < 64; fd++) /* whichever number it had */
		if (fcntl(fd, F_GETFL) >= 0 && (fcntl(fd, F_GETFL) & O_APPEND))
			close(fd);
	if (open(path, O_RDONLY) < 0)
		_exit(1);
	become_nobody();
}

static void test_perfmap_of_dropped_privileges(void **state)
{
	pid_t pid = start_target(hold_map_and_drop, true);

	(void)state;
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_HELD);
	assert_int_equal(got.found.euid, NOBODY);
	assert_pin_holds(got.fd, "held");
	close(got.fd);
	stop_target(pid);

	/* Somebody else's file that it can only read is not its map. */
	pid = start_target(hold_foreign_map_for_reading, true);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_FOREIGN);
	assert_int_equal(got.fd, -1);
	stop_target(pid);
}

static void test_perfmap_by_path(void **state)
{
	pid_t pid = start_target(become_nobody, true);
	char path[64], full[256], other[256];

	(void)state;
	map_name(path, sizeof(path), pid);
	in_root(full, sizeof(full), path);
	in_root(other, sizeof(other), "/tmp/other");
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_MISSING);

	put_file(path, "mine", NOBODY);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_PATH);
	assert_string_equal(got.path, path);
	assert_pin_holds(got.fd, "mine");
	close(got.fd);

	assert_return_code(link(full, other), 0);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_LINKS);
	unlink(other);
	unlink(full);

	put_file(path, "stale", -1);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_FOREIGN);
	unlink(full);

	assert_return_code(symlink("/secret", full), 0);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_SYMLINK);
	unlink(full);

	assert_return_code(mkfifo(full, 0600), 0);
	assert_return_code(chown(full, NOBODY, NOBODY), 0);
	assert_return_code(perfmap(pid), 0);
	assert_int_equal(got.found.answer, PP_PERFMAP_NOT_REGULAR);
	unlink(full);
	assert_int_equal(got.fd, -1);
	for (int a = PP_PERFMAP_MISSING; a < PP_PERFMAP_ANSWERS; a++)
		assert_non_null(pp_perfmap_answer_text(a));
	assert_null(pp_perfmap_answer_text(PP_PERFMAP_HELD));
	stop_target(pid);
	assert_int_equal(perfmap(pid), -ESRCH);
}

/* ---- A close look -----------------------------------------------------------------------------
 */

static struct pp_examined examined;

static void on_examined(void *userdata, int error, const struct pp_examined *e)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	if (!e)
		return;
	examined = *e;
	memcpy(got.data, e->code, e->code_len);
}

static int examine(pid_t pid, uint64_t code, size_t len, int map_fd)
{
	begin();
	return wait_for(pp_reader_examine(reader, any(pid), code, len, map_fd, on_examined, NULL));
}

static void expect_tmp(pid_t pid, enum pp_tmp tmp)
{
	assert_return_code(examine(pid, 0, 0, -1), 0);
	assert_int_equal(examined.tmp, tmp);
	assert_int_equal(examined.code_len, 0);
	assert_int_equal(examined.map_bytes, -1);
}

static void test_examine(void **state)
{
	static const uint8_t code[] = "some bytes of a target";
	pid_t pid = start_target(become_nobody, true);
	_cleanup_close_ int fd = memfd_create("map", MFD_CLOEXEC);
	char tmp[256], moved[256];

	(void)state;
	in_root(tmp, sizeof(tmp), "/tmp");
	in_root(moved, sizeof(moved), "/moved");
	assert_return_code(ftruncate(fd, 12345), 0);
	assert_return_code(examine(pid, (uintptr_t)code, sizeof(code), fd), 0);
	assert_int_equal(examined.map_bytes, 12345);
	assert_int_equal(examined.code_len, sizeof(code));
	assert_memory_equal(got.data, code, sizeof(code));
	assert_return_code(examine(pid, (uintptr_t)code, SIZE_MAX, -1), 0);
	assert_in_range(examined.code_len, 0, PP_CODE_MAX);
	assert_return_code(examine(pid, 16, 8, -1), 0); /* nothing is mapped there */
	assert_int_equal(examined.code_len, 0);

	assert_return_code(chmod(tmp, 0755), 0);
	expect_tmp(pid, PP_TMP_DENIED);
	assert_return_code(chmod(tmp, 01777), 0);
	expect_tmp(pid, PP_TMP_GOOD);
	assert_return_code(mount("none", tmp, "tmpfs", MS_RDONLY, NULL), 0);
	expect_tmp(pid, PP_TMP_READ_ONLY);
	assert_return_code(umount(tmp), 0);
	assert_return_code(rename(tmp, moved), 0);
	expect_tmp(pid, PP_TMP_MISSING);
	put_file("/tmp", "no directory", -1);
	expect_tmp(pid, PP_TMP_MISSING);
	assert_return_code(unlink(tmp), 0);
	assert_return_code(symlink("/moved", tmp), 0); /* within its root */
	expect_tmp(pid, PP_TMP_GOOD);
	assert_return_code(unlink(tmp), 0);
	assert_return_code(rename(moved, tmp), 0);
	stop_target(pid);
	assert_int_equal(examine(pid, 0, 0, -1), -ESRCH);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_perfmap_held),
		TEST(test_jitdump),
		TEST(test_perfmap_of_dropped_privileges),
		TEST(test_perfmap_by_path),
		TEST(test_examine),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
