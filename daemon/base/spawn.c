/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A child shares the daemon's memory until it executes, and the daemon goes on meanwhile. fork()
 * would copy the page tables, and wait for the locks of every file mapped: on a machine where
 * programs start as fast as they can, they all want that of the C library, and a fork has been seen
 * to take seconds. vfork() and posix_spawn() wait until the child has had a CPU.
 *
 * So, until it executes, a child calls only what touches nothing of the daemon's: a system call
 * that does not fail does not even set errno. Its stack is here; the kernel writes when it is free
 * again.
 */
#include "base/spawn.h"

#include "base/child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Children on their way at a time: one a role, and those that a busy machine has not let execute
 * before they missed a deadline. */
#define STARTS_MAX  8
#define STACK_BYTES (16 * KIB)
#define ROLE_MAX    16

/* A child on its way. */
struct start {
	_Alignas(16) uint8_t stack[STACK_BYTES];
	char role[ROLE_MAX];
	int sock;
	pid_t taken; /* not 0; the kernel clears it once the child shares no memory any more */
};

static struct start starts[STARTS_MAX];

/* The child, until it executes. Not instrumented: this is no stack that a sanitizer knows. */
__attribute__((no_sanitize("address", "undefined"))) static int become(void *userdata)
{
	struct start *s = userdata;
	char *argv[] = { (char *)"pyprofd", (char *)"--child", s->role, NULL };
	struct sigaction unhandled = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* What the daemon ignores and blocks a child must not. */
	(void)sigaction(SIGPIPE, &unhandled, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* A descriptor that already has the number would keep its close-on-exec flag. */
	if (s->sock == PP_CHILD_SOCKET ? fcntl(s->sock, F_SETFD, 0) < 0
				       : dup2(s->sock, PP_CHILD_SOCKET) < 0)
		_exit(EXIT_FAILURE);
	if (close_range(PP_CHILD_SOCKET + 1, ~0U, 0) == 0)
		(void)execv("/proc/self/exe", argv);
	_exit(EXIT_FAILURE);
}

static struct start *take_start(void)
{
	for (struct start *s = starts; s < starts + STARTS_MAX; s++)
		if (!__atomic_load_n(&s->taken, __ATOMIC_ACQUIRE))
			return s;
	return NULL;
}

int pp_spawn_child(const char *role, int *ret_sock, int *ret_pidfd, pid_t *ret_pid)
{
	const int flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD;
	_cleanup_close_ int ours = -1, theirs = -1;
	struct start *s = take_start();
	int pair[2], pidfd, r;
	pid_t pid;

	if (!s)
		return -EAGAIN;
	if (strlen(role) >= sizeof(s->role))
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	strcpy(s->role, role);
	s->sock = theirs;
	s->taken = 1;
	/* The child has descriptors of its own: closing theirs here takes nothing from it. */
	pid = clone(become, s->stack + sizeof(s->stack), flags, s, &pidfd, NULL, &s->taken);
	if (pid < 0) {
		r = -errno;
		s->taken = 0;
		return r;
	}
	*ret_sock = TAKE_FD(ours);
	*ret_pidfd = pidfd;
	*ret_pid = pid;
	return 0;
}

bool pp_reap(int pidfd)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
		return errno != EINTR; /* ECHILD: somebody else did */
	return info.si_pid != 0;
}
