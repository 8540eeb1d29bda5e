/* SPDX-License-Identifier: GPL-2.0-only */
/* The reader child against real processes: friendly, hostile, gone, and ones that never answer. */
#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/fd.h"
#include "bpf/pp_types.h"
#include "proc/maps.h"
#include "proc/reader.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <cmocka.h>

#define NOBODY	65534
#define WAIT_MS 5000

/* ---- Targets ----------------------------------------------------------------------------------
 */

static char root[] = "/tmp/pp-reader-XXXXXX"; /* the test's own directory, a target's root */
static uint8_t *shared;			      /* memory that targets and the test share */

/* A process that does `prepare` in a root of its own (unless that is NULL) and then waits. */
static pid_t start_target(void (*prepare)(void), bool jailed)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_return_code(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (jailed && (chroot(root) < 0 || chdir("/") < 0))
			_exit(1);
		if (prepare)
			prepare();
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void stop_target(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct pp_target any(pid_t pid)
{
	return (struct pp_target){ .pid = pid, .start_ticks = PP_TICKS_UNKNOWN };
}

static void in_root(char *out, size_t size, const char *path)
{
	snprintf(out, size, "%s%s", root, path);
}

/* A file below the target's root; owner -1 leaves it ours. */
static void put_file(const char *path, const char *text, int owner)
{
	char full[256];
	int fd;

	in_root(full, sizeof(full), path);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_return_code(pp_write_full(fd, text, strlen(text)), 0);
	assert_return_code(fchown(fd, (uid_t)owner, (gid_t)-1), 0);
	close(fd);
}

/* ---- Calls, made to wait -----------------------------------------------------------------------
 */

static sd_event *event;
static struct pp_reader *reader;

static struct {
	bool done;
	int error;
	int fd;
	struct pp_scan scan;
	char cmdline[8192], exe[4096], cgroup[8192];
	char *maps;
	struct pp_identity id;
	struct pp_perfmap_found found;
	char path[4096];
	uint64_t size;
	size_t len;
	char data[PP_READ_MAX + 1];
} got;

static int setup(void **state)
{
	(void)state;
	assert_return_code(pp_reader_new(&reader, event), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reader = pp_reader_free(reader);
	free(got.maps);
	got.maps = NULL;
	return 0;
}

static int wait_for(int r)
{
	uint64_t until = pp_now_ns() + WAIT_MS * NSEC_PER_MSEC;

	if (r < 0)
		return r;
	while (!got.done && pp_now_ns() < until)
		assert_return_code(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
	assert_true(got.done);
	return got.error;
}

static void begin(void)
{
	free(got.maps);
	memset(&got, 0, sizeof(got));
	got.fd = -1;
}

static void on_scan(void *userdata, int error, const struct pp_scan *scan)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	if (error < 0)
		return;
	got.scan = *scan;
	snprintf(got.cmdline, sizeof(got.cmdline), "%s", scan->cmdline);
	snprintf(got.exe, sizeof(got.exe), "%s", scan->exe);
	snprintf(got.cgroup, sizeof(got.cgroup), "%s", scan->cgroup);
	got.maps = calloc(1, scan->maps_len + 1);
	memcpy(got.maps, scan->maps, scan->maps_len);
}

static int scan(struct pp_target target)
{
	begin();
	return wait_for(pp_reader_scan(reader, target, on_scan, NULL));
}

static void on_identify(void *userdata, int error, const struct pp_identity *id, int *fd)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	if (id)
		got.id = *id;
	got.fd = TAKE_FD(*fd);
}

static int identify(pid_t pid, const struct pp_map *map, bool want_fd)
{
	begin();
	return wait_for(pp_reader_identify(reader, any(pid), map, want_fd, on_identify, NULL));
}

static void on_perfmap(void *userdata, int error, const struct pp_perfmap_found *found, int *fd)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	if (found) {
		got.found = *found;
		snprintf(got.path, sizeof(got.path), "%s", found->path);
	}
	got.fd = TAKE_FD(*fd);
}

static bool want_dump;

static int perfmap(pid_t pid)
{
	begin();
	return wait_for(pp_reader_perfmap(reader, any(pid), want_dump, on_perfmap, NULL));
}

static void on_read(void *userdata, int error, uint64_t size, const void *data, size_t len)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	got.size = size;
	got.len = len;
	if (len)
		memcpy(got.data, data, len);
}

static int read_chunk(int fd, uint64_t offset, size_t len)
{
	begin();
	return wait_for(pp_reader_read(reader, any(getpid()), fd, offset, len, on_read, NULL));
}

static void on_debugfile(void *userdata, int error, int *fd)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	got.fd = TAKE_FD(*fd);
}

static int debugfile(pid_t pid, const struct pp_debugfile *what)
{
	begin();
	return wait_for(pp_reader_debugfile(reader, any(pid), what, on_debugfile, NULL));
}

static void assert_fd_holds(int fd, const char *want)
{
	char text[64] = "";

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), strlen(want));
	assert_string_equal(text, want);
}

/* A perf map's descriptor pins the file, and is read through the reader. */
static void assert_pin_holds(int fd, const char *want)
{
	char path[32];
	int opened;

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_PATH);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, O_RDONLY | O_CLOEXEC);
	assert_fd_holds(opened, want);
	close(opened);
}

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
	assert_fd_holds(got.fd, "contents");
	close(got.fd);

	/* The mapping alone, the path is of no use; then the path alone. */
	set_path("/nonsense");
	assert_return_code(identify(pid, mapped, true), 0);
	assert_fd_holds(got.fd, "contents");
	close(got.fd);
	set_path(mapped_path);
	mapped->start += 4096;
	mapped->end += 4096;
	assert_return_code(identify(pid, mapped, true), 0);
	assert_fd_holds(got.fd, "contents");
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
	assert_fd_holds(got.fd, "contents");
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
	assert_fd_holds(got.fd, "contents");
	close(got.fd);
	mapped->ino++;
	assert_int_equal(identify(pid, mapped, true), -ENOENT);
	free(mapped->path);
	mapped->path = NULL;
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

static void make_directory(const char *path)
{
	char full[256];

	in_root(full, sizeof(full), path);
	assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
}

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
	assert_fd_holds(got.fd, "by id");
	close(got.fd);

	put_file("/usr/lib/debug/opt/prog.debug", "third", -1);
	assert_return_code(debugfile(pid, &by_link), 0);
	assert_fd_holds(got.fd, "third");
	close(got.fd);
	put_file("/opt/.debug/prog.debug", "second", -1);
	assert_return_code(debugfile(pid, &by_link), 0);
	assert_fd_holds(got.fd, "second");
	close(got.fd);
	/* A symlink beside the program may lead to what its owner may not read. */
	put_file("/secret", "secret", -1);
	in_root(full, sizeof(full), "/opt/prog.debug");
	assert_return_code(symlink("/secret", full), 0);
	assert_return_code(debugfile(pid, &by_link), 0);
	assert_fd_holds(got.fd, "second");
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

/* ---- The program -------------------------------------------------------------------------------
 */

static int make_root(void **state)
{
	(void)state;
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		return -1;
	make_directory("/tmp");
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mapped = (void *)(shared + 4096);
	return sd_event_new(&event);
}

static int remove_root(void **state)
{
	char command[64];

	(void)state;
	sd_event_unref(event);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(test_identify_refuses),
		TEST(test_perfmap_held),
		TEST(test_jitdump),
		TEST(test_perfmap_of_dropped_privileges),
		TEST(test_perfmap_by_path),
		TEST(test_examine),
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
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
