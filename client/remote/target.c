/* SPDX-License-Identifier: GPL-2.0-only */
/* Opens and reads a process. */
#include "target.h"

#include "lib/clean.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#define STATUS_MAX 16384   /* bytes of /proc/PID/status; 1.5 KB, and more with many groups */
#define STAT_MAX   1024	   /* of /proc/PID/task/TID/stat */
#define MAPS_MAX   1000000 /* lines; the kernel's default limit is 65,530 */

static int gone(pid_t pid)
{
	return pp_fail(PP_EXIT_NO_PROCESS, "there is no process %d", (int)pid);
}

static int refuse(const struct pp_target *t, int error)
{
	if (error == ESRCH || error == ENOENT)
		return gone(t->pid);
	if (error == EACCES || error == EPERM)
		return pp_fail(PP_EXIT_NOT_PERMITTED,
			       "you may not look into process %d: it takes its user or root, "
			       "and what kernel.yama.ptrace_scope allows",
			       (int)t->pid);
	return pp_fail(PP_EXIT_FAILED, "process %d: %s", (int)t->pid, strerror(error));
}

static ssize_t read_file(const struct pp_target *t, const char *name, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(t->proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	return n;
}

/* The n-th number of a line of /proc/PID/status, -1 where it has none. */
static long status_number(const char *status, const char *key, int n)
{
	const char *at = strstr(status, key);
	char *end = NULL;
	long value = -1;

	if (!at)
		return -1;
	at += strlen(key);
	for (int i = 0; i <= n; i++, at = end) {
		value = strtol(at, &end, 10);
		if (end == at)
			return -1;
	}
	return value;
}

/* Real, effective, saved, and the one for files. */
enum { FOR_FILES = 3 };

/* Whether it has this user's rights, and cannot come to have another's. */
static bool is_users_alone(const char *status, long uid)
{
	for (int i = 0; i <= FOR_FILES; i++)
		if (status_number(status, "\nUid:", i) != uid)
			return false;
	return true;
}

static int read_status(struct pp_target *t)
{
	char status[STATUS_MAX];
	ssize_t n = read_file(t, "status", status, sizeof(status));
	long uid, gid, tracer;

	if (n < 0)
		return refuse(t, (int)-n);
	uid = status_number(status, "\nUid:", FOR_FILES);
	gid = status_number(status, "\nGid:", FOR_FILES);
	tracer = status_number(status, "\nTracerPid:", 0);
	if (uid < 0 || gid < 0)
		return gone(t->pid);
	if (tracer > 0)
		return pp_fail(PP_EXIT_FAILED, "process %d is held by a debugger, process %ld",
			       (int)t->pid, tracer);
	if (!is_users_alone(status, uid))
		return pp_fail(PP_EXIT_FAILED,
			       "process %d has more than one user's rights: what one of them may "
			       "write is not for it to run",
			       (int)t->pid);
	t->uid = (uid_t)uid;
	t->gid = (gid_t)gid;
	return 0;
}

static void read_comm(struct pp_target *t)
{
	_cleanup_buf_ struct pp_buf clean = { 0 };
	char comm[PP_COMM_MAX];
	ssize_t n = read_file(t, "comm", comm, sizeof(comm));

	if (n > 0 && comm[n - 1] == '\n')
		n--;
	if (n > 0 && pp_text_clean(&clean, comm, (size_t)n) >= 0 && clean.len < sizeof(t->comm))
		memcpy(t->comm, clean.data, clean.len);
}

int pp_target_open(struct pp_target *t, pid_t pid)
{
	char path[32];
	int r;

	t->pid = pid;
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (t->pidfd < 0 && errno != ESRCH && errno != ENOSYS)
		return pp_fail(PP_EXIT_NO_PROCESS, "%d is a thread, not a process", (int)pid);
	if (t->pidfd < 0)
		return refuse(t, errno);
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	t->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc < 0)
		return refuse(t, errno);
	/* It is there after its directory was opened: the directory is its own. */
	if (!pp_target_alive(t))
		return gone(pid);
	r = read_status(t);
	if (r)
		return r;
	read_comm(t);
	t->mem = openat(t->proc, "mem", O_RDONLY | O_CLOEXEC);
	return t->mem < 0 ? refuse(t, errno) : 0;
}

void pp_target_done(struct pp_target *t)
{
	t->mem = pp_close(t->mem);
	t->proc = pp_close(t->proc);
	t->pidfd = pp_close(t->pidfd);
}

bool pp_target_alive(const struct pp_target *t)
{
	struct pollfd fd = { .fd = t->pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) == 0;
}

bool pp_target_keeps_user(const struct pp_target *t)
{
	char status[STATUS_MAX];

	return read_file(t, "status", status, sizeof(status)) > 0 &&
	       is_users_alone(status, (long)t->uid);
}

char pp_target_state(const struct pp_target *t, pid_t tid)
{
	char name[48], stat[STAT_MAX], *at;

	snprintf(name, sizeof(name), "task/%d/stat", (int)tid);
	if (read_file(t, name, stat, sizeof(stat)) < 0)
		return 0;
	/* The name before it may hold anything. */
	at = strrchr(stat, ')');
	if (!at || at[1] != ' ')
		return 0;
	return at[2];
}

bool pp_target_read(const struct pp_target *t, uint64_t address, void *to, size_t len)
{
	return address <= INT64_MAX && pread(t->mem, to, len, (off_t)address) == (ssize_t)len;
}

/* "START-END rwxp OFFSET DEVICE INODE PATH"; false where it is no such line. */
static bool parse_map(const char *line, struct pp_map *m)
{
	char *at;

	m->start = strtoull(line, &at, 16);
	if (*at++ != '-')
		return false;
	m->end = strtoull(at, &at, 16);
	if (strlen(at) < strlen(" rwxp ") || m->start > m->end)
		return false;
	m->readable = at[1] == 'r';
	m->writable = at[2] == 'w';
	m->executable = at[3] == 'x';
	m->private = at[4] == 'p';
	at += strlen(" rwxp ");
	/* The offset and the device. */
	for (int i = 0; i < 2 && at; i++) {
		at = strchr(at, ' ');
		at += at ? 1 : 0;
	}
	if (!at)
		return false;
	m->inode = strtoull(at, NULL, 10);
	return true;
}

int pp_target_maps(const struct pp_target *t, int (*take)(const struct pp_map *m, void *arg),
		   void *arg)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	FILE *file;
	int fd, r = 0;

	fd = openat(t->proc, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "r");
	if (!file) {
		pp_close(fd);
		return -ENOMEM;
	}
	for (int i = 0; !r && i < MAPS_MAX && getline(&line, &cap, file) > 0; i++) {
		struct pp_map m = { 0 };

		if (parse_map(line, &m))
			r = take(&m, arg);
	}
	fclose(file);
	return r;
}
