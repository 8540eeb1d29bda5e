/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The child that keeps tables on disk. It has no capabilities: the directory and what is in it
 * belong to its user. A file is written under another name and renamed when it is whole; that it
 * has reached the disk is not waited for, as damage is noticed when it is read.
 */
#include "base/child.h"
#include "base/fd.h"
#include "elf/siphash.h"
#include "elf/tablecache.h"
#include "elf/tablecache_wire.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NAME_BYTES 64 /* 32 digits, or "new" */
#define UNFINISHED "new"

struct request {
	struct pp_tablecache_request head;
	int dir, table;
};

/* The same in every process, which pp_file_key_hash() is not. The file says the key itself. */
static void name_of(const struct pp_file_key *key, char name[NAME_BYTES])
{
	static const uint64_t high[2] = { 0, 1 }, low[2] = { 2, 3 };

	snprintf(name, NAME_BYTES, "%016llx%016llx",
		 (unsigned long long)pp_siphash(high, key, sizeof(*key)),
		 (unsigned long long)pp_siphash(low, key, sizeof(*key)));
}

/* ---- Room ------------------------------------------------------------------------------------ */

struct kept {
	int64_t used_ns;
	uint64_t bytes;
	char name[NAME_BYTES];
};

static int by_age(const void *pa, const void *pb)
{
	const struct kept *a = pa, *b = pb;

	return a->used_ns < b->used_ns ? -1 : a->used_ns > b->used_ns;
}

/* What is in the directory. Names that are not ours are removed: they would count for nothing. */
static int list(int dir, struct pp_buf *out)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		pp_close(fd);
		return -EIO;
	}
	while (r == 0 && (e = readdir(d))) {
		struct kept k = { 0 };
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (strlen(e->d_name) >= NAME_BYTES) {
			(void)unlinkat(dir, e->d_name, 0);
			continue;
		}
		if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		k.used_ns = st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_mtim.tv_nsec;
		k.bytes = (uint64_t)st.st_size;
		strcpy(k.name, e->d_name);
		r = pp_buf_add(out, &k, sizeof(k));
	}
	closedir(d);
	return r;
}

/* Removes those longest out of use until the rest is in bounds. */
static void make_room(int dir)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	uint64_t bytes = 0;
	struct kept *kept;
	size_t n;

	if (list(dir, &buf) < 0)
		return;
	kept = (struct kept *)buf.data;
	n = buf.len / sizeof(*kept);
	if (!n)
		return;
	qsort(kept, n, sizeof(*kept), by_age);
	for (size_t i = 0; i < n; i++)
		bytes += kept[i].bytes;
	for (size_t i = 0; i < n && (bytes > PP_TABLECACHE_BYTES || n - i > PP_TABLECACHE_FILES);
	     i++) {
		(void)unlinkat(dir, kept[i].name, 0);
		bytes -= kept[i].bytes;
	}
}

/* ---- Requests -------------------------------------------------------------------------------- */

static bool is_ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 &&
	       !(st->st_mode & (S_IRWXG | S_IRWXO)) && st->st_size <= (off_t)PP_TABLEFILE_MAX;
}

/* What is not as we leave files is removed. */
static int get(const struct request *q)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES];
	struct stat st;
	int r = 0;

	name_of(&q->head.header.key, name);
	fd = openat(q->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else if (!is_ours(&st))
		r = -EPERM;
	if (r < 0 && r != -ENOENT)
		(void)unlinkat(q->dir, name, 0);
	if (r < 0)
		return r;
	(void)futimens(fd, NULL); /* in use */
	return TAKE_FD(fd);
}

static int write_file(const struct request *q, const void *image, size_t size)
{
	struct pp_tablefile_header h = q->head.header;
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES];
	int r;

	pp_tablefile_seal(&h, image, size);
	name_of(&h.key, name);
	(void)unlinkat(q->dir, UNFINISHED, 0);
	fd = openat(q->dir, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = pp_write_full(fd, &h, sizeof(h));
	if (r == 0)
		r = pp_write_full(fd, image, size);
	if (r == 0 && renameat(q->dir, UNFINISHED, q->dir, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(q->dir, UNFINISHED, 0);
	return r;
}

static int put(const struct request *q)
{
	_cleanup_image_ struct pp_table_image image = { 0 };
	int r;

	if (q->table < 0)
		return -EBADMSG;
	r = pp_table_image_map(&image, q->table, false);
	if (r == 0)
		r = write_file(q, image.data, image.size);
	make_room(q->dir);
	return r;
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)syscall(SYS_capset, &header, none);
}

/* Returns 1 after a request, 0 when the daemon is gone, or a negative errno. */
static int serve_one(int sock)
{
	struct request q = { .dir = -1, .table = -1 };
	_cleanup_close_ int found = -1;
	struct pp_tablecache_reply reply;
	int fds[PP_PASS_FDS_MAX], r = -EBADMSG;
	size_t nr_fds;
	ssize_t len = pp_recv_fds(sock, &q.head, sizeof(q.head), fds, &nr_fds);

	if (len <= 0)
		return (int)len;
	if (len == sizeof(q.head) && nr_fds) {
		q.dir = fds[0];
		q.table = nr_fds > 1 ? fds[1] : -1;
		r = q.head.op == PP_TABLECACHE_PUT ? put(&q) : get(&q);
		if (q.head.op == PP_TABLECACHE_GET)
			found = r;
	}
	reply.error = MIN(r, 0);
	r = pp_send_fds(sock, &reply, sizeof(reply), &found, found >= 0);
	for (size_t i = 0; i < nr_fds; i++)
		pp_close(fds[i]);
	return r < 0 ? r : 1;
}

int pp_tablecache_main(int sock)
{
	int r;

	(void)prctl(PR_SET_NAME, "pyprofd-tables");
	drop_capabilities();
	do
		r = serve_one(sock);
	while (r > 0);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
