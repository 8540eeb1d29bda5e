/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: where a process's perf map is.
 *
 * What the process itself holds open under the map's name is its map, wherever that lies, unlinked
 * or not; a file of the same name left by somebody else is not. Only where it holds none (a writer
 * that closes it) the path is tried, and then the file must look like one that this process made:
 * regular, its effective user's, with no other name.
 *
 * A held one may belong to another user only where it is open for writing and only its owner may
 * write to it: a service that opened its map as root and then dropped its privileges. A process
 * that could merely read somebody's file, or only write to it, learns nothing through us.
 *
 * What is handed out is an O_PATH descriptor. It pins the file, and closing it asks nothing of the
 * file system; to close an open one asks a FUSE server, which need not answer.
 *
 * A jitdump is only ever looked for among what the process holds: open, or mapped, as its writers
 * map its first page to be noticed. It is theirs alone, so there is none by path, which may be any.
 */
#include "proc/reader_wire.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Looked at: a map is opened early and has a low number; mappings come by address. */
#define LINKS_MAX 16384
#define DELETED	  " (deleted)"

const char *pp_perfmap_answer_text(enum pp_perfmap_answer a)
{
	static const char *const texts[PP_PERFMAP_ANSWERS] = {
		[PP_PERFMAP_MISSING] = "the process has written no perf map",
		[PP_PERFMAP_NOT_REGULAR] = "the perf map is not a regular file",
		[PP_PERFMAP_FOREIGN] = "the perf map belongs to another user",
		[PP_PERFMAP_LINKS] = "the perf map has other hard links",
		[PP_PERFMAP_SYMLINK] = "the perf map is a symbolic link",
		[PP_PERFMAP_UNREADABLE] = "the perf map cannot be opened",
		[PP_PERFMAP_DUMP_REFUSED] = "the jitdump is no regular file, or another user's",
	};

	return a < PP_PERFMAP_ANSWERS ? texts[a] : "the perf map was refused";
}

static bool is_map_name(const char *link, size_t len, const char *name)
{
	size_t n = strlen(name), suffix = strlen(DELETED);

	if (len > suffix && !memcmp(link + len - suffix, DELETED, suffix))
		len -= suffix;
	return len > n && link[len - n - 1] == '/' && !memcmp(link + len - n, name, n);
}

/* number: in fd. A mapping's name there is none, and says no. */
static bool is_open_for_writing(const struct pp_opened *o, const char *number)
{
	_cleanup_buf_ struct pp_buf text = PP_BUF(0);
	const char *flags;
	char path[64];

	snprintf(path, sizeof(path), "fdinfo/%s", number);
	if (pp_reader_slurp(o->dir, path, 4096, &text) < 0)
		return false;
	flags = strstr((char *)text.data, "flags:");
	return flags && (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

/* Whether nobody but its owner may write to a file, by its mode (which an ACL never exceeds). Who
 * has it open for writing then had the owner's rights, and could have read it. */
static bool is_its_owners_alone(const struct stat *st)
{
	return !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static bool is_one_of_its_users(const struct pp_opened *o, uid_t uid)
{
	for (size_t i = 0; i < ARRAY_SIZE(o->uids); i++)
		if (o->uids[i] == uid)
			return true;
	return false;
}

/*
 * Tries entry `number` of the target's fd or map_files. Whatever it meant when it was listed, the
 * O_PATH descriptor pins one file, and that one's name, type and owner are what is looked at.
 */
static int try_held(const struct pp_opened *o, int fds, const char *number, const char *name,
		    struct pp_reader_answer *a)
{
	_cleanup_close_ int pinned = -1;
	char link[PP_READER_PATH_MAX], self[32];
	struct stat st;
	ssize_t n;

	n = readlinkat(fds, number, link, sizeof(link));
	if (n <= 0 || !is_map_name(link, (size_t)n, name))
		return -ENOENT;
	pinned = openat(fds, number, O_PATH | O_CLOEXEC);
	if (pinned < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", pinned);
	n = readlink(self, link, sizeof(link));
	if (n <= 0 || !is_map_name(link, (size_t)n, name))
		return -ENOENT;
	if (fstat(pinned, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (!is_one_of_its_users(o, st.st_uid) &&
	    !(is_its_owners_alone(&st) && is_open_for_writing(o, number)))
		return -EPERM;
	a->fd = TAKE_FD(pinned);
	a->head.key = pp_file_key_of(&st);
	return pp_reader_add_text(a, link, (size_t)n);
}

/* where: "fd" or "map_files". -ENOENT: none has the name; else why the last that has it is none. */
static int find_held(const struct pp_opened *o, const char *where, const char *name,
		     struct pp_reader_answer *a)
{
	int fds = openat(o->dir, where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fds < 0 ? NULL : fdopendir(fds);
	struct dirent *entry;
	int r = -ENOENT;

	if (!dir) {
		pp_close(fds);
		return -ENOENT;
	}
	for (unsigned int i = 0; i < LINKS_MAX && r < 0 && (entry = readdir(dir)); i++) {
		int tried = -ENOENT;

		if (entry->d_name[0] != '.')
			tried = try_held(o, dirfd(dir), entry->d_name, name, a);
		if (tried != -ENOENT)
			r = tried;
	}
	closedir(dir);
	return r;
}

static enum pp_perfmap_answer answer_of(int r)
{
	switch (r) {
	case -ELOOP:
		return PP_PERFMAP_SYMLINK;
	case -EINVAL:
		return PP_PERFMAP_NOT_REGULAR;
	case -ENOENT:
	case -ENOTDIR:
		return PP_PERFMAP_MISSING;
	default:
		return PP_PERFMAP_UNREADABLE;
	}
}

static enum pp_perfmap_answer find_by_path(const struct pp_opened *o, const char *path,
					   struct pp_reader_answer *a)
{
	_cleanup_close_ int root = openat(o->dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int pinned = -1;
	struct stat st;

	if (root < 0)
		return answer_of(-errno);
	pinned = pp_reader_find(root, path, false, &st);
	if (pinned < 0)
		return answer_of(pinned);
	if (st.st_uid != o->uids[1])
		return PP_PERFMAP_FOREIGN;
	if (st.st_nlink != 1)
		return PP_PERFMAP_LINKS;
	a->fd = TAKE_FD(pinned);
	a->head.key = pp_file_key_of(&st);
	return PP_PERFMAP_PATH;
}

/* -ENOENT: it holds nothing of that name. */
static int find_dump(const struct pp_opened *o, const char *name, struct pp_reader_answer *a)
{
	int r = find_held(o, "fd", name, a), mapped;

	if (r >= 0)
		return r;
	mapped = find_held(o, "map_files", name, a);
	return mapped == -ENOENT ? r : mapped;
}

int pp_reader_do_perfmap(const struct pp_opened *o, const struct pp_reader_request *q,
			 struct pp_reader_answer *a)
{
	char path[64], dump[64];
	const char *name = path + strlen("/tmp/");
	int r = -ENOENT;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", o->nspid);
	snprintf(dump, sizeof(dump), "jit-%d.dump", o->nspid);
	a->head.answer = PP_PERFMAP_DUMP;
	if (q->want_fd)
		r = find_dump(o, dump, a);
	if (r >= 0)
		return 0;
	a->head.answer = PP_PERFMAP_HELD;
	if (find_held(o, "fd", name, a) >= 0)
		return 0;
	a->head.answer = find_by_path(o, path, a);
	if (a->head.answer > PP_PERFMAP_PATH && r != -ENOENT)
		a->head.answer = PP_PERFMAP_DUMP_REFUSED;
	return pp_reader_add_text(a, path, strlen(path));
}
