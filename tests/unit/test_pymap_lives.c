/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of other lives and other memory: exec, reused pids and addresses, files cut and patched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/counters.h"
#include "python/pymap.h"

#include <stdio.h>
#include <string.h>

#include "pymap_file.h"

static void test_exec(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap(), *next = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t t, t2;

	(void)state;
	write_line("1000 10 py::old:/x\n");
	ask(p, 0x1000);
	now += MS;
	serve(p);
	/* Written, but not read yet: half a line of it is nobody's beginning. */
	write_line("2000 10 py::old2:/x\n3000 10 py::old3:/x\n");
	t = now;
	ask(p, 0x2000);
	now += MS;
	pp_pymap_exec(p, next, now);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_GONE);
	assert_int_equal(pp_pymap_state(next), PP_PYMAP_IDLE);
	pp_pymap_mapped(next, 0x1000, 0x5000, ++now);
	write_line("2000 10 py::new:/x\n");
	now += MS;
	assert_int_equal(ask(next, 0x1000), PP_PYMAP_PENDING);
	assert_int_equal(ask(next, 0x2000), PP_PYMAP_PENDING);
	t2 = now++;
	serve(next);
	/* What the old image had been read up to is not read again for the new one. */
	assert_int_equal(pp_pymap_offset(next), file.len);
	named_at(next, 0x2000, t2, "new");
	assert_int_equal(pp_pymap_lookup(next, 0x1000, t2, &entry), PP_PYMAP_ABSENT);
	/* A line of the old image, and one that the new one writes before it runs. */
	write_line("3000 10 py::new3:/x\n");
	now += 30 * MS;
	assert_int_equal(ask(next, 0x3000), PP_PYMAP_PENDING);
	t2 = now++;
	serve(next);
	named_at(next, 0x3000, t2, "new3");
	/* What the old image ran is named by what it had been read up to; what came with the new
	 * image's lines is named where they say nothing else. */
	assert_int_equal(serve(p), UINT64_MAX);
	assert_int_equal(pp_pymap_lookup(p, 0x2000, t, &entry), PP_PYMAP_AMBIGUOUS);
}

/* Without addresses in common nothing is ambiguous. */
static void test_exec_unread(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap(), *next = new_pymap(),
						  *third = new_pymap();
	uint64_t t;

	(void)state;
	write_line("1000 10 py::old:/x\n");
	pp_pymap_want(p);
	serve(p);
	now += 30 * MS;
	write_line("2000 10 py::late:/x\n");
	ask(p, 0x2000);
	t = now++;
	pp_pymap_exec(p, next, now++);
	/* Another program in between, which has nothing to do with the file. */
	pp_pymap_exec(next, third, now++);
	write_line("8000 10 py::third:/x\n");
	now += 30 * MS;
	serve(p);
	named_at(p, 0x1000, t, "old");
	named_at(p, 0x2000, t, "late");
	assert_int_equal(ask(third, 0x8000), PP_PYMAP_PENDING);
	t = now++;
	serve(third);
	named_at(third, 0x8000, t, "third");
	assert_int_equal(pp_pymap_lookup(third, 0x1000, t, &(struct pp_perfmap_entry){ 0 }),
			 PP_PYMAP_ABSENT);
}

/* An arena given back, and another at its place. */
static void test_remapped(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t before, after, generation, stays;

	(void)state;
	pp_pymap_mapped(p, 0x10000, 0x20000, now++);
	write_line("10000 10 py::old:/x\n");
	pp_pymap_want(p);
	serve(p);
	named(p, 0x10000, "old");
	/* One beside it: what is there stays named, without another read. */
	pp_pymap_mapped(p, 0x0f000, 0x20000, ++now);
	named(p, 0x10000, "old");
	/* Over it: known only by the next read, though it has a name. */
	before = ++now;
	generation = pp_pymap_generation(p);
	pp_pymap_mapped(p, 0x10000, 0x20000, ++now);
	assert_true(pp_pymap_generation(p) > generation);
	assert_int_equal(ask(p, 0x10000), PP_PYMAP_PENDING);
	after = now;
	named_at(p, 0x10000, before, "old");
	write_line("10000 10 py::new:/x\n");
	now += 30 * MS;
	stays = now++;
	assert_int_equal(ask(p, 0x10000), PP_PYMAP_PENDING);
	serve(p);
	named_at(p, 0x10000, after, "new");
	named_at(p, 0x10000, stays, "new");
	/* A sample from before, that comes late: which of the two is not known any more. */
	assert_int_equal(pp_pymap_lookup(p, 0x10000, before, &entry), PP_PYMAP_AMBIGUOUS);
}

/* Two names at one address between two reads. */
static void test_remapped_unread(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t first, second;

	(void)state;
	pp_pymap_mapped(p, 0x10000, 0x20000, now++);
	pp_pymap_want(p);
	serve(p);
	now += 100 * MS;
	write_line("10000 10 py::old:/x\n18000 10 py::once:/x\n");
	assert_int_equal(ask(p, 0x10000), PP_PYMAP_PENDING);
	first = now++;
	write_line("10000 10 py::new:/x\n");
	second = now + MS;
	now += 2 * MS;
	/* The read comes before the record of the mapping does: a changed name is not believed. */
	file.untold = true;
	serve(p);
	assert_int_equal(pp_pymap_lookup(p, 0x10000, first, &entry), PP_PYMAP_PENDING);
	pp_pymap_mapped(p, 0x10000, 0x20000, second - 1);
	pp_pymap_told(p, now);
	assert_int_equal(pp_pymap_lookup(p, 0x10000, first, &entry), PP_PYMAP_AMBIGUOUS);
	named_at(p, 0x10000, second, "new");
}

/* What the file holds may be of a process that had the pid before. */
static void test_leftover(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap(), *q = new_pymap();
	struct pp_perfmap_entry entry;
	struct pp_pymap_request rq;
	uint64_t t;

	(void)state;
	write_line("1000 10 py::stale:/x\n2000 10 py::stale:/x\n");
	/* Seen before the process had written: its size says where its own lines begin. */
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	t = now++;
	pp_pymap_next(p, now, &rq);
	assert_int_equal(rq.action, PP_PYMAP_DO_OPEN);
	pp_pymap_stale(p, 5, file.ino, file.len, ++now);
	assert_int_equal(pp_pymap_reason(p), PP_PYMAP_STALE);
	assert_non_null(pp_pymap_reason_text(PP_PYMAP_STALE));
	assert_int_equal(pp_pymap_lookup(p, 0x1000, t, &entry), PP_PYMAP_ABSENT);
	write_line("2000 10 py::own:/x\n");
	now += 30 * MS;
	assert_int_equal(ask(p, 0x2000), PP_PYMAP_PENDING);
	t = now++;
	serve(p);
	named_at(p, 0x2000, t, "own");
	assert_int_equal(pp_pymap_lookup(p, 0x1000, t, &entry), PP_PYMAP_ABSENT);
	/* Seen after that: every name is believed only after a read that its own line would be in.
	 */
	pp_pymap_want(q);
	pp_pymap_doubt(q);
	serve(q);
	now += 30 * MS;
	assert_int_equal(ask(q, 0x1000), PP_PYMAP_PENDING);
	t = now++;
	write_line("1000 10 py::own1:/x\n");
	serve(q);
	named_at(q, 0x1000, t, "own1");
}

/* Cut, and longer again by the next read. */
static void test_cut_and_grown(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t before = pp_counters[PP_C_perfmaps_truncated], t;

	(void)state;
	write_line("1000 10 py::old:/x\n2000 10 py::stays:/x\n");
	pp_pymap_want(p);
	serve(p);
	now += 30 * MS;
	file.len = 0;
	write_line("1000 10 py::new:/x\n3000 10 py::f:/a/longer/name/than/those\n");
	assert_true(file.len > pp_pymap_offset(p));
	assert_int_equal(ask(p, 0x3000), PP_PYMAP_PENDING);
	t = now++;
	serve(p);
	now += 30 * MS;
	serve(p);
	assert_int_equal(pp_counters[PP_C_perfmaps_truncated] - before, 1);
	named_at(p, 0x1000, t, "new");
	named_at(p, 0x2000, t, "stays");
	named_at(p, 0x3000, t, "f");
	assert_int_equal(pp_pymap_offset(p), file.len);
}

/* Made longer than it is: a hole of NULs, behind which lines go on. */
static void test_hole(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t t;

	(void)state;
	write_line("1000 10 py::f:/x\n");
	pp_pymap_want(p);
	serve(p);
	memset(file.text + file.len, 0, 300000);
	file.len += 300000;
	write_line("2000 10 py::g:/x\n3000 10 py::h:/x\n");
	now += 30 * MS;
	ask(p, 0x2000);
	t = now++;
	serve(p);
	named_at(p, 0x1000, t, "f");
	named_at(p, 0x2000, t, "g");
	named_at(p, 0x3000, t, "h");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_exec),     TEST(test_exec_unread),
		TEST(test_remapped), TEST(test_remapped_unread),
		TEST(test_leftover), TEST(test_cut_and_grown),
		TEST(test_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
