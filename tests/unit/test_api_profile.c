/* SPDX-License-Identifier: GPL-2.0-only */
/* GetProfile: whose samples, with which names, and when. */
#include "api_world.h"

static void expect_samples(struct pp_client *c, json_t *filter, json_int_t samples)
{
	struct pp_reply r = ask(c, "GetProfile", json_pack("{s:o}", "filter", filter));
	bool named;

	if (figure(&r, "samples") != samples)
		fprintf(stderr, "%lld samples, not %lld\n", figure(&r, "samples"), samples);
	CHECK(figure(&r, "samples") == samples);
	CHECK(unpack(&r, "f", &named) == samples);
	pp_reply_done(&r);
}

static void profile_as_root(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "GetProfile", NULL);
	bool named;

	CHECK(figure(&r, "samples") == 155 && figure(&r, "complete") == 75);
	CHECK(figure(&r, "cpu_ns") == (json_int_t)(155 * PERIOD_NS));
	CHECK(figure(&r, "frequency") == 19 && figure(&r, "hidden") == 0);
	CHECK(figure(&r, "processes") == 4);
	CHECK(figure(&r, "end_ns") >= figure(&r, "start_ns"));
	CHECK(unpack(&r, "secret_function", &named) == 155 && named);
	pp_reply_done(&r);

	expect_samples(c, json_object(), 155);
	expect_samples(c, json_pack("{s:i}", "pid", 101), 15);
	expect_samples(c, json_pack("{s:i, s:b}", "pid", 101, "tree", 1), 95);
	expect_samples(c, json_pack("{s:i, s:b}", "pid", 104, "tree", 1), 80);
	expect_samples(c, json_pack("{s:s}", "command", "python3"), 35);
	expect_samples(c, json_pack("{s:s}", "command", "python"), 0);
	expect_samples(c, json_pack("{s:s}", "unit", "a.service"), 15);
	expect_samples(c, json_pack("{s:s}", "unit", "a.servic"), 0);
	expect_samples(c, json_pack("{s:s}", "slice", "a.slice"), 15);
	expect_samples(c, json_pack("{s:s}", "pod", POD), 15);
	expect_samples(c, json_pack("{s:s}", "container", CONTAINER), 15);
	expect_samples(c, json_pack("{s:s}", "container", "5ac2f0a4f0cb"), 15);
	expect_samples(c, json_pack("{s:s}", "container", "5ac2f0a4f0c"), 0);
	expect_samples(c, json_pack("{s:s}", "container", "5ac2f0a4f0ca"), 0);
	expect_samples(c, json_pack("{s:s}", "container", CONTAINER "0"), 0);
	expect_samples(c, json_pack("{s:s}", "container", "web1web1web1web1"), 20);
	expect_samples(c, json_pack("{s:s}", "container", "web1web1web1"), 0);
	expect_samples(c, json_pack("{s:s, s:s}", "container", CONTAINER, "unit", "b"), 0);
	expect_samples(c, json_pack("{s:i}", "uid", 0), 20);
	expect_samples(c, json_pack("{s:b}", "python", 1), 35);
	expect_samples(c, json_pack("{s:b}", "python", 0), 155);
	expect_samples(c, json_pack("{s:s, s:i}", "command", "python3", "uid", OWN), 15);
	expect_samples(c, json_pack("{s:s}", "gil", "held"), 5);
	expect_samples(c, json_pack("{s:s}", "gil", "waiting"), 0);
	expect_samples(c, json_pack("{s:b}", "gc", 1), 5);
	expect_samples(c, json_pack("{s:b}", "gc", 0), 155);
	expect_samples(c, json_pack("{s:s}", "thread", "worker"), 5);
	expect_samples(c, json_pack("{s:s}", "thread", "worke"), 0);
	expect_samples(c, json_pack("{s:s}", "task", "Server.handle"), 5);
	expect_samples(c, json_pack("{s:s}", "task", ""), 0);
	expect_samples(c, json_pack("{s:s, s:i}", "thread", "worker", "pid", 102), 0);
	expect_error(c, "GetProfile", json_pack("{s:{s:i}}", "filter", "pid", 0x3fffffff),
		     NAME("NoSuchProcess"));
}

static void profile_as_other(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "GetProfile", NULL);
	bool named;

	CHECK(figure(&r, "samples") == 95 && figure(&r, "hidden") == 2);
	CHECK(unpack(&r, "secret_function", &named) == 95);
	CHECK(named == (pp_policy_read_paranoid() <= 1));
	pp_reply_done(&r);
	expect_samples(c, json_pack("{s:i}", "uid", 0), 0);
	expect_samples(c, json_pack("{s:b}", "python", 1), 15);
	expect_samples(c, json_pack("{s:s}", "thread", "worker"), 5);
	expect_error(c, "GetProfile", json_pack("{s:{s:i}}", "filter", "pid", 102),
		     NAME("NotPermitted"));
	expect_error(c, "GetProfile", json_pack("{s:{s:i}}", "filter", "pid", 103),
		     NAME("NotPermitted"));
}

static void test_profile(void **state)
{
	struct world *w = *state;

	call_as(w, 0, profile_as_root, NULL);
	assert_true(w->drains >= 1);
	call_as(w, OWN, profile_as_other, NULL);
}

static uint64_t time_answer(const char *path)
{
	uint64_t start_ns = pp_now_ns();
	struct pp_reply r = ask(dial(path), "GetProfile", NULL);

	CHECK(figure(&r, "samples") == 155);
	return (pp_now_ns() - start_ns) / NSEC_PER_MSEC;
}

static void wait_a_little(const char *path)
{
	uint64_t ms = time_answer(path);

	CHECK(ms >= 250 && ms < 1500);
}

static void wait_at_most(const char *path)
{
	uint64_t ms = time_answer(path);

	CHECK(ms >= 1990 && ms < 4000);
}

static void hang_up_waiting(const char *path)
{
	struct pp_reply r = PP_REPLY;

	CHECK(pp_client_call(dial(path), NAME("GetProfile"), NULL, 100, &r) == -ETIMEDOUT);
}

static void test_pending_names(void **state)
{
	struct world *w = *state;

	w->pending_until_ns = pp_now_ns() + 300 * NSEC_PER_MSEC;
	call_as(w, 0, wait_a_little, NULL);
	w->pending_until_ns = UINT64_MAX;
	call_as(w, 0, wait_at_most, NULL);
	call_as(w, 0, hang_up_waiting, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_profile),
		TEST(test_pending_names),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: callers of other users take root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
