/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: which file is mapped somewhere, chunks of files, debug files.
 *
 * A mapped file is reached through /proc/PID/map_files, which leads to the very file, unlinked or
 * not, whatever lies at its path by now. Its device and inode need not be those that maps shows:
 * btrfs gives each subvolume a device of its own, and overlayfs maps the file of a layer. So where
 * they differ the mapping's line in maps, which uses the record's terms, decides.
 *
 * Where there is no such mapping any more (split, merged, unmapped, the process gone) the path is
 * tried, in the target's root or, without a target, in ours; there device and inode must agree.
 */
#include "proc/reader_wire.h"

#include "base/fd.h"
#include "proc/maps.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* ---- Identity -------------------------------------------------------------------------------- */

/* Whether the target still has this very mapping of this very file. */
static bool still_mapped(const struct pp_opened *o, const struct pp_reader_request *q)
{
	_cleanup_close_ int fd = openat(o->dir, "maps", O_RDONLY | O_CLOEXEC);
	_cleanup_(pp_freep) char *line = NULL;
	struct pp_maps_line *l = malloc(sizeof(*l));
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	size_t size = 0, skip;
	bool found = false;
	ssize_t n;

	if (f)
		fd = -1; /* f's now */
	while (l && f && !found && (n = getline(&line, &size, f)) > 0) {
		if (pp_maps_parse(l, line, (size_t)n, &skip) <= 0 || l->start < q->start)
			continue;
		if (l->start > q->start)
			break;
		found = l->end == q->end && l->dev == q->dev && l->ino == q->ino;
	}
	if (f)
		fclose(f);
	free(l);
	return found;
}

static bool same_file(const struct stat *st, const struct pp_reader_request *q)
{
	/* Major 0: a file system without a device of its own, whose stat may name another. */
	return st->st_ino == q->ino && (st->st_dev == q->dev || !major(st->st_dev));
}

static int by_mapping(const struct pp_opened *o, const struct pp_reader_request *q,
		      struct stat *ret_st)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)q->start,
		 (unsigned long long)q->end);
	fd = openat(o->dir, path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, ret_st) < 0)
		return -errno;
	if (!S_ISREG(ret_st->st_mode))
		return -EINVAL;
	if (!(ret_st->st_ino == q->ino && ret_st->st_dev == q->dev) && !still_mapped(o, q))
		return -ENOENT;
	return TAKE_FD(fd);
}

static int by_path(int root, const struct pp_reader_request *q, const char *path,
		   struct stat *ret_st)
{
	_cleanup_close_ int fd = -1;

	if (path[0] != '/' || path[1] == '/')
		return -ENOENT; /* "//anon", "[heap]", … */
	fd = pp_reader_find(root, path, false, ret_st);
	if (fd < 0)
		return fd;
	if (!same_file(ret_st, q))
		return -ENOENT;
	return TAKE_FD(fd);
}

int pp_reader_do_identify(const struct pp_opened *o, const struct pp_reader_request *q,
			  const char *path, struct pp_reader_answer *a)
{
	_cleanup_close_ int root = -1, fd = -ENOENT;
	struct stat st;

	if (o->dir >= 0)
		fd = by_mapping(o, q, &st);
	if (fd < 0 && fd != -EINVAL) {
		root = o->dir >= 0 ? openat(o->dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		if (root < 0) /* gone: the device and the inode still say whether it is the file */
			root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return -errno;
		fd = by_path(root, q, path, &st);
	}
	if (fd < 0)
		return fd;
	a->head.key = pp_file_key_of(&st);
	a->head.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	if (q->want_fd) {
		a->fd = pp_reader_hand_out(fd);
		if (a->fd < 0)
			return a->fd;
	}
	return 0;
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

/* The file is closed before the answer goes out: that too may hang, and must be this request's
 * fault.
 */
int pp_reader_do_read(const struct pp_reader_request *q, int pinned, struct pp_reader_answer *a)
{
	_cleanup_free_ void *data = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	ssize_t n;

	if (pinned < 0 || q->len > PP_READ_MAX || q->offset > INT64_MAX)
		return -EINVAL;
	fd = pp_reader_reopen(pinned);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	data = malloc(q->len + 1);
	if (!data)
		return -ENOMEM;
	do
		n = pread(fd, data, q->len, (off_t)q->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	a->head.size = (uint64_t)st.st_size;
	return pp_reader_add_text(a, data, (size_t)n);
}

/* ---- Debug files ----------------------------------------------------------------------------- */

#define DEBUG_ROOT "/usr/lib/debug"

/* What lies beside a program is its owner's to place, so no symlink is followed there. */
static int try_debugfile(int root, const char *path, bool follow)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = pp_reader_find(root, path, follow, &st);
	return fd < 0 ? fd : pp_reader_hand_out(fd);
}

static int by_build_id(int root, const struct pp_reader_request *q)
{
	char path[sizeof(DEBUG_ROOT) + 2UL * PP_BUILD_ID_MAX + 32];
	int at;

	if (q->build_id_len < 2)
		return -ENOENT;
	at = snprintf(path, sizeof(path), DEBUG_ROOT "/.build-id/%02x/", q->build_id[0]);
	for (size_t i = 1; i < q->build_id_len; i++)
		at += snprintf(path + at, sizeof(path) - (size_t)at, "%02x", q->build_id[i]);
	snprintf(path + at, sizeof(path) - (size_t)at, ".debug");
	return try_debugfile(root, path, true);
}

static int by_debuglink(int root, const char *link, const char *directory)
{
	static const struct {
		const char *prefix, *infix;
		bool follow;
	} places[] = {
		{ "", "/", false },
		{ "", "/.debug/", false },
		{ DEBUG_ROOT, "/", true },
	};
	int fd = -ENOENT;

	if (!*link || strchr(link, '/') || !strcmp(link, ".") || !strcmp(link, "..") ||
	    directory[0] != '/')
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(places) && fd < 0; i++) {
		char path[2UL * PP_READER_PATH_MAX];
		int n;

		n = snprintf(path, sizeof(path), "%s%s%s%s", places[i].prefix, directory,
			     places[i].infix, link);
		if (n > 0 && (size_t)n < sizeof(path))
			fd = try_debugfile(root, path, places[i].follow);
	}
	return fd;
}

int pp_reader_do_debugfile(const struct pp_opened *o, const struct pp_reader_request *q,
			   const char *link, const char *directory, struct pp_reader_answer *a)
{
	_cleanup_close_ int theirs = -1, ours = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int roots[2], fd = -ENOENT;

	if (o->dir >= 0)
		theirs = openat(o->dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	roots[0] = theirs;
	roots[1] = ours;
	for (size_t i = 0; i < ARRAY_SIZE(roots) && fd < 0; i++) {
		if (roots[i] < 0)
			continue;
		fd = by_build_id(roots[i], q);
		if (fd < 0)
			fd = by_debuglink(roots[i], link, directory);
	}
	if (fd < 0)
		return -ENOENT;
	a->fd = fd;
	return 0;
}
