/* SPDX-License-Identifier: GPL-2.0-only */
/* The reader's ways into another process: its /proc directory, and files in its root. */
#include "proc/reader_wire.h"

#include "base/envelope.h"
#include "base/fd.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define STAT_MAX   2048	      /* /proc/PID/stat: 52 numbers and a name */
#define STATUS_MAX 8192	      /* /proc/PID/status: longest are its CPU and node masks */
#define KTHREAD	   0x00200000 /* PF_KTHREAD, in the flags of /proc/PID/stat: ABI in practice */

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

uint64_t pp_start_ticks(uint64_t start_ns)
{
	return start_ns / (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

int pp_reader_slurp(int dir, const char *name, size_t max, struct pp_buf *out)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	ssize_t n;
	int r;

	if (fd < 0)
		return -errno;
	r = pp_buf_reserve(out, max + 1);
	if (r < 0)
		return r;
	n = pp_read_full(fd, out->data + out->len, max);
	if (n < 0)
		return (int)n;
	out->len += (size_t)n;
	out->data[out->len] = '\0';
	return 0;
}

/* The next number of a text, or false. */
static bool next_number(const char **at, unsigned int base, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(*at, &end, (int)base);
	if (end == *at || errno)
		return false;
	*at = end;
	return true;
}

/* pid (comm) state ppid pgrp … : comm may hold blanks and parentheses, so it ends at the last. */
static int parse_stat(struct pp_opened *o, char *text)
{
	enum { PPID = 4, FLAGS = 9, START = 22 }; /* fields, as proc(5) numbers them */
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	const char *at;
	uint64_t value;

	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return -EBADMSG;
	*close = '\0';
	snprintf(o->comm, sizeof(o->comm), "%s", open + 1);
	at = close + 3; /* behind the state, the third field */
	for (int field = PPID; field <= START; field++) {
		if (!next_number(&at, 10, &value))
			return -EBADMSG;
		if (field == PPID)
			o->ppid = (pid_t)value;
		else if (field == FLAGS)
			o->kernel_thread = value & KTHREAD;
	}
	o->start_ticks = value;
	return 0;
}

/* The comm line comes first and its newlines are escaped, so a name cannot fake a line. */
static int parse_status(struct pp_opened *o, const char *text)
{
	const char *uids = strstr(text, "\nUid:"), *nspids = strstr(text, "\nNSpid:"), *end;
	uint64_t value;

	if (!uids)
		return -EBADMSG;
	uids += strlen("\nUid:");
	for (size_t i = 0; i < ARRAY_SIZE(o->uids); i++) {
		if (!next_number(&uids, 10, &value))
			return -EBADMSG;
		o->uids[i] = (uint32_t)value;
	}
	o->nspid = o->pid;
	if (!nspids) /* a kernel without PID namespaces */
		return 0;
	nspids += strlen("\nNSpid:");
	end = nspids + strcspn(nspids, "\n");
	while (nspids < end && next_number(&nspids, 10, &value))
		o->nspid = (pid_t)value; /* the last is the innermost */
	return o->nspid > 0 ? 0 : -EBADMSG;
}

static int gone(int r)
{
	return r == -ENOENT ? -ESRCH : r;
}

int pp_reader_open(struct pp_opened *ret, struct pp_target target)
{
	_cleanup_buf_ struct pp_buf text = PP_BUF(0);
	_cleanup_close_ int dir = -1;
	struct pp_opened o = { .pid = target.pid };
	char path[32];
	int r;

	ret->dir = -1;
	snprintf(path, sizeof(path), "/proc/%d", target.pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return gone(-errno);
	r = pp_reader_slurp(dir, "stat", STAT_MAX, &text);
	if (r < 0)
		return gone(r);
	r = parse_stat(&o, (char *)text.data);
	if (r < 0)
		return r;
	if (target.start_ticks != PP_TICKS_UNKNOWN && target.start_ticks != o.start_ticks)
		return -ESRCH;
	text.len = 0;
	r = pp_reader_slurp(dir, "status", STATUS_MAX, &text);
	if (r < 0)
		return gone(r);
	r = parse_status(&o, (char *)text.data);
	if (r < 0)
		return r;
	o.dir = TAKE_FD(dir);
	*ret = o;
	return 0;
}

bool pp_reader_is_users(const struct pp_opened *o, uint32_t uid)
{
	_cleanup_buf_ struct pp_buf text = PP_BUF(0);
	struct pp_opened now = *o;

	return pp_reader_slurp(o->dir, "status", STATUS_MAX, &text) >= 0 &&
	       parse_status(&now, (char *)text.data) >= 0 && now.uids[0] == uid &&
	       now.uids[1] == uid && now.uids[2] == uid;
}

void pp_reader_close(struct pp_opened *o)
{
	o->dir = pp_close(o->dir);
}

int pp_reader_find(int root, const char *path, bool follow, struct stat *ret_st)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	if (fstat(fd, ret_st) < 0)
		return -errno;
	if (S_ISLNK(ret_st->st_mode))
		return -ELOOP;
	if (!S_ISREG(ret_st->st_mode))
		return -EINVAL;
	return TAKE_FD(fd);
}

int pp_reader_reopen(int path_fd)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int pp_reader_hand_out(int path_fd)
{
	_cleanup_close_ int fd = -1;
	struct statfs fs;

	if (fstatfs(path_fd, &fs) < 0)
		return -errno;
	if (fs.f_type == FUSE_SUPER_MAGIC)
		return -EREMOTE;
	fd = pp_reader_reopen(path_fd);
	return fd < 0 ? fd : pp_envelope_new(fd);
}
