/* SPDX-License-Identifier: GPL-2.0-only */
/* Waits for the end of a recording. */
#include "span.h"

#include "base/clock.h"

#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#define PROGRESS_MS 200

int pp_span_new(struct pp_span *s)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		sigaddset(&set, taken[i]);
	if (sigprocmask(SIG_BLOCK, &set, &s->mask) < 0)
		return pp_fail_errno(-errno, "signals");
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? pp_fail_errno(-errno, "signalfd") : 0;
}

void pp_span_follow(struct pp_span *s, pid_t pid)
{
	/* Where it fails (ESRCH), the daemon's refusal is about to say so. */
	s->process = (int)syscall(SYS_pidfd_open, pid, 0);
}

static void take_signals(struct pp_span *s, struct pp_command *command)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			if (command)
				pp_command_reap(command);
		} else if (command) {
			pp_command_signal(command, &si);
		} else if (si.ssi_signo != SIGUSR1 && si.ssi_signo != SIGUSR2) {
			s->interrupted = true;
		}
	}
}

static void show_progress(uint64_t passed_ns, int64_t duration_ms, bool command)
{
	double passed = (double)passed_ns / (double)NSEC_PER_SEC;

	if (duration_ms >= 0)
		fprintf(stderr, "\rrecording: %.1f of %.1f s ", passed, (double)duration_ms / 1000);
	else
		fprintf(stderr, "\rrecording: %.1f s%s ", passed,
			command ? "" : "; Ctrl-C ends it and keeps what there is");
}

static int next_timeout(uint64_t passed_ns, int64_t duration_ms, bool progress)
{
	int64_t left = INT32_MAX;

	if (duration_ms >= 0)
		left = duration_ms - (int64_t)(passed_ns / NSEC_PER_MSEC);
	if (progress)
		left = MIN(left, PROGRESS_MS);
	left = MIN(left, INT32_MAX);
	return (int)MAX(left, 0);
}

void pp_span_wait(struct pp_span *s, int64_t duration_ms, struct pp_client *client,
		  struct pp_command *command)
{
	/* A command's own output on the same terminal must not be painted over. */
	bool progress = isatty(STDERR_FILENO) && !command;
	uint64_t start = pp_now_ns(), passed = 0;

	while (!s->interrupted && !(command && command->ended)) {
		struct pollfd fds[] = {
			{ .fd = s->signals, .events = POLLIN },
			{ .fd = s->process, .events = POLLIN },
			{ .fd = client ? pp_client_fd(client) : -1, .events = POLLIN },
		};

		passed = pp_now_ns() - start;
		if (duration_ms >= 0 && passed >= (uint64_t)duration_ms * NSEC_PER_MSEC)
			break;
		if (progress)
			show_progress(passed, duration_ms, command);
		if (poll(fds, ARRAY_SIZE(fds), next_timeout(passed, duration_ms, progress)) < 0 &&
		    errno != EINTR)
			break;
		take_signals(s, command);
		/* Nothing is due from the daemon: readable means that it closed the connection. */
		if (fds[1].revents || fds[2].revents)
			break;
	}
	if (progress)
		fputs("\r\033[K", stderr);
}

void pp_span_done(struct pp_span *s)
{
	if (s->signals < 0)
		return;
	s->signals = pp_close(s->signals);
	s->process = pp_close(s->process);
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
}
