/* SPDX-License-Identifier: GPL-2.0-only */
/* Puts the script where the process can read it. */
#include "script.h"

#include "base/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define TMP	    "tmp"
#define SCRIPT_FILE "script.py"
#define ANSWER_FILE "answer"

/*
 * It runs between any two instructions of the program, which may hold any lock: so it imports
 * nothing that is not built in, and calls nothing that is written in Python.
 */
static const char script[] =
	"import posix, sys\n"
	"try:\n"
	"    before = sys.is_stack_trampoline_active()\n"
	"    wanted = %s\n"
	"    if before == wanted:\n"
	"        answer = 'was on' if before else 'was off'\n"
	"    else:\n"
	"        if wanted:\n"
	"            sys.activate_stack_trampoline('perf')\n"
	"        else:\n"
	"            sys.deactivate_stack_trampoline()\n"
	"        answer = 'on' if sys.is_stack_trampoline_active() else 'off'\n"
	"except Exception as error:\n"
	"    answer = 'error %%s: %%s' %% (type(error).__name__, error)\n"
	"fd = posix.open('/" TMP "/%s/" ANSWER_FILE "',\n"
	"                posix.O_WRONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC)\n"
	"try:\n"
	"    posix.write(fd, (answer + '\\n').encode('utf-8', 'backslashreplace'))\n"
	"finally:\n"
	"    posix.close(fd)\n";

static int refuse(const struct pp_target *t, const char *what, int error)
{
	return pp_fail(PP_EXIT_FAILED,
		       "process %d cannot be handed a script: %s in its /tmp: %s; without that "
		       "directory trampolines have no names either",
		       (int)t->pid, what, strerror(error));
}

/* Its /tmp, by its own root and not by anything that it puts in the way. */
static int open_tmp(struct pp_script *s, const struct pp_target *t)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int root = openat(t->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (root < 0)
		return -errno;
	s->tmp = (int)syscall(SYS_openat2, root, TMP, &how, sizeof(how));
	if (s->tmp < 0 || fstat(s->tmp, &st) < 0)
		return -errno;
	/* Where others may rename what is not theirs, nothing is safe. */
	return (st.st_mode & 0022) && !(st.st_mode & S_ISVTX) ? -EACCES : 0;
}

static int make_directory(struct pp_script *s)
{
	struct stat st;
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(s->name, sizeof(s->name), "pyprofctl-%016" PRIx64, number);
	snprintf(s->path, sizeof(s->path), "/" TMP "/%s/" SCRIPT_FILE, s->name);
	if (mkdirat(s->tmp, s->name, 0700) < 0) {
		s->name[0] = 0;
		return -errno;
	}
	s->dir = openat(s->tmp, s->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0 || fstat(s->dir, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() ? 0 : -EACCES;
}

static int give(int fd, const struct pp_target *t)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == t->uid || fchown(fd, t->uid, t->gid) == 0 ? 0 : -errno;
}

static int write_script(const struct pp_script *s, const struct pp_target *t, bool on)
{
	_cleanup_close_ int fd =
		openat(s->dir, SCRIPT_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	char text[sizeof(script) + sizeof(s->name) + 16];
	int n = snprintf(text, sizeof(text), script, on ? "True" : "False", s->name);

	int r;

	if (fd < 0)
		return -errno;
	r = pp_write_full(fd, text, (size_t)n);
	return r < 0 ? r : give(fd, t);
}

int pp_script_new(struct pp_script *s, const struct pp_target *t, bool on)
{
	int r;

	r = open_tmp(s, t);
	if (r < 0)
		return refuse(t, "no safe place", -r);
	r = make_directory(s);
	if (r < 0)
		return refuse(t, "no new directory", -r);
	r = write_script(s, t, on);
	if (r < 0)
		return refuse(t, "no new file", -r);
	s->answer = openat(s->dir, ANSWER_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = s->answer < 0 ? -errno : give(s->answer, t);
	/* At last, so that nobody but us had a hand in what is in it. */
	if (r >= 0)
		r = give(s->dir, t);
	return r < 0 ? refuse(t, "no new file", -r) : 0;
}

bool pp_script_answer(const struct pp_script *s, char *text)
{
	ssize_t n = pread(s->answer, text, PP_ANSWER_MAX - 1, 0);
	char *end;

	if (n <= 0)
		return false;
	text[n] = 0;
	end = strchr(text, '\n');
	if (end)
		*end = 0;
	return end || n == PP_ANSWER_MAX - 1;
}

void pp_script_done(struct pp_script *s)
{
	if (s->dir >= 0) {
		(void)unlinkat(s->dir, SCRIPT_FILE, 0);
		(void)unlinkat(s->dir, ANSWER_FILE, 0);
	}
	if (s->name[0])
		(void)unlinkat(s->tmp, s->name, AT_REMOVEDIR);
	s->answer = pp_close(s->answer);
	s->dir = pp_close(s->dir);
	s->tmp = pp_close(s->tmp);
}
