/* SPDX-License-Identifier: GPL-2.0-only */
/* Puts the script where the process can read it. */
#include "script.h"

#include "base/fd.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/fsuid.h>
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

/*
 * To the file system we are its user: whatever it has put in the way, mounts of its own namespace
 * included, which it can change between any two calls, we can do there what it can do itself.
 */
static int begin_as_user(const struct pp_script *s)
{
	if (s->uid == geteuid())
		return 0;
	(void)setgroups(0, NULL);
	(void)setfsgid(s->gid);
	(void)setfsuid(s->uid);
	return setfsgid((gid_t)-1) == (int)s->gid && setfsuid((uid_t)-1) == (int)s->uid ? 0
											: -EPERM;
}

static void end_as_user(void)
{
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
}

/* Its /tmp, by its own root and not by anything that it puts in the way. */
static int open_tmp(struct pp_script *s, int root)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	struct stat st;

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
	return st.st_uid == s->uid ? 0 : -EACCES;
}

static int write_script(const struct pp_script *s, bool on)
{
	_cleanup_close_ int fd =
		openat(s->dir, SCRIPT_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	char text[sizeof(script) + sizeof(s->name) + 16];
	int n = snprintf(text, sizeof(text), script, on ? "True" : "False", s->name);

	return fd < 0 ? -errno : pp_write_full(fd, text, (size_t)n);
}

/* Returns 0, or a negative errno with what could not be had. */
static int make(struct pp_script *s, int root, bool on, const char **ret_what)
{
	int r;

	*ret_what = "no safe place";
	r = open_tmp(s, root);
	if (r < 0)
		return r;
	*ret_what = "no new directory";
	r = make_directory(s);
	if (r < 0)
		return r;
	*ret_what = "no new file";
	r = write_script(s, on);
	if (r < 0)
		return r;
	s->answer = openat(s->dir, ANSWER_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return s->answer < 0 ? -errno : 0;
}

int pp_script_new(struct pp_script *s, const struct pp_target *t, bool on)
{
	_cleanup_close_ int root = openat(t->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *what = "no safe place";
	int r = root < 0 ? -errno : 0;

	s->uid = t->uid;
	s->gid = t->gid;
	if (r >= 0)
		r = begin_as_user(s);
	if (r >= 0)
		r = make(s, root, on, &what);
	end_as_user();
	return r < 0 ? refuse(t, what, -r) : 0;
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
	if (s->name[0] && begin_as_user(s) >= 0) {
		if (s->dir >= 0) {
			(void)unlinkat(s->dir, SCRIPT_FILE, 0);
			(void)unlinkat(s->dir, ANSWER_FILE, 0);
		}
		(void)unlinkat(s->tmp, s->name, AT_REMOVEDIR);
	}
	end_as_user();
	s->answer = pp_close(s->answer);
	s->dir = pp_close(s->dir);
	s->tmp = pp_close(s->tmp);
}
