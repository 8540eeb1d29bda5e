/* SPDX-License-Identifier: GPL-2.0-only */
#include "export.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"

#define CHILD_SOCKET 3

/* What the child says in the end, with the memfd where error is 0. */
struct outcome {
	int64_t error;
	struct pp_profile_info info;
	uint64_t bytes;
};

struct pp_export {
	pid_t pid; /* 0: collected */
	int pidfd, sock;
	sd_event_source *exited, *timer;
	bool late;
	pp_export_fn done;
	void *userdata;
};

static unsigned int under_way;

/* ---- The child ------------------------------------------------------------------------------- */

static int make(const struct pp_profile *profile, const struct pp_query *query,
		const struct pp_pprof_options *options, size_t bytes_max, struct outcome *ret)
{
	_cleanup_(pp_selection_freep) struct pp_selection *s = NULL;
	_cleanup_buf_ struct pp_buf out = PP_BUF(bytes_max);
	int r;

	r = pp_selection_new(&s, profile, query);
	if (r < 0)
		return r;
	ret->info = s->info;
	r = pp_pprof_write(s, options, &out);
	if (r < 0)
		return r;
	ret->bytes = out.len;
	return pp_memfd_sealed("pyprof", out.data, out.len);
}

/* The parent's descriptors are nobody's business here: a connection that it closes must be closed.
 */
static int keep_only(int sock)
{
	if (sock == CHILD_SOCKET)
		return syscall(SYS_close_range, CHILD_SOCKET + 1, ~0U, 0) < 0 ? -errno : 0;
	if (dup2(sock, CHILD_SOCKET) < 0)
		return -errno;
	return keep_only(CHILD_SOCKET);
}

static _Noreturn void child(int sock, const struct pp_profile *profile,
			    const struct pp_query *query, const struct pp_pprof_options *options,
			    size_t bytes_max)
{
	struct outcome outcome = { 0 };
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (keep_only(sock) < 0)
		_exit(EXIT_FAILURE);
	fd = make(profile, query, options, bytes_max, &outcome);
	outcome.error = MIN(fd, 0);
	(void)pp_send_fds(CHILD_SOCKET, &outcome, sizeof(outcome), &fd, fd >= 0);
	_exit(EXIT_SUCCESS);
}

/* ---- The daemon ------------------------------------------------------------------------------ */

static void collect(struct pp_export *e)
{
	if (!e->pid)
		return;
	/* It touches nothing but memory, so a killed one is gone at once. */
	(void)kill(e->pid, SIGKILL);
	while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
		;
	e->pid = 0;
	under_way--;
	e->exited = sd_event_source_disable_unref(e->exited);
	e->timer = sd_event_source_disable_unref(e->timer);
}

/* What the child said, or why it could not. Returns the memfd or a negative errno. */
static int hear(struct pp_export *e, struct outcome *ret)
{
	int fds[PP_PASS_FDS_MAX], fd = -1;
	size_t nr_fds;
	ssize_t n;

	if (e->late)
		return -ETIMEDOUT;
	n = pp_recv_fds(e->sock, ret, sizeof(*ret), fds, &nr_fds);
	if (n == (ssize_t)sizeof(*ret) && ret->error)
		return (int)ret->error;
	if (n == (ssize_t)sizeof(*ret) && nr_fds == 1)
		fd = fds[0];
	return fd >= 0 ? fd : -EPIPE;
}

static int finish(struct pp_export *e)
{
	struct outcome outcome = { 0 };
	int fd = hear(e, &outcome);

	collect(e);
	e->done(e->userdata, MIN(fd, 0), &outcome.info, MAX(fd, -1), outcome.bytes);
	return 0;
}

static int on_exited(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source, (void)fd, (void)events;
	return finish(userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct pp_export *e = userdata;

	(void)source, (void)usec;
	e->late = true;
	return finish(e);
}

static int watch(struct pp_export *e, sd_event *event)
{
	int r;

	e->pidfd = (int)syscall(SYS_pidfd_open, e->pid, 0);
	if (e->pidfd < 0)
		return -errno;
	r = sd_event_add_io(event, &e->exited, e->pidfd, EPOLLIN, on_exited, e);
	if (r < 0)
		return r;
	return sd_event_add_time_relative(event, &e->timer, CLOCK_MONOTONIC,
					  PP_EXPORT_SECONDS * USEC_PER_SEC, 0, on_timer, e);
}

int pp_export_new(struct pp_export **ret, sd_event *event, const struct pp_profile *profile,
		  const struct pp_query *query, const struct pp_pprof_options *options,
		  size_t bytes_max, pp_export_fn done, void *userdata)
{
	_cleanup_(pp_export_freep) struct pp_export *e = NULL;
	_cleanup_close_ int theirs = -1;
	int socks[2], r;

	if (under_way >= PP_EXPORTS_MAX)
		return -EBUSY;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct pp_export){ .pidfd = -1, .sock = -1, .done = done, .userdata = userdata };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, socks) < 0)
		return -errno;
	e->sock = socks[0];
	theirs = socks[1];
	e->pid = fork();
	if (e->pid < 0) {
		e->pid = 0;
		return -errno;
	}
	if (!e->pid)
		child(theirs, profile, query, options, bytes_max);
	under_way++;
	r = watch(e, event);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(e);
	return 0;
}

struct pp_export *pp_export_free(struct pp_export *e)
{
	if (!e)
		return NULL;
	collect(e);
	pp_close(e->pidfd);
	pp_close(e->sock);
	free(e);
	return NULL;
}
