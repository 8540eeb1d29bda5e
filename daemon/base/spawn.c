/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/spawn.h"

#include "base/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child, from the fork on. */
static _Noreturn void become(const char *role, int sock)
{
	char *argv[] = { (char *)"pyprofd", (char *)"--child", (char *)role, NULL };
	struct sigaction unhandled = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* The daemon blocks the signals that its loop handles; a child must not inherit that. */
	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &unhandled, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* A descriptor that already has the number would keep its close-on-exec flag. */
	if (sock == PP_CHILD_SOCKET ? fcntl(sock, F_SETFD, 0) < 0 : dup2(sock, PP_CHILD_SOCKET) < 0)
		_exit(EXIT_FAILURE);
	if (close_range(PP_CHILD_SOCKET + 1, ~0U, 0) == 0)
		(void)execv("/proc/self/exe", argv);
	_exit(EXIT_FAILURE);
}

/* A plain fork, where posix_spawn() would do: that waits until the child has executed, on a busy
 * machine for longer than a turn of the loop may take. */
int pp_spawn_child(const char *role, int *ret_sock, int *ret_pidfd, pid_t *ret_pid)
{
	_cleanup_close_ int ours = -1, theirs = -1, pidfd = -1;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		become(role, theirs);
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL); /* rare (no descriptors left): may stay a zombie */
		(void)waitpid(pid, NULL, WNOHANG);
		return r;
	}
	*ret_sock = TAKE_FD(ours);
	*ret_pidfd = TAKE_FD(pidfd);
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
