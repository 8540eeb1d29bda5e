/* SPDX-License-Identifier: GPL-2.0-only */
/* Top without a terminal: what each key of the help does to the page. */
#include "tui/page.h"

#include "client.h"
#include "formats/width.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct fixture {
	struct pp_profile *p;
	struct pp_top top;
	struct pp_page page;
	struct pp_page_facts facts;
	int width, height;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || pp_profile_new(&f->p) < 0)
		return -1;
	test_add(f->p, 11, "py;_start;py::<module>:/a.py;eval;py::hot:/a.py;eval", NULL, 60);
	test_add(f->p, 11, "py;_start;py::<module>:/a.py;eval;py::warm:/a.py;read;vfs_[k]", NULL,
		 30);
	test_add(f->p, 12, "cc;main;parse", NULL, 10);
	pp_top_init(&f->top);
	f->facts = (struct pp_page_facts){ .frequency = 99, .span_ns = 5000000000 };
	f->width = 60;
	f->height = 10;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pp_page_done(&f->page);
	pp_top_done(&f->top);
	pp_profile_free(f->p);
	json_decref((json_t *)(uintptr_t)f->facts.processes);
	free(f);
	return 0;
}

static void show(struct fixture *f)
{
	assert_int_equal(pp_top_update(&f->top, f->p), 0);
	assert_int_equal(pp_page_make(&f->page, &f->top, &f->facts, f->width, f->height), 0);
	assert_int_equal(f->page.nr, f->height);
	for (size_t i = 0; i < f->page.nr; i++)
		assert_in_range(pp_text_width(f->page.lines[i].text), 0, f->width);
}

static void press(struct fixture *f, unsigned int key)
{
	pp_top_key(&f->top, key);
	show(f);
}

/* Line n of the page, without what fills it up. */
static void expect(struct fixture *f, size_t n, const char *text)
{
	char *line = f->page.lines[n].text;
	size_t len = strlen(line);

	while (len && line[len - 1] == ' ')
		len--;
	line[len] = 0;
	assert_string_equal(line, text);
}

/* From a function to its lines and back; what calls from a line costs that line. */
static void test_lines(void **state)
{
	struct fixture *f = *state;

	test_add(f->p, 13, "py;py::main:/b.py:7;py::loop:/b.py:3", NULL, 100);
	test_add(f->p, 13, "py;py::main:/b.py:7;py::loop:/b.py:2", NULL, 40);
	test_add(f->p, 13, "py;py::main:/b.py:7;py::loop:/b.py:2;eval;read;vfs_[k]", NULL, 20);
	test_add(f->p, 13, "py;py::main:/b.py:8;py::loop:/b.py:3;py::hot:/a.py:1", NULL, 40);
	show(f);
	expect(f, 3, "  46.67   66.67  py::loop                    /b.py");
	press(f, PP_KEY_ENTER);
	assert_int_equal(f->top.mode, PP_TOP_LINES);
	assert_int_equal(f->top.nr_lines, 2);
	expect(f, 3, "  33.33   46.67  py::loop:3                  /b.py");
	expect(f, 4, "  20.00   20.00  py::loop:2                  /b.py");
	press(f, PP_KEY_ESCAPE);
	assert_int_equal(f->top.mode, PP_TOP_FUNCTIONS);
	f->top.view = PP_VIEW_LINES;
	show(f);
	expect(f, 3, "  33.33   46.67  py::loop:3                  /b.py");
	f->top.view = 0;
	press(f, 'p');
	press(f, 'l'); /* a process has none */
	assert_int_equal(f->top.mode, PP_TOP_PROCESSES);
}

static void test_functions(void **state)
{
	struct fixture *f = *state;

	show(f);
	expect(f, 0, "pyprof top  99 Hz  5.0 s  100 samples  100.0% complete");
	expect(f, 1, "functions by self");
	expect(f, 2, "  SELF%  TOTAL%  FUNCTION                    WHERE");
	expect(f, 3, "  60.00   90.00  eval                        prog");
	expect(f, 4, "  30.00   30.00  vfs                         [kernel]");
	expect(f, 5, "  10.00   10.00  parse                       prog");
	expect(f, 6, "   0.00   90.00  _start                      prog");
	expect(f, 7, "   0.00   90.00  py::<module>                /a.py");
	press(f, 's');
	expect(f, 1, "functions by total");
	expect(f, 3, "   0.00   90.00  _start                      prog");
	press(f, 's');
	expect(f, 3, "  60.00   90.00  eval                        prog");
}

static void test_views(void **state)
{
	struct fixture *f = *state;

	press(f, 'k');
	expect(f, 1, "functions by self  kernel off");
	expect(f, 4, "  30.00   30.00  read                        prog");
	press(f, 'n');
	expect(f, 1, "functions by self  kernel off  native off");
	expect(f, 3, "  60.00   60.00  py::hot                     /a.py");
	expect(f, 5, "  10.00   10.00  [hidden]");
	press(f, 'k');
	press(f, 'n');
	press(f, 'y');
	expect(f, 1, "functions by self  Python only");
	expect(f, 3, "  60.00   60.00  py::hot                     /a.py");
	expect(f, 4, "  30.00   30.00  py::warm                    /a.py");
	expect(f, 5, "  10.00   10.00  [outside Python]");
}

static void test_processes(void **state)
{
	struct fixture *f = *state;

	f->facts.processes = json_pack("[{s:i, s:s, s:s, s:b}]", "id", 11, "python", "3.13.0",
				       "named_by", "interpreter", "alive", 1);
	press(f, 'p');
	expect(f, 1, "No Python is running.");
	pp_pythons_count(f->facts.processes, 0, &f->facts.pythons);
	show(f);
	expect(f, 1, "processes");
	expect(f, 3, "  90.00     0.0       11  py               3.13.0    interpr");
	expect(f, 4, "  10.00     0.0       12  cc               -         -");
	press(f, PP_KEY_DOWN);
	press(f, PP_KEY_ENTER);
	expect(f, 1, "functions by self  in 12 cc");
	expect(f, 3, " 100.00  100.00  parse                       prog");
	press(f, PP_KEY_ESCAPE);
	expect(f, 1, "functions by self");
	expect(f, 3, "  60.00   90.00  eval                        prog");
}

/* By each attribute in turn; into a group, and back. */
static void test_groups(void **state)
{
	static const char *const held[] = { "held", "idle", "worker", "" }, *const released[] = {
		"released", "idle", "reader", "serve"
	};
	struct fixture *f = *state;

	test_add_with(f->p, 11, "py;_start;spin", NULL, 300, test_attributes(f->p, held));
	test_add_with(f->p, 11, "py;_start;read", NULL, 100, test_attributes(f->p, released));
	f->height = 12;
	press(f, 'b');
	expect(f, 1, "by GIL");
	expect(f, 2, " SHARE%    CPU%  GIL");
	expect(f, 3, "  60.00     0.0  held");
	expect(f, 4, "  20.00     0.0  -");
	expect(f, 5, "  20.00     0.0  released");
	press(f, 'l'); /* no function */
	assert_int_equal(f->top.mode, PP_TOP_GROUPS);
	press(f, 'b');
	expect(f, 1, "by GC");
	press(f, 'b');
	expect(f, 2, " SHARE%    CPU%  Thread");
	press(f, PP_KEY_ENTER);
	expect(f, 1, "functions by self  Thread: worker");
	expect(f, 3, " 100.00  100.00  spin                        prog");
	press(f, 'b');
	expect(f, 1, "by Thread  Thread: worker");
	expect(f, 3, " 100.00     0.0  worker");
	press(f, PP_KEY_ESCAPE);
	expect(f, 1, "by Thread");
	press(f, 'b');
	expect(f, 2, " SHARE%    CPU%  Task");
	expect(f, 3, "  80.00     0.0  -");
	expect(f, 4, "  20.00     0.0  serve");
	press(f, '/');
	press(f, 'v');
	expect(f, 3, "  20.00     0.0  serve");
	press(f, PP_KEY_ENTER);
	press(f, PP_KEY_ESCAPE);
	press(f, 'b');
	expect(f, 2, " SHARE%    CPU%  GIL");
}

/* A page about one process says what is so of that one. */
static void test_one_process(void **state)
{
	struct pp_pythons pythons;
	json_t *processes;

	(void)state;
	processes = json_pack("[{s:i, s:s, s:s, s:b}, {s:i, s:s, s:s, s:f, s:b}, {s:i, s:b},"
			      "{s:i, s:s, s:s, s:b}]",
			      "pid", 1, "python", "3.13.0", "named_by", "both", "alive", 1, "pid",
			      2, "python", "3.16.0", "named_by", "none", "coverage", 0.0, "alive",
			      1, "pid", 3, "alive", 1, "pid", 4, "python", "3.9.0", "named_by",
			      "none", "alive", 1);
	pp_pythons_count(processes, 0, &pythons);
	assert_null(pp_pythons_banner(&pythons));
	pp_pythons_count(processes, 1, &pythons);
	assert_null(pp_pythons_banner(&pythons));
	pp_pythons_count(processes, 2, &pythons);
	assert_non_null(strstr(pp_pythons_banner(&pythons), "of this Python have no names"));
	/* Not sampled yet: there is nothing to say. */
	pp_pythons_count(processes, 4, &pythons);
	assert_null(pp_pythons_banner(&pythons));
	pp_pythons_count(processes, 3, &pythons);
	assert_null(pp_pythons_banner(&pythons));
	assert_null(pp_pythons_banner_short(&pythons));
	json_decref(processes);
}

static void test_tree(void **state)
{
	struct fixture *f = *state;

	f->height = 14;
	press(f, 't');
	expect(f, 1, "call tree");
	expect(f, 3, "  90.00    0.00   _start");
	expect(f, 4, "  90.00    0.00   py::<module>:/a.py");
	expect(f, 5, "  90.00    0.00   eval");
	expect(f, 6, "  60.00    0.00     py::hot:/a.py");
	expect(f, 7, "  60.00   60.00     eval");
	expect(f, 8, "  30.00    0.00     py::warm:/a.py");
	expect(f, 9, "  30.00    0.00     read");
	expect(f, 10, "  30.00   30.00     vfs");
	expect(f, 11, "  10.00    0.00   main");
	for (int i = 0; i < 3; i++)
		press(f, PP_KEY_DOWN);
	press(f, PP_KEY_ENTER); /* closes hot */
	expect(f, 6, "  60.00    0.00   + py::hot:/a.py");
	expect(f, 7, "  30.00    0.00     py::warm:/a.py");
	press(f, '-');
	expect(f, 3, "  90.00    0.00 + _start");
	expect(f, 4, "  10.00    0.00 + main");
	expect(f, 5, "");
	press(f, PP_KEY_HOME);
	press(f, PP_KEY_ENTER);
	expect(f, 3, "  90.00    0.00   _start");
	expect(f, 4, "  90.00    0.00 + py::<module>:/a.py");
	press(f, '+');
	expect(f, 7, "  60.00   60.00     eval");
	press(f, PP_KEY_RIGHT);
	expect(f, 4, "  90.00    0.00 odule>:/a.py");
	press(f, PP_KEY_LEFT);
	expect(f, 4, "  90.00    0.00   py::<module>:/a.py");
}

/* The cursor stays on its function of the tree when the tree changes. */
static void test_cursor(void **state)
{
	struct fixture *f = *state;

	f->height = 20;
	press(f, 't');
	for (int i = 0; i < 8; i++)
		press(f, PP_KEY_DOWN);
	assert_int_equal(f->top.cursor, 8);
	expect(f, 3 + 8, "  10.00    0.00   main");
	test_add(f->p, 12, "cc;main;parse", NULL, 400);
	show(f);
	assert_int_equal(f->top.cursor, 0);
	expect(f, 3, "  82.00    0.00   main");
}

static void test_filter(void **state)
{
	struct fixture *f = *state;

	press(f, '/');
	expect(f, 1, "functions by self  /_");
	press(f, 'q'); /* a letter, not the key */
	assert_false(f->top.quit);
	press(f, PP_KEY_BACKSPACE);
	press(f, 'H');
	press(f, 'o');
	expect(f, 1, "functions by self  /Ho_");
	expect(f, 3, "   0.00   60.00  py::hot                     /a.py");
	expect(f, 4, "");
	press(f, PP_KEY_ENTER);
	expect(f, 1, "functions by self  /Ho");
	press(f, 't'); /* the tree: all stacks with hot in them */
	expect(f, 3, "  60.00    0.00   _start");
	expect(f, 8, "");
	press(f, PP_KEY_ESCAPE);
	expect(f, 1, "call tree");
	for (int i = 0; i < 300; i++) {
		if (!i)
			press(f, '/');
		press(f, 'x');
	}
	assert_int_equal(strlen(f->top.filter), PP_TOP_FILTER_MAX);
	expect(f, 3, "Nothing matches the filter; Esc clears it.");
}

static void test_scroll(void **state)
{
	struct fixture *f = *state;

	f->height = 6; /* two lines */
	show(f);
	assert_int_equal(f->top.page, 2);
	press(f, PP_KEY_PAGE_DOWN);
	assert_int_equal(f->top.cursor, 2);
	expect(f, 4, "  10.00   10.00  parse                       prog");
	press(f, PP_KEY_END);
	assert_int_equal(f->top.cursor, f->top.nr_lines - 1);
	press(f, PP_KEY_DOWN);
	assert_int_equal(f->top.cursor, f->top.nr_lines - 1);
	press(f, PP_KEY_HOME);
	expect(f, 3, "  60.00   90.00  eval                        prog");
	press(f, PP_KEY_UP);
	press(f, PP_KEY_PAGE_UP);
	assert_int_equal(f->top.cursor, 0);
}

static void test_other_keys(void **state)
{
	static const enum pp_top_mode next[] = { PP_TOP_PROCESSES, PP_TOP_TREE, PP_TOP_FUNCTIONS };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(next); i++) {
		press(f, PP_KEY_TAB);
		assert_int_equal(f->top.mode, next[i]);
	}
	press(f, ' ');
	expect(f, 0, "pyprof top  PAUSED  99 Hz  5.0 s  100 samples  0 lost");
	press(f, ' ');
	assert_false(f->top.paused);
	press(f, 'q');
	assert_true(f->top.quit);
}

static void test_help(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pp_top_update(&f->top, f->p), 0);
	for (int high = 0; high < 2; high++) {
		pp_top_key(&f->top, 'h');
		assert_int_equal(
			pp_page_make(&f->page, &f->top, &f->facts, high ? 80 : 40, high ? 24 : 10),
			0);
		assert_in_range(f->page.nr, 9, high ? 24 : 10);
		for (size_t i = 0; i < f->page.nr; i++)
			assert_in_range(pp_text_width(f->page.lines[i].text), 0, high ? 80 : 40);
		expect(f, 0, "pyprof top: keys; any key goes back");
		pp_top_key(&f->top, 'q'); /* leaves the help, not the program */
		assert_false(f->top.help);
		assert_false(f->top.quit);
	}
}

/* Small to useless: it must hold together. */
static void test_sizes(void **state)
{
	static const unsigned int keys[] = { 'f', 'p', 't', 'h' };
	struct fixture *f = *state;

	assert_int_equal(pp_top_update(&f->top, f->p), 0);
	for (int width = 1; width < 130; width += 3)
		for (int height = 1; height < 30; height += 2)
			for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
				f->top.help = false;
				pp_top_key(&f->top, keys[k]);
				assert_int_equal(pp_top_update(&f->top, f->p), 0);
				assert_int_equal(
					pp_page_make(&f->page, &f->top, &f->facts, width, height),
					0);
				for (size_t i = 0; i < f->page.nr; i++)
					assert_in_range(pp_text_width(f->page.lines[i].text), 0,
							width);
			}
}

static void test_banner(void **state)
{
	struct fixture *f = *state;

	f->height = 24;
	f->facts.processes = json_pack("[{s:i, s:s, s:s, s:f, s:b}]", "id", 11, "python", "3.16.0",
				       "named_by", "none", "coverage", 0.0, "alive", 1);
	pp_pythons_count(f->facts.processes, 0, &f->facts.pythons);
	show(f);
	expect(f, 1, "No Python here can be named: `pyprofctl ps` says why.");
	expect(f, 2, "Trampolines would give them names: start them with");
	expect(f, 3, "PYTHONPERFSUPPORT=1 or -X perf (Python 3.12 or later).");
	expect(f, 4, "functions by self");
	f->height = 10;
	show(f);
	expect(f, 1, "No names: run python3 -X perf (3.12+)");
	expect(f, 2, "functions by self");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_functions), TEST(test_views),	     TEST(test_lines),
		TEST(test_processes), TEST(test_groups),     cmocka_unit_test(test_one_process),
		TEST(test_tree),      TEST(test_cursor),     TEST(test_filter),
		TEST(test_scroll),    TEST(test_other_keys), TEST(test_help),
		TEST(test_sizes),     TEST(test_banner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
