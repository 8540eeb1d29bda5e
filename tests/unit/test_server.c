/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server on real sockets. The test turns the loop by hand between what its callers do, so the
 * order of things is the test's; the blocking client runs in a thread beside it.
 */
#include "base/counters.h"
#include "base/fd.h"
#include "ipc/client.h"
#include "ipc/connection.h"
#include "ipc/varlink.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

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

static int run_echo(struct pp_call *call, json_t *parameters, void *userdata _unused_)
{
	return pp_call_reply(call, json_incref(parameters));
}

static void on_gone(struct pp_call *call, void *data)
{
	struct fixture *f = data;

	assert_ptr_equal(call, f->kept);
	f->kept = NULL;
	f->gone++;
}

static int run_later(struct pp_call *call, json_t *parameters _unused_, void *userdata)
{
	struct fixture *f = userdata;

	f->kept = call;
	pp_call_on_gone(call, on_gone, f);
	return 0;
}

static int run_file(struct pp_call *call, json_t *parameters _unused_, void *userdata _unused_)
{
	static uint8_t bytes[FILE_BYTES];
	int fd = pp_memfd_sealed("test", bytes, sizeof(bytes));
	int r = pp_call_reply_fd(call, NULL, fd);

	return r == -EDQUOT ? pp_call_error(call, "org.example.test.Quota", NULL) : r;
}

static int reply_bytes(struct pp_call *call, size_t size)
{
	char *text = malloc(size);
	json_t *json = json_object();

	memset(text, 'x', size);
	json_object_set_new(json, "x", json_stringn(text, size));
	free(text);
	return pp_call_reply(call, json);
}

static int run_big(struct pp_call *call, json_t *parameters _unused_, void *userdata _unused_)
{
	return reply_bytes(call, 8 * MIB);
}

static int run_too_big(struct pp_call *call, json_t *parameters _unused_, void *userdata _unused_)
{
	return reply_bytes(call, PP_VARLINK_REPLY_MAX);
}

static int run_count(struct pp_call *call, json_t *parameters _unused_, void *userdata _unused_)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(pp_call_continue(call, json_pack("{s:i}", "i", i)), 0);
	return pp_call_reply(call, NULL);
}

static int run_denied(struct pp_call *call _unused_, json_t *parameters _unused_,
		      void *userdata _unused_)
{
	return -EPERM;
}

static int run_who(struct pp_call *call, json_t *parameters _unused_, void *userdata _unused_)
{
	const struct pp_peer *p = pp_call_peer(call);
	json_t *groups = json_array();

	for (size_t i = 0; i < p->nr_groups; i++)
		json_array_append_new(groups, json_integer(p->groups[i]));
	return pp_call_reply(
		call, json_pack("{s:i, s:i, s:o}", "pid", p->pid, "uid", p->uid, "groups", groups));
}

static void on_connection_closed(struct pp_connection *c _unused_, void *userdata)
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

static int set_up(void **state)
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

static int tear_down(void **state)
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
static void turn(struct fixture *f)
{
	while (sd_event_run(f->event, TURN_USEC) > 0)
		;
}

static int dial(struct fixture *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void say(struct fixture *f, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text) + 1, MSG_NOSIGNAL), strlen(text) + 1);
	turn(f);
}

/* What has arrived, zero bytes shown as '|'; "closed" at the end of file. */
static const char *heard(int fd)
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

static void test_service(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
	assert_string_equal(heard(fd), "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\","
				       "\"version\":\"1\",\"url\":\"u\",\"interfaces\":["
				       "\"org.example.test\",\"org.varlink.service\"]}}|");
	say(f, fd,
	    "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
	    "\"parameters\":{\"interface\":\"org.example.test\"}}");
	assert_string_equal(heard(fd), "{\"parameters\":{\"description\":\"interface "
				       "org.example.test\\nmethod Echo() -> ()\\n\"}}|");
	say(f, fd,
	    "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
	    "\"parameters\":{\"interface\":\"a.b\"}}");
	assert_string_equal(heard(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
				       "\"parameters\":{\"interface\":\"a.b\"}}|");
	close(fd);
}

static void test_errors(void **state)
{
	static const struct {
		const char *call, *error;
	} cases[] = {
		{ "a.b.C", "InterfaceNotFound\",\"parameters\":{\"interface\":\"a.b\"}" },
		{ "org.example.test.No",
		  "MethodNotFound\",\"parameters\":{\"method\":\"org.example.test.No\"}" },
		{ "org.varlink.service.No",
		  "MethodNotFound\",\"parameters\":{\"method\":\"org.varlink.service.No\"}" },
		{ "nonsense", "InvalidParameter\",\"parameters\":{\"parameter\":\"method\"}" },
		{ "org.varlink.service.GetInterfaceDescription",
		  "InvalidParameter\",\"parameters\":{\"parameter\":\"interface\"}" },
		{ "org.example.test.Denied", "PermissionDenied\",\"parameters\":{}" },
		{ "org.example.test.Count", "ExpectedMore\",\"parameters\":{}" },
	};
	struct fixture *f = *state;
	int fd = dial(f);
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), "{\"method\":\"%s\"}", cases[i].call);
		say(f, fd, text);
		snprintf(text, sizeof(text), "{\"error\":\"org.varlink.service.%s}|",
			 cases[i].error);
		assert_string_equal(heard(fd), text);
	}
	say(f, fd, "{\"method\":\"org.example.test.Echo\",\"upgrade\":true}");
	assert_non_null(strstr(heard(fd), "MethodNotImplemented"));
	close(fd);
}

/* Whoever breaks the rules is cut off, counted, and disturbs nobody. */
static void test_malformed(void **state)
{
	static const char *const bad[] = { "x", "{}", "[]", "{\"method\":\"a.b.C\",\"x\":1}",
					   "{\"method\":\"\xff\"}" };
	struct fixture *f = *state;
	int good = dial(f);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = dial(f);

		say(f, fd, bad[i]);
		assert_string_equal(heard(fd), "closed");
		close(fd);
	}
	assert_int_equal(pp_counters[PP_C_calls_malformed], ARRAY_SIZE(bad));
	say(f, good, CALL("Echo"));
	assert_string_equal(heard(good), "{\"parameters\":{}}|");
	assert_int_equal(pp_server_connections(f->server), 1);
	close(good);
	turn(f);
	assert_int_equal(f->closed, ARRAY_SIZE(bad) + 1);
}

static void test_oversized(void **state)
{
	struct fixture *f = *state;
	static char spaces[64 * KIB];
	int fd = dial(f), rounds = 0;

	memset(spaces, ' ', sizeof(spaces));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (rounds++ < 100 &&
	       (send(fd, spaces, sizeof(spaces), MSG_NOSIGNAL) > 0 || errno == EAGAIN))
		turn(f);
	assert_true(rounds < 30);
	assert_string_equal(heard(fd), "closed");
	assert_int_equal(pp_counters[PP_C_calls_malformed], 1);
	close(fd);
}

/* Many calls in one write, more than a turn runs and than the queue holds: all are answered. */
static void test_pipelined(void **state)
{
	static const char call[] = CALL("Echo");
	static const char answer[] = "{\"parameters\":{}}";
	static char calls[500 * sizeof(call)];
	struct fixture *f = *state;
	int fd = dial(f), n = 500;
	size_t got = 0;

	for (int i = 0; i < n; i++)
		memcpy(calls + (size_t)i * sizeof(call), call, sizeof(call));
	assert_int_equal(send(fd, calls, sizeof(calls), MSG_NOSIGNAL), sizeof(calls));
	turn(f);
	for (const char *t; *(t = heard(fd)); turn(f))
		got += strlen(t);
	assert_int_equal(got, (size_t)n * sizeof(answer));
	close(fd);
}

/* Sends its calls, closes its writing half, and still gets its answers. */
static void test_half_close(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	assert_true(send(fd, CALL("Later"), sizeof(CALL("Later")), 0) > 0);
	shutdown(fd, SHUT_WR);
	turn(f);
	assert_non_null(f->kept);
	assert_int_equal(pp_call_reply(f->kept, NULL), 0);
	turn(f);
	assert_string_equal(heard(fd), "{\"parameters\":{}}|");
	assert_string_equal(heard(fd), "closed");
	assert_int_equal(f->gone, 0);
	close(fd);
}

static void test_gone(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, CALL("Later"));
	assert_non_null(f->kept);
	assert_string_equal(heard(fd), "");
	close(fd);
	turn(f);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->closed, 1);
	assert_int_equal(pp_server_connections(f->server), 0);
}

/* A reply that nobody can take any more must not hurt. */
static void test_reply_after_hangup(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, CALL("Later"));
	close(fd);
	assert_non_null(f->kept);
	(void)pp_call_reply(f->kept, json_pack("{s:i}", "x", 1));
	turn(f);
	assert_int_equal(f->gone, 0);
	assert_int_equal(f->closed, 1);
}

static void test_oneway(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(f, fd, "{\"method\":\"org.example.test.Echo\",\"oneway\":true}");
	say(f, fd, "{\"method\":\"org.example.test.Denied\",\"oneway\":true}");
	assert_string_equal(heard(fd), "");
	say(f, fd, CALL("Echo"));
	assert_string_equal(heard(fd), "{\"parameters\":{}}|");
	close(fd);
}

/* Moves the loop's clock by waiting is too slow for a unit test: the deadline's start is moved. */
static void age(struct fixture *f, uint64_t usec)
{
	for (struct pp_connection *c = f->server->connections; c; c = c->next) {
		uint64_t when;

		if (sd_event_source_get_enabled(c->timer, NULL) > 0 &&
		    sd_event_source_get_time(c->timer, &when) >= 0)
			sd_event_source_set_time(c->timer, when - usec);
	}
	turn(f);
}

static void test_slow_writer(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), idle = dial(f);

	assert_int_equal(send(fd, "{\"met", 5, 0), 5);
	turn(f);
	age(f, 9 * USEC_PER_SEC);
	assert_string_equal(heard(fd), "");
	assert_int_equal(send(fd, "hod", 3, 0), 3); /* progress does not start it anew */
	turn(f);
	age(f, 11 * USEC_PER_SEC);
	assert_string_equal(heard(fd), "closed");
	assert_string_equal(heard(idle), "");
	assert_int_equal(pp_counters[PP_C_callers_cut], 1);
	close(fd);
	close(idle);
}

static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), other = dial(f);

	say(f, fd, CALL("Big"));
	say(f, other, CALL("Echo"));
	assert_string_equal(heard(other), "{\"parameters\":{}}|");
	age(f, 29 * USEC_PER_SEC);
	assert_int_equal(pp_server_connections(f->server), 2);
	age(f, 31 * USEC_PER_SEC);
	assert_int_equal(pp_server_connections(f->server), 1);
	assert_int_equal(pp_counters[PP_C_callers_cut], 1);
	close(fd);
	close(other);
}

/* What is too large to send costs its caller the connection, and nobody else anything. */
static void test_oversized_reply(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), other = dial(f);

	say(f, fd, CALL("TooBig"));
	assert_string_equal(heard(fd), "closed");
	assert_int_equal(pp_counters[PP_C_replies_oversized], 1);
	say(f, other, CALL("Echo"));
	assert_string_equal(heard(other), "{\"parameters\":{}}|");
	close(fd);
	close(other);
}

/* Streams over the account's limit are told so; a stream that ends makes room. */
static void test_stream_limit(void **state)
{
	static const char follow[] = "{\"method\":\"org.example.test.Follow\",\"more\":true}";
	struct fixture *f = *state;
	int limit = PP_ACCOUNT_STREAMS * PP_ACCOUNT_ROOT_FACTOR, fds[100], extra;

	if (geteuid() != 0)
		limit = PP_ACCOUNT_STREAMS;
	for (int i = 0; i < limit; i++) {
		fds[i] = dial(f);
		say(f, fds[i], follow);
		assert_string_equal(heard(fds[i]), "");
	}
	extra = dial(f);
	say(f, extra, follow);
	assert_non_null(strstr(heard(extra), "{\"error\":\"org.example.test.TooMany\""));
	assert_int_equal(pp_counters[PP_C_callers_refused], 1);
	f->kept = &f->server->connections->next->call; /* the last of those that got through */
	close(fds[limit - 1]);
	turn(f);
	assert_int_equal(f->gone, 1);
	say(f, extra, follow);
	assert_string_equal(heard(extra), "");
	close(extra);
	for (int i = 0; i < limit - 1; i++)
		close(fds[i]);
	/* the rest end with the fixture, whose `kept` cannot follow them all */
	for (struct pp_connection *c = f->server->connections; c; c = c->next)
		c->call.gone = NULL;
}

static int take_file(int fd)
{
	char text[256];
	int fds[PP_PASS_FDS_MAX];
	size_t n = 0;

	assert_true(pp_recv_fds(fd, text, sizeof(text), fds, &n) > 0);
	return n == 1 ? fds[0] : -1;
}

/* What a caller holds is charged until it lets go, also when it hangs up or maps it. */
static void test_held(void **state)
{
	struct fixture *f = *state;
	struct pp_account *account;
	int fd = dial(f), file;
	void *map;

	say(f, fd, CALL("File"));
	file = take_file(fd);
	assert_int_equal(pp_memfd_check_sealed(file), FILE_BYTES);
	account = f->server->connections->account;
	turn(f);
	assert_int_equal(account->held, FILE_BYTES);
	assert_int_equal(account->held_files, 1);
	map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, file, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(file);
	turn(f);
	assert_int_equal(account->held, FILE_BYTES);
	munmap(map, FILE_BYTES);
	turn(f);
	assert_int_equal(account->held, 0);

	/* one that never reads its file gives it back by hanging up; one that read it does not */
	say(f, fd, CALL("File"));
	file = take_file(fd);
	say(f, fd, CALL("File"));
	assert_int_equal(account->held, 2 * FILE_BYTES);
	close(fd);
	turn(f);
	assert_int_equal(pp_server_connections(f->server), 0);
	assert_int_equal(account->held, FILE_BYTES);
	assert_int_equal(account->refs, 1);
	close(file);
	turn(f);
}

static void test_held_quota(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), file;

	turn(f);
	f->server->connections->account->held =
		pp_account_limit(f->server->connections->account, PP_ACCOUNT_HELD) - FILE_BYTES;
	say(f, fd, CALL("File"));
	file = take_file(fd);
	assert_true(file >= 0);
	say(f, fd, CALL("File"));
	assert_non_null(strstr(heard(fd), "org.example.test.Quota"));
	assert_int_equal(pp_counters[PP_C_replies_over_quota], 1);
	close(file);
	turn(f);
	say(f, fd, CALL("File"));
	file = take_file(fd);
	assert_true(file >= 0);
	close(file);
	close(fd);
}

/* Runs fn in a child as nobody while the loop turns; fn's result is its exit code. */
static int as_nobody(struct fixture *f, int (*fn)(struct fixture *f))
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

static int call_who(struct fixture *f)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	struct pp_client *c;
	int pid, uid, g1, g2;

	if (pp_client_new(&c, f->path) < 0 ||
	    pp_client_call(c, "org.example.test.Who", NULL, 5000, &reply) < 0)
		return 1;
	if (json_unpack(reply.parameters, "{s:i, s:i, s:[i, i!]}", "pid", &pid, "uid", &uid,
			"groups", &g1, &g2) < 0)
		return 2;
	return pid == getpid() && uid == NOBODY && g1 == 4242 && g2 == 4243 ? 0 : 3;
}

static void test_peer(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(as_nobody(*state, call_who), 0);
}

/* Opening the file again and closing that would look like letting go of it: it must not work. */
static int cheat(struct fixture *f)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	struct pp_client *c;
	char path[64];

	if (pp_client_new(&c, f->path) < 0 ||
	    pp_client_call(c, "org.example.test.File", NULL, 5000, &reply) < 0)
		return 1;
	if (pp_memfd_check_sealed(reply.fd) != FILE_BYTES)
		return 2;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", reply.fd);
	return open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES && fchmod(reply.fd, 0644) < 0
		       ? 0
		       : 3;
}

static void test_held_cheat(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(as_nobody(*state, cheat), 0);
}

/* As systemd would start it: the sockets are descriptors from 3 on. */
static int inherit(const char *dir, bool sockets)
{
	struct pp_server_config config = { .interface = "a.b", .methods = methods };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct pp_server *s;
	sd_event *event;
	char pid[16];
	int fd, r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/inherited", dir);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (sockets && listen(fd, 1) < 0) ||
	    dup2(fd, 3) < 0)
		return 1;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	if (sd_event_new(&event) < 0 || pp_server_new(&s, event, &config) < 0)
		return 2;
	r = pp_server_listen_inherited(s);
	if (r != (sockets ? 1 : -EINVAL) || getenv("LISTEN_FDS"))
		return 3;
	pp_server_free(s);
	/* it is the unit's, not ours to remove */
	return access(a.sun_path, F_OK) == 0 && unlink(a.sun_path) == 0 ? 0 : 4;
}

static void test_inherited(void **state)
{
	struct fixture *f = *state;

	for (int sockets = 0; sockets <= 1; sockets++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(inherit(f->dir, sockets));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* Connects once more than it may: the last one is told why. */
static int crowd(struct fixture *f)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	struct pp_client *c;

	for (int i = 0; i < PP_ACCOUNT_CONNECTIONS; i++) {
		_cleanup_reply_ struct pp_reply ok = PP_REPLY;

		if (pp_client_new(&c, f->path) < 0 ||
		    pp_client_call(c, "org.example.test.Echo", NULL, 5000, &ok) < 0 || ok.error)
			return 1;
	}
	if (pp_client_new(&c, f->path) < 0)
		return 2;
	if (pp_client_call(c, "org.example.test.Echo", NULL, 5000, &reply) < 0)
		return 3;
	return reply.error && strcmp(reply.error, "org.example.test.TooMany") == 0 ? 0 : 4;
}

static void test_connection_limit(void **state)
{
	struct fixture *f = *state;
	int fd;

	if (geteuid() != 0)
		skip();
	fd = dial(f); /* another uid's are not touched by it */
	assert_int_equal(as_nobody(f, crowd), 0);
	assert_int_equal(pp_counters[PP_C_callers_refused], 1);
	assert_int_equal(pp_server_connections(f->server), 1);
	say(f, fd, CALL("Echo"));
	assert_string_equal(heard(fd), "{\"parameters\":{}}|");
	close(fd);
}

/* The blocking client against the server: a call, an error, a stream, a descriptor. */
static int use_client(struct fixture *f)
{
	struct pp_client *c;

	if (pp_client_new(&c, f->path) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		_cleanup_reply_ struct pp_reply r = PP_REPLY;
		json_t *p = json_pack("{s:i}", "x", i);

		if (pp_client_call(c, "org.example.test.Echo", p, 5000, &r) < 0 || r.error ||
		    json_integer_value(json_object_get(r.parameters, "x")) != i || r.fd >= 0)
			return 2;
	}
	for (int i = 0; i < 3; i++) {
		_cleanup_reply_ struct pp_reply r = PP_REPLY;

		if (pp_client_call(c, "org.example.test.File", NULL, 5000, &r) < 0 ||
		    pp_memfd_check_sealed(r.fd) != FILE_BYTES)
			return 3;
	}
	if (pp_client_stream(c, "org.example.test.Count", NULL) < 0)
		return 4;
	for (int i = 0; i < 4; i++) {
		_cleanup_reply_ struct pp_reply r = PP_REPLY;

		if (i == 1 && pp_client_call(c, "a.b.C", NULL, 0, &r) != -EBUSY)
			return 5;
		if (pp_client_next(c, 5000, &r) != 1 || r.continues != (i < 3))
			return 6;
	}
	{
		_cleanup_reply_ struct pp_reply r = PP_REPLY;

		if (pp_client_next(c, 0, &r) != -ENODATA)
			return 7;
		if (pp_client_call(c, "org.example.test.Later", NULL, 50, &r) != -ETIMEDOUT)
			return 8;
	}
	pp_client_free(c);
	return 0;
}

static void *client_thread(void *arg)
{
	return (void *)(intptr_t)use_client(arg);
}

static void test_client(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, client_thread, f), 0);
	while (pthread_tryjoin_np(thread, &result) != 0)
		sd_event_run(f->event, TURN_USEC);
	assert_int_equal((intptr_t)result, 0);
	turn(f);
	assert_int_equal(f->gone, 1);
}

/* A live socket is not stolen, a stale one is replaced, another's file is not touched. */
static void test_listen(void **state)
{
	struct fixture *f = *state;
	struct pp_server_config config = { .interface = "a.b", .methods = methods };
	_cleanup_(pp_server_freep) struct pp_server *second = NULL;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[96];
	struct stat st;
	int fd;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(pp_server_new(&second, f->event, &config), 0);
	assert_int_equal(pp_server_listen(second, f->path), -EADDRINUSE);

	snprintf(path, sizeof(path), "%s/file", f->dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(pp_server_listen(second, path), -EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(f->path, path), 0);
	assert_int_equal(pp_server_listen(second, path), -EEXIST);
	assert_int_equal(unlink(path), 0);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_int_equal(pp_server_listen(second, path), 0);

	/* replaced under its feet: the new one stays */
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	second = pp_server_free(second);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pp_server_new(&second, f->event, &config), 0);
	memset(path, 'x', sizeof(path));
	assert_int_equal(pp_server_listen(second, ""), -EINVAL);
	{
		char longest[200];

		memset(longest, 'x', sizeof(longest));
		longest[sizeof(longest) - 1] = 0;
		assert_int_equal(pp_server_listen(second, longest), -ENAMETOOLONG);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_service),
		TEST(test_errors),
		TEST(test_malformed),
		TEST(test_oversized),
		TEST(test_pipelined),
		TEST(test_half_close),
		TEST(test_gone),
		TEST(test_reply_after_hangup),
		TEST(test_oneway),
		TEST(test_slow_writer),
		TEST(test_slow_reader),
		TEST(test_oversized_reply),
		TEST(test_stream_limit),
		TEST(test_held),
		TEST(test_held_quota),
		TEST(test_peer),
		TEST(test_connection_limit),
		TEST(test_client),
		TEST(test_listen),
		TEST(test_held_cheat),
		TEST(test_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
