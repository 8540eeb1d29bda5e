/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls and their answers; the blocking client, which runs in a thread beside the loop. */
#include "server_world.h"

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
		TEST(test_service),   TEST(test_errors),
		TEST(test_malformed), TEST(test_oversized),
		TEST(test_pipelined), TEST(test_half_close),
		TEST(test_gone),      TEST(test_reply_after_hangup),
		TEST(test_oneway),    TEST(test_peer),
		TEST(test_client),    TEST(test_listen),
		TEST(test_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
