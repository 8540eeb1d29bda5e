/* SPDX-License-Identifier: GPL-2.0-only */
/* The folded format, which scripts rely on, to the byte. */
#include "formats/folded.h"

#include "client.h"
#include "lib/clean.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void expect(struct pp_profile *p, unsigned int view, const char *text)
{
	_cleanup_free_ char *got = test_written(pp_folded_write(out, p, view));

	assert_string_equal(got, text);
}

static void test_format(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	test_add(p, 7, "python3;_start;py::<module>:/src/a b.py;read;do_syscall_64_[k]", NULL, 3);
	test_add(p, 7, "python3;py::f:/src/a.py", "no unwind table", 2);
	test_add(p, 8, "python3;_start;py::<module>:/src/a b.py;read;do_syscall_64_[k]", NULL, 4);
	test_add(p, 9, "cc1;[libc.so.6+0x29d90]", NULL, 1);
	test_add(p, 9, "cc1;py::?;main", NULL, 1);
	expect(p, PP_VIEW_ALL,
	       "cc1;[libc.so.6+0x29d90] 1\n"
	       "cc1;py::?;main 1\n"
	       "python3;[truncated: no unwind table];py::f:/src/a.py 2\n"
	       "python3;_start;py::<module>:/src/a b.py;read;do_syscall_64_[k] 7\n");
}

/* Without lines a function is one frame, wherever in it the samples were taken. */
static void test_lines(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	test_add(p, 7, "py;py::<module>:/a.py:9;py::f:/a.py:3;read", NULL, 3);
	test_add(p, 7, "py;py::<module>:/a.py:10;py::f:/a.py:2;read", NULL, 2);
	test_add(p, 7, "py;py::<module>:/a.py;py::f:/a.py:2;read", NULL, 1);
	expect(p, PP_VIEW_ALL, "py;py::<module>:/a.py;py::f:/a.py;read 6\n");
	expect(p, PP_VIEW_PYTHON, "py;py::<module>:/a.py;py::f:/a.py 6\n");
	expect(p, PP_VIEW_LINES,
	       "py;py::<module>:/a.py:10;py::f:/a.py:2;read 2\n"
	       "py;py::<module>:/a.py:9;py::f:/a.py:3;read 3\n"
	       "py;py::<module>:/a.py;py::f:/a.py:2;read 1\n");
	expect(p, PP_VIEW_LINES | PP_VIEW_PYTHON,
	       "py;py::<module>:/a.py:10;py::f:/a.py:2 2\n"
	       "py;py::<module>:/a.py:9;py::f:/a.py:3 3\n"
	       "py;py::<module>:/a.py;py::f:/a.py:2 1\n");
}

static void test_empty(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	expect(p, PP_VIEW_ALL, "");
	/* A stack without any frame still is CPU time of its process. */
	test_add(p, 1, "init", NULL, 5);
	expect(p, PP_VIEW_ALL, "init;[unknown] 5\n");
}

/* Names are other people's: separators, control bytes and broken UTF-8 must not break lines. */
static void test_hostile(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	static const char name[] = "a;b\\c\nd\x1b[31m\xff\xc3\xa9\x7f\xc2\x9b";
	struct pp_process process = { .id = 1, .pid = 1 };
	struct pp_entry e = { .samples = 1 };
	struct pp_frame f = { .kind = PP_KIND_NATIVE };
	uint32_t frame;

	(void)state;
	assert_int_equal(pp_profile_new(&p), 0);
	assert_int_equal(pp_profile_add_text(p, name, sizeof(name) - 1, &f.name), 0);
	assert_int_equal(pp_profile_add_text(p, "x;\t", 3, &process.comm), 0);
	assert_int_equal(pp_profile_add_process(p, &process, &e.process), 0);
	assert_int_equal(pp_profile_add_frame(p, &f, &frame), 0);
	assert_int_equal(pp_profile_add_node(p, 0, frame, &e.node), 0);
	assert_int_equal(pp_profile_add_entry(p, &e), 0);
	expect(p, PP_VIEW_ALL,
	       "x\\x3b\\x09;a\\x3bb\\x5cc\\x0ad\\x1b[31m\\xff\xc3\xa9\\x7f\\xc2\\x9b 1\n");
}

/* The daemon has cleaned its names; cleaning them again must not change them. */
static void test_clean_twice(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "a\\b", "a\\x5cb" },
		{ "a\\x5cb", "a\\x5cb" },
		{ "\\x5", "\\x5cx5" },
		{ "\\x5C", "\\x5cx5C" },
		{ "\\", "\\x5c" },
		{ "\\\\x41", "\\x5c\\x41" },
		{ "\xc3\\xa9", "\\xc3\\xa9" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct pp_buf once = { 0 }, twice = { 0 };

		assert_int_equal(pp_text_clean(&once, cases[i].in, strlen(cases[i].in)), 0);
		assert_int_equal(once.len, strlen(cases[i].out));
		assert_memory_equal(once.data ?: (uint8_t *)"", cases[i].out, once.len);
		assert_int_equal(pp_text_clean(&twice, (char *)once.data, once.len), 0);
		assert_int_equal(twice.len, once.len);
		assert_memory_equal(twice.data ?: (uint8_t *)"", cases[i].out, twice.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),	    cmocka_unit_test(test_lines),
		cmocka_unit_test(test_empty),	    cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_clean_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
