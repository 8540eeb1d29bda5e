/* SPDX-License-Identifier: GPL-2.0-only */
/* One perf map file of two processes: what can be told apart has its name, the rest has none. */
#include "python/contest.h"
#include "base/counters.h"
#include "python/pymap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void test_addresses(void **state)
{
	struct pp_contest *c = NULL;
	size_t used = 0;

	(void)state;
	assert_int_equal(pp_contest_new(&c, &used), 0);
	assert_true(used > 0);
	/* Neighbours, 11 bytes each, share no address. */
	assert_false(pp_contest_add(c, 0x1000, 11, 7));
	assert_false(pp_contest_add(c, 0x100b, 11, 8));
	assert_int_equal(pp_contest_at(c, 0x1000, 0x100a), PP_CONTEST_ONE);
	assert_int_equal(pp_contest_at(c, 0x100b, 0x100b), PP_CONTEST_ONE);
	assert_int_equal(pp_contest_at(c, 0x1000, 0xfff), PP_CONTEST_NONE);
	/* The same again says nothing new; another that overlaps one of them spoils that part. */
	assert_false(pp_contest_add(c, 0x1000, 11, 7));
	assert_true(pp_contest_add(c, 0x1010, 16, 9));
	assert_int_equal(pp_contest_at(c, 0x1000, 0x1006), PP_CONTEST_ONE);
	assert_int_equal(pp_contest_at(c, 0x100b, 0x1010), PP_CONTEST_MANY);
	assert_int_equal(pp_contest_at(c, 0x1010, 0x1018), PP_CONTEST_ONE);
	/* Once doubted, always. */
	assert_false(pp_contest_add(c, 0x1010, 4, 9));
	assert_int_equal(pp_contest_at(c, 0x1010, 0x1010), PP_CONTEST_MANY);
	/* Long ones, by their start; a hash may be any number. */
	assert_false(pp_contest_add(c, 0x8000, 4096, 0));
	assert_int_equal(pp_contest_at(c, 0x8000, 0x8fff), PP_CONTEST_ONE);
	assert_false(pp_contest_add(c, 0x8000, 4096, 0));
	assert_true(pp_contest_add(c, 0x8000, 100, 5));
	assert_int_equal(pp_contest_at(c, 0x8000, 0x8fff), PP_CONTEST_MANY);
	assert_false(pp_contest_add(c, 0x9000, 0, 5));
	assert_null(pp_contest_unref(c));
	assert_int_equal(used, 0);
}

/* Beyond the limit nothing is believed, and nothing else changes. */
static void test_limit(void **state)
{
	struct pp_contest *c = NULL;
	size_t used = 0;

	(void)state;
	assert_int_equal(pp_contest_new(&c, &used), 0);
	for (uint64_t at = 0; at <= PP_CONTEST_MAX; at += 16)
		assert_false(pp_contest_add(c, at, 16, 1 + at));
	assert_int_equal(pp_contest_at(c, 0, 15), PP_CONTEST_ONE);
	assert_int_equal(pp_contest_at(c, PP_CONTEST_MAX, PP_CONTEST_MAX), PP_CONTEST_NONE);
	assert_true(used < 10 * MIB);
	pp_contest_unref(c);
	assert_int_equal(used, 0);
}

/* ---- Maps ------------------------------------------------------------------------------------ */

struct world {
	struct pp_perfmaps *all;
	struct pp_pymap *one, *two;
	const char *text;
	uint64_t now;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->now = NSEC_PER_SEC;
	w->text = "";
	if (pp_perfmaps_new(&w->all, PP_PERFMAPS_MEMORY_MAX) < 0 ||
	    pp_pymap_new(&w->one, w->all) < 0 || pp_pymap_new(&w->two, w->all) < 0)
		return -1;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	pp_pymap_free(w->one);
	pp_pymap_free(w->two);
	assert_int_equal(pp_perfmaps_memory(w->all) < 64 * KIB, true);
	pp_perfmaps_free(w->all);
	free(w);
	return 0;
}

static void answer_read(struct world *w, struct pp_pymap *p, const struct pp_pymap_request *rq)
{
	size_t size = strlen(w->text), at = MIN((size_t)rq->offset, size);

	pp_pymap_data(p, size, w->text + at, MIN(size - at, (size_t)rq->len), w->now);
	pp_pymap_told(p, w->now);
}

static void serve(struct world *w, struct pp_pymap *p)
{
	struct pp_pymap_request rq;

	for (;;) {
		w->now += NSEC_PER_SEC;
		pp_pymap_next(p, w->now, &rq);
		if (rq.action == PP_PYMAP_NOTHING)
			return;
		if (rq.action == PP_PYMAP_DO_OPEN)
			pp_pymap_opened(p, PP_PYMAP_LINES, 1, 2, w->now);
		else
			answer_read(w, p, &rq);
	}
}

static enum pp_pymap_answer ask(struct world *w, struct pp_pymap *p, uint64_t address)
{
	struct pp_perfmap_entry entry;
	uint64_t sampled_ns = w->now;
	enum pp_pymap_answer a = pp_pymap_lookup(p, address, sampled_ns, &entry);

	if (a != PP_PYMAP_PENDING)
		return a;
	serve(w, p);
	return pp_pymap_lookup(p, address, sampled_ns, &entry);
}

static const char both[] =
	"1000 8 py::mine:/a.py\n2000 8 py::alike:/b.py\n"
	"1000 8 py::theirs:/a.py\n2000 8 py::alike:/b.py\n3000 8 py::single:/a.py\n";

static void test_two_processes(void **state)
{
	struct world *w = *state;
	uint64_t before, generation;

	w->text = "1000 8 py::mine:/a.py\n";
	pp_pymap_want(w->one);
	serve(w, w->one);
	assert_int_equal(ask(w, w->one, 0x1000), PP_PYMAP_NAMED);
	assert_true(pp_pymap_holds(w->one, 1, 2));
	assert_false(pp_pymap_holds(w->one, 1, 3));
	assert_false(pp_pymap_is_shared(w->one));

	w->text = both;
	before = pp_counters[PP_C_perfmap_entries_contested];
	generation = pp_pymap_generation(w->one);
	pp_pymap_share(w->one);
	pp_pymap_share(w->one);
	assert_true(pp_pymap_is_shared(w->one));
	assert_true(pp_pymap_generation(w->one) > generation);
	assert_int_equal(ask(w, w->one, 0x1000), PP_PYMAP_ABSENT);
	assert_int_equal(ask(w, w->one, 0x2000), PP_PYMAP_NAMED);
	assert_int_equal(ask(w, w->one, 0x3000), PP_PYMAP_NAMED);
	assert_int_equal(pp_counters[PP_C_perfmap_entries_contested], before + 1);
}

/* An answer from another place of the file than where it is read again from. */
static void test_read_in_flight(void **state)
{
	struct world *w = *state;
	struct pp_pymap_request rq;

	w->text = "1000 8 py::mine:/a.py\n";
	pp_pymap_want(w->one);
	serve(w, w->one);
	assert_int_equal(ask(w, w->one, 0x3000), PP_PYMAP_ABSENT);
	w->text = both;
	pp_pymap_refresh(w->one, w->now);
	w->now += NSEC_PER_SEC;
	pp_pymap_next(w->one, w->now, &rq);
	while (rq.action == PP_PYMAP_DO_OPEN) {
		pp_pymap_opened(w->one, PP_PYMAP_LINES, 1, 2, w->now);
		w->now += NSEC_PER_SEC;
		pp_pymap_next(w->one, w->now, &rq);
	}
	assert_int_equal(rq.action, PP_PYMAP_DO_READ);
	assert_true(pp_pymap_offset(w->one) > 0);
	pp_pymap_share(w->one);
	answer_read(w, w->one, &rq);
	assert_int_equal(ask(w, w->one, 0x1000), PP_PYMAP_ABSENT);
	assert_int_equal(ask(w, w->one, 0x3000), PP_PYMAP_NAMED);
}

/* A child believes of its parent's file what the parent does, and all of its own. */
static void test_fork(void **state)
{
	struct world *w = *state;

	w->text = both;
	pp_pymap_want(w->one);
	serve(w, w->one);
	pp_pymap_share(w->one);
	serve(w, w->one);
	assert_int_equal(pp_pymap_fork(w->one, w->two, w->now - 2 * NSEC_PER_SEC), 0);
	w->text = "1008 8 py::child:/a.py\n";
	serve(w, w->two);
	assert_int_equal(ask(w, w->two, 0x1008), PP_PYMAP_NAMED);
	assert_int_equal(ask(w, w->two, 0x1000), PP_PYMAP_ABSENT);
	assert_int_equal(ask(w, w->two, 0x3000), PP_PYMAP_NAMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_limit),
		cmocka_unit_test_setup_teardown(test_two_processes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_in_flight, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fork, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
