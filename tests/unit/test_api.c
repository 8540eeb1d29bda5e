/* SPDX-License-Identifier: GPL-2.0-only */
/* What is said of the daemon and its processes, and what is no call. */
#include "api_world.h"

static void call_status(const char *path)
{
	struct pp_reply r = ask(dial(path), "GetStatus", NULL);
	const char *verdict, *version;
	int hz, pythons, named;

	CHECK(!r.error);
	CHECK(json_unpack(r.parameters, "{s:s, s:s, s:i, s:i, s:i}", "verdict", &verdict, "version",
			  &version, "frequency", &hz, "pythons", &pythons, "pythons_named",
			  &named) == 0);
	CHECK(strcmp(verdict, "19 Hz on 2 CPUs (cpu-clock); 1 of 2 busy Pythons named; 99 samples, "
			      "1.00% lost") == 0);
	CHECK(strcmp(version, "0.1.0") == 0 && hz == 19 && pythons == 2 && named == 1);
	CHECK(json_array_size(json_object_get(r.parameters, "counters")) > 10);
	CHECK(json_array_size(json_object_get(r.parameters, "per_cpu")) == 1);
	CHECK(json_integer_value(json_object_get(r.parameters, "rss_bytes")) > 100000);
}

static void test_status(void **state)
{
	call_as(*state, OWN, call_status, NULL);
}

static void list_as_root(const char *path)
{
	struct pp_reply r = ask(dial(path), "ListProcesses", NULL);
	json_t *list = json_object_get(r.parameters, "processes"), *p = json_array_get(list, 0);

	CHECK(json_array_size(list) == 4);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "python")), "3.13.1") == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "unit")), "a.service") == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "slice")), "a.slice") == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "container")), CONTAINER) == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "pod")), POD) == 0);
	CHECK(json_real_value(json_object_get(p, "coverage")) == 1.0);
	CHECK(!json_object_get(p, "remedy"));
	CHECK(strcmp(json_string_value(json_object_get(p, "named_by")), "interpreter") == 0);
	p = json_array_get(list, 1);
	CHECK(json_real_value(json_object_get(p, "coverage")) == 0.0);
	CHECK(json_object_get(p, "coverage") && json_object_get(p, "remedy"));
	p = json_array_get(list, 3);
	CHECK(strcmp(json_string_value(json_object_get(p, "comm")), "x\\xff") == 0);
	CHECK(!json_object_get(p, "python") && !json_object_get(p, "coverage"));
}

static void list_as_other(const char *path)
{
	struct pp_reply r = ask(dial(path), "ListProcesses", NULL);
	json_t *list = json_object_get(r.parameters, "processes");

	CHECK(json_array_size(list) == 2);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 2);
	CHECK(json_integer_value(json_object_get(json_array_get(list, 0), "pid")) == 101);
	CHECK(json_integer_value(json_object_get(json_array_get(list, 1), "pid")) == 104);
}

static void test_list(void **state)
{
	call_as(*state, 0, list_as_root, NULL);
	call_as(*state, OWN, list_as_other, NULL);
}

static void diagnose_as_root(const char *path)
{
	struct pp_reply r = ask(dial(path), "Diagnose", NULL);
	json_t *list = json_object_get(r.parameters, "pythons"), *d = json_array_get(list, 0), *a;

	CHECK(json_array_size(list) == 2);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 0);
	CHECK(json_is_true(json_object_get(d, "named")));
	CHECK(json_integer_value(json_object_get(json_object_get(d, "process"), "pid")) == 101);
	CHECK(strcmp(json_string_value(json_object_get(d, "interpreter")),
		     "/usr/bin/python\\xff") == 0);
	CHECK(strcmp(json_string_value(json_object_get(d, "build_id")), "ab00") == 0);
	/* It has waited for the look. */
	CHECK(strcmp(json_string_value(json_object_get(d, "stub")), "push") == 0);
	CHECK(json_is_true(json_object_get(d, "endbr")));
	CHECK(json_real_value(json_object_get(d, "map_live")) == 0.5);
	CHECK(json_integer_value(json_object_get(d, "map_bytes")) == 4096);
	a = json_object_get(d, "alarm");
	CHECK(strcmp(json_string_value(json_object_get(a, "name")), "leak") == 0);
	CHECK(strcmp(json_string_value(json_object_get(a, "file")), "/a\\x0a.py") == 0);
	d = json_array_get(list, 1);
	CHECK(json_is_false(json_object_get(d, "named")) && !json_object_get(d, "alarm"));
}

static void diagnose_as_other(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "Diagnose", NULL);

	CHECK(json_array_size(json_object_get(r.parameters, "pythons")) == 1);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 2);
	pp_reply_done(&r);
	/* Theirs, but no Python. */
	r = ask(c, "Diagnose", json_pack("{s:i}", "pid", 104));
	CHECK(!r.error && !json_array_size(json_object_get(r.parameters, "pythons")));
	pp_reply_done(&r);
	expect_error(c, "Diagnose", json_pack("{s:i}", "pid", 99999999), NAME("NoSuchProcess"));
	expect_error(c, "Diagnose", json_pack("{s:i}", "pid", 1), NAME("NotPermitted"));
}

static void test_diagnose(void **state)
{
	struct world *w = *state;

	call_as(w, 0, diagnose_as_root, NULL);
	assert_int_equal(w->examined[0], 1);
	assert_int_equal(w->examined[1], 1);
	call_as(w, OWN, diagnose_as_other, NULL);
	/* Nobody else's is even looked at. */
	assert_int_equal(w->examined[0], 2);
	assert_int_equal(w->examined[1], 1);
	assert_int_equal(w->examined[2] + w->examined[3], 0);
}

static void ask_nonsense(const char *path)
{
	static const struct {
		const char *method, *parameters, *bad;
	} cases[] = {
		{ "GetProfile", "{\"since_ms\":-1}", "since_ms" },
		{ "GetProfile", "{\"since\":1}", "since" },
		{ "GetProfile", "{\"filter\":[]}", "filter" },
		{ "GetProfile", "{\"filter\":{\"pid\":0}}", "pid" },
		{ "GetProfile", "{\"filter\":{\"pid\":4294967297}}", "pid" },
		{ "GetProfile", "{\"filter\":{\"tree\":true}}", "tree" },
		{ "GetProfile", "{\"filter\":{\"who\":1}}", "who" },
		{ "GetProfile", "{\"filter\":{\"gil\":\"hel\"}}", "gil" },
		{ "GetProfile", "{\"filter\":{\"gc\":1}}", "gc" },
		{ "GetStatus", "{\"x\":1}", "x" },
		{ "ListProcesses", "{\"x\":1}", "x" },
		{ "Diagnose", "{\"pid\":0}", "pid" },
		{ "StartSession", "{\"frequency\":0}", "frequency" },
		{ "StartSession", "{\"frequency\":10000}", "frequency" },
		{ "StartSession", "{\"frequency\":\"99\"}", "frequency" },
		{ "ReadSession", "{}", "session" },
		{ "ReadSession", "{\"session\":1.5}", "session" },
		{ "SetFrequency", "{}", "frequency" },
		{ "SetFrequency", "{\"frequency\":0}", "frequency" },
	};
	struct pp_client *c = dial(path);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *p = json_loads(cases[i].parameters, 0, NULL);
		struct pp_reply r = ask(c, cases[i].method, p);

		CHECK(r.error && strcmp(r.error, "org.varlink.service.InvalidParameter") == 0);
		CHECK(strcmp(json_string_value(json_object_get(r.parameters, "parameter")),
			     cases[i].bad) == 0);
		pp_reply_done(&r);
	}
	expect_error(c, "Watch", NULL, "org.varlink.service.ExpectedMore");
	expect_error(c, "ReadSession", json_pack("{s:i}", "session", 77), NAME("NoSuchSession"));
}

static void test_nonsense(void **state)
{
	call_as(*state, 0, ask_nonsense, NULL);
}

/* Two of the four processes fit: their command lines are 7 MiB each. */
static void list_the_long(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "ListProcesses", NULL);

	CHECK(!r.error && json_array_size(json_object_get(r.parameters, "processes")) == 2);
	pp_reply_done(&r);
	/* Both Pythons fit. */
	r = ask(c, "Diagnose", NULL);
	CHECK(!r.error && json_array_size(json_object_get(r.parameters, "pythons")) == 2);
	pp_reply_done(&r);
}

static void diagnose_the_longest(const char *path)
{
	struct pp_reply r = ask(dial(path), "Diagnose", NULL);

	CHECK(!r.error && json_array_size(json_object_get(r.parameters, "pythons")) == 1);
	pp_reply_done(&r);
}

static void test_long_lists(void **state)
{
	const uint32_t len = 10 * MIB;
	struct pp_atom *line = malloc(sizeof(*line) + len);
	uint64_t before = pp_counters[PP_C_processes_unlisted];
	struct world *w = *state;

	assert_non_null(line);
	memset(line->text, 'x', len);
	line->len = 7 * MIB;
	for (size_t i = 0; i < ARRAY_SIZE(w->processes); i++)
		w->processes[i].cmdline = line;
	call_as(w, 0, list_the_long, NULL);
	assert_int_equal(pp_counters[PP_C_processes_unlisted], before + 2);
	line->len = len;
	call_as(w, 0, diagnose_the_longest, NULL);
	assert_int_equal(pp_counters[PP_C_processes_unlisted], before + 3);
	free(line);
}

static void set_rate(const char *path)
{
	struct pp_reply r = ask(dial(path), "SetFrequency", json_pack("{s:i}", "frequency", 49));

	CHECK(!r.error && json_integer_value(json_object_get(r.parameters, "frequency")) == 49);
}

static void test_frequency(void **state)
{
	struct world *w = *state;

	call_as(w, 0, set_rate, NULL);
	assert_int_equal(w->frequency, 49);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_status),   TEST(test_list),	   TEST(test_long_lists),
		TEST(test_nonsense), TEST(test_frequency), TEST(test_diagnose),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: callers of other users take root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
