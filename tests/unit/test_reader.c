/* SPDX-License-Identifier: GPL-2.0-only */
/* The reader child against real processes: friendly, hostile, gone, and ones that never answer. */
#include "reader.h"

#include <sys/file.h>

/* ---- Scan --------------------------------------------------------------------------------------
 */

static char *arguments;	     /* argv[0], */
static size_t arguments_len; /* and the bytes of it */

static void be_somebody(void)
{
	memset(arguments, 0, arguments_len);
	memcpy(arguments, "a\0b c\0d", MIN(arguments_len, sizeof("a\0b c\0d")));
	prctl(PR_SET_NAME, "a) R 1 (b"); /* looks like the end of the name in stat */
	if (setresuid(1001, 1002, 1003) < 0)
		_exit(1);
}

static void test_scan(void **state)
{
	pid_t pid = start_target(be_somebody, false);
	char exe[4096] = "";

	(void)state;
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_return_code(scan(any(pid)), 0);
	assert_int_equal(got.scan.ppid, getpid());
	assert_int_equal(got.scan.nspid, pid);
	assert_int_equal(got.scan.ruid, 1001);
	assert_int_equal(got.scan.euid, 1002);
	assert_int_equal(got.scan.suid, 1003);
	assert_int_equal(got.scan.fsuid, 1002);
	assert_false(got.scan.dumpable); /* changing uids takes it away */
	assert_false(got.scan.kernel_thread);
	assert_string_equal(got.scan.comm, "a) R 1 (b");
	assert_string_equal(got.exe, exe);
	assert_string_equal(got.cmdline, "a b c d");
	assert_non_null(strstr(got.maps, exe));
	assert_null(strstr(got.maps, "[stack]")); /* executable ones only */
	assert_non_null(strchr(got.cgroup, ':'));
	assert_int_equal(got.scan.maps_cut, 0);

	/* Only that life of the pid answers. */
	struct pp_target exact = { .pid = pid, .start_ticks = got.scan.start_ticks };

	assert_return_code(scan(exact), 0);
	exact.start_ticks++;
	assert_int_equal(scan(exact), -ESRCH);
	stop_target(pid);
	exact.start_ticks--;
	assert_int_equal(scan(exact), -ESRCH);
	assert_int_equal(scan(any(pid)), -ESRCH);
}

static void test_scan_arguments(void **state)
{
	pid_t pid = start_target(NULL, false);

	(void)state;
	assert_return_code(scan(any(pid)), 0);
	assert_true(got.scan.dumpable);
	assert_non_null(strstr(got.cmdline, "test_reader"));
	stop_target(pid);
	assert_int_equal(scan(any(0)), -EINVAL);
	assert_return_code(scan(any(2)), 0); /* kthreadd, or something else in a container */
	if (got.scan.kernel_thread) {
		assert_string_equal(got.maps, "");
		assert_string_equal(got.cmdline, "");
	}
}

static int in_namespace(void *ready)
{
	if (write(*(int *)ready, "r", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void test_scan_in_pid_namespace(void **state)
{
	static char stack[64 * 1024];
	int ready[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_return_code(pipe2(ready, O_CLOEXEC), 0);
	pid = clone(in_namespace, stack + sizeof(stack), CLONE_NEWPID | SIGCHLD, &ready[1]);
	assert_true(pid > 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_return_code(scan(any(pid)), 0);
	assert_int_equal(got.scan.nspid, 1);
	stop_target(pid);
	close(ready[0]);
	close(ready[1]);
}

#define MANY_MAPPINGS (PP_MAPPINGS_MAX + 500)

static void map_often(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < MANY_MAPPINGS; i++)
		if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
			_exit(1);
}

static void test_scan_many_mappings(void **state)
{
	pid_t pid = start_target(map_often, false);
	static struct pp_maps_line line;
	size_t n = 0, at = 0, skip;

	(void)state;
	assert_return_code(scan(any(pid)), 0);
	for (ssize_t took; at < got.scan.maps_len; at += (size_t)took, n++) {
		took = pp_maps_parse(&line, got.maps + at, got.scan.maps_len - at, &skip);
		assert_true(took > 0);
		assert_true(line.exec);
	}
	assert_int_equal(n, PP_MAPPINGS_MAX);
	assert_in_range(got.scan.maps_cut, 500, 600); /* and what the process had anyway */
	stop_target(pid);
}

/* ---- Identify ----------------------------------------------------------------------------------
 */

static struct pp_map *mapped; /* a struct pp_map in shared memory, filled by the target */
static char mapped_path[256];

static void fill_map(void *at, int fd)
{
	struct stat st;

	fstat(fd, &st);
	*mapped = (struct pp_map){ .start = (uintptr_t)at,
				   .end = (uintptr_t)at + 4096,
				   .dev = st.st_dev,
				   .ino = st.st_ino };
}

static void map_file(void)
{
	int fd = open(mapped_path, O_RDONLY | O_CLOEXEC);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	if (at == MAP_FAILED)
		_exit(1);
	fill_map(at, fd);
	close(fd);
}

static void set_path(const char *path)
{
	free(mapped->path);
	mapped->path = calloc(1, sizeof(struct pp_atom) + strlen(path) + 1);
	mapped->path->len = (uint32_t)strlen(path);
	memcpy(mapped->path->text, path, strlen(path));
}

static pid_t map_in_target(struct stat *ret_st)
{
	pid_t pid;

	put_file("/object", "contents", -1);
	in_root(mapped_path, sizeof(mapped_path), "/object");
	memset(mapped, 0, sizeof(*mapped));
	pid = start_target(map_file, false);
	set_path(mapped_path);
	assert_return_code(stat(mapped_path, ret_st), 0);
	return pid;
}

static void identify_done(pid_t pid)
{
	free(mapped->path);
	mapped->path = NULL;
	stop_target(pid);
}

static void test_identify(void **state)
{
	struct pp_file_key key;
	struct stat st;
	pid_t pid = map_in_target(&st);

	(void)state;
	key = pp_file_key_of(&st);
	assert_return_code(identify(pid, mapped, false), 0);
	assert_true(pp_file_key_equal(&got.id.key, &key));
	assert_int_equal(got.fd, -1);
	assert_return_code(identify(pid, mapped, true), 0);
	assert_true(pp_file_key_equal(&got.id.key, &key));
	assert_int_equal(got.id.key.size, 8);
	assert_envelope_holds(got.fd, "contents");
	close(got.fd);

	/* The mapping alone, the path is of no use; then the path alone. */
	set_path("/nonsense");
	assert_return_code(identify(pid, mapped, true), 0);
	assert_envelope_holds(got.fd, "contents");
	close(got.fd);
	set_path(mapped_path);
	mapped->start += 4096;
	mapped->end += 4096;
	assert_return_code(identify(pid, mapped, true), 0);
	assert_envelope_holds(got.fd, "contents");
	close(got.fd);

	/* Rewritten in place: another key. */
	usleep(20000); /* a tick of the file system's clock */
	put_file("/object", "different", -1);
	assert_return_code(identify(pid, mapped, false), 0);
	assert_false(pp_file_key_equal(&got.id.key, &key));
	identify_done(pid);
}

static void test_identify_deleted_and_replaced(void **state)
{
	struct stat st;
	pid_t pid = map_in_target(&st);
	struct pp_map elsewhere;

	(void)state;
	assert_return_code(unlink(mapped_path), 0);
	put_file("/object", "an impostor", -1);
	assert_return_code(identify(pid, mapped, true), 0);
	assert_int_equal(got.id.key.ino, st.st_ino);
	assert_envelope_holds(got.fd, "contents");
	close(got.fd);

	/* Where the mapping is gone too, the impostor must not answer for it. */
	elsewhere = *mapped;
	elsewhere.start += 4096;
	elsewhere.end += 4096;
	assert_int_equal(identify(pid, &elsewhere, true), -ENOENT);
	assert_int_equal(got.fd, -1);
	/* Nor may another mapping at the address. */
	elsewhere = *mapped;
	elsewhere.ino += 1000000;
	assert_int_equal(identify(pid, &elsewhere, true), -ENOENT);
	identify_done(pid);
}

static void test_identify_of_the_dead(void **state)
{
	struct stat st;
	pid_t pid = map_in_target(&st);

	(void)state;
	stop_target(pid);
	assert_return_code(identify(pid, mapped, true), 0);
	assert_envelope_holds(got.fd, "contents");
	close(got.fd);
	mapped->ino++;
	assert_int_equal(identify(pid, mapped, true), -ENOENT);
	free(mapped->path);
	mapped->path = NULL;
}

/* A lock of an open file lasts as long as that does: until nobody has it, in no envelope either. */
static void test_discard(void **state)
{
	char path[256];
	int envelopes[20], mine, other;

	(void)state;
	put_file("/discarded", "contents", -1);
	in_root(path, sizeof(path), "/discarded");
	mine = open(path, O_RDONLY | O_CLOEXEC);
	other = open(path, O_RDONLY | O_CLOEXEC);
	assert_return_code(flock(mine, LOCK_EX), 0);
	for (size_t i = 0; i < ARRAY_SIZE(envelopes); i++) {
		envelopes[i] = pp_envelope_new(mine);
		assert_true(envelopes[i] >= 0);
	}
	close(mine);
	for (size_t i = 0; i < ARRAY_SIZE(envelopes); i++) {
		assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
		pp_reader_discard(reader, NOBODY, envelopes[i]);
	}
	for (int i = 0; i < 1000 && flock(other, LOCK_EX | LOCK_NB) < 0; i++)
		assert_return_code(sd_event_run(event, 5 * USEC_PER_MSEC), 0);
	assert_return_code(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
}

static void test_identify_refuses(void **state)
{
	pid_t pid = start_target(NULL, true);
	char full[256];
	struct stat st;

	(void)state;
	in_root(full, sizeof(full), "/fifo");
	assert_return_code(mkfifo(full, 0600), 0);
	assert_return_code(stat(full, &st), 0);
	memset(mapped, 0, sizeof(*mapped));
	*mapped = (struct pp_map){ .start = 4096, .end = 8192, .dev = st.st_dev, .ino = st.st_ino };
	set_path("/fifo");
	assert_int_equal(identify(pid, mapped, true), -EINVAL);
	put_file("/secret", "secret", -1);
	in_root(full, sizeof(full), "/link");
	assert_return_code(symlink("/secret", full), 0);
	assert_return_code(stat("/etc/passwd", &st), 0);
	*mapped = (struct pp_map){
		.start = 4096, .end = 8192, .ino = st.st_ino, .dev = st.st_dev, .path = mapped->path
	};
	set_path("/link");
	assert_int_equal(identify(pid, mapped, true), -ELOOP);
	set_path("/../../../etc/passwd"); /* the root is the target's */
	assert_int_equal(identify(pid, mapped, true), -ENOENT);
	set_path("[vdso]");
	assert_int_equal(identify(pid, mapped, true), -ENOENT);
	set_path("//anon");
	assert_int_equal(identify(pid, mapped, true), -ENOENT);
	identify_done(pid);
}

/* ---- Chunks ------------------------------------------------------------------------------------
 */

static void test_read(void **state)
{
	_cleanup_free_ char *big = malloc(200 * KIB);
	int fd, ends[2];

	(void)state;
	memset(big, 'x', 200 * KIB);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_return_code(pp_write_full(fd, big, 200 * KIB), 0);
	assert_return_code(read_chunk(fd, 0, SIZE_MAX), 0);
	assert_int_equal(got.len, PP_READ_MAX);
	assert_int_equal(got.size, 200 * KIB);
	assert_memory_equal(got.data, big, PP_READ_MAX);
	assert_return_code(read_chunk(fd, 200 * KIB - 3, 100), 0);
	assert_int_equal(got.len, 3);
	assert_return_code(read_chunk(fd, 200 * KIB, 100), 0);
	assert_int_equal(got.len, 0);
	assert_return_code(ftruncate(fd, 5), 0);
	assert_return_code(read_chunk(fd, 200 * KIB, 100), 0);
	assert_int_equal(got.size, 5); /* by which the caller knows that it was cut */
	close(fd);
	assert_return_code(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(read_chunk(ends[0], 0, 100), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(read_chunk(-1, 0, 100), -EINVAL);
}

/* ---- Debug files -------------------------------------------------------------------------------
 */

static void test_debugfile(void **state)
{
	struct pp_debugfile by_id = { .build_id = { 0xab, 0xcd, 0xef }, .build_id_len = 3 };
	struct pp_debugfile by_link = { .debuglink = "prog.debug", .directory = "/opt" };
	pid_t pid = start_target(NULL, true);
	char full[256];

	(void)state;
	assert_int_equal(debugfile(pid, &by_id), -ENOENT);
	assert_int_equal(debugfile(pid, &by_link), -ENOENT);
	for (size_t i = 0; i < 8; i++)
		make_directory((const char *[]){ "/usr", "/usr/lib", "/usr/lib/debug",
						 "/usr/lib/debug/.build-id",
						 "/usr/lib/debug/.build-id/ab", "/opt",
						 "/opt/.debug", "/usr/lib/debug/opt" }[i]);
	put_file("/usr/lib/debug/.build-id/ab/cdef.debug", "by id", -1);
	assert_return_code(debugfile(pid, &by_id), 0);
	assert_envelope_holds(got.fd, "by id");
	close(got.fd);

	put_file("/usr/lib/debug/opt/prog.debug", "third", -1);
	assert_return_code(debugfile(pid, &by_link), 0);
	assert_envelope_holds(got.fd, "third");
	close(got.fd);
	put_file("/opt/.debug/prog.debug", "second", -1);
	assert_return_code(debugfile(pid, &by_link), 0);
	assert_envelope_holds(got.fd, "second");
	close(got.fd);
	/* A symlink beside the program may lead to what its owner may not read. */
	put_file("/secret", "secret", -1);
	in_root(full, sizeof(full), "/opt/prog.debug");
	assert_return_code(symlink("/secret", full), 0);
	assert_return_code(debugfile(pid, &by_link), 0);
	assert_envelope_holds(got.fd, "second");
	close(got.fd);

	by_link.debuglink = "../secret";
	assert_int_equal(debugfile(pid, &by_link), -ENOENT);
	by_link.debuglink = "..";
	assert_int_equal(debugfile(pid, &by_link), -ENOENT);
	stop_target(pid);
}

/* ---- What never answers ------------------------------------------------------------------------
 */

/* Its /tmp is a FUSE file system whose server is silent: whoever looks into it waits for ever. */
static void never_answer(void)
{
	int fd = open("/dev/fuse", O_RDWR); /* kept open: closing it would end the waiting */
	char options[128], tmp[256];

	in_root(tmp, sizeof(tmp), "/tmp");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	shared[0] = fd < 0 || unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("silent", tmp, "fuse", 0, options) < 0 || chroot(root) < 0;
}

static void test_never_answers(void **state)
{
	uint64_t stuck = pp_counters[PP_C_reader_stuck], start;
	pid_t pid, other;

	(void)state;
	pid = start_target(never_answer, false);
	if (shared[0]) {
		stop_target(pid);
		print_message("no FUSE here\n");
		skip();
	}
	other = start_target(NULL, false);
	start = pp_now_ns();
	assert_int_equal(perfmap(pid), -ETIMEDOUT);
	assert_in_range((pp_now_ns() - start) / NSEC_PER_MSEC, 1000, 2000);
	assert_int_equal(pp_counters[PP_C_reader_stuck], stuck + 1);

	assert_true(pp_reader_is_stuck(reader, any(pid)));
	assert_int_equal(perfmap(pid), -EBUSY);
	assert_int_equal(scan(any(pid)), -EBUSY);
	assert_false(pp_reader_is_stuck(reader, any(other)));
	assert_return_code(scan(any(other)), 0);
	pp_reader_forget(reader, pid);
	assert_false(pp_reader_is_stuck(reader, any(pid)));
	assert_return_code(scan(any(pid)), 0); /* which does not need its files */
	stop_target(pid);
	stop_target(other);
}

/* A user with one such process after the other is left alone for a while; nobody else is. */
static void test_user_who_keeps_it_waiting(void **state)
{
	struct pp_target target = { .start_ticks = PP_TICKS_UNKNOWN, .uid = NOBODY };
	uint64_t refused = pp_counters[PP_C_reader_refused];
	pid_t pids[4];
	int r = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = start_target(never_answer, false);
	for (size_t i = 0; i < ARRAY_SIZE(pids) && !shared[0]; i++) {
		target.pid = pids[i];
		begin();
		r = wait_for(pp_reader_perfmap(reader, target, false, on_perfmap, NULL));
		assert_int_equal(r, i < 3 ? -ETIMEDOUT : -EBUSY);
	}
	if (!shared[0]) {
		assert_int_equal(pp_counters[PP_C_reader_refused], refused + 1);
		target.pid = getpid();
		target.uid = 1000;
		assert_return_code(scan(target), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		stop_target(pids[i]);
	if (shared[0])
		skip();
}

/* ---- The program ---- */

static int make_targets_root(void **state)
{
	int r = make_root(state);

	mapped = (void *)(shared + 4096);
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_scan),
		TEST(test_scan_arguments),
		TEST(test_scan_in_pid_namespace),
		TEST(test_scan_many_mappings),
		TEST(test_identify),
		TEST(test_identify_deleted_and_replaced),
		TEST(test_identify_of_the_dead),
		TEST(test_discard),
		TEST(test_identify_refuses),
		TEST(test_read),
		TEST(test_debugfile),
		TEST(test_never_answers),
		TEST(test_user_who_keeps_it_waiting),
	};

	arguments = argv[0];
	arguments_len = strlen(argv[0]) + 1;
	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_targets_root, remove_root);
}
