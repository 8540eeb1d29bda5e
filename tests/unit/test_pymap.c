/* SPDX-License-Identifier: GPL-2.0-only */
/* The life of a perf map, played against a file that grows, shrinks, vanishes and is replaced. */
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

static void test_idle(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();

	(void)state;
	assert_int_equal(serve(p), UINT64_MAX);
	assert_int_equal(file.opens, 0);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_IDLE);
	pp_pymap_want(p);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_WANTED);
	serve(p);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_OPEN);
	assert_int_equal(file.opens, 1);
	assert_int_equal(file.reads, 1);
	/* Nobody asks, nothing is read, however long. */
	now += 3600 * NSEC_PER_SEC;
	assert_int_equal(serve(p), UINT64_MAX);
	assert_int_equal(file.reads, 1);
}

static void test_pending_then_absent(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t t = now, progress;

	(void)state;
	write_line("1000 10 py::f:/x\n");
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	progress = pp_pymap_progress(p);
	now += MS;
	serve(p);
	assert_true(pp_pymap_progress(p) != progress);
	named_at(p, 0x1000, t, "f");
	/* The read started after the sample: the name does not exist. */
	assert_int_equal(pp_pymap_lookup(p, 0x2000, t, &entry), PP_PYMAP_ABSENT);
	/* A later sample may have seen a later line. */
	now += MS;
	assert_int_equal(ask(p, 0x2000), PP_PYMAP_PENDING);
	write_line("2000 10 py::g:/x\n");
	now += 20 * MS;
	serve(p);
	named(p, 0x2000, "g");
}

/* A sample taken while a read is under way may be of code whose line that read missed. */
static void test_read_started_before(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_pymap_request rq;
	struct pp_perfmap_entry entry;
	uint64_t t;

	(void)state;
	pp_pymap_want(p);
	serve(p);
	now += 100 * MS;
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	now += MS;
	pp_pymap_next(p, now, &rq);
	assert_int_equal(rq.action, PP_PYMAP_DO_READ);
	t = ++now;
	now += MS;
	answer(p, &rq);
	assert_int_equal(pp_pymap_lookup(p, 0x1000, t, &entry), PP_PYMAP_PENDING);
	write_line("1000 10 py::f:/x\n");
	now += 300 * MS;
	serve(p);
	named_at(p, 0x1000, t, "f");
}

static void test_rate(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t due;

	(void)state;
	pp_pymap_want(p);
	serve(p);
	/* Names missing all the time: reads back off to four a second. */
	for (uint64_t end = now + 10 * NSEC_PER_SEC; now < end; now += MS) {
		ask(p, 0x1000);
		serve(p);
	}
	assert_in_range(file.reads, 35, 50);
	/* Something came: fast again. */
	file.reads = 0;
	for (uint64_t end = now + NSEC_PER_SEC; now < end; now += MS) {
		char line[64];

		snprintf(line, sizeof(line), "%x 10 py::f:/x\n",
			 0x10000 + 16 * (unsigned int)file.len);
		write_line(line);
		ask(p, 0x1000);
		due = serve(p);
		assert_true(due <= now + PP_PYMAP_INTERVAL_MAX_NS);
	}
	assert_in_range(file.reads, 40, 51);
}

/* The arena is there before the file is. */
static void test_file_comes_late(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t t = now;

	(void)state;
	file.refused = PP_PYMAP_MISSING;
	pp_pymap_want(p);
	serve(p);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_REFUSED);
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	now += 25 * MS;
	serve(p);
	file.refused = PP_PYMAP_OK;
	write_line("1000 10 py::f:/x\n");
	now += 50 * MS;
	serve(p);
	assert_int_equal(file.opens, 3);
	named_at(p, 0x1000, t, "f");
	assert_int_equal(pp_pymap_reason(p), PP_PYMAP_OK);
}

static void test_refused(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t generation;

	(void)state;
	file.refused = PP_PYMAP_OWNER;
	for (uint64_t end = now + 60 * NSEC_PER_SEC; now < end; now += 10 * MS) {
		ask(p, 0x1000);
		serve(p);
	}
	/* Ever more rarely, and without letting anybody wait. */
	assert_in_range(file.opens, 8, 14);
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_ABSENT);
	assert_int_equal(pp_pymap_reason(p), PP_PYMAP_OWNER);
	generation = pp_pymap_generation(p);
	/* Nobody asks any more: nothing is tried. */
	file.opens = 0;
	now += NSEC_PER_SEC;
	serve(p);
	now += 300 * NSEC_PER_SEC;
	serve(p);
	assert_true(file.opens <= 1);
	file.refused = PP_PYMAP_OK;
	write_line("1000 10 py::f:/x\n");
	ask(p, 0x1000);
	now += 31 * NSEC_PER_SEC;
	serve(p);
	named(p, 0x1000, "f");
	assert_true(pp_pymap_generation(p) > generation);
}

static void test_busy(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_pymap_request rq;

	(void)state;
	write_line("1000 10 py::f:/x\n");
	for (int i = 0; i < 100; i++) {
		assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
		pp_pymap_next(p, now, &rq);
		assert_int_not_equal(rq.action, PP_PYMAP_NOTHING);
		pp_pymap_busy(p, now);
		pp_pymap_next(p, now, &rq);
		assert_int_equal(rq.action, PP_PYMAP_NOTHING);
		assert_int_equal(rq.due_ns, now + PP_PYMAP_INTERVAL_MIN_NS);
		now = rq.due_ns;
	}
	serve(p);
	named(p, 0x1000, "f");
}

static void test_truncated(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t before = pp_counters[PP_C_perfmaps_truncated];

	(void)state;
	write_line("1000 10 py::old:/x\n2000 10 py::stays:/x\n3000 10 py::torn");
	ask(p, 0x1000);
	now += MS;
	serve(p);
	named(p, 0x1000, "old");
	file.len = 0;
	write_line("1000 10 py::new:/x\n");
	ask(p, 0x4000);
	now += 100 * MS;
	serve(p);
	now += 100 * MS;
	serve(p);
	assert_int_equal(pp_counters[PP_C_perfmaps_truncated] - before, 1);
	named(p, 0x1000, "new");
	named(p, 0x2000, "stays");
	assert_int_equal(pp_pymap_offset(p), file.len);
}

/* The file was unlinked and made anew: the descriptor held is silent. */
static void test_replaced(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();

	(void)state;
	write_line("1000 10 py::f:/x\n");
	ask(p, 0x1000);
	now += MS;
	serve(p);
	for (uint64_t end = now + 5 * NSEC_PER_SEC; now < end; now += 10 * MS) {
		ask(p, 0x2000);
		serve(p);
	}
	assert_in_range(file.opens, 2, 4); /* looked again, but not always */
	named(p, 0x1000, "f");
	file.ino = 2;
	file.len = 0;
	write_line("2000 10 py::g:/x\n");
	for (uint64_t end = now + 10 * NSEC_PER_SEC; now < end; now += 10 * MS) {
		ask(p, 0x2000);
		serve(p);
	}
	named(p, 0x2000, "g");
	named(p, 0x1000, "f");
}

/* Nothing is believed before the end of the file was reached once: a later line may say otherwise.
 */
static void test_large(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_pymap_request rq;
	char line[64];

	(void)state;
	write_line("1000 10 py::stale:/x\n");
	for (unsigned int i = 0; i < 20000; i++) {
		snprintf(line, sizeof(line), "%x 10 py::f%u:/x\n", 0x10000 + i * 16, i);
		write_line(line);
	}
	write_line("1000 10 py::right:/x\n");
	assert_true(file.len > 3 * PP_PYMAP_READ_MAX);
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	now += MS;
	for (;;) {
		pp_pymap_next(p, now, &rq);
		if (rq.action == PP_PYMAP_NOTHING)
			break;
		assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
		answer(p, &rq);
	}
	assert_int_equal(file.reads, (file.len + PP_PYMAP_READ_MAX - 1) / PP_PYMAP_READ_MAX);
	named(p, 0x1000, "right");
	/* What was there at first is no growth. */
	assert_int_equal(pp_pymap_growth(p, now).entries, 0);
}

/* A name that keeps coming among others that come once. */
static void test_growth(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_growth_alarm alarm;
	unsigned int n = 0;
	char line[64];

	(void)state;
	write_line("1000 10 py::f:/x\n");
	ask(p, 0x1000);
	now += MS;
	serve(p);
	for (unsigned int second = 0; second < 60; second++) {
		now += NSEC_PER_SEC;
		for (unsigned int i = 0; i < 10; i++, n++) {
			snprintf(line, sizeof(line), "%x 10 py::once%u:/y.py\n", 0x10000 + n * 32,
				 n);
			write_line(line);
			snprintf(line, sizeof(line), "%x 10 py::leak:/z.py\n", 0x10010 + n * 32);
			write_line(line);
		}
		if (second == 5)
			assert_null(pp_pymap_alarm(p, now).grower); /* not for long enough */
		pp_pymap_refresh(p, now);
		now += MS;
		serve(p);
	}
	assert_in_range(pp_pymap_growth(p, now).entries, 900, 1200);
	alarm = pp_pymap_alarm(p, now);
	assert_non_null(alarm.grower);
	assert_int_equal(alarm.grower->name_len, 4);
	assert_memory_equal(alarm.grower->name, "leak", 4);
	assert_memory_equal(alarm.grower->file, "/z.py", 5);
	assert_in_range(alarm.entries, 400, 610);
	assert_in_range(alarm.bytes, 400 * strlen("10010 10 py::leak:/z.py\n"),
			610 * strlen("100000 10 py::leak:/z.py\n"));
	assert_false(alarm.severe);
	/* It has stopped. */
	now += 70 * NSEC_PER_SEC;
	assert_null(pp_pymap_alarm(p, now).grower);
	assert_int_equal(pp_pymap_growth(p, now).entries, 0);
	/* What came while nobody read is spread over that time. */
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "%x 10 py::late:/z.py\n", 0x900000 + i * 16);
		write_line(line);
	}
	now += 530 * NSEC_PER_SEC;
	pp_pymap_refresh(p, now);
	serve(p);
	assert_in_range(pp_pymap_growth(p, now).entries, 80, 105);
}

static void test_exit(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t t;

	(void)state;
	pp_pymap_want(p);
	serve(p);
	write_line("1000 10 py::f:/x\n");
	t = now += 100 * MS;
	pp_pymap_exit(p, now);
	assert_int_equal(pp_pymap_lookup(p, 0x1000, t, &entry), PP_PYMAP_PENDING);
	now += MS;
	serve(p);
	named_at(p, 0x1000, t, "f");
	assert_int_equal(pp_pymap_lookup(p, 0x2000, t, &entry), PP_PYMAP_ABSENT);
	/* The next to have the pid, who goes on with the file. */
	write_line("1000 10 py::next:/x\n");
	now += 100 * MS;
	pp_pymap_refresh(p, now);
	serve(p);
	assert_int_equal(pp_pymap_lookup(p, 0x1000, t, &entry), PP_PYMAP_AMBIGUOUS);
	/* One that was never opened: tried once, then nothing waits. */
	file.refused = PP_PYMAP_MISSING;
	p = pp_pymap_free(p);
	p = new_pymap();
	pp_pymap_exit(p, now);
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	serve(p);
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_ABSENT);
}

static void test_failed_read(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	struct pp_pymap_request rq;

	(void)state;
	write_line("1000 10 py::f:/x\n");
	pp_pymap_want(p);
	serve(p);
	now += 100 * MS;
	ask(p, 0x2000);
	pp_pymap_next(p, now, &rq);
	assert_int_equal(rq.action, PP_PYMAP_DO_READ);
	pp_pymap_failed(p, PP_PYMAP_STUCK, now);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_REFUSED);
	assert_int_equal(pp_pymap_reason(p), PP_PYMAP_STUCK);
	named(p, 0x1000, "f"); /* what was read stays good */
	assert_int_equal(ask(p, 0x2000), PP_PYMAP_ABSENT);
	for (int r = 0; r < PP_PYMAP_REASON_MAX; r++)
		assert_non_null(pp_pymap_reason_text((enum pp_pymap_reason)r));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_idle),
		TEST(test_pending_then_absent),
		TEST(test_read_started_before),
		TEST(test_rate),
		TEST(test_file_comes_late),
		TEST(test_refused),
		TEST(test_busy),
		TEST(test_truncated),
		TEST(test_replaced),
		TEST(test_large),
		TEST(test_growth),
		TEST(test_exit),
		TEST(test_failed_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
