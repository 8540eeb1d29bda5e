/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/spawn.h"

#include "base/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int spawn_process(const char *role, int sock, pid_t *ret)
{
	char *argv[] = { (char *)"pyprofd", (char *)"--child", (char *)role, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	r = posix_spawn_file_actions_adddup2(&actions, sock, PP_CHILD_SOCKET);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, PP_CHILD_SOCKET + 1);
	/* The daemon blocks the signals that its loop handles; a child must not inherit that. */
	if (!r)
		r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawnattr_setsigmask(&attr, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(&attr, &all);
	if (!r)
		r = posix_spawn(ret, "/proc/self/exe", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int pp_spawn_child(const char *role, int *ret_sock, int *ret_pidfd)
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
	r = spawn_process(role, theirs, &pid);
	if (r < 0)
		return r;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL); /* rare (no descriptors left): may stay a zombie */
		(void)waitpid(pid, NULL, WNOHANG);
		return r;
	}
	*ret_sock = TAKE_FD(ours);
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

bool pp_reap(int pidfd)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
		return errno != EINTR; /* ECHILD: somebody else did */
	return info.si_pid != 0;
}
