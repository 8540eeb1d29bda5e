/* SPDX-License-Identifier: GPL-2.0-only */
/* What the views leave out, and whom they charge for it. */
#include "formats/folded.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static int setup(void **state)
{
	struct pp_profile *p;

	if (pp_profile_new(&p) < 0)
		return -1;
	/* A callback from C: sorted() calls a key function. */
	test_add(p, 1,
		 "py;_start;py::<module>:/m.py;_PyEval_EvalFrameDefault;builtin_sorted;"
		 "py::key:/m.py;_PyEval_EvalFrameDefault",
		 NULL, 5);
	/* C extension and kernel time belong to the Python function that called. */
	test_add(p, 1, "py;_start;py::<module>:/m.py;deflate@/lib/libz.so.1", NULL, 7);
	test_add(p, 1, "py;_start;py::<module>:/m.py;read@/lib/libc.so.6;vfs_read_[k]", NULL, 2);
	test_add(p, 1, "py;py::lost:/m.py;eval", "stack unreadable", 1);
	test_add(p, 1, "py;_start;Py_Initialize", NULL, 3);
	test_add(p, 2, "kworker;ret_from_fork_[k];kthread_[k]", NULL, 4);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	pp_profile_free(*state);
	return 0;
}

static void expect(struct pp_profile *p, unsigned int view, const char *text)
{
	_cleanup_free_ char *got = test_written(pp_folded_write(out, p, view));

	assert_string_equal(got, text);
}

static void test_python(void **state)
{
	expect(*state, PP_VIEW_PYTHON,
	       "kworker;[outside Python] 4\n"
	       "py;[outside Python] 3\n"
	       "py;[truncated: stack unreadable];py::lost:/m.py 1\n"
	       "py;py::<module>:/m.py 9\n"
	       "py;py::<module>:/m.py;py::key:/m.py 5\n");
}

static void test_no_kernel(void **state)
{
	expect(*state, PP_VIEW_NO_KERNEL,
	       "kworker;[hidden] 4\n"
	       "py;[truncated: stack unreadable];py::lost:/m.py;eval 1\n"
	       "py;_start;Py_Initialize 3\n"
	       "py;_start;py::<module>:/m.py;_PyEval_EvalFrameDefault;builtin_sorted;"
	       "py::key:/m.py;_PyEval_EvalFrameDefault 5\n"
	       "py;_start;py::<module>:/m.py;deflate 7\n"
	       "py;_start;py::<module>:/m.py;read 2\n");
}

static void test_no_native(void **state)
{
	expect(*state, PP_VIEW_NO_NATIVE,
	       "kworker;ret_from_fork_[k];kthread_[k] 4\n"
	       "py;[hidden] 3\n"
	       "py;[truncated: stack unreadable];py::lost:/m.py 1\n"
	       "py;py::<module>:/m.py 7\n"
	       "py;py::<module>:/m.py;py::key:/m.py 5\n"
	       "py;py::<module>:/m.py;vfs_read_[k] 2\n");
}

/* Whatever is hidden, no time is. */
static void test_sum(void **state)
{
	struct pp_profile *p = *state;

	for (unsigned int view = 0; view < 8; view++) {
		_cleanup_free_ char *got = test_written(pp_folded_write(out, p, view));
		uint64_t sum = 0;

		for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"))
			sum += strtoull(strrchr(line, ' ') + 1, NULL, 10);
		assert_int_equal(sum, p->samples);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_python),
		cmocka_unit_test(test_no_kernel),
		cmocka_unit_test(test_no_native),
		cmocka_unit_test(test_sum),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
