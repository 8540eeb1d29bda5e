/* SPDX-License-Identifier: GPL-2.0-only */
/* Stops and resumes the threads of a process. */
#include "stop.h"

#include "base/clock.h"
#include "base/array.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define THREADS_MAX 10000
#define WAIT_NS	    (1 * NSEC_PER_SEC) /* for all of them to stop; it takes microseconds each */
#define PAUSE_NS    20000

static bool is_held(const struct pp_stop *s, pid_t tid)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->threads[i].tid == tid)
			return true;
	return false;
}

/* Returns 1 where it is held now, 0 where it need not be. */
static int hold(struct pp_stop *s, const struct pp_target *t, pid_t tid)
{
	char state;
	int r;

	r = pp_array_grow(&s->threads, &s->cap, s->nr + 1, sizeof(*s->threads), THREADS_MAX);
	if (r < 0)
		return r == -ENOSPC ? -E2BIG : r;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
		r = -errno;
		/* It ended under our hands. */
		state = pp_target_state(t, tid);
		return tid != t->pid && (!state || state == 'X' || state == 'Z') ? 0 : r;
	}
	s->threads[s->nr++] = (struct pp_held){ .tid = tid };
	/* Fails only where it has ended. */
	(void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 1;
}

/* Holds the threads that are not held. Returns how many, or a negative errno. */
static int hold_new(struct pp_stop *s, const struct pp_target *t)
{
	int fd = openat(t->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), nr = 0, r = 0;
	const struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		pp_close(fd);
		return -ENOMEM;
	}
	while (r >= 0 && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid <= 0 || is_held(s, tid))
			continue;
		r = hold(s, t, tid);
		nr += r > 0;
	}
	closedir(dir);
	return r < 0 ? r : nr;
}

/* Takes note if it has stopped or ended. */
static bool has_settled(struct pp_held *h)
{
	int status;
	pid_t tid;

	if (h->stopped || h->gone)
		return true;
	tid = waitpid(h->tid, &status, __WALL | WNOHANG);
	if (tid == 0 || (tid < 0 && errno == EINTR))
		return false;
	if (tid < 0 || !WIFSTOPPED(status)) {
		h->gone = true;
		return true;
	}
	h->stopped = true;
	/* A stop of our own, and a stop for all, say so; any other is a signal's. */
	if (status >> 16 != PTRACE_EVENT_STOP)
		h->signal = WSTOPSIG(status);
	return true;
}

static int wait_all(struct pp_stop *s, uint64_t deadline)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	for (size_t i = 0; i < s->nr;) {
		if (has_settled(&s->threads[i])) {
			i++;
			continue;
		}
		if (pp_now_ns() > deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int pp_stop_begin(struct pp_stop *s, const struct pp_target *t)
{
	uint64_t deadline = pp_now_ns() + WAIT_NS;
	int r;

	/* Those that run may make new ones; when there are none to hold, none runs. */
	do {
		r = hold_new(s, t);
		if (r > 0 && wait_all(s, deadline) < 0)
			return -ETIMEDOUT;
	} while (r > 0);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->nr; i++)
		if (s->threads[i].tid == t->pid)
			return s->threads[i].gone ? -ESRCH : 0;
	return -ESRCH;
}

void pp_stop_end(struct pp_stop *s)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->threads[i].stopped)
			(void)ptrace(PTRACE_DETACH, s->threads[i].tid, NULL,
				     (void *)(intptr_t)s->threads[i].signal);
	free(s->threads);
	*s = (struct pp_stop){ 0 };
}
