/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes a request. The interpreter reads the flag and the path when its eval loop is asked to
 * stop, by a bit in a word that it changes itself all the time (signals, the GIL, garbage
 * collection). So the threads stand still meanwhile: no change of theirs is overwritten.
 */
#include "request.h"

#include "stop.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#define PLEASE_STOP 0x20 /* _PY_EVAL_PLEASE_STOP_BIT, in the word's first byte */

/* Unlike /proc/PID/mem this keeps to the protection of the pages. */
static int write_memory(const struct pp_target *t, uint64_t address, const void *data, size_t len)
{
	struct iovec local = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = len };
	ssize_t n = process_vm_writev(t->pid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n == (ssize_t)len ? 0 : -EFAULT;
}

static int write_request(const struct pp_target *t, const struct pp_runtime *rt, const char *path)
{
	const int32_t pending = 1;
	uint8_t breaker;
	int r;

	if (!pp_target_read(t, rt->breaker, &breaker, 1))
		return -EFAULT;
	breaker |= PLEASE_STOP;
	r = write_memory(t, rt->path, path, strlen(path) + 1);
	if (r >= 0)
		r = write_memory(t, rt->pending, &pending, sizeof(pending));
	return r < 0 ? r : write_memory(t, rt->breaker, &breaker, 1);
}

static int explain(const struct pp_target *t, int r)
{
	switch (r) {
	case -EPERM:
	case -EACCES:
		return pp_fail(PP_EXIT_NOT_PERMITTED,
			       "process %d may not be stopped: kernel.yama.ptrace_scope or another "
			       "debugger stands in the way",
			       (int)t->pid);
	case -ESRCH:
		return pp_fail(PP_EXIT_NO_PROCESS, "process %d has ended", (int)t->pid);
	case -ETIMEDOUT:
		return pp_fail(PP_EXIT_FAILED,
			       "process %d has a thread that does not stop: it is deep in the "
			       "kernel; nothing was changed",
			       (int)t->pid);
	case -E2BIG:
		return pp_fail(PP_EXIT_FAILED, "process %d has too many threads to stop",
			       (int)t->pid);
	default:
		return pp_fail(PP_EXIT_FAILED, "process %d: %s", (int)t->pid, strerror(-r));
	}
}

/*
 * What the runtime answers while the process is stopped, in the memory that is written to: the one
 * that it was found in may be that of a program which the process ran before.
 */
static enum pp_runtime_answer look_again(const struct pp_target *t, const struct pp_runtime *rt)
{
	_cleanup_close_ int mem = openat(t->proc, "mem", O_RDONLY | O_CLOEXEC);
	struct pp_target now = *t;
	enum pp_runtime_answer answer;
	struct pp_runtime found;

	now.mem = mem;
	answer = pp_runtime_look(&now, rt->address, &found);
	if (answer != PP_RUNTIME_OK && answer != PP_RUNTIME_PENDING)
		return answer;
	return found.state == rt->state ? answer : PP_RUNTIME_NONE;
}

static int put(const struct pp_target *t, const struct pp_runtime *rt, const char *path)
{
	_cleanup_stop_ struct pp_stop stop = { 0 };
	enum pp_runtime_answer answer;
	int r;

	if (strlen(path) >= rt->offsets.path_size)
		return -ENAMETOOLONG;
	r = pp_stop_begin(&stop, t);
	if (r < 0)
		return r;
	/* The script is its user's: it must not run with another's rights. A program that is not
	 * loaded at random addresses is, where it is run again, the same to the last word. */
	answer = pp_target_keeps_user(t) ? look_again(t, rt) : PP_RUNTIME_NONE;
	if (answer == PP_RUNTIME_OK)
		return write_request(t, rt, path);
	pp_stop_end(&stop);
	return pp_fail(PP_EXIT_FAILED, "process %d %s", (int)t->pid,
		       answer == PP_RUNTIME_NONE ? "has become another program meanwhile"
						 : pp_runtime_answer_text(answer));
}

int pp_request_put(const struct pp_target *t, const struct pp_runtime *rt, const char *path)
{
	int r = put(t, rt, path);

	return r < 0 ? explain(t, r) : r;
}

int pp_request_withdraw(const struct pp_target *t, const struct pp_runtime *rt)
{
	_cleanup_stop_ struct pp_stop stop = { 0 };
	const int32_t none = 0;
	int r;

	r = pp_stop_begin(&stop, t);
	if (r < 0)
		return r;
	if (look_again(t, rt) != PP_RUNTIME_PENDING)
		return 0;
	/* The bit stays: without a request it has no effect. */
	r = write_memory(t, rt->pending, &none, sizeof(none));
	return r < 0 ? r : 1;
}
