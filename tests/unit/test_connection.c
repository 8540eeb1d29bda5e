/* SPDX-License-Identifier: GPL-2.0-only */
/* What pyprofctl says, and exits with, when the way to the daemon or a call fails. */
#include "lib/connection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cmocka.h>

static void test_path(void **state _unused_)
{
	unsetenv(PP_SOCKET_ENVIRONMENT);
	assert_string_equal(pp_connection_path(NULL), PP_SOCKET_DEFAULT);
	setenv(PP_SOCKET_ENVIRONMENT, "", 1);
	assert_string_equal(pp_connection_path(NULL), PP_SOCKET_DEFAULT);
	setenv(PP_SOCKET_ENVIRONMENT, "/from/environment", 1);
	assert_string_equal(pp_connection_path(NULL), "/from/environment");
	assert_string_equal(pp_connection_path("/from/option"), "/from/option");
}

static int explain(const char *error, const char *parameters, char text[static 1024])
{
	struct pp_reply r = PP_REPLY;
	int code;

	r.message = json_loads(parameters, 0, NULL);
	assert_non_null(r.message);
	r.parameters = r.message;
	r.error = error;
	code = (int)pp_connection_explain(&r, 0, text, 1024);
	pp_reply_done(&r);
	return code;
}

static void test_errors(void **state _unused_)
{
	static const struct {
		const char *error, *parameters, *says;
		int code;
	} cases[] = {
		{ PP_INTERFACE ".NotPermitted", "{\"reason\":\"not yours: use sudo\"}",
		  "not yours: use sudo", PP_EXIT_NOT_PERMITTED },
		{ PP_INTERFACE ".Failed", "{\"reason\":\"no memory\"}", "no memory",
		  PP_EXIT_FAILED },
		{ PP_INTERFACE ".NoSuchProcess", "{\"pid\":4711}", "no process 4711",
		  PP_EXIT_NO_PROCESS },
		{ PP_INTERFACE ".NoSuchSession", "{\"session\":3}", "session 3", PP_EXIT_FAILED },
		{ PP_INTERFACE ".TooMany", "{\"what\":\"streams\",\"limit\":8}", "8 is the limit",
		  PP_EXIT_FAILED },
		{ "org.varlink.service.PermissionDenied", "{}", "use sudo", PP_EXIT_NOT_PERMITTED },
		{ "org.varlink.service.InvalidParameter", "{\"parameter\":\"frequency\"}",
		  "`frequency`", PP_EXIT_FAILED },
		{ "org.varlink.service.MethodNotFound", "{\"method\":\"a.b.C\"}",
		  "different versions", PP_EXIT_FAILED },
		/* what is missing or hostile in an error does no harm */
		{ PP_INTERFACE ".NotPermitted", "{}", "?", PP_EXIT_NOT_PERMITTED },
		{ PP_INTERFACE ".NotPermitted", "{\"reason\":\"\\u001b[31m\"}", "\\x1b[31m",
		  PP_EXIT_NOT_PERMITTED },
		{ PP_INTERFACE ".New", "{}", "New", PP_EXIT_FAILED },
		{ "com.example.Other", "{}", "does not speak", PP_EXIT_UNREACHABLE },
	};
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(explain(cases[i].error, cases[i].parameters, text), cases[i].code);
		if (!strstr(text, cases[i].says))
			fail_msg("\"%s\" lacks \"%s\"", text, cases[i].says);
	}
}

static void test_transport(void **state _unused_)
{
	char text[1024], tiny[8];

	assert_int_equal(pp_connection_explain(NULL, -ETIMEDOUT, text, sizeof(text)),
			 PP_EXIT_UNREACHABLE);
	assert_int_equal(pp_connection_explain(NULL, -ECONNRESET, text, sizeof(text)),
			 PP_EXIT_UNREACHABLE);
	assert_int_equal(pp_connection_explain(NULL, -EBADMSG, text, sizeof(text)),
			 PP_EXIT_UNREACHABLE);
	assert_int_equal(pp_connection_explain(NULL, -ENOMEM, text, sizeof(text)), PP_EXIT_FAILED);
	pp_connection_explain(NULL, -ETIMEDOUT, tiny, sizeof(tiny));
	assert_string_equal(tiny, "pyprofd");
}

static void test_open(void **state _unused_)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/pyprof-test-XXXXXX", far[256];
	struct pp_client *c = NULL;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", dir);
	assert_int_equal(pp_connection_open(&c, a.sun_path), PP_EXIT_UNREACHABLE);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(pp_connection_open(&c, a.sun_path), PP_EXIT_UNREACHABLE);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pp_connection_open(&c, a.sun_path), 0);
	c = pp_client_free(c);
	close(fd);
	assert_int_equal(unlink(a.sun_path), 0);
	assert_int_equal(rmdir(dir), 0);
	memset(far, 'x', sizeof(far));
	far[sizeof(far) - 1] = 0;
	assert_int_equal(pp_connection_open(&c, far), PP_EXIT_UNREACHABLE);
	assert_null(c);
}

/* A service that says nonsense, hangs up in the middle, or sends what was not asked for. */
static void test_bad_service(void **state _unused_)
{
	static const struct {
		const char *text;
		size_t len;
		int r;
	} cases[] = {
		{ "hello\0", 6, -EBADMSG },
		{ "{\"parameters\":{}", 16, -ECONNRESET },
		{ "{\"continues\":true}\0", 19, -EBADMSG },
		{ "{\"result\":1}\0", 13, -EBADMSG },
		{ "", 0, -ECONNRESET },
	};
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/pyprof-test-XXXXXX";
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_reply_ struct pp_reply r = PP_REPLY;
		struct pp_client *c;
		int peer;

		assert_int_equal(pp_client_new(&c, a.sun_path), 0);
		peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		assert_int_equal(send(peer, cases[i].text, cases[i].len, 0), cases[i].len);
		shutdown(peer, SHUT_WR);
		assert_int_equal(pp_client_call(c, "a.b.C", NULL, 2000, &r), cases[i].r);
		assert_null(r.message);
		pp_client_free(c);
		close(peer);
	}
	close(fd);
	assert_int_equal(unlink(a.sun_path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),	    cmocka_unit_test(test_errors),
		cmocka_unit_test(test_transport),   cmocka_unit_test(test_open),
		cmocka_unit_test(test_bad_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
