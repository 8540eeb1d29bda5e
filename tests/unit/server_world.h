/* SPDX-License-Identifier: GPL-2.0-only */
/* The server on real sockets. The test turns the loop by hand between what its callers do, so the
 * order of things is the test's. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/counters.h"
#include "base/fd.h"
#include "ipc/client.h"
#include "ipc/connection.h"
#include "ipc/varlink.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define CALL(name) "{\"method\":\"org.example.test." name "\"}"
#define NOBODY	   65534
#define FILE_BYTES 100000
#define TURN_USEC  20000

struct fixture {
	sd_event *event;
	struct pp_server *server;
	char dir[32], path[64];
	struct pp_call *kept; /* of method Later */
	unsigned int gone, closed;
};

/* ---- Methods ---- */

static inline int run_echo(struct pp_call *call, json_t *parameters, void *userdata _unused_)
{
	return pp_call_reply(call, json_incref(parameters));
}

static inline void on_gone(struct pp_call *call, void *data)
{
	struct fixture *f = data;

	assert_ptr_equal(call, f->kept);
	f->kept = NULL;
	f->gone++;
}

static inline int run_later(struct pp_call *call, json_t *parameters _unused_, void *userdata)
{
	struct fixture *f = userdata;

	f->kept = call;
	pp_call_on_gone(call, on_gone, f);
	return 0;
}

static inline int run_file(struct pp_call *call, json_t *parameters _unused_,
			   void *userdata _unused_)
{
	static uint8_t bytes[FILE_BYTES];
	int fd = pp_memfd_sealed("test", bytes, sizeof(bytes));
	int r = pp_call_reply_fd(call, NULL, fd);

	return r == -EDQUOT ? pp_call_error(call, "org.example.test.Quota", NULL) : r;
}

static inline int reply_bytes(struct pp_call *call, size_t size)
{
	char *text = malloc(size);
	json_t *json = json_object();

	memset(text, 'x', size);
	json_object_set_new(json, "x", json_stringn(text, size));
	free(text);
	return pp_call_reply(call, json);
}

static inline int run_big(struct pp_call *call, json_t *parameters _unused_,
			  void *userdata _unused_)
{
	return reply_bytes(call, 8 * MIB);
}

static inline int run_too_big(struct pp_call *call, json_t *parameters _unused_,
			      void *userdata _unused_)
{
	return reply_bytes(call, PP_VARLINK_REPLY_MAX);
}

static inline int run_count(struct pp_call *call, json_t *parameters _unused_,
			    void *userdata _unused_)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(pp_call_continue(call, json_pack("{s:i}", "i", i)), 0);
	return pp_call_reply(call, NULL);
}

static inline int run_denied(struct pp_call *call _unused_, json_t *parameters _unused_,
			     void *userdata _unused_)
{
	return -EPERM;
}

static inline int run_who(struct pp_call *call, json_t *parameters _unused_,
			  void *userdata _unused_)
{
	const struct pp_peer *p = pp_call_peer(call);
	json_t *groups = json_array();

	for (size_t i = 0; i < p->nr_groups; i++)
		json_array_append_new(groups, json_integer(p->groups[i]));
	return pp_call_reply(
		call, json_pack("{s:i, s:i, s:o}", "pid", p->pid, "uid", p->uid, "groups", groups));
}

static inline void on_connection_closed(struct pp_connection *c _unused_, void *userdata)
{
	((struct fixture *)userdata)->closed++;
}

static const struct pp_method methods[] = {
	{ "Echo", run_echo, false },	  { "Later", run_later, false },
	{ "File", run_file, false },	  { "Big", run_big, false },
	{ "Count", run_count, true },	  { "Denied", run_denied, false },
	{ "Follow", run_later, true },	  { "Who", run_who, false },
	{ "TooBig", run_too_big, false }, { NULL, NULL, false },
};

/* ---- Fixture ---- */

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct pp_server_config config = {
		.interface = "org.example.test",
		.description = "interface org.example.test\nmethod Echo() -> ()\n",
		.methods = methods,
		.vendor = "v",
		.product = "p",
		.version = "1",
		.url = "u",
		.userdata = f,
		.closed = on_connection_closed,
	};

	strcpy(f->dir, "/tmp/pyprof-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(pp_server_new(&f->server, f->event, &config), 0);
	assert_int_equal(pp_server_listen(f->server, f->path), 0);
	memset(pp_counters, 0, sizeof(pp_counters));
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	pp_server_free(f->server);
	sd_event_unref(f->event);
	assert_int_equal(access(f->path, F_OK), -1);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* Turns the loop until nothing has happened for a while. */
static inline void turn(struct fixture *f)
{
	while (sd_event_run(f->event, TURN_USEC) > 0)
		;
}

static inline int dial(struct fixture *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static inline void say(struct fixture *f, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text) + 1, MSG_NOSIGNAL), strlen(text) + 1);
	turn(f);
}

/* What has arrived, zero bytes shown as '|'; "closed" at the end of file. */
static inline const char *heard(int fd)
{
	static char text[4096];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return "closed";
	if (n < 0)
		return "";
	for (ssize_t i = 0; i < n; i++)
		text[i] = text[i] ?: '|';
	text[n] = 0;
	return text;
}

/* ---- Tests ---- */

static inline int take_file(int fd)
{
	char text[256];
	int fds[PP_PASS_FDS_MAX];
	size_t n = 0;

	assert_true(pp_recv_fds(fd, text, sizeof(text), fds, &n) > 0);
	return n == 1 ? fds[0] : -1;
}

/* Runs fn in a child as nobody while the loop turns; fn's result is its exit code. */
static inline int as_nobody(struct fixture *f, int (*fn)(struct fixture *f))
{
	static const gid_t groups[] = { 4242, 4243 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		if (setgroups(2, groups) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(99);
		_exit(fn(f));
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		sd_event_run(f->event, TURN_USEC);
	turn(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
