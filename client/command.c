/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs the command that is recorded. */
#include "command.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

/* As shells have it. */
#define EXIT_NOT_RUNNABLE 126
#define EXIT_NOT_FOUND	  127
#define EXIT_SIGNAL	  128

static void run_child(char **argv, bool trampolines, const sigset_t *mask, int hold, int exec_error)
{
	char go;
	int r;

	while ((r = (int)read(hold, &go, 1)) < 0 && errno == EINTR)
		;
	if (r != 1)
		_exit(PP_EXIT_FAILED); /* nobody wants us to run */
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (trampolines)
		setenv("PYTHONPERFSUPPORT", "1", 1);
	execvp(argv[0], argv);
	r = errno;
	(void)!write(exec_error, &r, sizeof(r));
	_exit(EXIT_NOT_FOUND);
}

int pp_command_hold(struct pp_command *c, char **argv, bool trampolines, const sigset_t *mask)
{
	int hold[2], error[2];

	if (pipe2(hold, O_CLOEXEC) < 0)
		return pp_fail_errno(-errno, "pipe");
	if (pipe2(error, O_CLOEXEC) < 0) {
		pp_close(hold[0]);
		pp_close(hold[1]);
		return pp_fail_errno(-errno, "pipe");
	}
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		pp_close(hold[1]);
		run_child(argv, trampolines, mask, hold[0], error[1]);
	}
	pp_close(hold[0]);
	pp_close(error[1]);
	c->hold = hold[1];
	c->exec_error = error[0];
	if (c->pid < 0) {
		c->pid = 0;
		return pp_fail_errno(-errno, "fork");
	}
	return 0;
}

int pp_command_start(struct pp_command *c, const char *name)
{
	int error = 0;
	ssize_t n;

	c->started = true;
	if (write(c->hold, "", 1) != 1)
		return pp_fail(PP_EXIT_FAILED, "%s was killed before it could run", name);
	c->hold = pp_close(c->hold);
	while ((n = read(c->exec_error, &error, sizeof(error))) < 0 && errno == EINTR)
		;
	c->exec_error = pp_close(c->exec_error);
	if (n != sizeof(error))
		return 0;
	return pp_fail(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE, "cannot run %s: %s",
		       name, strerror(error));
}

void pp_command_signal(const struct pp_command *c, const struct signalfd_siginfo *si)
{
	if (c->pid && c->started && !c->ended && si->ssi_code != SI_KERNEL)
		kill(c->pid, (int)si->ssi_signo);
}

void pp_command_reap(struct pp_command *c)
{
	if (c->pid && !c->ended && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->ended = true;
}

int pp_command_exit_code(const struct pp_command *c)
{
	return WIFSIGNALED(c->status) ? EXIT_SIGNAL + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}

void pp_command_done(struct pp_command *c)
{
	c->hold = pp_close(c->hold);
	c->exec_error = pp_close(c->exec_error);
	if (c->pid && !c->ended && !c->started)
		waitpid(c->pid, NULL, 0);
}
