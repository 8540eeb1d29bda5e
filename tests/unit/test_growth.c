/* SPDX-License-Identifier: GPL-2.0-only */
/* How fast a map grows, who makes it grow, and what its stubs look like. */
#include "python/growers.h"
#include "python/growth.h"
#include "python/stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define SECOND NSEC_PER_SEC
#define START  (1000000 * SECOND)

static void test_rate(void **state)
{
	struct pp_growth g = { 0 };
	uint64_t now = START;

	(void)state;
	assert_int_equal(pp_growth_rate(&g, now).entries, 0);
	pp_growth_add(&g, now - SECOND, now, 100, 5000);
	assert_in_range(pp_growth_rate(&g, now).entries, 98, 100);
	assert_in_range(pp_growth_rate(&g, now).bytes, 4998, 5000);
	/* It falls out of the window, once. */
	assert_in_range(pp_growth_rate(&g, now + 40 * SECOND).entries, 98, 100);
	assert_int_equal(pp_growth_rate(&g, now + 70 * SECOND).entries, 0);
	assert_int_equal(pp_growth_rate(&g, now + 1000 * SECOND).entries, 0);
	/* An hour's worth found by one read: a minute's share of it. */
	now += 7200 * SECOND;
	pp_growth_add(&g, now - 3600 * SECOND, now, 36000, 3600000);
	assert_in_range(pp_growth_rate(&g, now).entries, 500, 600);
	/* No time has passed: all of it is of now. */
	now += 7200 * SECOND;
	pp_growth_add(&g, now, now, 7, 70);
	assert_int_equal(pp_growth_rate(&g, now).entries, 7);
}

static void add(struct pp_growers *g, const char *text)
{
	struct pp_name name;

	pp_name_split(text, strlen(text), &name);
	pp_growers_add(g, &name, 20);
}

/* One in three of a million that differ otherwise, and one in five. */
static void test_heavy(void **state)
{
	struct pp_growers g = { 0 };
	const struct pp_grower *top;
	char text[64];

	(void)state;
	pp_growers_turn(&g, START);
	for (unsigned int i = 0; i < 1000000; i++) {
		snprintf(text, sizeof(text), "py::once%u:/x.py", i);
		add(&g, i % 3 == 0 ? "py::<lambda>:<string>" : i % 5 == 0 ? "js stub" : text);
	}
	top = pp_growers_top(&g);
	assert_int_equal(top->kind, PP_NAME_PYTHON);
	assert_int_equal(top->name_len, strlen("<lambda>"));
	assert_memory_equal(top->name, "<lambda>", top->name_len);
	assert_memory_equal(top->file, "<string>", top->file_len);
	/* The truth lies between. */
	assert_true(top->count - top->error <= 333334 && top->count >= 333334);
	assert_int_equal(g.total, 1000000);
}

static struct pp_growth_alarm run(struct pp_growers *g, unsigned int seconds, unsigned int repeated,
				  unsigned int others)
{
	static unsigned int serial;
	char text[64];

	for (unsigned int s = 1; s <= seconds; s++) {
		pp_growers_turn(g, START + s * SECOND);
		for (unsigned int i = 0; i < repeated; i++)
			add(g, "py::f:/made.py");
		for (unsigned int i = 0; i < others; i++) {
			snprintf(text, sizeof(text), "py::once%u:/x.py", serial++);
			add(g, text);
		}
	}
	return pp_growers_alarm(g, MIN(seconds, 60U) * (repeated + others), 60000,
				START + seconds * SECOND);
}

static void test_alarm(void **state)
{
	struct pp_growers g = { 0 };
	struct pp_growth_alarm a;

	(void)state;
	assert_null(pp_growers_alarm(NULL, 1000, 1000, START).grower);
	/* An import of thousands; and what comes again, but not for long. */
	assert_null(run(&g, 60, 0, 100).grower);
	g = (struct pp_growers){ 0 };
	assert_null(run(&g, 10, 100, 0).grower);
	/* Once a second is not worth a word. */
	g = (struct pp_growers){ 0 };
	assert_null(run(&g, 120, 1, 0).grower);
	g = (struct pp_growers){ 0 };
	a = run(&g, 90, 10, 5);
	assert_non_null(a.grower);
	assert_memory_equal(a.grower->file, "/made.py", a.grower->file_len);
	assert_in_range(a.entries, 450, 600);
	assert_false(a.severe);
	g = (struct pp_growers){ 0 };
	a = run(&g, 90, 50, 20);
	assert_true(a.severe);
	/* It has stopped, though the sketch remembers. */
	assert_null(pp_growers_alarm(&g, 4000, 60000, START + 120 * SECOND).grower);
}

static void test_names_cut(void **state)
{
	struct pp_growers g = { 0 };
	char text[4000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "py::", 4);
	text[2000] = ':';
	pp_growers_turn(&g, START);
	add(&g, text);
	text[1999] = 'y'; /* differs behind the cut */
	add(&g, text);
	assert_int_equal(g.nr, 2);
	assert_int_equal(g.growers[0].name_len, PP_GROWER_NAME_MAX);
	assert_int_equal(g.growers[0].file_len, PP_GROWER_NAME_MAX);
}

#define ENDBR 0xf3, 0x0f, 0x1e, 0xfa
#define SUB   0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3
#define PUSH  0x55, 0x48, 0x89, 0xe5, 0xff, 0xd1, 0x5d, 0xc3

/* Every byte of each stub of a row of them is one of it, and what lies between is of none. */
static void test_stubs(void **state)
{
	static const uint8_t code[] = { SUB, SUB, ENDBR, SUB, 0, PUSH, 0, 0, ENDBR, PUSH, 0xcc };
	static const struct {
		size_t start, end;
		enum pp_stub_form form;
		bool endbr;
	} stubs[] = {
		{ 0, 11, PP_STUB_SUB, false },	{ 11, 22, PP_STUB_SUB, false },
		{ 22, 37, PP_STUB_SUB, true },	{ 38, 46, PP_STUB_PUSH, false },
		{ 48, 60, PP_STUB_PUSH, true },
	};
	struct pp_stub stub;

	(void)state;
	for (size_t at = 0; at < sizeof(code); at++) {
		size_t i = 0;

		while (i < ARRAY_SIZE(stubs) && (at < stubs[i].start || at >= stubs[i].end))
			i++;
		if (i == ARRAY_SIZE(stubs)) {
			assert_false(pp_stub_find(code, sizeof(code), at, &stub));
			continue;
		}
		assert_true(pp_stub_find(code, sizeof(code), at, &stub));
		assert_int_equal(stub.form, stubs[i].form);
		assert_int_equal(stub.endbr, stubs[i].endbr);
	}
	/* Cut short, and nothing at all. */
	assert_false(pp_stub_find(code, 10, 5, &stub));
	assert_false(pp_stub_find(code, 0, 0, &stub));
	assert_false(pp_stub_find(code, sizeof(code), sizeof(code), &stub));
	assert_string_equal(pp_stub_text(PP_STUB_SUB), "sub");
	assert_string_equal(pp_stub_text(PP_STUB_PUSH), "push");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),  cmocka_unit_test(test_heavy),
		cmocka_unit_test(test_alarm), cmocka_unit_test(test_names_cut),
		cmocka_unit_test(test_stubs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
