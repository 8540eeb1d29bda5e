/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames of code objects, from the first sample to the name: with the real reader, which is sent to
 * a forged code object in this test's own memory.
 */
#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "codes.h"
#include "profile/store.h"
#include "proc/reader.h"
#include "python/version.h"

#include "forged_code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <cmocka.h>

#define WAIT_NS (20 * NSEC_PER_SEC)

static sd_event *event;
static struct pp_reader *reader;
static struct pp_store *store;
static struct pp_codes *codes;
static struct pp_process self, other;
static struct pp_code_runtime runtime;
static uint32_t counter;   /* the number that the next code object gets */
static uint32_t next_code; /* as the samples have it */

static int setup(_unused_ void **state)
{
	forge_code();
	runtime = (struct pp_code_runtime){ .version = PP_PYVERSION(3, 13),
					    .next_code = at(&counter) };
	counter = code.version + 1;
	next_code = 0;
	self = other = (struct pp_process){
		.id = 1, .refs = 1, .pid = getpid(), .start_ticks = PP_TICKS_UNKNOWN, .alive = true
	};
	other.id = 2;
	if (pp_reader_new(&reader, event) < 0 || pp_store_new(&store) < 0 ||
	    pp_codes_new(&codes, reader, store) < 0)
		return -1;
	return pp_codes_runtime(codes, &self, &runtime);
}

static int teardown(_unused_ void **state)
{
	reader = pp_reader_free(reader);
	pp_codes_gone(codes, &self);
	pp_codes_gone(codes, &other);
	assert_int_equal(pp_frames_count_pending(store->frames), 0);
	codes = pp_codes_free(codes);
	store = pp_store_free(store);
	return 0;
}

static uint32_t frame_at(struct pp_process *p, int offset)
{
	return pp_codes_frame(codes, p, at(&code), at(code.instructions) + (uint64_t)offset, next_code,
			      100);
}

/* Lets the reader answer what is asked now, and what follows from it. */
static void settle(void)
{
	uint64_t until = pp_now_ns() + WAIT_NS;

	pp_codes_tick(codes, pp_now_ns());
	while (pp_codes_pending(codes, UINT64_MAX) && pp_now_ns() < until)
		assert_return_code(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
	assert_int_equal(pp_codes_pending(codes, UINT64_MAX), 0);
}

/* Goes on, as drains do, until the counter has risen. */
static void await(enum pp_counter c, uint64_t before)
{
	uint64_t until = pp_now_ns() + WAIT_NS;

	while (pp_counters[c] == before && pp_now_ns() < until) {
		(void)frame_at(&self, 0);
		pp_codes_tick(codes, pp_now_ns());
		assert_return_code(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
	}
	assert_int_equal(pp_counters[c], before + 1);
}

static void assert_frame(uint32_t frame, const char *want, uint32_t line)
{
	const struct pp_frame *f = pp_frames_describe(store->frames, frame);

	assert_false(pp_frames_is_pending(store->frames, frame));
	assert_int_equal(f->kind, PP_KIND_PYTHON);
	assert_string_equal(pp_strings_text(store->strings, f->name, NULL), want);
	assert_string_equal(pp_strings_text(store->strings, f->file, NULL), "/a/b.py");
	assert_int_equal(f->line, line);
	assert_int_equal(f->first_line, 10);
}

static void names_come_with_the_next_answer(_unused_ void **state)
{
	uint32_t first = frame_at(&self, 0), second = frame_at(&self, 2);

	assert_true(pp_frames_is_pending(store->frames, first));
	assert_int_equal(frame_at(&self, 0), first);
	assert_int_equal(pp_codes_pending(codes, 99), 0);
	assert_int_equal(pp_codes_pending(codes, 100), 2);
	settle();
	assert_frame(first, "C.method", 10);
	assert_frame(second, "C.method", 12);
	/* A third position is asked for; those known are not. */
	(void)frame_at(&self, 0);
	(void)frame_at(&self, 4);
	assert_int_equal(pp_codes_pending(codes, 100), 1);
	settle();
	assert_frame(frame_at(&self, 4), "C.method", 0);
}

static void another_code_object_has_its_own_name(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_replaced];
	uint32_t old = frame_at(&self, 0);

	settle();
	assert_frame(old, "C.method", 10);
	set_ascii(&name, "D.other");
	code.version++;
	await(PP_C_codes_replaced, before);
	(void)frame_at(&self, 0);
	settle();
	assert_frame(frame_at(&self, 0), "D.other", 10);
	assert_frame(old, "C.method", 10);
}

/* Who was sampled is gone before it was named, and another has its address. */
static void the_next_at_an_address_does_not_name_the_first(_unused_ void **state)
{
	uint64_t unnamed = pp_counters[PP_C_codes_unnamed];
	uint64_t unproven = pp_counters[PP_C_codes_unproven];
	uint32_t first, second;

	next_code = counter;
	first = frame_at(&self, 0);
	code.version = counter++;
	set_ascii(&name, "D.other");
	settle();
	assert_int_equal(pp_frames_describe(store->frames, first)->name, 0);
	assert_int_equal(pp_counters[PP_C_codes_unnamed], unnamed + 1);
	/* The other is named where it is sampled itself, at the same place. */
	next_code = counter;
	second = frame_at(&self, 0);
	settle();
	assert_frame(second, "D.other", 10);
	assert_int_equal(pp_frames_describe(store->frames, first)->name, 0);
	assert_int_equal(pp_counters[PP_C_codes_unproven], unproven);
}

/* Where the sample does not tell, that is counted, once an address. */
static void what_is_not_proven_is_counted(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];

	(void)frame_at(&self, 0);
	settle();
	(void)frame_at(&self, 2);
	settle();
	assert_int_equal(pp_counters[PP_C_codes_unproven], before + 1);
}

static void a_child_has_its_parents_names(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_replaced];
	uint32_t first = frame_at(&self, 0), later;

	/* Forked before the answer is there, and after. */
	pp_codes_forked(codes, &self, &other);
	assert_int_equal(frame_at(&other, 0), first);
	settle();
	assert_frame(frame_at(&other, 0), "C.method", 10);
	assert_int_equal(pp_codes_pending(codes, UINT64_MAX), 0);
	/* What one of them learns is its own. */
	later = frame_at(&other, 2);
	settle();
	assert_frame(later, "C.method", 12);
	assert_true(pp_frames_is_pending(store->frames, frame_at(&self, 2)));
	settle();
	other.exit_ns = pp_now_ns();
	other.alive = false; /* it is not looked at any more: it has the same memory */
	code.version++;
	await(PP_C_codes_replaced, before);
	assert_true(pp_frames_is_pending(store->frames, frame_at(&self, 0)));
	assert_int_equal(pp_frames_final(store->frames, frame_at(&other, 0)),
			 pp_frames_final(store->frames, first));
	settle();
}

/* What was known of a code object names positions that come when it cannot be read any more. */
static void the_dead_have_the_names_that_are_known(_unused_ void **state)
{
	uint64_t unnamed = pp_counters[PP_C_codes_unnamed];
	uint32_t known, unknown;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)frame_at(&self, 0);
	settle();
	pp_codes_forked(codes, &self, &other);
	other.pid = pid;
	known = frame_at(&other, 2);
	unknown = pp_codes_frame(codes, &other, at(&name), at(&name), 0, 100);
	settle();
	assert_frame(known, "C.method", 0);
	assert_int_equal(pp_frames_describe(store->frames, unknown)->name, 0);
	assert_int_equal(pp_counters[PP_C_codes_unnamed], unnamed + 1);
}

static void the_dead_have_no_names(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unnamed];
	uint32_t frame;

	other.pid = fork();
	assert_true(other.pid >= 0);
	if (!other.pid)
		_exit(0);
	assert_int_equal(waitpid(other.pid, NULL, 0), other.pid);
	assert_int_equal(pp_codes_frame(codes, &other, at(&code), 0, 0, 100), PP_FRAME_UNKNOWN);
	assert_int_equal(pp_codes_runtime(codes, &other, &runtime), 0);
	frame = frame_at(&other, 0);
	settle();
	assert_int_equal(pp_counters[PP_C_codes_unnamed], before + 1);
	assert_int_equal(pp_frames_describe(store->frames, frame)->kind, PP_KIND_PYTHON);
	assert_int_equal(pp_frames_describe(store->frames, frame)->name, 0);
	runtime.version = PP_PYVERSION(3, 7);
	assert_int_equal(pp_codes_runtime(codes, &other, &runtime), -EOPNOTSUPP);
}

/* What could not be read is tried again, but not at every sample. */
static void what_was_garbage_may_be_code_later(_unused_ void **state)
{
	uint64_t until = pp_now_ns() + WAIT_NS;
	uint32_t frame;

	code.head.type = at(&str_type);
	frame = frame_at(&self, 0);
	settle();
	assert_int_equal(pp_frames_describe(store->frames, frame)->name, 0);
	code.head.type = at(&code_type);
	do {
		frame = frame_at(&self, 0);
		pp_codes_tick(codes, pp_now_ns());
		assert_return_code(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
	} while (!pp_frames_describe(store->frames, frame)->name && pp_now_ns() < until);
	settle();
	assert_frame(frame, "C.method", 10);
}

static void a_collection_forgets_what_nobody_needs(_unused_ void **state)
{
	(void)frame_at(&self, 0);
	settle();
	pp_store_collect(store);
	pp_codes_swept(codes);
	(void)frame_at(&self, 0);
	assert_int_equal(pp_codes_pending(codes, UINT64_MAX), 1);
	settle();
	assert_frame(frame_at(&self, 0), "C.method", 10);
}

/* A process that has a new position for every sample is bounded, and what it waits for too. */
static void what_waits_is_bounded(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_refused];

	code.units = 100000;
	for (int i = 0; i < 10000; i++)
		(void)frame_at(&self, 2 * i);
	assert_in_range(pp_codes_pending(codes, UINT64_MAX), 1000, 9000);
	assert_int_equal(pp_counters[PP_C_codes_refused] - before +
				 pp_codes_pending(codes, UINT64_MAX),
			 10000);
	settle();
}

static void a_shim_is_no_function(_unused_ void **state)
{
	uint32_t frame;

	set_ascii(&name, "__init__");
	set_ascii(&file, "__init__");
	frame = frame_at(&self, 4); /* where there is no line */
	settle();
	assert_int_equal(pp_frames_final(store->frames, frame), PP_FRAME_SHIM);
	/* A file may be called so. */
	frame = frame_at(&self, 0);
	settle();
	assert_true(pp_frames_final(store->frames, frame) != PP_FRAME_SHIM);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(names_come_with_the_next_answer),
		TEST(another_code_object_has_its_own_name),
		TEST(the_next_at_an_address_does_not_name_the_first),
		TEST(what_is_not_proven_is_counted),
		TEST(a_child_has_its_parents_names),
		TEST(the_dead_have_the_names_that_are_known),
		TEST(the_dead_have_no_names),
		TEST(what_was_garbage_may_be_code_later),
		TEST(a_collection_forgets_what_nobody_needs),
		TEST(what_waits_is_bounded),
		TEST(a_shim_is_no_function),
	};
	int r;

	/* The reader is this program, started anew as a child. */
	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return 77;
	}
	assert_return_code(sd_event_new(&event), 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	sd_event_unref(event);
	return r;
}
