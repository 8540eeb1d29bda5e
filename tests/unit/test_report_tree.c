/* SPDX-License-Identifier: GPL-2.0-only */
/* The reports' exact text, beside what perf draws for the same stacks. */
#include "formats/report.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define ALL (PP_GROUP_COMM | PP_GROUP_OBJECT | PP_GROUP_SYMBOL)

static void howto(struct pp_profile *p)
{
	test_add(p, 1, "python;_start;main;py::<module>:/s.py;eval;py::foo:/s.py;eval;add", NULL,
		 60);
	test_add(p, 1, "python;_start;main;py::<module>:/s.py;eval;py::foo:/s.py;eval", NULL, 30);
	test_add(p, 1, "python;_start;main;py::<module>:/s.py;eval;gc", NULL, 6);
	test_add(p, 1, "python;_start;init;page_fault_[k]", NULL, 4);
}

static void test_tree(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ char *got = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	howto(p);
	got = test_written(pp_tree_write(
		out, p, &(struct pp_report_options){ .group = ALL, .percent_limit = 5 }));
	assert_string_equal(
		got,
		"# Children      Self       Samples  Command  Shared Object  Symbol\n"
		"# ........  ........  ............  .......  .............  "
		"........................................\n"
		"#\n"
		"   100.00%     0.00%             0  python   prog           [.] _start\n"
		"            |\n"
		"            ---_start\n"
		"               |\n"
		"                --96.00%--main\n"
		"                          py::<module>:/s.py\n"
		"                          eval\n"
		"                          |\n"
		"                          |--90.00%--py::foo:/s.py\n"
		"                          |          eval\n"
		"                          |          |\n"
		"                          |           --60.00%--add\n"
		"                          |\n"
		"                           --6.00%--gc\n"
		"\n"
		"    96.00%     0.00%             0  python   prog           [.] main\n"
		"            |\n"
		"            ---main\n"
		"               py::<module>:/s.py\n"
		"               eval\n"
		"               |\n"
		"               |--90.00%--py::foo:/s.py\n"
		"               |          eval\n"
		"               |          |\n"
		"               |           --60.00%--add\n"
		"               |\n"
		"                --6.00%--gc\n"
		"\n"
		"    96.00%     0.00%             0  python   [python]       [.] "
		"py::<module>:/s.py\n"
		"            |\n"
		"            ---py::<module>:/s.py\n"
		"               eval\n"
		"               |\n"
		"               |--90.00%--py::foo:/s.py\n"
		"               |          eval\n"
		"               |          |\n"
		"               |           --60.00%--add\n"
		"               |\n"
		"                --6.00%--gc\n"
		"\n"
		"    96.00%    30.00%            30  python   prog           [.] eval\n"
		"            |\n"
		"            |--66.00%--eval\n"
		"            |          |\n"
		"            |          |--60.00%--py::foo:/s.py\n"
		"            |          |          eval\n"
		"            |          |          add\n"
		"            |          |\n"
		"            |           --6.00%--gc\n"
		"            |\n"
		"             --30.00%--_start\n"
		"                       main\n"
		"                       py::<module>:/s.py\n"
		"                       eval\n"
		"                       py::foo:/s.py\n"
		"                       eval\n"
		"\n"
		"    90.00%     0.00%             0  python   [python]       [.] py::foo:/s.py\n"
		"            |\n"
		"            ---py::foo:/s.py\n"
		"               eval\n"
		"               |\n"
		"                --60.00%--add\n"
		"\n"
		"    60.00%    60.00%            60  python   prog           [.] add\n"
		"            |\n"
		"            ---_start\n"
		"               main\n"
		"               py::<module>:/s.py\n"
		"               eval\n"
		"               py::foo:/s.py\n"
		"               eval\n"
		"               add\n"
		"\n"
		"     6.00%     6.00%             6  python   prog           [.] gc\n"
		"            |\n"
		"            ---_start\n"
		"               main\n"
		"               py::<module>:/s.py\n"
		"               eval\n"
		"               gc\n"
		"\n");
}

static void test_flat(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ char *got = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	howto(p);
	got = test_written(pp_flat_write(
		out, p, &(struct pp_report_options){ .group = ALL, .percent_limit = 0.5 }));
	assert_string_equal(
		got,
		"#     Self     Total       Samples  Command  Shared Object  Symbol\n"
		"# ........  ........  ............  .......  .............  "
		"........................................\n"
		"#\n"
		"    60.00%    60.00%            60  python   prog           [.] add\n"
		"    30.00%    96.00%            30  python   prog           [.] eval\n"
		"     6.00%     6.00%             6  python   prog           [.] gc\n"
		"     4.00%     4.00%             4  python   [kernel]       [k] page_fault\n");
}

/* Rows by process and object; a function of two processes is one row unless the pid is asked for.
 */
static void test_group(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_(pp_table_freep) struct pp_table *t = NULL;
	_cleanup_free_ char *got = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	test_add(p, 10, "a;main;f@/lib/x.so", NULL, 3);
	test_add(p, 11, "a;main;f@/lib/x.so", NULL, 1);
	got = test_written(pp_flat_write(
		out, p, &(struct pp_report_options){ .group = PP_GROUP_PID | PP_GROUP_OBJECT }));
	assert_string_equal(got, "#     Self     Total       Samples      Pid  Shared Object\n"
				 "# ........  ........  ............  .......  .............\n"
				 "#\n"
				 "    75.00%    75.00%             3       10  x.so\n"
				 "    25.00%    25.00%             1       11  x.so\n"
				 "     0.00%    75.00%             0       10  prog\n"
				 "     0.00%    25.00%             0       11  prog\n");
	assert_int_equal(pp_table_new(&t, p, &(struct pp_table_options){ .group = ALL }), 0);
	assert_int_equal(t->nr_rows, 2);
}

/* Rows by attributes; of what says nothing there is a row as well. */
static void test_attribute_group(void **state)
{
	static const char *const values[] = { "held", "idle", "worker", "Server.handle" };
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ char *got = NULL;
	json_t *j;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	test_add_with(p, 10, "a;main;f", NULL, 3, test_attributes(p, values));
	test_add(p, 10, "a;main;f", NULL, 1);
	got = test_written(pp_flat_write(
		out, p,
		&(struct pp_report_options){ .group = PP_GROUP_ATTRIBUTE(PP_ATTRIBUTE_GIL) |
						      PP_GROUP_ATTRIBUTE(PP_ATTRIBUTE_TASK) }));
	assert_string_equal(got, "#     Self     Total       Samples  GIL   Task\n"
				 "# ........  ........  ............  ....  .............\n"
				 "#\n"
				 "    75.00%    75.00%             3  held  Server.handle\n"
				 "    25.00%    25.00%             1  -     -\n");
	assert_int_equal(pp_report_json(&j, p,
					&(struct pp_report_options){
						.group = PP_GROUP_ATTRIBUTE(PP_ATTRIBUTE_THREAD) }),
			 0);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(j, "rows"), 0), "thread")),
			    "worker");
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(j, "rows"), 1), "thread")));
	json_decref(j);
}

/* A function counts once for a stack, however often it recurs in it. */
static void test_recursion(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_(pp_table_freep) struct pp_table *t = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	test_add(p, 1, "c;main;f;f;f;g", NULL, 8);
	test_add(p, 1, "c;main;f;f", NULL, 2);
	assert_int_equal(
		pp_table_new(&t, p, &(struct pp_table_options){ .group = ALL, .by_self = true }),
		0);
	assert_int_equal(t->nr_rows, 3);
	assert_string_equal(pp_profile_text(p, p->frames[t->rows[0].frame].name), "g");
	assert_string_equal(pp_profile_text(p, p->frames[t->rows[1].frame].name), "f");
	assert_int_equal(t->rows[1].total_samples, 10);
	assert_int_equal(t->rows[1].self_samples, 2);
	assert_int_equal(t->total, 10000);
}

static void test_json(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ char *got = NULL;
	json_t *j;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	test_add(p, 1, "c;main;f", NULL, 3);
	test_add(p, 1, "c;main", NULL, 1);
	assert_int_equal(pp_report_json(&j, p, &(struct pp_report_options){ .group = ALL }), 0);
	got = json_dumps(json_object_get(j, "tree"), JSON_SORT_KEYS | JSON_COMPACT);
	assert_string_equal(
		got,
		"[{\"kind\":\"native\",\"module\":\"/usr/bin/prog\",\"parent\":null,\"self\":25.0,"
		"\"symbol\":\"main\",\"total\":100.0},"
		"{\"kind\":\"native\",\"module\":\"/usr/bin/prog\",\"parent\":0,\"self\":75.0,"
		"\"symbol\":\"f\",\"total\":75.0}]");
	assert_int_equal(json_array_size(json_object_get(j, "rows")), 2);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),	  cmocka_unit_test(test_flat),
		cmocka_unit_test(test_group),	  cmocka_unit_test(test_attribute_group),
		cmocka_unit_test(test_recursion), cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
