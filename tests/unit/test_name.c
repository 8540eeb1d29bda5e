/* SPDX-License-Identifier: GPL-2.0-only */
/* Qualname and file of a name: exact where it can be, by rule where it cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "python/name.h"

#include <string.h>

static void check(const char *text, const char *qualname, const char *file)
{
	_cleanup_buf_ struct pp_buf whole = PP_BUF(0);
	struct pp_name name;

	pp_name_split(text, strlen(text), &name);
	if (name.len != strlen(qualname) || memcmp(name.name, qualname, name.len) != 0)
		fail_msg("%s: the name is %.*s", text, (int)name.len, name.name);
	assert_int_equal(name.has_file, file != NULL);
	if (file && (name.file_len != strlen(file) || memcmp(name.file, file, name.file_len) != 0))
		fail_msg("%s: the file is %.*s", text, (int)name.file_len, name.file);
	assert_int_equal(pp_name_write(&whole, &name), 0);
	assert_int_equal(whole.len, strlen(text));
	assert_memory_equal(whole.data, text, whole.len);
}

static void test_exact(void **state)
{
	(void)state;
	check("py::f:/a.py", "f", "/a.py");
	check("py::C.f.<locals>.<lambda>:<frozen importlib._bootstrap>", "C.f.<locals>.<lambda>",
	      "<frozen importlib._bootstrap>");
	check("py::f:a.py", "f", "a.py");
	check("py::f:", "f", "");
	check("py:::/a.py", "", "/a.py");
	check("py::f", "f", NULL);
	check("py::", "", NULL);
	check("py::(null)", "(null)", NULL);
	check("jit:a:/b", "jit:a:/b", NULL);
}

static void test_colons(void **state)
{
	(void)state;
	/* In the file, which begins as files do. */
	check("py::f:/a:b/c:d.py", "f", "/a:b/c:d.py");
	check("py::f:/a:/b.py", "f", "/a:/b.py");
	check("py::f:<a:<b>>", "f", "<a:<b>>");
	check("py::f:file:///a:b.py", "f", "file:///a:b.py");
	check("py::f:git+ssh://h:22/a.py", "f", "git+ssh://h:22/a.py");
	/* In the file, the qualname having none. */
	check("py::f:a:b.py", "f", "a:b.py");
	check("py::f:C:\\a.py", "f", "C:\\a.py");
	check("py::f::", "f", ":");
	/* In the qualname. */
	check("py::a:b:/c.py", "a:b", "/c.py");
	check("py::a:b:/c:d.py", "a:b", "/c:d.py");
	check("py::a::b:<string>", "a::b", "<string>");
	check("py::a:b:https://c/d.py", "a:b", "https://c/d.py");
	check("py:::a::/c.py", ":a:", "/c.py");
}

/* What the rule gets wrong, as nothing tells: said in its description. */
static void test_ambiguous(void **state)
{
	(void)state;
	check("py::GET:/users:/a.py", "GET", "/users:/a.py");
	check("py::a:b:c.py", "a", "b:c.py");
	check("py::f:zip:/a.py", "f:zip", "/a.py");
}

#define agrees(entry, name, file) agrees_at(entry, name, sizeof(name) - 1, file, sizeof(file) - 1)

static bool agrees_at(const char *entry, const char *name, size_t len, const char *file,
		      size_t file_len)
{
	struct pp_name n;

	pp_name_split(entry, strlen(entry), &n);
	return pp_name_agrees(&n, name, len, file, file_len);
}

static void test_agrees(void **state)
{
	char long_name[300], other[sizeof(long_name)];

	(void)state;
	assert_true(agrees("py::f:/a.py", "f", "/a.py"));
	assert_false(agrees("py::g:/a.py", "f", "/a.py"));
	assert_false(agrees("py::f:/a.py", "f", "/b.py"));
	assert_false(agrees("py::f:/a.py", "f", "/a.pyc"));
	assert_false(agrees("py::f:/a.pyc", "f", "/a.py"));
	assert_false(agrees("py::f", "f", "/a.py"));
	/* What is no UTF-8: a file's name, a lone surrogate in a function's. */
	assert_true(agrees("py::f:(null)", "f", "/caf\xe9.py"));
	assert_true(agrees("py::(null):/a.py", "\xed\xb2\x80", "/a.py"));
	assert_true(agrees("py::(null):(null)", "\xff", "\xff"));
	assert_true(agrees("py::f:", "f", "/caf\xe9.py"));
	assert_false(agrees("py::f:(null)", "f", "/caf\xc3\xa9.py"));
	assert_false(agrees("py::f:/caf\xe9.py", "f", "/caf\xe9.py"));
	/* A function may be called that. */
	assert_true(agrees("py::(null):/a.py", "(null)", "/a.py"));
	/* Ends at a NUL, and at a newline. */
	assert_true(agrees("py::f:/a.py", "f\0g", "/a.py\0"));
	assert_true(agrees("py::f", "f\ng", "/a.py"));
	assert_true(agrees("py::f:/a", "f", "/a\nb.py"));
	assert_false(agrees("py::f:/a", "f", "/a b.py"));
	/* Split at another colon. */
	assert_true(agrees("py::a:b:c.py", "a:b", "c.py"));
	/* Of long ones the beginnings, and no more is read of them than there is. */
	memset(long_name, 'x', sizeof(long_name));
	memcpy(other, long_name, sizeof(other));
	other[10] = 'y';
	assert_true(agrees_at("py::x:/a.py", "x", 1, "/a.py", 5));
	assert_true(pp_name_agrees(&(struct pp_name){ .name = long_name, .len = sizeof(long_name) },
				   long_name, sizeof(long_name), "/a", 2));
	assert_false(pp_name_agrees(&(struct pp_name){ .name = other, .len = sizeof(other) },
				    long_name, sizeof(long_name), "/a", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_colons),
		cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
