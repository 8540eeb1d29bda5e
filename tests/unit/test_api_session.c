/* SPDX-License-Identifier: GPL-2.0-only */
/* Sessions: who may start, read and stop them. */
#include "api_world.h"

static void session_as_root(const char *path)
{
	struct pp_client *c = dial(path), *second = dial(path);
	json_int_t id = start(c, json_pack("{s:i, s:{s:i, s:b}}", "frequency", 999, "filter", "pid",
					   101, "tree", 1));
	struct pp_reply r = ask(second, "ReadSession", json_pack("{s:I}", "session", id));

	/* its profile holds what the session is for: a process that has ended since, too */
	CHECK(figure(&r, "samples") == 7 && figure(&r, "frequency") == 999);
	pp_reply_done(&r);
	r = ask(c, "ReadSession", json_pack("{s:I, s:b}", "session", id, "stop", 1));
	CHECK(figure(&r, "samples") == 7);
	expect_error(c, "ReadSession", json_pack("{s:I}", "session", id), NAME("NoSuchSession"));
	start(c, NULL); /* ends with the connection */
}

static void session_as_other(const char *path)
{
	struct pp_client *c = dial(path);

	expect_error(c, "StartSession", json_pack("{s:i}", "frequency", 100), NAME("NotPermitted"));
	expect_error(c, "StartSession", json_pack("{s:{s:i}}", "filter", "pid", 102),
		     NAME("NotPermitted"));
	expect_error(c, "StartSession", json_pack("{s:{s:i}}", "filter", "pid", 0x3fffffff),
		     NAME("NoSuchProcess"));
	/* our own pid is in no table: the kernel says whose it is, and whether it may be read */
	expect_error(c, "StartSession", json_pack("{s:{s:i}}", "filter", "pid", getpid()),
		     NAME("NotPermitted"));
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	start(c, json_pack("{s:i, s:{s:i}}", "frequency", 99, "filter", "pid", getpid()));
	for (int i = 1; i < PP_POLICY_SESSIONS_OWN; i++)
		start(c, NULL);
	expect_error(c, "StartSession", NULL, NAME("TooMany"));
	expect_error(c, "SetFrequency", json_pack("{s:i}", "frequency", 49), NAME("NotPermitted"));
}

static void test_sessions(void **state)
{
	struct world *w = *state;

	add(w->session, 4, w->node_py, PP_END_ROOT, 7);
	call_as(w, 0, session_as_root, NULL);
	assert_int_equal(w->stopped, 1);
	assert_int_equal(w->freed, 2);
	assert_true(w->request.uid == (uid_t)-1);
	call_as(w, OWN, session_as_other, NULL);
	assert_int_equal(w->freed, 2 + PP_POLICY_SESSIONS_OWN);
	assert_int_equal(w->request.uid, OWN);
	assert_int_equal(w->frequency, 19);
}

static void read_foreign_session(const char *path)
{
	expect_error(dial(path), "ReadSession", json_pack("{s:i}", "session", 1),
		     NAME("NoSuchSession"));
	expect_error(dial(path), "ReadSession", json_pack("{s:i, s:b}", "session", 1, "stop", 1),
		     NAME("NoSuchSession"));
}

static void hold_session(const char *path)
{
	CHECK(start(dial(path), NULL) == 1);
	sleep(1);
}

static unsigned int rounds;

static void try_foreign(struct world *w)
{
	if (w->session_id == 1 && rounds++ == 0)
		call_as(w, OWN, read_foreign_session, NULL);
}

/* Another user's session is as if it was not there. */
static void test_foreign_session(void **state)
{
	struct world *w = *state;

	rounds = 0;
	call_as(w, 0, hold_session, try_foreign);
	assert_true(rounds > 0);
	assert_int_equal(w->stopped, 0);
}

static void start_refused(const char *path)
{
	expect_error(dial(path), "StartSession", NULL, NAME("TooMany"));
}

static void start_failed(const char *path)
{
	expect_error(dial(path), "StartSession", NULL, NAME("Failed"));
}

static void test_start_errors(void **state)
{
	struct world *w = *state;

	w->start_error = -EBUSY;
	call_as(w, 0, start_refused, NULL);
	w->start_error = -EMFILE;
	call_as(w, 0, start_failed, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_sessions),
		TEST(test_foreign_session),
		TEST(test_start_errors),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: callers of other users take root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
