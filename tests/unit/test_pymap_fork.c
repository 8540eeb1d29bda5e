/* SPDX-License-Identifier: GPL-2.0-only */
/* Perf maps of forked processes, and jitdumps, played against a file. */
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

/* The child's own file is another: here it has none, having called no new code. */
static void serve_child(struct pp_pymap *child)
{
	enum pp_pymap_reason refused = file.refused;

	file.refused = PP_PYMAP_MISSING;
	serve(child);
	file.refused = refused;
}

static void test_fork_read_in_time(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap(), *child = new_pymap();
	uint64_t t;

	(void)state;
	write_line("1000 10 py::f:/x\n");
	ask(p, 0x1000);
	t = now;
	now += MS;
	serve(p);
	assert_int_equal(pp_pymap_fork(p, child, t), 0);
	write_line("2000 10 py::later:/x\n");
	ask(p, 0x2000);
	now += 100 * MS;
	serve(p);
	named(p, 0x2000, "later");
	assert_int_equal(ask(child, 0x1000), PP_PYMAP_PENDING);
	t = now++;
	serve_child(child);
	named_at(child, 0x1000, t, "f");
	assert_int_not_equal(ask(child, 0x2000), PP_PYMAP_NAMED);
}

/* Lines that the parent had written by the fork, but that nobody had read. */
static void test_fork_waits(void **state)
{
	struct pp_pymap *p = new_pymap(), *child = new_pymap(), *grandchild = new_pymap();
	uint64_t progress, t;

	(void)state;
	pp_pymap_want(p);
	serve(p);
	write_line("1000 10 py::f:/x\n");
	now += 100 * MS;
	assert_int_equal(pp_pymap_fork(p, child, now), 0);
	assert_int_equal(pp_pymap_fork(child, grandchild, now), 0);
	t = now;
	assert_int_equal(ask(child, 0x1000), PP_PYMAP_PENDING);
	now += MS;
	serve_child(child);
	assert_int_equal(ask(child, 0x1000), PP_PYMAP_PENDING);
	assert_int_equal(ask(grandchild, 0x1000), PP_PYMAP_PENDING);
	serve_child(grandchild);
	progress = pp_pymap_progress(grandchild);
	now += MS;
	serve(p);
	assert_true(pp_pymap_progress(grandchild) != progress);
	named_at(child, 0x1000, t, "f");
	named_at(grandchild, 0x1000, t, "f");
	pp_pymap_free(p);
	named_at(child, 0x1000, t, "f");
	pp_pymap_free(child);
	named_at(grandchild, 0x1000, t, "f");
	pp_pymap_free(grandchild);
}

/* Whoever goes while others wait gives what there is. */
static void test_fork_orphans(void **state)
{
	struct pp_pymap *p = new_pymap(), *children[3];
	uint64_t t;

	(void)state;
	write_line("1000 10 py::f:/x\n");
	ask(p, 0x1000);
	now += MS;
	serve(p);
	now += 100 * MS;
	t = now++;
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = new_pymap();
		assert_int_equal(pp_pymap_fork(p, children[i], now), 0);
		assert_int_equal(ask(children[i], 0x1000), PP_PYMAP_PENDING);
		serve_child(children[i]);
	}
	pp_pymap_free(children[1]); /* from the middle of the list */
	pp_pymap_free(p);
	named_at(children[0], 0x1000, t, "f");
	named_at(children[2], 0x1000, t, "f");
	pp_pymap_free(children[0]);
	pp_pymap_free(children[2]);
}

/* A chain of forks without a read in between must not be a chain of calls. */
static void test_fork_long_chain(void **state)
{
	enum { LENGTH = 50000 };
	static struct pp_pymap *chain[LENGTH];
	uint64_t t;

	(void)state;
	chain[0] = new_pymap();
	pp_pymap_want(chain[0]);
	serve(chain[0]);
	write_line("1000 10 py::f:/x\n");
	now += 100 * MS;
	for (size_t i = 1; i < LENGTH; i++) {
		chain[i] = new_pymap();
		assert_int_equal(pp_pymap_fork(chain[i - 1], chain[i], now), 0);
	}
	now += MS;
	serve(chain[0]);
	ask(chain[LENGTH - 1], 0x1000);
	t = now++;
	serve_child(chain[LENGTH - 1]);
	named_at(chain[LENGTH - 1], 0x1000, t, "f");
	for (size_t i = 0; i < LENGTH; i++)
		pp_pymap_free(chain[i]);
}

static void test_fork_child_own(void **state)
{
	struct pp_pymap *p = new_pymap(), *child = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t t;

	(void)state;
	write_line("1000 10 py::f:/x\n2000 10 py::g:/x\n3000 10 py::later:/x\n");
	ask(p, 0x1000);
	now += MS;
	serve(p);
	assert_int_equal(pp_pymap_fork(p, child, now - 2 * MS), 0);
	file.len = 0;
	file.ino = 9;
	write_line("2000 10 py::own:/x\n");
	/* The parent's name for it must not show before the child's file was read. */
	assert_int_equal(ask(child, 0x2000), PP_PYMAP_PENDING);
	/* Nor, whatever its file says, where the child has mapped memory of its own. */
	pp_pymap_mapped(child, 0x3000, 0x4000, now);
	t = now;
	now += MS;
	serve(child);
	named_at(child, 0x2000, t, "own");
	named_at(child, 0x1000, t, "f");
	assert_int_equal(pp_pymap_lookup(child, 0x3000, t, &entry), PP_PYMAP_ABSENT);
	named(p, 0x2000, "g");
	pp_pymap_free(p);
	pp_pymap_free(child);
}

/* ---- Jitdumps -------------------------------------------------------------------------------- */

static void write_bytes(const void *data, size_t len)
{
	memcpy(file.text + file.len, data, len);
	file.len += len;
}

static void write_jitdump_header(void)
{
	uint32_t header[10] = { 0x4A695444, 1, 40, 0, 0, 77 };

	file.format = PP_PYMAP_JITDUMP;
	write_bytes(header, sizeof(header));
}

static void write_load(uint64_t address, const char *name)
{
	uint64_t numbers[4] = { address, address, 8, 1 };
	uint32_t head[6] = { 0, (uint32_t)(56 + strlen(name) + 1 + 8), 1, 0, 77, 77 };

	write_bytes(head, sizeof(head));
	write_bytes(numbers, sizeof(numbers));
	write_bytes(name, strlen(name) + 1);
	write_bytes("12345678", 8);
}

/* Lets time pass and reads go on until the next is due later than `until`. */
static void pass(struct pp_pymap *p, uint64_t until)
{
	while (now < until) {
		uint64_t due = serve(p);

		now = due < now + MS ? now + MS : MIN(due, until);
	}
	serve(p);
}

static void test_unflushed(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t sampled = now;
	struct pp_perfmap_entry entry;
	uint32_t reads;

	(void)state;
	write_jitdump_header();
	write_load(0x1000, "py::f:f.py");
	assert_int_equal(ask(p, 0x1000), PP_PYMAP_PENDING);
	assert_int_equal(ask(p, 0x2000), PP_PYMAP_PENDING);
	serve(p);
	assert_int_equal(pp_pymap_format(p), PP_PYMAP_JITDUMP);
	named_at(p, 0x1000, sampled, "f");
	/* It was read to its end after that, yet the name may come; it is looked for, ever less. */
	assert_int_equal(pp_pymap_lookup(p, 0x2000, sampled, &entry), PP_PYMAP_UNFLUSHED);
	reads = file.reads;
	pass(p, now + 10000 * MS);
	assert_in_range(file.reads - reads, 10, 25);
	write_load(0x2000, "py::g:g.py");
	pass(p, now + 1000 * MS);
	named_at(p, 0x2000, sampled, "g");
	/* Nobody waits any more: nothing is read. */
	reads = file.reads;
	pass(p, now + 10000 * MS);
	assert_int_equal(file.reads, reads);
}

/* What its writer had in its buffer is there when it has ended, or never will be. */
static void test_unflushed_exit(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint64_t sampled = now, progress;
	struct pp_perfmap_entry entry;

	(void)state;
	write_jitdump_header();
	ask(p, 0x1000);
	serve(p);
	now += MS;
	assert_int_equal(pp_pymap_lookup(p, 0x1000, sampled, &entry), PP_PYMAP_UNFLUSHED);
	assert_int_equal(pp_pymap_lookup(p, 0x2000, sampled, &entry), PP_PYMAP_UNFLUSHED);
	write_load(0x1000, "py::f:f.py");
	progress = pp_pymap_progress(p);
	pp_pymap_exit(p, now);
	assert_int_not_equal(pp_pymap_progress(p), progress);
	assert_int_equal(pp_pymap_lookup(p, 0x1000, sampled, &entry), PP_PYMAP_PENDING);
	serve(p);
	named_at(p, 0x1000, sampled, "f");
	assert_int_equal(pp_pymap_lookup(p, 0x2000, sampled, &entry), PP_PYMAP_ABSENT);
	assert_int_equal(serve(p), UINT64_MAX);
}

/* A perf map first, then a jitdump: the names of both. */
static void test_jitdump_after_map(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();

	(void)state;
	write_line("1000 10 py::f:f.py\n");
	ask(p, 0x1000);
	serve(p);
	named_at(p, 0x1000, now, "f");
	file.len = 0;
	file.ino++;
	write_jitdump_header();
	write_load(0x2000, "py::g:g.py");
	pp_pymap_look_again(p);
	pass(p, now + 100 * MS);
	assert_int_equal(pp_pymap_format(p), PP_PYMAP_JITDUMP);
	named_at(p, 0x1000, now, "f");
	named_at(p, 0x2000, now, "g");
}

/* The next image truncates its pid's jitdump: that is not the old one's any more. */
static void test_jitdump_exec(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap(), *next = new_pymap();
	struct pp_perfmap_entry entry;
	uint64_t sampled = now;

	(void)state;
	write_jitdump_header();
	write_load(0x1000, "py::f:f.py");
	ask(p, 0x1000);
	ask(p, 0x2000);
	serve(p);
	pp_pymap_exec(p, next, now);
	assert_int_not_equal(pp_pymap_state(next), PP_PYMAP_OPEN);
	file.len = 0;
	write_jitdump_header();
	write_load(0x2000, "py::g:g.py");
	(void)pp_pymap_lookup(p, 0x2000, sampled, &entry);
	pass(p, now + 100 * MS);
	assert_int_equal(pp_pymap_lookup(p, 0x2000, sampled, &entry), PP_PYMAP_ABSENT);
	named_at(p, 0x1000, sampled, "f");
	ask(next, 0x2000);
	serve(next);
	named_at(next, 0x2000, now, "g");
}

/* A child's view is taken once what was in the buffer at the fork is written. */
static void test_jitdump_fork(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap(), *child = new_pymap();
	uint64_t fork_ns;

	(void)state;
	write_jitdump_header();
	ask(p, 0x1000);
	serve(p);
	fork_ns = now += MS;
	assert_int_equal(pp_pymap_fork(p, child, fork_ns), 0);
	serve(p);
	assert_int_equal(ask(child, 0x1000), PP_PYMAP_PENDING);
	write_load(0x1000, "py::f:f.py");
	pass(p, now + 1500 * MS);
	file.refused = PP_PYMAP_MISSING; /* the child has none of its own */
	serve(child);
	named_at(child, 0x1000, fork_ns, "f");
}

static void test_jitdump_foreign(void **state)
{
	_cleanup_(pp_pymap_freep) struct pp_pymap *p = new_pymap();
	uint32_t opens;

	(void)state;
	file.format = PP_PYMAP_JITDUMP;
	for (int i = 0; i < 10; i++)
		write_line("1000 10 py::f:f.py\n");
	ask(p, 0x1000);
	serve(p);
	assert_int_equal(pp_pymap_state(p), PP_PYMAP_REFUSED);
	assert_int_equal(pp_pymap_reason(p), PP_PYMAP_FOREIGN);
	for (int i = 0; i < 100; i++) { /* asked for again and again, it is opened ever less */
		ask(p, 0x1000);
		pass(p, now + 1000 * MS);
	}
	opens = file.opens;
	for (int i = 0; i < 60; i++) {
		ask(p, 0x1000);
		pass(p, now + 1000 * MS);
	}
	assert_in_range(file.opens - opens, 1, 4);
	assert_int_equal(pp_pymap_reason(p), PP_PYMAP_FOREIGN);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_fork_read_in_time), TEST(test_fork_waits),	    TEST(test_fork_orphans),
		TEST(test_fork_long_chain),   TEST(test_fork_child_own),    TEST(test_unflushed),
		TEST(test_unflushed_exit),    TEST(test_jitdump_after_map), TEST(test_jitdump_exec),
		TEST(test_jitdump_fork),      TEST(test_jitdump_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
