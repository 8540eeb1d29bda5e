/* SPDX-License-Identifier: GPL-2.0-only */
/* Which Python it is, how much of it has names, and what to do about the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "python/remedy.h"
#include "python/version.h"

#include <stdio.h>
#include <string.h>

static void test_paths(void **state)
{
	static const struct {
		const char *path;
		uint32_t version; /* 0: no Python */
	} cases[] = {
		{ "/usr/lib/x86_64-linux-gnu/libpython3.13.so.1.0", PP_PYVERSION(3, 13) },
		{ "/opt/py/lib/libpython3.13t.so.1.0", PP_PYVERSION(3, 13) },
		{ "libpython3.8m.so", PP_PYVERSION(3, 8) },
		{ "/usr/lib/libpython2.7.so.1.0", PP_PYVERSION(2, 7) },
		{ "/usr/lib/libpython3.so", 0 },
		{ "/usr/lib/libpython.so", 0 },
		{ "/usr/bin/python3.12", PP_PYVERSION(3, 12) },
		{ "/usr/bin/python3.12 (deleted)", PP_PYVERSION(3, 12) },
		{ "/usr/bin/python3.14t", PP_PYVERSION(3, 14) },
		{ "/usr/bin/python3.11d", PP_PYVERSION(3, 11) },
		{ "/usr/bin/python3-dbg", PP_PYVERSION(3, 0) },
		{ "/usr/bin/python3", PP_PYVERSION(3, 0) },
		{ "python", PP_PYVERSION(0, 0) },
		{ "/usr/bin/python3-config", 0 },
		{ "/usr/bin/python3.12-config", 0 },
		{ "/usr/bin/pythonw", 0 },
		{ "/usr/bin/ipython3", 0 },
		{ "/usr/bin/python9.1", 0 },
		{ "/usr/bin/python3.", 0 },
		{ "/usr/bin/python3.1234", 0 },
		{ "/usr/bin/python3.99", 0 },
		{ "/usr/lib/python3.12/lib-dynload/_json.cpython-312-x86_64-linux-gnu.so", 0 },
		{ "/usr/lib/python3.12/", 0 },
		{ "/usr/lib/libpython3.13.so.1.0.debug", 0 },
		{ "/usr/lib/libpython3.13.a", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t version = 0;
		bool is = pp_pyversion_from_path(cases[i].path, &version);

		if (is != (cases[i].version || !strcmp(cases[i].path, "python")) ||
		    version != cases[i].version)
			fail_msg("%s: %d, %#x", cases[i].path, is, version);
	}
}

static void test_text(void **state)
{
	char text[PP_PYVERSION_TEXT_MAX];

	(void)state;
	assert_string_equal(pp_pyversion_text(0x030d00f0, text), "3.13.0");
	assert_string_equal(pp_pyversion_text(0x030e0ac2, text), "3.14.10rc2");
	assert_string_equal(pp_pyversion_text(0x030f00a7, text), "3.15.0a7");
	assert_string_equal(pp_pyversion_text(0x030f00b1, text), "3.15.0b1");
	assert_string_equal(pp_pyversion_text(PP_PYVERSION(3, 12), text), "3.12");
	assert_string_equal(pp_pyversion_text(PP_PYVERSION(3, 0), text), "3");
	assert_string_equal(pp_pyversion_text(0, text), "unknown");
	assert_string_equal(pp_pyversion_text(0xffffffcf, text), "255.255.255rc15");
	assert_true(pp_pyversion_valid(0x030d00f0));
	assert_true(pp_pyversion_valid(0x030f00a7));
	assert_false(pp_pyversion_valid(0));
	assert_false(pp_pyversion_valid(PP_PYVERSION(3, 12)));
	assert_false(pp_pyversion_valid(0x7f0d00f0));
	assert_false(pp_pyversion_valid(0xffffffff));
}

/* ---- Coverage: a stack as letters, leaf first ------------------------------------------------ */

static struct pp_coverage coverage_of(const char *stack)
{
	struct pp_coverage c = { 0 };
	uint8_t classes[64];
	size_t n = strlen(stack);

	assert_true(n <= sizeof(classes));
	for (size_t i = 0; i < n; i++)
		classes[i] = stack[i] == 'e'   ? PP_PYFRAME_EVAL
			     : stack[i] == 'n' ? PP_PYFRAME_NAMED
			     : stack[i] == 'u' ? PP_PYFRAME_UNNAMED
			     : stack[i] == 'p' ? PP_PYFRAME_PENDING
					       : PP_PYFRAME_OTHER;
	pp_coverage_add(&c, classes, n, 3);
	return c;
}

static void expect(const char *stack, uint64_t named, uint64_t unnamed, uint64_t bare,
		   uint64_t late)
{
	struct pp_coverage c = coverage_of(stack);

	if (c.named != named * 3 || c.unnamed != unnamed * 3 || c.bare != bare * 3 ||
	    c.late != late * 3)
		fail_msg("%s: %zu named, %zu unnamed, %zu bare, %zu late", stack,
			 (size_t)c.named / 3, (size_t)c.unnamed / 3, (size_t)c.bare / 3,
			 (size_t)c.late / 3);
}

static void test_coverage(void **state)
{
	(void)state;
	expect("", 0, 0, 0, 0);
	expect("....", 0, 0, 0, 0);
	/* leaf C function, eval, stub, evaluator, vectorcall, eval, stub, ... */
	expect(".en..en..en...", 3, 0, 0, 0);
	expect(".en..eu..en...", 2, 1, 0, 0);
	/* In the stub itself: about to call. */
	expect("n..en..", 2, 0, 0, 0);
	/* Being looked up. */
	expect(".ep..en..ep...", 1, 0, 0, 0);
	/* No trampolines. */
	expect(".e...e...e...", 0, 0, 3, 0);
	/* Turned on late: what called into trampolined code has none. */
	expect(".en..e...e...", 1, 0, 2, 2);
	/* A subinterpreter without, called from trampolined code. */
	expect(".e....en...", 1, 0, 1, 0);
	/* Cut off at an eval frame: whether it has one is not known. */
	expect(".en..e", 1, 0, 0, 0);
	/* An eval loop that calls another directly. */
	expect("een.", 1, 0, 1, 0);
}

static void test_named_by(void **state)
{
	static const struct {
		struct pp_coverage coverage;
		const char *by;
	} cases[] = {
		{ { .bare = 1, .missing = 1 }, "none" },
		{ { .unnamed = 1, .missing = 1 }, "none" },
		{ { .named = 1, .shown = 1 }, "trampoline" },
		{ { .bare = 1, .shown = 1, .walked = 1 }, "interpreter" },
		{ { .named = 1, .bare = 1, .shown = 2, .walked = 2 }, "both" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(pp_named_by_text(pp_coverage_named_by(&cases[i].coverage)),
				    cases[i].by);
}

/* Where the bare frames of a stack are, and how long none had a stub. */
static void test_bare(void **state)
{
	struct pp_coverage c = coverage_of(".e..e....en..en...");

	(void)state;
	assert_int_equal(c.inner, 2 * 3);
	assert_int_equal(c.late, 0);
	assert_int_equal(c.streak, 0);
	/* Late at the root, a subinterpreter at the leaf. */
	c = coverage_of(".e...en..e...");
	assert_int_equal(c.inner, 3);
	assert_int_equal(c.late, 3);
	c = coverage_of(".e..e...");
	assert_int_equal(c.inner, 0);
	assert_int_equal(c.streak, 3); /* stacks, not frames */
	pp_coverage_add(&c, (const uint8_t[]){ PP_PYFRAME_OTHER }, 1, 5);
	assert_int_equal(c.streak, 3); /* no Python */
	pp_coverage_add(&c, (const uint8_t[]){ PP_PYFRAME_UNNAMED }, 1, 1);
	assert_int_equal(c.streak, 0);
}

static void test_native_names(void **state)
{
	static const char *const evals[] = { "_PyEval_EvalFrameDefault",
					     "_PyEval_EvalFrameDefault.cold",
					     "_PyEval_EvalFrameDefault.lto_priv.0",
					     "_TAIL_CALL_LOAD_FAST" };
	static const char *const others[] = {
		"_PyEval_EvalFrameDefaultX", "_PyEval_EvalFrame", "_PyEval_Vector",
		"py_trampoline_evaluator",   "_TAIL_CALL_",	  ""
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(evals); i++)
		assert_int_equal(pp_pyframe_native(evals[i], strlen(evals[i])), PP_PYFRAME_EVAL);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(pp_pyframe_native(others[i], strlen(others[i])), PP_PYFRAME_OTHER);
}

static const char *trampolines_of(const struct pp_coverage *c, bool inherited)
{
	struct pp_remedy_facts facts = { .coverage = *c, .inherited = inherited };

	return pp_trampolines_text(pp_remedy_trampolines(&facts));
}

static void test_trampolines(void **state)
{
	struct pp_coverage c = { 0 };
	const struct {
		struct pp_coverage c;
		const char *text;
	} cases[] = {
		{ { 0 }, "unknown" },
		{ { .bare = 10 }, "off" },
		{ { .named = 990, .unnamed = 5, .bare = 9 }, "on" },
		{ { .named = 90, .bare = 10, .late = 10 }, "late" },
		/* Importing, or around a fork: a few bare frames that called no trampolined code.
		 */
		{ { .named = 15, .bare = 9 }, "on" },
		{ { .named = 500, .bare = 9, .inner = 9 }, "on" },
		{ { .named = 500, .bare = 500 }, "partial" },
		{ { .named = 500, .bare = 50, .inner = 50 }, "partial" },
		/* Some time ago there were some. */
		{ { .named = 900, .bare = 70, .streak = 70 }, "off" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(trampolines_of(&cases[i].c, false), cases[i].text);
	assert_string_equal(trampolines_of(&cases[2].c, true), "inherited");
	assert_string_equal(trampolines_of(&cases[3].c, true), "late");
	c = (struct pp_coverage){ .named = 90, .bare = 10, .late = 10 };
	for (int minute = 0; minute < 10; minute++) {
		c.named += 1000;
		pp_coverage_decay(&c);
	}
	/* It was late, long ago. */
	assert_string_equal(trampolines_of(&c, false), "on");
}

/* Without a sample: its mappings and its map tell. */
static void test_asleep(void **state)
{
	struct pp_remedy_facts facts = { .version = 0x030d00f0, .no_arena = true };

	(void)state;
	assert_int_equal(pp_remedy_trampolines(&facts), PP_TRAMPOLINES_OFF);
	assert_non_null(strstr(pp_remedy_find(&facts).problem, "are off"));
	facts = (struct pp_remedy_facts){ .version = 0x030d00f0, .entries = 300 };
	assert_int_equal(pp_remedy_trampolines(&facts), PP_TRAMPOLINES_ON);
	assert_null(pp_remedy_find(&facts).problem);
	/* What little was seen of it was its start. */
	facts.coverage = (struct pp_coverage){ .bare = 2, .streak = 2 };
	assert_int_equal(pp_remedy_trampolines(&facts), PP_TRAMPOLINES_ON);
	assert_null(pp_remedy_find(&facts).problem);
	facts.coverage.missing = facts.coverage.walked = 31;
	facts.walk = PP_WALK_YES;
	assert_null(pp_remedy_find(&facts).problem);
	facts.coverage.missing = facts.coverage.walked = 32;
	assert_non_null(strstr(pp_remedy_find(&facts).problem, "cannot be read"));
	facts.coverage.missing = facts.coverage.walked = 0;
	facts.walk = PP_WALK_NO;
	facts.entries = 0;
	assert_int_equal(pp_remedy_trampolines(&facts), PP_TRAMPOLINES_OFF);
	facts.version = 0x030b00f0;
	assert_int_equal(pp_remedy_trampolines(&facts), PP_TRAMPOLINES_OFF);
}

static void test_remedies(void **state)
{
	const struct pp_coverage off = { .bare = 100, .streak = 100 }, on = { .named = 100 },
				 unnamed = { .unnamed = 100 },
				 half = { .named = 50, .bare = 50, .late = 50 },
				 inner = { .named = 50, .bare = 50, .inner = 50 },
				 mixed = { .named = 500, .bare = 500 };
	const struct {
		struct pp_remedy_facts facts;
		const char *problem, *remedy; /* a part of it; NULL: none at all */
	} cases[] = {
		{ { 0 }, NULL, NULL },
		{ { .version = 0x030d00f0, .coverage = on }, NULL, NULL },
		{ { .version = 0x030b00f0, .coverage = off }, "no trampolines", "3.12" },
		{ { .version = PP_PYVERSION(2, 7) }, "no trampolines", "3.12" },
		{ { .version = PP_PYVERSION(3, 0), .coverage = off }, "off", "PYTHONPERFSUPPORT" },
		{ { .version = 0x030d00f0, .coverage = off },
		  "are off",
		  "activate_stack_trampoline" },
		{ { .version = 0x030e08f0, .coverage = off }, "are off", "pyprofctl enable" },
		{ { .version = 0x030d00f0, .coverage = off, .spawned = true },
		  "spawn",
		  "environment of its parent" },
		{ { .coverage = unnamed, .map = PP_PYMAP_REFUSED, .reason = PP_PYMAP_MISSING },
		  "no perf map",
		  "/tmp" },
		{ { .coverage = unnamed, .map = PP_PYMAP_REFUSED, .reason = PP_PYMAP_OWNER },
		  "another user",
		  "remove" },
		{ { .coverage = unnamed, .map = PP_PYMAP_OPEN, .map_shared = true },
		  "another container's",
		  "/tmp of its own" },
		{ { .coverage = unnamed, .map = PP_PYMAP_OPEN, .map_full = true },
		  "larger",
		  "eval" },
		{ { .coverage = unnamed, .map = PP_PYMAP_OPEN, .entries = 9 },
		  "does not have",
		  "/tmp" },
		{ { .coverage = half, .map = PP_PYMAP_OPEN, .entries = 9 },
		  "without trampolines",
		  "PYTHONPERFSUPPORT" },
		{ { .coverage = inner, .map = PP_PYMAP_OPEN, .entries = 9 },
		  "subinterpreter",
		  "outside subinterpreters" },
		{ { .coverage = mixed, .map = PP_PYMAP_OPEN, .entries = 9 },
		  "threads",
		  "PYTHONPERFSUPPORT" },
		{ { .coverage = off, .inherited = true }, "turned off", "restart it" },
		{ { .coverage = unnamed,
		    .map = PP_PYMAP_REFUSED,
		    .reason = PP_PYMAP_MISSING,
		    .tmp = PP_TMP_READ_ONLY },
		  "read-only",
		  "writable /tmp" },
		{ { .coverage = unnamed,
		    .map = PP_PYMAP_REFUSED,
		    .reason = PP_PYMAP_MISSING,
		    .tmp = PP_TMP_MISSING },
		  "no /tmp",
		  "mount" },
		{ { .coverage = unnamed,
		    .map = PP_PYMAP_REFUSED,
		    .reason = PP_PYMAP_OWNER,
		    .tmp = PP_TMP_GOOD },
		  "another user",
		  "remove" },
		/* Turned on, but the function that runs was called before. */
		{ { .coverage = off, .map = PP_PYMAP_OPEN, .entries = 9 },
		  "called before",
		  "restart" },
		/* Named by the walk of its own frames: nothing is missing, however old it is. */
		{ { .coverage = { .bare = 50, .shown = 100, .missing = 2, .walked = 100 },
		    .version = PP_PYVERSION(3, 11) },
		  NULL,
		  NULL },
		/* Named by the walk for a moment only. */
		{ { .coverage = { .bare = 90, .shown = 10, .missing = 90, .walked = 10 },
		    .version = PP_PYVERSION(3, 11) },
		  "no trampolines",
		  "3.12" },
		/* Walked, without a name to be had. */
		{ { .coverage = { .bare = 90, .missing = 90, .walked = 90 },
		    .version = PP_PYVERSION(3, 11),
		    .walk = PP_WALK_YES },
		  "code objects",
		  "restart" },
		/* Asleep: will be named; may be, for all that is known; will not be. */
		{ { .version = PP_PYVERSION(3, 11), .walk = PP_WALK_YES }, NULL, NULL },
		{ { .version = PP_PYVERSION(3, 11), .walk = PP_WALK_UNKNOWN }, NULL, NULL },
		{ { .version = PP_PYVERSION(3, 11), .walk = PP_WALK_NO },
		  "no trampolines",
		  "3.12" },
		/* Not walked: why not, and what helps: trampolines, where there can be any. */
		{ { .version = PP_PYVERSION(3, 11),
		    .walk = PP_WALK_NO,
		    .unwalked = PP_INSPECT_STRIPPED },
		  "(no interpreter was found in its files), and it has no trampolines",
		  "exports its symbols" },
		{ { .version = PP_PYVERSION(3, 16),
		    .coverage = off,
		    .walk = PP_WALK_NO,
		    .unwalked = PP_INSPECT_VERSION },
		  "(this version's frames are not known), and trampolines are off",
		  "PYTHONPERFSUPPORT" },
		{ { .coverage = off, .walk = PP_WALK_NO, .unwalked = PP_INSPECT_PYPY },
		  "PyPy",
		  "CPython" },
		{ { .version = PP_PYVERSION(3, 16),
		    .coverage = on,
		    .entries = 9,
		    .walk = PP_WALK_NO,
		    .unwalked = PP_INSPECT_VERSION },
		  NULL,
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pp_remedy r = pp_remedy_find(&cases[i].facts);

		if (!cases[i].problem) {
			assert_null(r.problem);
			assert_null(r.remedy);
			continue;
		}
		assert_non_null(r.problem);
		assert_non_null(r.remedy);
		if (!strstr(r.problem, cases[i].problem) || !strstr(r.remedy, cases[i].remedy))
			fail_msg("%zu: %s: %s", i, r.problem, r.remedy);
		assert_null(strchr(r.problem, '\n'));
		assert_null(strchr(r.remedy, '\n'));
	}
}

static void test_every_refusal_has_a_remedy(void **state)
{
	(void)state;
	for (int why = PP_PYMAP_MISSING; why < PP_PYMAP_REASON_MAX; why++) {
		struct pp_remedy_facts facts = { .coverage = { .unnamed = 1 },
						 .map = PP_PYMAP_REFUSED,
						 .reason = (enum pp_pymap_reason)why };

		assert_non_null(pp_remedy_find(&facts).problem);
		assert_non_null(pp_remedy_find(&facts).remedy);
	}
}

/* Whether it could have trampolines or not. */
static void test_every_unwalked_has_a_remedy(void **state)
{
	static const uint32_t versions[] = { PP_PYVERSION(3, 11), PP_PYVERSION(3, 14) };

	(void)state;
	for (int why = PP_INSPECT_OK + 1; why < PP_INSPECT_ANSWERS; why++)
		for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
			struct pp_remedy_facts facts = { .version = versions[i],
							 .no_arena = true,
							 .walk = PP_WALK_NO,
							 .unwalked = (enum pp_inspect_answer)why };
			struct pp_remedy r = pp_remedy_find(&facts);

			assert_non_null(strstr(r.problem, pp_inspect_answer_text(facts.unwalked)));
			assert_non_null(r.remedy);
		}
}

static void test_spawned(void **state)
{
	/* As /proc/PID/cmdline has them, of 3.12 and 3.14. */
	static const char spawn[] =
		"/usr/bin/python3\0-c\0from multiprocessing.spawn import spawn_main; "
		"spawn_main(tracker_fd=5, pipe_handle=7)\0--multiprocessing-fork";
	static const char server[] =
		"/usr/bin/python3 -c from multiprocessing.forkserver import main; "
		"main(7, 8, ['__main__'])";
	static const char plain[] = "/usr/bin/python3\0-X\0perf\0server.py";

	(void)state;
	assert_true(pp_remedy_is_spawned(spawn, sizeof(spawn)));
	assert_true(pp_remedy_is_spawned(server, sizeof(server)));
	assert_false(pp_remedy_is_spawned(plain, sizeof(plain)));
	assert_false(pp_remedy_is_spawned("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_named_by),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_native_names),
		cmocka_unit_test(test_trampolines),
		cmocka_unit_test(test_asleep),
		cmocka_unit_test(test_remedies),
		cmocka_unit_test(test_every_refusal_has_a_remedy),
		cmocka_unit_test(test_every_unwalked_has_a_remedy),
		cmocka_unit_test(test_spawned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
