/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker from the daemon's side: real files, hostile files, a worker that lies, and a sandbox
 * that kills. This program is its own worker: pp_child re-executes it.
 */
#include "elf/worker.h"

#include "base/child.h"
#include "base/counters.h"
#include "base/fd.h"
#include "elf/sandbox.h"
#include "elf/table.h"
#include "elf/worker_wire.h"

#include "elf_build.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LIE "PYPROF_TEST_LIE" /* environment: what the worker answers instead of the truth */

struct result {
	bool done;
	int error;
	struct pp_elf_info info;
	int table;
	struct pp_elf_name names[PP_WORKER_ADDRESSES_MAX];
	char text[PP_WORKER_ADDRESSES_MAX][64];
	size_t n;
};

static struct result result;
static sd_event *event;
static struct pp_worker *worker;

static void on_loaded(void *userdata, int error, const struct pp_elf_info *info, int table_fd)
{
	struct result *r = userdata;

	assert_false(r->done);
	r->done = true;
	r->error = error;
	r->table = table_fd;
	if (info)
		r->info = *info;
	assert_true(error ? !info && table_fd < 0 : info != NULL);
}

static void on_names(void *userdata, int error, const struct pp_elf_name *names, size_t n)
{
	struct result *r = userdata;

	assert_false(r->done);
	r->done = true;
	r->error = error;
	r->n = n;
	assert_true(!error == !!names);
	for (size_t i = 0; i < n; i++) {
		r->names[i] = names[i];
		snprintf(r->text[i], sizeof(r->text[i]), "%s", names[i].name);
	}
}

static void wait_done(void)
{
	while (!result.done)
		assert_true(sd_event_run(event, 10 * USEC_PER_SEC) > 0);
}

static struct pp_file_key key_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return pp_file_key_of(&st);
}

static void load_fd(int fd)
{
	struct pp_file_key key = key_of(fd);

	result = (struct result){ .table = -1 };
	assert_int_equal(pp_worker_load(worker, 0, fd, &key, -1, on_loaded, &result), 0);
	wait_done();
}

static void load(const char *path)
{
	_cleanup_close_ int fd = scratch_open(path);

	load_fd(fd);
}

static void ask_names(const char *path, const uint64_t *addresses, size_t n)
{
	_cleanup_close_ int fd = scratch_open(path);
	struct pp_file_key key = key_of(fd);

	result = (struct result){ .table = -1 };
	assert_int_equal(pp_worker_names(worker, 0, fd, &key, -1, addresses, n, on_names, &result),
			 0);
	wait_done();
}

static int setup(void **state)
{
	if (scratch_setup(state) < 0 || sd_event_new(&event) < 0)
		return -1;
	return pp_worker_new(&worker, event);
}

static int teardown(void **state)
{
	worker = pp_worker_free(worker);
	sd_event_unref(event);
	return scratch_teardown(state);
}

static void test_load(void **state)
{
	_cleanup_image_ struct pp_table_image image = { 0 };

	(void)state;
	load("/lib/x86_64-linux-gnu/libc.so.6");
	assert_int_equal(result.error, 0);
	assert_true(result.table >= 0);
	assert_int_equal(pp_table_image_map(&image, result.table, false), 0);
	assert_int_equal(pp_table_image_hash(&image), result.info.table_hash);
	assert_true(image.nr_buckets > 1000);
	assert_int_equal(result.info.build_id_len, 20);
	assert_int_equal(result.info.machine, 62);
	assert_int_equal(result.info.bad_entries, 0);
	result.table = pp_close(result.table);
}

static void test_not_elf(void **state)
{
	(void)state;
	scratch_source("text",
		       "#!/bin/sh\nthis is no ELF file, however long it may be.............");
	load("text");
	assert_int_equal(result.error, -ENOEXEC);
	scratch_source("empty", "");
	load("empty");
	assert_int_equal(result.error, -ENOEXEC);
	load("/lib/x86_64-linux-gnu");
	assert_int_equal(result.error, -EIO); /* a directory */
}

static void test_no_table(void **state)
{
	(void)state;
	scratch_source("none.c", "int f(void) { return 0; }");
	scratch_run("gcc -fno-asynchronous-unwind-tables -nostdlib -shared -o none.so none.c");
	load("none.so");
	assert_int_equal(result.error, 0);
	assert_int_equal(result.table, -1);
	assert_int_equal(result.info.table_hash, 0);
	assert_true(result.info.nr_segments > 0);
}

static void test_names(void **state)
{
	uint64_t first, second, asked[4];

	(void)state;
	scratch_source("names.c", "int first(int x) { return x + 1; }\n"
				  "static int __attribute__((noinline,used)) second(int x)"
				  " { return x * 2; }\n");
	scratch_run("gcc -O1 -shared -fPIC -o names.so names.c");
	first = scratch_address("names.so", "first");
	second = scratch_address("names.so", "second");
	asked[0] = second;
	asked[1] = first + 1;
	asked[2] = 1;
	asked[3] = first;
	for (int round = 0; round < 3; round++) { /* again out of the cache */
		ask_names("names.so", asked, ARRAY_SIZE(asked));
		assert_int_equal(result.error, 0);
		assert_int_equal(result.n, 4);
		assert_string_equal(result.text[0], "second");
		assert_string_equal(result.text[1], "first");
		assert_int_equal(result.names[1].start, first);
		assert_string_equal(result.text[2], "");
		assert_int_equal(result.names[2].size, 0);
		assert_string_equal(result.text[3], "first");
	}
	assert_int_equal(pp_worker_names(worker, 0, -1, &(struct pp_file_key){ 0 }, -1, asked, 0,
					 on_names, NULL),
			 -EINVAL);
	/* the file rewritten: another key, other names */
	scratch_run("sed -i s/first/fresh/ names.c && gcc -O1 -shared -fPIC -o names.so names.c");
	ask_names("names.so", asked, ARRAY_SIZE(asked));
	assert_string_equal(result.text[3], "fresh");
}

static void test_debug_fd(void **state)
{
	_cleanup_close_ int fd = -1, debug = -1;
	struct pp_file_key key;
	uint64_t address;

	(void)state;
	scratch_source("dbg.c", "static int __attribute__((noinline,used)) inner(int x)"
				" { return x * 2; }\n");
	scratch_run("gcc -g -O1 -shared -fPIC -Wl,--build-id -o dbg.so dbg.c && "
		    "objcopy --only-keep-debug dbg.so dbg.debug");
	address = scratch_address("dbg.so", "inner");
	scratch_run("strip dbg.so");
	ask_names("dbg.so", &address, 1);
	assert_string_equal(result.text[0], "");
	fd = scratch_open("dbg.so");
	debug = scratch_open("dbg.debug");
	key = key_of(fd);
	result = (struct result){ .table = -1 };
	assert_int_equal(
		pp_worker_names(worker, 0, fd, &key, debug, &address, 1, on_names, &result), 0);
	wait_done();
	assert_string_equal(result.text[0], "inner");
}

/* The largest batch, of names so long that they travel in a memory file. */
static void test_many_names(void **state)
{
	static uint64_t asked[PP_WORKER_ADDRESSES_MAX];
	char path[128];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/long.s", scratch_dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < PP_WORKER_ADDRESSES_MAX; i++)
		fprintf(f,
			".globl f%04d_%0500d\n.type f%04d_%0500d,@function\n"
			"f%04d_%0500d: .skip 16\n.size f%04d_%0500d,16\n",
			i, 0, i, 0, i, 0, i, 0);
	fclose(f);
	scratch_run("gcc -nostdlib -shared -o long.so long.s");
	scratch_run("nm long.so | sed -n 's/ T f0000_.*//p' > base");
	snprintf(path, sizeof(path), "%s/base", scratch_dir);
	f = fopen(path, "r");
	assert_int_equal(fscanf(f, "%lx", &asked[0]), 1);
	fclose(f);
	for (size_t i = 1; i < PP_WORKER_ADDRESSES_MAX; i++)
		asked[i] = asked[0] + i * 16;
	ask_names("long.so", asked, PP_WORKER_ADDRESSES_MAX);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.n, PP_WORKER_ADDRESSES_MAX);
	for (size_t i = 0; i < PP_WORKER_ADDRESSES_MAX; i++)
		assert_int_equal(strtol(result.text[i] + 1, NULL, 10), i);
}

/* ---- A worker that has been taken over --------------------------------------------------------
 */

static int lie_in_names(int sock, const char *lie, uint64_t address)
{
	struct {
		struct pp_wire_named head;
		struct pp_wire_name name;
		char text[8];
	} __attribute__((packed))
	m = { { .nr = 1, .bytes = sizeof(m.name) + 4 }, { address, 16, 4 }, "name" };
	size_t len = sizeof(m.head) + sizeof(m.name) + 4;
	_cleanup_close_ int fd = -1;

	if (!strcmp(lie, "other-address"))
		m.name.start = address + 1;
	else if (!strcmp(lie, "short-function"))
		m.name.size = 0;
	else if (!strcmp(lie, "nul"))
		m.text[1] = 0;
	else if (!strcmp(lie, "length"))
		m.name.len = 60000;
	else if (!strcmp(lie, "count"))
		m.head.nr = 1000;
	else if (!strcmp(lie, "bytes"))
		m.head.bytes = UINT32_MAX;
	else if (!strcmp(lie, "tail"))
		m.head.bytes++, len++;
	else if (!strcmp(lie, "no-file"))
		m.head.in_file = 1;
	else if (!strcmp(lie, "cut"))
		len = 7;
	else if (!strcmp(lie, "errno"))
		m.head.error = -12345;
	else if (!strcmp(lie, "open-file")) {
		fd = memfd_create("x", MFD_ALLOW_SEALING);
		m.head.in_file = 1;
		len = sizeof(m.head);
		if (pp_write_full(fd, &m.name, m.head.bytes) < 0)
			return 1;
	}
	return pp_send_fds(sock, &m, len, &fd, fd >= 0);
}

static int lie_in_load(int sock, const char *lie)
{
	struct pp_wire_loaded m = { .info = { .nr_segments = 1 } };
	_cleanup_close_ int fd = -1;
	size_t len = sizeof(m);

	if (!strcmp(lie, "build-id"))
		m.info.build_id_len = PP_ELF_BUILD_ID_MAX + 1;
	else if (!strcmp(lie, "segments"))
		m.info.nr_segments = PP_OBJECT_SEGMENTS_MAX + 1;
	else if (!strcmp(lie, "overflow"))
		m.info.segments[0].address = UINT64_MAX, m.info.segments[0].memory_size = 2;
	else if (!strcmp(lie, "link"))
		strcpy(m.info.debuglink, "../../etc/shadow");
	else if (!strcmp(lie, "endless-link"))
		memset(m.info.debuglink, 'x', sizeof(m.info.debuglink));
	else if (!strcmp(lie, "bad-entries"))
		m.info.bad_entries = UINT64_MAX;
	else if (!strcmp(lie, "table")) {
		m.has_table = 1;
		fd = pp_memfd_sealed("x", "not a table, however long it is", 31);
	} else if (!strcmp(lie, "no-table"))
		m.has_table = 1;
	else if (!strcmp(lie, "extra-fd"))
		fd = pp_memfd_sealed("x", "x", 1);
	else if (!strcmp(lie, "cut"))
		len--;
	return pp_send_fds(sock, &m, len, &fd, fd >= 0);
}

static int lying_worker(int sock, const char *lie)
{
	static union {
		struct pp_wire_request head;
		uint8_t bytes[PP_CHILD_MESSAGE_MAX];
	} q;

	for (;;) {
		int fds[PP_PASS_FDS_MAX];
		size_t nr_fds;

		if (pp_recv_fds(sock, &q, sizeof(q), fds, &nr_fds) <= 0)
			return 0;
		for (size_t i = 0; i < nr_fds; i++)
			pp_close(fds[i]);
		if (!strcmp(lie, "die"))
			abort();
		if (!strcmp(lie, "slow"))
			usleep(20000);
		if (q.head.kind == PP_WIRE_LOAD ? lie_in_load(sock, lie)
						: lie_in_names(sock, lie, q.head.addresses[0]))
			return 1;
	}
}

/* Runs one call against a fresh worker that lies in this way. */
static int answer_to(const char *lie, bool names)
{
	static const uint64_t address = 0x1000;
	struct pp_worker *honest = worker;

	setenv(LIE, lie, 1);
	assert_int_equal(pp_worker_new(&worker, event), 0);
	if (names)
		ask_names("/bin/true", &address, 1);
	else
		load("/bin/true");
	unsetenv(LIE);
	pp_close(result.table);
	pp_worker_free(worker);
	worker = honest;
	return result.error;
}

static void test_lies(void **state)
{
	static const char *const in_names[] = { "other-address", "short-function", "nul",
						"length",	 "count",	   "bytes",
						"tail",		 "no-file",	   "cut",
						"errno",	 "open-file" };
	static const char *const in_load[] = { "build-id", "segments",	   "overflow",
					       "link",	   "endless-link", "bad-entries",
					       "table",	   "no-table",	   "extra-fd",
					       "cut" };
	uint64_t refused = pp_counters[PP_C_worker_refused];

	(void)state;
	/* the same without a lie is taken */
	assert_int_equal(answer_to("truth", true), 0);
	assert_string_equal(result.text[0], "name");
	assert_int_equal(answer_to("truth", false), 0);
	for (size_t i = 0; i < ARRAY_SIZE(in_names); i++)
		if (answer_to(in_names[i], true) != -EPROTO)
			fail_msg("names, %s: %d", in_names[i], result.error);
	for (size_t i = 0; i < ARRAY_SIZE(in_load); i++)
		if (answer_to(in_load[i], false) != -EPROTO)
			fail_msg("load, %s: %d", in_load[i], result.error);
	assert_int_equal(pp_counters[PP_C_worker_refused],
			 refused + ARRAY_SIZE(in_names) + ARRAY_SIZE(in_load));
}

static void test_crash(void **state)
{
	uint64_t failed = pp_counters[PP_C_worker_failed];

	(void)state;
	assert_int_equal(answer_to("die", false), -EPIPE);
	assert_int_equal(pp_counters[PP_C_worker_failed], failed + 1);
}

/* ---- Users ------------------------------------------------------------------------------------
 */

static uid_t served[128];
static size_t nr_served;

static void on_served(void *userdata, _unused_ int error, _unused_ const struct pp_elf_info *info,
		      int table_fd)
{
	served[nr_served++] = (uid_t)(uintptr_t)userdata;
	pp_close(table_fd);
}

/* A request of this user's, to be answered later. */
static int submit_as(uid_t uid)
{
	_cleanup_close_ int fd = scratch_open("/bin/true");
	struct pp_file_key key = key_of(fd);

	return pp_worker_load(worker, uid, fd, &key, -1, on_served, (void *)(uintptr_t)uid);
}

static void wait_served(size_t n)
{
	while (nr_served < n)
		assert_true(sd_event_run(event, 10 * USEC_PER_SEC) > 0);
}

/* Who has used the worker less is served before all that wait of who has used it more; root never
 * owes anything. */
static void test_turns(void **state)
{
	struct pp_worker *honest = worker;
	static const uid_t wanted[] = { 1000, 1000, 1001, 0, 1001, 1000, 1000 };

	(void)state;
	setenv(LIE, "slow", 1);
	nr_served = 0;
	assert_int_equal(pp_worker_new(&worker, event), 0);
	assert_int_equal(submit_as(1000), 0);
	wait_served(1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(submit_as(1000), 0);
	assert_int_equal(submit_as(1001), 0);
	assert_int_equal(submit_as(1001), 0);
	assert_int_equal(submit_as(0), 0);
	wait_served(ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_int_equal(served[i], wanted[i]);
	unsetenv(LIE);
	pp_worker_free(worker);
	worker = honest;
}

/* One user's waiting requests leave room for the others'. */
static void test_share(void **state)
{
	struct pp_worker *honest = worker;
	int taken = 0;

	(void)state;
	setenv(LIE, "slow", 1);
	assert_int_equal(pp_worker_new(&worker, event), 0);
	while (submit_as(1000) == 0)
		taken++;
	assert_in_range(taken, 2, 100);
	assert_int_equal(submit_as(1000), -EBUSY);
	assert_false(pp_worker_owes(worker, 1000));
	assert_int_equal(submit_as(1001), 0);
	unsetenv(LIE);
	nr_served = 0;
	pp_worker_free(worker); /* all are told */
	assert_int_equal(nr_served, taken + 1);
	worker = honest;
}

/* Whose files crash the worker is turned away after a few; others are served all the same. */
static void test_debt(void **state)
{
	struct pp_worker *honest = worker;
	int crashes = 0;

	(void)state;
	setenv(LIE, "die", 1);
	nr_served = 0;
	assert_int_equal(pp_worker_new(&worker, event), 0);
	while (submit_as(1000) == 0)
		wait_served((size_t)++crashes);
	assert_in_range(crashes, 2, 6);
	assert_true(pp_worker_owes(worker, 1000));
	assert_int_equal(submit_as(1000), -EBUSY);
	unsetenv(LIE);
	assert_false(pp_worker_owes(worker, 1001));
	assert_int_equal(submit_as(1001), 0);
	wait_served((size_t)crashes + 1);
	assert_int_equal(served[crashes], 1001);
	pp_worker_free(worker);
	worker = honest;
}

/* ---- The sandbox ------------------------------------------------------------------------------
 */

static void try_open(void)
{
	(void)!open("/etc/passwd", O_RDONLY);
}

static void try_openat(void)
{
	(void)!openat(AT_FDCWD, "/", O_PATH);
}

static void try_socket(void)
{
	(void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void try_exec(void)
{
	execl("/bin/true", "true", NULL);
}

static void try_fork(void)
{
	(void)!fork();
}

static void try_code(void)
{
	(void)!mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
}

static void try_kill(void)
{
	kill(getppid(), 0);
}

static void try_ptrace(void)
{
	(void)!prlimit(getppid(), RLIMIT_NOFILE, NULL, NULL);
}

static void try_stat(void)
{
	struct stat st;

	(void)!stat("/etc/passwd", &st);
}

/* What it may do; and a size it may not have is refused without killing it. */
static void try_work(void)
{
	_cleanup_free_ void *p = malloc(8 * MIB);
	_cleanup_close_ int fd = pp_memfd_sealed("x", "hello", 5);
	char c;

	if (!p || fd < 0 || pread(fd, &c, 1, 4) != 1 || c != 'o')
		_exit(1);
	if (write(0, "x", 1) >= 0 || close(9) == 0) /* descriptors of old */
		_exit(3);
#ifndef __SANITIZE_ADDRESS__
	_cleanup_free_ void *huge = malloc(PP_SANDBOX_MEMORY_MAX);

	if (huge)
		_exit(4);
#endif
}

static int in_sandbox(void (*attempt)(void))
{
	int pair[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pair[1], PP_CHILD_SOCKET);
		dup2(2, 9);
		if (pp_sandbox_enter(PP_CHILD_SOCKET) < 0)
			_exit(2);
		attempt();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pair[0]);
	close(pair[1]);
	return status;
}

static void test_sandbox(void **state)
{
	static void (*const forbidden[])(void) = { try_open, try_openat, try_socket,
						   try_exec, try_fork,	 try_code,
						   try_kill, try_ptrace, try_stat };
	int status;

	(void)state;
	status = in_sandbox(try_work);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		status = in_sandbox(forbidden[i]);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("attempt %zu ended with status %x", i, status);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),	 cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_no_table), cmocka_unit_test(test_names),
		cmocka_unit_test(test_debug_fd), cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_lies),	 cmocka_unit_test(test_crash),
		cmocka_unit_test(test_turns),	 cmocka_unit_test(test_share),
		cmocka_unit_test(test_debt),	 cmocka_unit_test(test_sandbox),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return getenv(LIE) ? lying_worker(PP_CHILD_SOCKET, getenv(LIE))
				   : pp_worker_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, setup, teardown);
}
