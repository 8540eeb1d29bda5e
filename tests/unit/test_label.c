/* SPDX-License-Identifier: GPL-2.0-only */
/* The one label that a narrow column shows, and containers by the beginning of their ids. */
#include "lib/label.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define ID "5ac2f0a4f0cbe1b5e2dd0a56b8b7b7d8a8a0f7d2f2d0a1b2c3d4e5f60718293a"

static void expect(const char *container, const char *unit, const char *slice, const char *text)
{
	struct pp_label l = pp_label_of(container, unit, slice);

	assert_int_equal(l.len, strlen(text));
	assert_memory_equal(l.text, text, strlen(text));
}

static void test_label(void **state)
{
	(void)state;
	expect(ID, "docker-" ID ".scope", "system.slice", "5ac2f0a4f0cb");
	expect("web1", "nginx.service", "system.slice", "web1");
	expect("0123456789abcdef", "", "", "0123456789abcdef"); /* a name, not an id */
	expect("", "ssh.service", "system.slice", "ssh.service");
	expect(NULL, NULL, "machine.slice", "machine.slice");
	expect(NULL, "", "", "");
	expect(NULL, NULL, NULL, "");
}

static void test_wanted(void **state)
{
	(void)state;
	assert_true(pp_label_is_container(ID, NULL));
	assert_true(pp_label_is_container("", NULL));
	assert_true(pp_label_is_container(ID, ID));
	assert_true(pp_label_is_container(ID, "5ac2f0a4f0cb"));
	assert_false(pp_label_is_container(ID, "5ac2f0a4f0c")); /* too short to be one's */
	assert_false(pp_label_is_container(ID, "5ac2f0a4f0cc"));
	assert_false(pp_label_is_container(ID, ID "0"));
	assert_true(pp_label_is_container("web1", "web1"));
	assert_false(pp_label_is_container("web1web1web1web1", "web1web1web1"));
	assert_false(pp_label_is_container("", ID));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_label),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
