/* SPDX-License-Identifier: GPL-2.0-only */
/* Helper processes: replies in order, deadlines, deaths, pauses, children that will not die. */
#include "base/child.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <cmocka.h>

#define DEADLINE_MS 200
#define IDLE_MS	    100
#define OWNER	    0 /* without limits */
#define BOB	    7
#define EVE	    8

/* ---- The child: the first byte of a request says what to do -----------------------------------
 */

static uint8_t child_message[PP_CHILD_MESSAGE_MAX];

static int child_main(int sock)
{
	for (;;) {
		int fds[PP_PASS_FDS_MAX];
		size_t nr_fds;
		ssize_t n = pp_recv_fds(sock, child_message, sizeof(child_message), fds, &nr_fds);

		if (n <= 0)
			return 0;
		switch (child_message[0]) {
		case 'h': /* hang */
			for (;;)
				pause();
		case 'x': /* die */
			raise(SIGKILL);
			break;
		case 's': /* work */
			usleep(20000);
			break;
		case 'p': /* pid */
			n = snprintf((char *)child_message, sizeof(child_message), "%d", getpid());
			break;
		case 'n': { /* number of open descriptors, and whether SIGTERM is blocked */
			sigset_t set;
			int open_fds = 0;

			for (int fd = 0; fd < 1024; fd++)
				open_fds += fcntl(fd, F_GETFD) >= 0 && fd > PP_CHILD_SOCKET;
			sigprocmask(SIG_BLOCK, NULL, &set);
			n = snprintf((char *)child_message, sizeof(child_message), "%d %d",
				     open_fds, sigismember(&set, SIGTERM));
			break;
		}
		}
		if (pp_send_fds(sock, child_message, (size_t)n, fds, nr_fds) < 0)
			return 1;
		for (size_t i = 0; i < nr_fds; i++)
			pp_close(fds[i]);
	}
}

/* ---- The daemon's side ------------------------------------------------------------------------
 */

struct answer {
	bool done;
	int order;
	int error;
	size_t len;
	int fd;
	uint8_t *data;
};

static int answers_seen;

static void on_answer(void *userdata, int error, const void *data, size_t len, int *fds,
		      size_t nr_fds)
{
	struct answer *a = userdata;

	assert_false(a->done);
	a->done = true;
	a->order = ++answers_seen;
	a->error = error;
	a->len = len;
	a->fd = -1;
	if (nr_fds)
		a->fd = TAKE_FD(fds[0]);
	a->data = calloc(1, len + 1);
	if (len)
		memcpy(a->data, data, len);
}

static void answer_done(struct answer *a)
{
	free(a->data);
	if (a->done)
		pp_close(a->fd);
	*a = (struct answer){ 0 };
}

struct fixture {
	sd_event *event;
	struct pp_child *child;
};

static int set_up(void **state, unsigned int abandoned_max)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct pp_child_config config = { .role = "test",
					  .deadline_ms = DEADLINE_MS,
					  .queue_max = 4,
					  .queue_owner_max = 2,
					  .abandoned_max = abandoned_max,
					  .abandoned_owner_max = 1 };

	assert_return_code(sd_event_new(&f->event), 0);
	assert_return_code(pp_child_new(&f->child, f->event, &config), 0);
	answers_seen = 0;
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return set_up(state, 1);
}

static int setup_two(void **state)
{
	return set_up(state, 2);
}

static int setup_idle(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct pp_child_config config = {
		.role = "test", .deadline_ms = 3000, .idle_ms = IDLE_MS, .queue_max = 4
	};

	assert_return_code(sd_event_new(&f->event), 0);
	assert_return_code(pp_child_new(&f->child, f->event, &config), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pp_child_free(f->child);
	sd_event_unref(f->event);
	free(f);
	/* No child, not even a zombie, is left behind. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static int call(struct fixture *f, const char *text, struct answer *a)
{
	return pp_child_call(f->child, OWNER, text, strlen(text), NULL, 0, on_answer, a);
}

static int call_for(struct fixture *f, uint32_t owner, const char *text, struct answer *a)
{
	return pp_child_call(f->child, owner, text, strlen(text), NULL, 0, on_answer, a);
}

static void wait_for(struct fixture *f, struct answer *a, unsigned int ms)
{
	uint64_t until = pp_now_ns() + ms * NSEC_PER_MSEC;

	while (!a->done && pp_now_ns() < until)
		assert_return_code(sd_event_run(f->event, 20 * USEC_PER_MSEC), 0);
	assert_true(a->done);
}

static void run_for(struct fixture *f, unsigned int ms)
{
	uint64_t until = pp_now_ns() + ms * NSEC_PER_MSEC;

	while (pp_now_ns() < until)
		assert_return_code(sd_event_run(f->event, 10 * USEC_PER_MSEC), 0);
}

static pid_t child_pid(struct fixture *f)
{
	struct answer a = { 0 };
	pid_t pid;

	assert_return_code(call(f, "p", &a), 0);
	wait_for(f, &a, 3000);
	assert_int_equal(a.error, 0);
	pid = atoi((char *)a.data);
	answer_done(&a);
	return pid;
}

static void test_answers_in_order(void **state)
{
	struct fixture *f = *state;
	struct answer a[4] = { 0 };

	assert_int_equal(pp_child_pending(f->child), 0);
	for (size_t i = 0; i < 4; i++)
		assert_return_code(call(f, (const char *[]){ "e0", "e1", "e2", "e3" }[i], &a[i]),
				   0);
	assert_int_equal(pp_child_pending(f->child), 4);
	wait_for(f, &a[3], 3000);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(a[i].order, i + 1);
		assert_int_equal(a[i].error, 0);
		assert_int_equal(a[i].data[1], '0' + i);
		answer_done(&a[i]);
	}
	assert_int_equal(pp_child_pending(f->child), 0);
}

static void test_whole_message_and_fd(void **state)
{
	struct fixture *f = *state;
	struct answer a = { 0 };
	_cleanup_free_ uint8_t *big = malloc(PP_CHILD_MESSAGE_MAX);
	_cleanup_close_ int fd = pp_memfd_sealed("x", "hello", 5);
	char text[6] = "";

	memset(big, 'e', PP_CHILD_MESSAGE_MAX);
	assert_return_code(
		pp_child_call(f->child, OWNER, big, PP_CHILD_MESSAGE_MAX, &fd, 1, on_answer, &a),
		0);
	fd = pp_close(fd); /* the call has its own copy */
	wait_for(f, &a, 3000);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.len, PP_CHILD_MESSAGE_MAX);
	assert_memory_equal(a.data, big, PP_CHILD_MESSAGE_MAX);
	assert_int_equal(pread(a.fd, text, 5, 0), 5);
	assert_string_equal(text, "hello");
	answer_done(&a);
	assert_int_equal(pp_child_call(f->child, OWNER, big, PP_CHILD_MESSAGE_MAX + 1, NULL, 0,
				       on_answer, &a),
			 -EMSGSIZE);
}

static void test_inherits_nothing(void **state)
{
	struct fixture *f = *state;
	struct answer a = { 0 };
	sigset_t set, old;
	_cleanup_close_ int leak = open("/dev/null", O_RDONLY); /* deliberately without O_CLOEXEC */

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	assert_true(leak > PP_CHILD_SOCKET);
	assert_return_code(call(f, "n", &a), 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	wait_for(f, &a, 3000);
	assert_string_equal((char *)a.data, "0 0");
	answer_done(&a);
}

/* More than can be on their way at a time, one after another. */
static void test_starts_again_and_again(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		_cleanup_close_ int sock = -1, pidfd = -1;
		pid_t pid;

		assert_return_code(pp_spawn_child("test", &sock, &pidfd, &pid), 0);
		assert_true(pid > 0);
		sock = pp_close(sock); /* it ends where it finds that */
		assert_int_equal(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 10000),
				 1);
		while (!pp_reap(pidfd))
			usleep(1000);
	}
}

static void test_queue_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct answer a[6] = { 0 };

	for (size_t i = 0; i < 5; i++) /* one in flight, four wait */
		assert_return_code(call(f, "e", &a[i]), 0);
	assert_int_equal(call(f, "e", &a[5]), -ENOBUFS);
	wait_for(f, &a[4], 3000);
	run_for(f, 50);
	assert_false(a[5].done);
	for (size_t i = 0; i < 5; i++)
		answer_done(&a[i]);
}

static void test_deadline_costs_only_its_request(void **state)
{
	struct fixture *f = *state;
	struct answer a[2] = { 0 };
	pid_t pid = child_pid(f);
	uint64_t start = pp_now_ns();

	assert_return_code(call(f, "h", &a[0]), 0);
	assert_return_code(call(f, "p", &a[1]), 0);
	wait_for(f, &a[1], 3000);
	assert_int_equal(a[0].error, -ETIMEDOUT);
	assert_in_range((pp_now_ns() - start) / NSEC_PER_MSEC, DEADLINE_MS, DEADLINE_MS * 4);
	assert_int_equal(a[1].error, 0);
	assert_int_not_equal(atoi((char *)a[1].data), pid);
	run_for(f, 20);
	assert_int_equal(kill(pid, 0), -1); /* dead and reaped */
	answer_done(&a[0]);
	answer_done(&a[1]);
}

static void test_death_fails_its_request(void **state)
{
	struct fixture *f = *state;
	struct answer a[2] = { 0 };

	assert_return_code(call(f, "x", &a[0]), 0);
	assert_return_code(call(f, "e", &a[1]), 0);
	wait_for(f, &a[1], 3000);
	assert_int_equal(a[0].error, -EPIPE);
	assert_int_equal(a[1].error, 0);
	answer_done(&a[0]);
	answer_done(&a[1]);
}

static void test_death_between_requests_costs_none(void **state)
{
	struct fixture *f = *state;
	struct answer a = { 0 };
	pid_t pid = child_pid(f);

	kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) < 0)
		;
	assert_return_code(call(f, "e", &a), 0); /* before the loop has seen the death */
	wait_for(f, &a, 3000);
	assert_int_equal(a.error, 0);
	answer_done(&a);
}

static void test_idle_child_is_ended(void **state)
{
	struct fixture *f = *state;
	struct answer a = { 0 };
	pid_t pid = child_pid(f);

	while (kill(pid, 0) == 0)
		run_for(f, IDLE_MS / 2);
	for (int i = 0; i < 3; i++) { /* no death: the next ones start at once */
		assert_int_not_equal(child_pid(f), pid);
		run_for(f, IDLE_MS * 2);
	}
	/* Not while it works, nor while requests wait. */
	assert_return_code(call(f, "s", &a), 0);
	wait_for(f, &a, 3000);
	assert_int_equal(a.error, 0);
	answer_done(&a);
}

static void test_dying_again_and_again_pauses(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	for (int i = 0; i < 3; i++) {
		struct answer a = { 0 };

		assert_return_code(call(f, "x", &a), 0);
		wait_for(f, &a, 3000);
		assert_int_equal(a.error, -EPIPE);
		answer_done(&a);
	}
	start = pp_now_ns();
	child_pid(f);
	assert_in_range((pp_now_ns() - start) / NSEC_PER_MSEC, 200, 1000);
	start = pp_now_ns();
	child_pid(f); /* an answer ends the pauses */
	assert_in_range((pp_now_ns() - start) / NSEC_PER_MSEC, 0, 150);
}

static void test_free_cancels(void **state)
{
	struct fixture *f = *state;
	struct answer a[2] = { 0 };

	assert_return_code(call(f, "h", &a[0]), 0);
	assert_return_code(call(f, "e", &a[1]), 0);
	f->child = pp_child_free(f->child);
	assert_int_equal(a[0].error, -ECANCELED);
	assert_int_equal(a[1].error, -ECANCELED);
	answer_done(&a[0]);
	answer_done(&a[1]);
}

/* A tracer that keeps the child in its exit: as dead to us as one stuck in a file system. */
static pid_t hold_at_exit(pid_t pid)
{
	pid_t tracer = fork();
	int status;

	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) < 0)
			_exit(1);
		prctl(PR_SET_NAME, "tracer");
		waitpid(pid, &status, __WALL); /* its exit stop: never continued */
		for (;;)
			pause();
	}
	/* Attached when the child's TracerPid says so. */
	for (int i = 0; i < 200; i++) {
		char path[64], text[4096] = "", want[32];
		_cleanup_close_ int fd = -1;

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		snprintf(want, sizeof(want), "TracerPid:\t%d\n", tracer);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(pp_read_full(fd, text, sizeof(text) - 1) > 0);
		if (strstr(text, want))
			return tracer;
		usleep(10000);
	}
	fail_msg("the tracer did not attach");
	return -1;
}

static void test_unkillable_child_is_abandoned(void **state)
{
	struct fixture *f = *state;
	struct answer a[3] = { 0 };
	pid_t pid = child_pid(f), tracer = hold_at_exit(pid);

	assert_return_code(call(f, "h", &a[0]), 0);
	wait_for(f, &a[0], 3000);
	assert_int_equal(a[0].error, -ETIMEDOUT);
	assert_int_equal(kill(pid, 0), 0); /* still there */

	/* One abandoned is the limit: the running child's successor would be one too many. */
	run_for(f, 150);
	assert_int_equal(call(f, "e", &a[1]), -EAGAIN);

	kill(tracer, SIGKILL); /* lets go */
	waitpid(tracer, NULL, 0);
	run_for(f, 100);
	assert_int_equal(kill(pid, 0), -1);
	assert_return_code(call(f, "e", &a[2]), 0);
	wait_for(f, &a[2], 3000);
	assert_int_equal(a[2].error, 0);
	answer_done(&a[0]);
	answer_done(&a[2]);
}

static void test_who_had_least_comes_first(void **state)
{
	struct fixture *f = *state;
	struct answer a[4] = { 0 };

	assert_return_code(call_for(f, EVE, "s", &a[0]), 0);
	assert_return_code(call_for(f, EVE, "e", &a[1]), 0);
	assert_return_code(call_for(f, EVE, "e", &a[2]), 0);
	/* So many may wait for one owner: the place that is left is not hers. */
	assert_int_equal(call_for(f, EVE, "e", &a[3]), -ENOBUFS);
	assert_return_code(call_for(f, BOB, "e", &a[3]), 0);
	wait_for(f, &a[2], 3000);
	assert_int_equal(a[0].order, 1);
	assert_int_equal(a[3].order, 2);
	assert_int_equal(a[1].order, 3);
	assert_int_equal(a[2].order, 4);
	for (size_t i = 0; i < 4; i++)
		answer_done(&a[i]);
}

static void test_who_made_children_hang_is_not_served(void **state)
{
	struct fixture *f = *state;
	struct answer a[5] = { 0 };
	pid_t pid = child_pid(f), tracer = hold_at_exit(pid);

	assert_return_code(call_for(f, EVE, "h", &a[0]), 0);
	assert_return_code(call_for(f, EVE, "e", &a[1]), 0);
	assert_return_code(call_for(f, BOB, "e", &a[2]), 0);
	wait_for(f, &a[2], 3000);
	assert_int_equal(a[0].error, -ETIMEDOUT);
	assert_int_equal(a[2].error, 0);
	/* What waited is refused, and what comes. */
	wait_for(f, &a[1], 3000);
	assert_int_equal(a[1].error, -EBUSY);
	assert_int_equal(call_for(f, EVE, "e", &a[3]), -EBUSY);
	run_for(f, 150);
	assert_int_equal(call_for(f, EVE, "e", &a[3]), -EBUSY);
	assert_return_code(call_for(f, BOB, "e", &a[3]), 0);
	wait_for(f, &a[3], 3000);
	assert_int_equal(a[3].error, 0);

	kill(tracer, SIGKILL); /* lets go */
	waitpid(tracer, NULL, 0);
	run_for(f, 100);
	assert_return_code(call_for(f, EVE, "e", &a[4]), 0);
	wait_for(f, &a[4], 3000);
	assert_int_equal(a[4].error, 0);
	for (size_t i = 0; i < 5; i++)
		answer_done(&a[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_message_and_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherits_nothing, setup, teardown),
		cmocka_unit_test(test_starts_again_and_again),
		cmocka_unit_test_setup_teardown(test_queue_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline_costs_only_its_request, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_death_fails_its_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death_between_requests_costs_none, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_idle_child_is_ended, setup_idle, teardown),
		cmocka_unit_test_setup_teardown(test_dying_again_and_again_pauses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_cancels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unkillable_child_is_abandoned, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_who_had_least_comes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_made_children_hang_is_not_served,
						setup_two, teardown),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return child_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
