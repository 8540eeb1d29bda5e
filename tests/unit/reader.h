/* SPDX-License-Identifier: GPL-2.0-only */
/* The reader child beside real processes: targets that a test starts, and calls made to wait. */
#pragma once

#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/envelope.h"
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
static _unused_ pid_t start_target(void (*prepare)(void), bool jailed)
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

static _unused_ void stop_target(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static _unused_ struct pp_target any(pid_t pid)
{
	return (struct pp_target){ .pid = pid, .start_ticks = PP_TICKS_UNKNOWN };
}

static _unused_ void in_root(char *out, size_t size, const char *path)
{
	snprintf(out, size, "%s%s", root, path);
}

/* A file below the target's root; owner -1 leaves it ours. */
static _unused_ void put_file(const char *path, const char *text, int owner)
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

static _unused_ int setup(void **state)
{
	(void)state;
	assert_return_code(pp_reader_new(&reader, event), 0);
	return 0;
}

static _unused_ int teardown(void **state)
{
	(void)state;
	reader = pp_reader_free(reader);
	free(got.maps);
	got.maps = NULL;
	return 0;
}

static _unused_ int wait_for(int r)
{
	uint64_t until = pp_now_ns() + WAIT_MS * NSEC_PER_MSEC;

	if (r < 0)
		return r;
	while (!got.done && pp_now_ns() < until)
		assert_return_code(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
	assert_true(got.done);
	return got.error;
}

static _unused_ void begin(void)
{
	free(got.maps);
	memset(&got, 0, sizeof(got));
	got.fd = -1;
}

static _unused_ void on_scan(void *userdata, int error, const struct pp_scan *scan)
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

static _unused_ int scan(struct pp_target target)
{
	begin();
	return wait_for(pp_reader_scan(reader, target, on_scan, NULL));
}

static _unused_ void on_identify(void *userdata, int error, const struct pp_identity *id, int *fd)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	if (id)
		got.id = *id;
	got.fd = TAKE_FD(*fd);
}

static _unused_ int identify(pid_t pid, const struct pp_map *map, bool want_fd)
{
	begin();
	return wait_for(pp_reader_identify(reader, any(pid), map, want_fd, on_identify, NULL));
}

static _unused_ void on_perfmap(void *userdata, int error, const struct pp_perfmap_found *found,
				int *fd)
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

static _unused_ bool want_dump;

static _unused_ int perfmap(pid_t pid)
{
	begin();
	return wait_for(pp_reader_perfmap(reader, any(pid), want_dump, on_perfmap, NULL));
}

static _unused_ void on_read(void *userdata, int error, uint64_t size, const void *data, size_t len)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	got.size = size;
	got.len = len;
	if (len)
		memcpy(got.data, data, len);
}

static _unused_ int read_chunk(int fd, uint64_t offset, size_t len)
{
	begin();
	return wait_for(pp_reader_read(reader, any(getpid()), fd, offset, len, on_read, NULL));
}

static _unused_ void on_debugfile(void *userdata, int error, int *fd)
{
	(void)userdata;
	got.done = true;
	got.error = error;
	got.fd = TAKE_FD(*fd);
}

static _unused_ int debugfile(pid_t pid, const struct pp_debugfile *what)
{
	begin();
	return wait_for(pp_reader_debugfile(reader, any(pid), what, on_debugfile, NULL));
}

static _unused_ void assert_fd_holds(int fd, const char *want)
{
	char text[64] = "";

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), strlen(want));
	assert_string_equal(text, want);
}

/* A mapped file comes in an envelope, out of which it is taken any number of times. */
static _unused_ void assert_envelope_holds(int envelope, const char *want)
{
	for (int i = 0; i < 2; i++) {
		int fd = pp_envelope_open(envelope);

		assert_fd_holds(fd, want);
		close(fd);
	}
}

/* A perf map's descriptor pins the file, and is read through the reader. */
static _unused_ void assert_pin_holds(int fd, const char *want)
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

static _unused_ void make_directory(const char *path)
{
	char full[256];

	in_root(full, sizeof(full), path);
	assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
}

/* ---- The program -------------------------------------------------------------------------------
 */

static _unused_ int make_root(void **state)
{
	(void)state;
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		return -1;
	make_directory("/tmp");
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return sd_event_new(&event);
}

static _unused_ int remove_root(void **state)
{
	char command[64];

	(void)state;
	sd_event_unref(event);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
