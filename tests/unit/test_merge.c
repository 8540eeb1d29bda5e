/* SPDX-License-Identifier: GPL-2.0-only */
/* Native frames and the interpreter's, written as text: one letter a frame, leaf first. */
#include "merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define MAX_FRAMES 64

static struct pp_merge_native native[MAX_FRAMES];
static struct pp_merge_python python[MAX_FRAMES];
static struct pp_merge_pair pairs[MAX_FRAMES];
static uint32_t frames[2 * MAX_FRAMES];
static struct pp_merge_output out = { .frames = frames, .pairs = pairs };

/*
 * natives: E is an evaluation loop, M one with a mark, S a trampoline, other letters are
 * themselves. chain: a digit is a frame; '|' ends a run, '_' stands for one without frames.
 */
static bool merge(const char *natives, bool native_complete, const char *chain, bool complete)
{
	struct pp_merge_input in = { native, 0, python, 0, native_complete, complete };

	for (const char *c = natives; *c; c++)
		native[in.nr_native++] = (struct pp_merge_native){
			.frame = (uint32_t)*c,
			.kind = *c == 'S'		 ? PP_MERGE_STUB
				: *c == 'E' || *c == 'M' ? PP_MERGE_EVAL
							 : PP_MERGE_OTHER,
			.marked = *c == 'M',
		};
	for (const char *c = chain; *c; c++) {
		if (*c == '|')
			python[in.nr_python - 1].last = true;
		else
			python[in.nr_python++] = (struct pp_merge_python){ .frame = (uint32_t)*c,
									   .last = *c == '_',
									   .empty = *c == '_' };
	}
	return pp_merge(&in, &out);
}

static const char *merged(void)
{
	static char text[2 * MAX_FRAMES + 1];

	for (size_t i = 0; i < out.nr; i++)
		text[i] = (char)frames[i];
	text[out.nr] = '\0';
	return text;
}

static void a_run_stands_before_its_loop(_unused_ void **state)
{
	assert_true(merge("aMbcMd", true, "123|4|", true));
	assert_string_equal(merged(), "aM123bcM4d");
	assert_int_equal(out.nr_bare, 0);
	/* A mark says more than where the code lies: cold parts have no name. */
	assert_true(merge("axbcMEd", true, "12|", true));
	assert_string_equal(merged(), "axbcM12Ed");
}

static void a_loop_may_have_no_function(_unused_ void **state)
{
	/* It returns, or has only just been entered. */
	assert_true(merge("aMbMc", true, "_1|", true));
	assert_string_equal(merged(), "aMbM1c");
	assert_int_equal(out.nr_bare, 0);
	assert_true(merge("EbMc", true, "1|", true));
	assert_string_equal(merged(), "EbM1c");
	assert_int_equal(out.nr_bare, 0);
	/* Further out there is no excuse. */
	assert_true(merge("MbEc", true, "1|", true));
	assert_int_equal(out.nr_bare, 1);
}

static void a_trampoline_gives_way(_unused_ void **state)
{
	assert_true(merge("aMSbMSc", true, "1|2|", true));
	assert_string_equal(merged(), "aM1bM2c");
	assert_int_equal(out.nr_pairs, 2);
	assert_int_equal(pairs[0].stub, 'S');
	assert_int_equal(pairs[0].python, '1');
	/* It is for the outermost function of the run: the others were called without it. */
	assert_true(merge("MSb", true, "12|", true));
	assert_string_equal(merged(), "M12b");
	assert_int_equal(pairs[0].python, '2');
	/* One that has not entered the loop yet, or has left it, is all there is. */
	assert_true(merge("SbMSc", true, "1|", true));
	assert_string_equal(merged(), "SbM1c");
	assert_true(merge("MSbMSc", true, "_1|", true));
	assert_string_equal(merged(), "MSbM1c");
	assert_int_equal(out.nr_pairs, 1);
}

static void without_marks_loops_are_counted_from_the_root(_unused_ void **state)
{
	assert_true(merge("aEbEcEd", true, "1|2|3|", true));
	assert_string_equal(merged(), "aE1bE2cE3d");
	assert_true(merge("EbEcEd", true, "2|3|", true));
	assert_string_equal(merged(), "EbE2cE3d");
	/* More runs than loops: nobody knows whose they are. */
	assert_false(merge("aEb", true, "1|2|", true));
	assert_string_equal(merged(), "aEb");
	assert_int_equal(out.nr_bare, 1);
	/* So too where a mark was missed. */
	assert_true(merge("MbEc", true, "1|2|", true));
	assert_string_equal(merged(), "M1bE2c");
}

static void what_was_cut_short_goes_to_the_root(_unused_ void **state)
{
	assert_true(merge("aMb", false, "12|3|4|", true));
	assert_string_equal(merged(), "aM12b34");
	assert_true(merge("aEb", false, "1|2|", true));
	assert_string_equal(merged(), "aE1b2");
	/* A chain that was cut too, by its depth: what is there stands right. */
	assert_true(merge("aMb", true, "123", false));
	assert_string_equal(merged(), "aM123b");
	assert_false(merge("aEbEcEd", true, "1|2|", false));
}

static void either_may_be_missing(_unused_ void **state)
{
	assert_true(merge("ab", true, "", true));
	assert_string_equal(merged(), "ab");
	assert_true(merge("aESb", true, "", false));
	assert_string_equal(merged(), "aESb");
	assert_true(merge("", false, "1|", true));
	assert_string_equal(merged(), "1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_stands_before_its_loop),
		cmocka_unit_test(a_loop_may_have_no_function),
		cmocka_unit_test(a_trampoline_gives_way),
		cmocka_unit_test(without_marks_loops_are_counted_from_the_root),
		cmocka_unit_test(what_was_cut_short_goes_to_the_root),
		cmocka_unit_test(either_may_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
