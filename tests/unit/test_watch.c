/* SPDX-License-Identifier: GPL-2.0-only */
/* A Watch stream as a sliding window. */
#include "lib/watch.h"

#include "client.h"
#include "formats/folded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define SECOND 1000000000LL

static int setup(void **state)
{
	struct pp_watch *w;

	if (pp_watch_new(&w, 2 * SECOND) < 0)
		return -1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	pp_watch_free(*state);
	return 0;
}

/* One reply from second `start` on, one second long. */
static int feed(struct pp_watch *w, int start, const char *rest)
{
	_cleanup_free_ char *text = NULL;
	json_error_t error;
	json_t *j;
	int r;

	assert_true(asprintf(&text, "{\"start_ns\": %lld, \"end_ns\": %lld, \"lost\": 1%s}",
			     start * SECOND, (start + 1) * SECOND, rest) > 0);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	j = json_loads(text, 0, &error);
	if (!j)
		fail_msg("%s: %s", error.text, text);
	r = pp_watch_feed(w, j);
	json_decref(j);
	return r;
}

static void expect(struct pp_watch *w, int64_t span_s, const char *text)
{
	_cleanup_free_ char *got = NULL;
	struct pp_watch_figures f;
	const struct pp_profile *p;

	assert_int_equal(pp_watch_profile(w, &p, &f), 0);
	assert_int_equal(f.span_ns, span_s * SECOND);
	assert_int_equal(f.lost, span_s);
	got = test_written(pp_folded_write(out, p, PP_VIEW_ALL));
	assert_string_equal(got, text);
}

static const char first[] =
	", 'frames': [{'id': 7, 'kind': 'native', 'name': 'main', 'file': '', 'module': '/bin/a'},"
	"{'id': 8, 'kind': 'python', 'name': '?', 'file': '', 'module': '[python]'}],"
	"'nodes': [{'id': 1, 'parent': 0, 'frame': 7}, {'id': 2, 'parent': 1, 'frame': 8}],"
	"'processes': [{'id': 5, 'pid': 99, 'comm': 'a'}],"
	"'counts': [{'process': 5, 'node': 2, 'samples': 3, 'cpu_ns': 30},"
	"{'process': 5, 'node': 1, 'samples': 1, 'cpu_ns': 10, 'truncated': 'no row'}]";

static void test_window(void **state)
{
	static const char more[] =
		", 'counts': [{'process': 5, 'node': 2, 'samples': 10, 'cpu_ns': 100}]";
	struct pp_watch *w = *state;

	expect(w, 0, "");
	assert_int_equal(feed(w, 0, first), 0);
	expect(w, 1, "a;[truncated: no row];main 1\na;main;py::? 3\n");
	assert_int_equal(feed(w, 1, more), 0);
	expect(w, 2, "a;[truncated: no row];main 1\na;main;py::? 13\n");
	assert_int_equal(feed(w, 2, more), 0); /* the first second leaves the window */
	expect(w, 2, "a;main;py::? 20\n");
	assert_int_equal(feed(w, 3, ""), 0);
	expect(w, 2, "a;main;py::? 10\n");
	assert_int_equal(feed(w, 4, ""), 0);
	expect(w, 2, "");
}

/* A name that comes later is that of what was counted before, too. */
static void test_renamed(void **state)
{
	struct pp_watch *w = *state;

	assert_int_equal(feed(w, 0, first), 0);
	expect(w, 1, "a;[truncated: no row];main 1\na;main;py::? 3\n");
	assert_int_equal(feed(w, 1,
			      ", 'frames': [{'id': 8, 'kind': 'python', 'name': 'f',"
			      "'file': '/f.py', 'module': '[python]'},"
			      "{'id': 9, 'kind': 'python', 'name': 'f', 'file': '/f.py',"
			      "'module': '[python]'}],"
			      "'nodes': [{'id': 3, 'parent': 1, 'frame': 9}],"
			      "'counts': [{'process': 5, 'node': 3, 'samples': 4, 'cpu_ns': 40}]"),
			 0);
	/* Frames 8 and 9 turn out to be one function: one line. */
	expect(w, 2, "a;[truncated: no row];main 1\na;main;py::f:/f.py 7\n");
}

/* A set's task may get its name later, for what was counted before, too. */
static void test_attributes_of_counts(void **state)
{
	struct pp_watch *w = *state;
	struct pp_watch_figures f;
	const struct pp_profile *p;

	assert_int_equal(feed(w, 0, first), 0);
	assert_int_equal(feed(w, 1,
			      ", 'attributes': [{'id': 4, 'gil': 'held', 'gc': 'idle',"
			      "'thread': 'worker', 'task': 8}, {'id': 6}],"
			      "'counts': [{'process': 5, 'node': 1, 'attributes': 4, 'samples': 4},"
			      "{'process': 5, 'node': 1, 'attributes': 6, 'samples': 5}]"),
			 0);
	for (int named = 0; named < 2; named++) {
		assert_int_equal(pp_watch_profile(w, &p, &f), 0);
		assert_int_equal(p->nr_entries, 4);
		assert_string_equal(pp_profile_attribute(p, &p->entries[0], PP_ATTRIBUTE_GIL), "");
		assert_int_equal(p->entries[2].samples, 4);
		assert_string_equal(pp_profile_attribute(p, &p->entries[2], PP_ATTRIBUTE_GIL),
				    "held");
		assert_string_equal(pp_profile_attribute(p, &p->entries[2], PP_ATTRIBUTE_GC),
				    "idle");
		assert_string_equal(pp_profile_attribute(p, &p->entries[2], PP_ATTRIBUTE_THREAD),
				    "worker");
		assert_string_equal(pp_profile_attribute(p, &p->entries[2], PP_ATTRIBUTE_TASK),
				    named ? "f" : "?");
		assert_string_equal(pp_profile_attribute(p, &p->entries[3], PP_ATTRIBUTE_TASK), "");
		assert_int_equal(feed(w, 1,
				      ", 'frames': [{'id': 8, 'kind': 'python', 'name': 'f',"
				      "'file': '/f.py', 'module': '[python]'}]"),
				 0);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		", 'nodes': [{'id': 1, 'parent': 0, 'frame': 1}]",
		", 'nodes': [{'id': 4, 'parent': 3, 'frame': 7}]",
		", 'nodes': [{'id': 4, 'parent': 4, 'frame': 7}]",
		", 'counts': [{'process': 5, 'node': 77, 'samples': 1, 'cpu_ns': 1}]",
		", 'counts': [{'process': 5, 'node': 1, 'attributes': 1, 'samples': 1}]",
		", 'attributes': [{'id': 0}]",
		", 'attributes': [{'id': 9, 'task': 77}]",
	};
	static const char *const odd[] = {
		", 'frames': 7, 'nodes': null, 'counts': {}",
		", 'frames': [null, 3, {}]",
		", 'attributes': [{'id': 9, 'gil': 3, 'thread': null, 'task': -1}]",
		", 'counts': [{'process': 1, 'node': 1, 'samples': -4, 'cpu_ns': -1}]",
	};
	struct pp_watch *w = *state;

	assert_int_equal(feed(w, 0, first), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(feed(w, 1, bad[i]), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_int_equal(feed(w, 0, odd[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renamed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attributes_of_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
