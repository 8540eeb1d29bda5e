/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: what `pyprofctl doctor` asks about a Python. Its /tmp, where its perf map would be,
 * and a few bytes of its code. Nothing is written or made there to find out: the mount, the owner
 * and the mode are looked at, so what an ACL or an LSM forbids reads as good.
 */
#include "proc/reader_wire.h"

#include "base/fd.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define STATUS_MAX 8192 /* /proc/PID/status: longest are its CPU and node masks, and groups */

/* Whether a line of /proc/PID/status holds a number, from its `skip`th on. */
static bool line_has(const char *status, const char *line, unsigned int skip, unsigned long number)
{
	const char *at = strstr(status, line), *end;

	if (!at)
		return false;
	at += strlen(line);
	end = at + strcspn(at, "\n");
	for (unsigned int i = 0; at < end; i++) {
		char *next;
		unsigned long value = strtoul(at, &next, 10);

		if (next == at || next > end)
			return false;
		if (i >= skip && value == number)
			return true;
		at = next;
	}
	return false;
}

static bool may_write(const struct pp_opened *o, const struct stat *st)
{
	enum { FSUID = 3, FSGID = 3 }; /* positions in the lines of ids */
	_cleanup_buf_ struct pp_buf status = PP_BUF(0);
	const mode_t wanted = S_IWOTH | S_IXOTH;
	unsigned int shift = 0;

	/* Root in a user namespace writes by capability too, as far as the owner is mapped there:
	 * too fine to be told here, so it reads as allowed. */
	if (o->uids[1] == 0 || o->nspid != o->pid)
		return true;
	if (o->uids[FSUID] == st->st_uid) {
		shift = 6;
	} else if (pp_reader_slurp(o->dir, "status", STATUS_MAX, &status) == 0) {
		const char *text = (char *)status.data;

		if (line_has(text, "\nGid:", FSGID, st->st_gid) ||
		    line_has(text, "\nGroups:", 0, st->st_gid))
			shift = 3;
	}
	return (st->st_mode >> shift & wanted) == wanted;
}

static enum pp_tmp tmp_state(const struct pp_opened *o)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int root = openat(o->dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int tmp = -1;
	struct statvfs fs;
	struct stat st;

	if (root < 0)
		return PP_TMP_UNKNOWN;
	tmp = (int)syscall(SYS_openat2, root, "tmp", &how, sizeof(how));
	if (tmp < 0)
		return errno == ENOENT || errno == ENOTDIR ? PP_TMP_MISSING : PP_TMP_UNKNOWN;
	if (fstat(tmp, &st) < 0 || fstatvfs(tmp, &fs) < 0)
		return PP_TMP_UNKNOWN;
	if (!S_ISDIR(st.st_mode))
		return PP_TMP_MISSING;
	if (fs.f_flag & ST_RDONLY)
		return PP_TMP_READ_ONLY;
	if (!may_write(o, &st))
		return PP_TMP_DENIED;
	if ((fs.f_blocks && !fs.f_bavail) || (fs.f_files && !fs.f_favail))
		return PP_TMP_FULL;
	return PP_TMP_GOOD;
}

static size_t read_code(const struct pp_opened *o, const struct pp_reader_request *q,
			uint8_t code[PP_CODE_MAX])
{
	_cleanup_close_ int mem = -1;
	ssize_t n;

	if (!q->len || q->len > PP_CODE_MAX || q->offset > INT64_MAX)
		return 0;
	mem = openat(o->dir, "mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return 0;
	n = pread(mem, code, q->len, (off_t)q->offset);
	return n > 0 ? (size_t)n : 0;
}

int pp_reader_do_examine(const struct pp_opened *o, const struct pp_reader_request *q, int map_fd,
			 struct pp_reader_answer *a)
{
	uint8_t code[PP_CODE_MAX];
	struct stat st;

	a->head.answer = tmp_state(o);
	a->head.size = map_fd >= 0 && fstat(map_fd, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX;
	return pp_reader_add_text(a, code, read_code(o, q, code));
}
