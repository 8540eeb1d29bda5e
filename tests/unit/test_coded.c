/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames of code objects, from the first sample to the name: with the real reader, which is sent to
 * a forged code object in this test's own memory.
 */
#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "codes_private.h"
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
static uint32_t counter; /* the number that the next code object gets, also for samples */
static size_t nr_unnumbered;
static uint64_t nr_named, nr_unnamed; /* samples' frames that waited */

static void on_unnumbered(_unused_ void *userdata, struct pp_process *p)
{
	assert_ptr_equal(p, &self);
	nr_unnumbered++;
}

static void on_settled(_unused_ void *userdata, _unused_ struct pp_process *p, uint64_t samples,
		       bool named)
{
	*(named ? &nr_named : &nr_unnamed) += samples;
}

static int setup(_unused_ void **state)
{
	static const struct pp_codes_hooks hooks = { on_unnumbered, on_settled };

	forge_code();
	runtime = (struct pp_code_runtime){ .version = PP_PYVERSION(3, 13),
					    .next_code = at(&counter) };
	counter = code.version + 1;
	nr_unnumbered = 0;
	nr_named = nr_unnamed = 0;
	self = other = (struct pp_process){
		.id = 1, .refs = 1, .pid = getpid(), .start_ticks = PP_TICKS_UNKNOWN, .alive = true
	};
	other.id = 2;
	if (pp_reader_new(&reader, event) < 0 || pp_store_new(&store) < 0 ||
	    pp_codes_new(&codes, reader, store, &hooks, NULL) < 0)
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

static uint32_t frame_when(struct pp_process *p, int offset, uint32_t next_code)
{
	struct pp_pyframe_raw raw = { at(&code), at(code.instructions) + (uint64_t)offset };

	return pp_codes_frame(codes, p, &raw, next_code, 100);
}

static uint32_t frame_at(struct pp_process *p, int offset)
{
	return frame_when(p, offset, counter);
}

/* The forged code object's print, as BPF makes it of one that has a number. */
static uint32_t print_of_code(void)
{
	uint64_t h = 0, word;

	for (size_t i = 64; i < 144; i += sizeof(word)) {
		memcpy(&word, (const uint8_t *)&code + i, sizeof(word));
		h = pp_print_mix(h, word);
	}
	return pp_print_fold(h);
}

static uint32_t frame_of_print(int offset, uint32_t print)
{
	uint64_t place = offsetof(struct code, instructions) + (uint64_t)offset;
	struct pp_pyframe_raw raw = { at(&code) | PP_PYFRAME_PRINT, (uint64_t)print << 32 | place };

	return pp_codes_frame(codes, &self, &raw, 0, 100);
}

/* Another code object is made at the address, the next one. */
static void replace(const char *text)
{
	code.version = counter++;
	set_ascii(&name, text);
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

static void assert_unnamed(uint32_t frame, enum pp_counter why, uint64_t before)
{
	const struct pp_frame *f = pp_frames_describe(store->frames, frame);

	assert_false(pp_frames_is_pending(store->frames, frame));
	assert_int_equal(f->kind, PP_KIND_PYTHON);
	assert_int_equal(f->name, 0);
	assert_int_equal(pp_counters[why], before + 1);
}

static bool is_waiting(uint32_t frame)
{
	return pp_frames_is_pending(store->frames, frame);
}

static void names_come_with_the_next_answer(_unused_ void **state)
{
	uint32_t first = frame_at(&self, 0), second = frame_at(&self, 2);

	assert_true(is_waiting(first));
	assert_int_equal(frame_at(&self, 0), first);
	assert_int_equal(pp_codes_pending(codes, 99), 0);
	assert_int_equal(pp_codes_pending(codes, 100), 2);
	settle();
	assert_frame(first, "C.method", 10);
	assert_frame(second, "C.method", 12);
	/* A third position is asked for; those known are not. */
	assert_false(is_waiting(frame_at(&self, 0)));
	(void)frame_at(&self, 4);
	assert_int_equal(pp_codes_pending(codes, 100), 1);
	settle();
	assert_frame(frame_at(&self, 4), "C.method", 0);
}

/* Each sample's frame once, when it is known whether it has a name. */
static void samples_are_counted_when_they_are_settled(_unused_ void **state)
{
	for (int i = 0; i < 3; i++)
		(void)frame_at(&self, 0);
	(void)frame_at(&self, 2);
	assert_int_equal(nr_named + nr_unnamed, 0);
	settle();
	assert_int_equal(nr_named, 4);
	assert_int_equal(nr_unnamed, 0);
	(void)frame_at(&self, 0); /* has not waited */
	assert_int_equal(nr_named, 4);
	for (int i = 0; i < 2; i++)
		(void)frame_when(&self, 0, code.version);
	settle();
	assert_int_equal(nr_unnamed, 2);
	(void)frame_at(&other, 0); /* no runtime is known of it */
	(void)frame_at(&self, 4);
	pp_codes_gone(codes, &self);
	assert_int_equal(nr_named, 5);
	assert_int_equal(nr_unnamed, 2);
}

/* ---- By numbers ------------------------------------------------------------------------------ */

/* As long as no code object has been made. */
static void what_was_read_stays_proven(_unused_ void **state)
{
	uint32_t frame = frame_at(&self, 0);

	settle();
	/* Even if it were another by now: it was not when that was sampled. */
	code.version = counter;
	set_ascii(&name, "D.other");
	assert_frame(frame_at(&self, 0), "C.method", 10);
	assert_int_equal(pp_codes_pending(codes, UINT64_MAX), 0);
	assert_frame(frame, "C.method", 10);
}

/* Others have been made: it is looked at again, and is still the same. */
static void one_that_is_still_there_keeps_its_name(_unused_ void **state)
{
	uint32_t before = frame_at(&self, 0), again;

	settle();
	counter += 5;
	again = frame_at(&self, 0);
	assert_true(is_waiting(again));
	settle();
	assert_int_equal(pp_frames_final(store->frames, again),
			 pp_frames_final(store->frames, before));
	assert_false(is_waiting(frame_at(&self, 0)));
}

/* It was made before the sample: it is the one. */
static void another_code_object_has_its_own_name(_unused_ void **state)
{
	uint32_t old = frame_at(&self, 0), new;

	settle();
	replace("D.other");
	new = frame_at(&self, 0);
	settle();
	assert_frame(old, "C.method", 10);
	assert_frame(new, "D.other", 10);
	assert_frame(frame_at(&self, 0), "D.other", 10);
}

/* Who was sampled is gone before it was named, and another has its address. */
static void the_next_at_an_address_does_not_name_the_first(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t first = frame_at(&self, 0), second;

	replace("D.other");
	settle();
	assert_unnamed(first, PP_C_codes_unproven, before);
	/* The other is named where it is sampled itself, at the same place. */
	second = frame_at(&self, 0);
	settle();
	assert_frame(second, "D.other", 10);
	assert_int_equal(pp_frames_describe(store->frames, first)->name, 0);
}

/* Nor where it is known already, and the sample comes late. */
static void one_that_is_known_does_not_name_those_before_it(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t then = counter, late;

	replace("D.other");
	(void)frame_at(&self, 0);
	settle();
	late = frame_when(&self, 0, then);
	settle();
	assert_unnamed(late, PP_C_codes_unproven, before);
	assert_frame(frame_at(&self, 0), "D.other", 10);
}

/* In one request too: each sample is judged by itself. */
static void samples_of_two_are_told_apart(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t first, second;

	(void)frame_at(&self, 0);
	settle();
	counter++;
	first = frame_at(&self, 0);
	replace("D.other");
	second = frame_at(&self, 0);
	assert_true(first != second);
	settle();
	assert_unnamed(first, PP_C_codes_unproven, before);
	assert_frame(second, "D.other", 10);
}

/* One that has been there for long is asked for once, and nobody gets the name of another. */
static void one_that_stays_is_asked_for_once(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t first;

	for (int i = 0; i < 20; i++) {
		(void)frame_at(&self, 0);
		settle();
		counter++;
	}
	first = frame_at(&self, 0);
	for (int i = 0; i < 20; i++) {
		counter++;
		assert_int_equal(frame_at(&self, 0), first);
	}
	settle();
	assert_frame(first, "C.method", 10);
	counter++;
	first = frame_at(&self, 0);
	replace("D.other");
	assert_int_equal(frame_at(&self, 0), first);
	settle();
	assert_unnamed(first, PP_C_codes_unproven, before);
	first = frame_at(&self, 0);
	settle();
	assert_frame(first, "D.other", 10);
	/* Samples of several CPUs come in any order. */
	for (int i = 0; i < 20; i++) {
		counter++;
		(void)frame_at(&self, 0);
		settle();
	}
	counter++;
	replace("E.third");
	first = frame_at(&self, 0);
	assert_int_equal(frame_when(&self, 0, counter - 1), first);
	settle();
	assert_unnamed(first, PP_C_codes_unproven, before + 1);
}

/* Numbers that have run out prove nothing; BPF is told to take prints. */
static void numbers_that_run_out_prove_nothing(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t then = counter, frame = frame_at(&self, 0);

	counter = 0;
	settle();
	assert_unnamed(frame, PP_C_codes_unproven, before);
	assert_int_equal(nr_unnumbered, 1);
	frame = frame_when(&self, 0, then);
	settle();
	assert_unnamed(frame, PP_C_codes_unproven, before + 1);
}

/* ---- By prints ------------------------------------------------------------------------------- */

static void a_print_proves_whenever_it_is_read(_unused_ void **state)
{
	uint32_t print = print_of_code(), frame = frame_of_print(0, print);

	assert_true(is_waiting(frame));
	assert_int_equal(frame_of_print(0, print), frame);
	settle();
	assert_frame(frame, "C.method", 10);
	counter += 5;
	assert_frame(frame_of_print(0, print), "C.method", 10);
	/* And what is known by it serves numbers, and the other way round. */
	(void)frame_at(&self, 2);
	settle();
	assert_false(is_waiting(frame_of_print(2, print)));
	assert_frame(frame_of_print(2, print), "C.method", 12);
}

static void another_print_is_another_code_object(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t print = print_of_code(), frame, known;

	known = frame_of_print(0, print);
	settle();
	frame = frame_of_print(0, print + 1);
	settle();
	assert_unnamed(frame, PP_C_codes_unproven, before);
	frame = frame_of_print(2, print + 1);
	settle();
	assert_unnamed(frame, PP_C_codes_unproven, before + 1);
	frame = frame_of_print(0, 0); /* none could be made */
	settle();
	assert_unnamed(frame, PP_C_codes_unproven, before + 2);
	assert_frame(known, "C.method", 10);
}

/* What a perf map says of the same activation stands where nothing is proven. */
static void a_perf_map_s_name_serves_otherwise(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unproven];
	uint32_t stub, another, frame;

	assert_int_equal(pp_store_python(store, "stub", 4, "/a/b.py", 7, 0, 10, &stub), 0);
	assert_int_equal(pp_store_python(store, "more", 4, "/a/b.py", 7, 0, 10, &another), 0);
	frame = frame_at(&self, 0);
	pp_codes_otherwise(codes, &self, frame, stub);
	settle();
	assert_frame(frame, "C.method", 10);
	counter++;
	frame = frame_at(&self, 0);
	pp_codes_otherwise(codes, &self, frame, stub);
	replace("D.other");
	settle();
	assert_frame(frame, "stub", 0);
	assert_int_equal(pp_counters[PP_C_codes_unproven], before);
	/* Unless there are two. */
	frame = frame_at(&self, 0);
	pp_codes_otherwise(codes, &self, frame, stub);
	assert_int_equal(frame_at(&self, 0), frame);
	pp_codes_otherwise(codes, &self, frame, another);
	pp_codes_otherwise(codes, &self, frame, another);
	replace("E.third");
	settle();
	assert_unnamed(frame, PP_C_codes_unproven, before);
}

/* ---- Lives ----------------------------------------------------------------------------------- */

static void a_child_has_its_parents_names(_unused_ void **state)
{
	uint32_t later;

	(void)frame_at(&self, 0);
	settle();
	pp_codes_forked(codes, &self, &other);
	assert_frame(frame_at(&other, 0), "C.method", 10);
	assert_int_equal(pp_codes_pending(codes, UINT64_MAX), 0);
	/* What one of them learns is its own. */
	later = frame_at(&other, 2);
	settle();
	assert_frame(later, "C.method", 12);
	assert_true(is_waiting(frame_at(&self, 2)));
	settle();
}

/* What the parent has come to since the fork is not the child's. */
static void a_child_has_no_more_than_that(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unnamed];
	uint32_t frame;

	(void)frame_at(&self, 0);
	pp_codes_forked(codes, &self, &other);
	other.pid = fork();
	assert_true(other.pid >= 0);
	if (!other.pid)
		_exit(0);
	assert_int_equal(waitpid(other.pid, NULL, 0), other.pid);
	replace("D.other");
	(void)frame_at(&self, 0);
	settle();
	/* The same numbers again, in the child. */
	frame = frame_at(&other, 0);
	settle();
	assert_unnamed(frame, PP_C_codes_unnamed, before);
	/* Nor what it has read since, with what both have sampled. */
	pp_codes_gone(codes, &other);
	pp_codes_gone(codes, &self);
	assert_int_equal(pp_codes_runtime(codes, &self, &runtime), 0);
	(void)frame_at(&self, 0);
	counter += 5;
	settle();
	pp_codes_forked(codes, &self, &other);
	frame = frame_when(&other, 0, counter - 2);
	settle();
	assert_unnamed(frame, PP_C_codes_unnamed, before + 1);
	(void)frame_at(&self, 0);
	settle();
	/* Also where the parent's is in what they share. */
	pp_codes_gone(codes, &other);
	pp_codes_forked(codes, &self, &other);
	replace("E.third");
	(void)frame_at(&self, 0);
	settle();
	frame = frame_at(&other, 0);
	settle();
	assert_unnamed(frame, PP_C_codes_unnamed, before + 2);
}

/* What was known of a code object names positions that come when it cannot be read any more. */
static void the_dead_have_the_names_that_are_known(_unused_ void **state)
{
	uint64_t unnamed = pp_counters[PP_C_codes_unnamed];
	uint32_t known, unknown, unproven;
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
	unknown = pp_codes_frame(codes, &other, &(struct pp_pyframe_raw){ at(&name), at(&name) },
				 counter, 100);
	settle();
	assert_frame(known, "C.method", 0);
	assert_int_equal(pp_frames_describe(store->frames, unknown)->name, 0);
	assert_int_equal(pp_counters[PP_C_codes_unnamed], unnamed + 1);
	/* Not where it may have been another. */
	unproven = frame_when(&other, 2, counter + 1);
	settle();
	assert_unnamed(unproven, PP_C_codes_unnamed, unnamed + 1);
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
	assert_int_equal(frame_at(&other, 0), PP_FRAME_UNKNOWN);
	assert_int_equal(pp_codes_runtime(codes, &other, &runtime), 0);
	frame = frame_at(&other, 0);
	settle();
	assert_unnamed(frame, PP_C_codes_unnamed, before);
	runtime.version = PP_PYVERSION(3, 7);
	assert_int_equal(pp_codes_runtime(codes, &other, &runtime), -EOPNOTSUPP);
}

/* An inspection that comes late has looked at the program that an exec brought. */
static void a_process_has_one_program(_unused_ void **state)
{
	runtime.image_at = at(&runtime.image);
	runtime.image = 5;
	assert_int_equal(pp_codes_runtime(codes, &self, &runtime), 0);
	runtime.image = 6;
	assert_int_equal(pp_codes_runtime(codes, &self, &runtime), -ESTALE);
}

static void what_was_garbage_may_be_code_later(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_codes_unnamed];
	uint32_t frame;

	code.head.type = at(&str_type);
	frame = frame_at(&self, 0);
	settle();
	assert_unnamed(frame, PP_C_codes_unnamed, before);
	code.head.type = at(&code_type);
	frame = frame_at(&self, 0);
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

/* One user's processes, however many, leave others room. */
static void what_waits_of_a_user_is_bounded(_unused_ void **state)
{
	static struct pp_process processes[PP_CODES_PENDING_USER_MAX / 4096];
	uint32_t frame;

	code.units = 100000;
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++) {
		processes[i] = self;
		processes[i].id = 3 + i;
		processes[i].ruid = 1000;
		processes[i].codes = NULL;
		assert_int_equal(pp_codes_runtime(codes, &processes[i], &runtime), 0);
		for (int k = 0; k < 5000; k++)
			(void)frame_at(&processes[i], 2 * k);
	}
	assert_int_equal(pp_codes_pending(codes, UINT64_MAX), PP_CODES_PENDING_USER_MAX);
	self.ruid = 1001;
	frame = frame_at(&self, 0);
	assert_true(is_waiting(frame));
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
		pp_codes_gone(codes, &processes[i]);
	self.ruid = 0; /* as it is: it counts against whom it began with */
	settle();
	assert_frame(frame, "C.method", 10);
	assert_int_equal(codes->nr_pending, 0);
	assert_int_equal(codes->pending_of.of.len, 0);
}

/* Where all together have too much, who has more than others begins anew, and so does a child that
 * would copy what its parent has. */
static void what_is_kept_is_bounded(_unused_ void **state)
{
	struct pp_pyframe_raw elsewhere = { at(&name), at(&name) };
	uint64_t before = pp_counters[PP_C_codes_forgotten];

	(void)frame_at(&self, 0);
	settle();
	pp_codes_forked(codes, &self, &other);
	codes->cache_bytes = PP_CODES_BYTES_MAX;
	(void)pp_codes_frame(codes, &other, &elsewhere, counter, 100);
	assert_int_equal(pp_counters[PP_C_codes_forgotten], before + 1);
	assert_true(is_waiting(frame_at(&other, 0)));
	assert_false(is_waiting(frame_at(&self, 0)));
	settle();
	assert_false(is_waiting(frame_at(&other, 0)));
	((struct pp_coded *)self.codes)->cache->cap =
		PP_CODES_BYTES_MAX / sizeof(struct pp_code_object);
	/* They are measured once a second. */
	pp_codes_tick(codes, pp_now_ns() + 2 * NSEC_PER_SEC);
	assert_int_equal(pp_counters[PP_C_codes_forgotten], before + 2);
	assert_true(is_waiting(frame_at(&self, 0)));
	assert_false(is_waiting(frame_at(&other, 0)));
	settle();
	assert_int_equal(pp_counters[PP_C_codes_forgotten], before + 2);
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
		TEST(samples_are_counted_when_they_are_settled),
		TEST(what_was_read_stays_proven),
		TEST(one_that_is_still_there_keeps_its_name),
		TEST(another_code_object_has_its_own_name),
		TEST(the_next_at_an_address_does_not_name_the_first),
		TEST(one_that_is_known_does_not_name_those_before_it),
		TEST(samples_of_two_are_told_apart),
		TEST(one_that_stays_is_asked_for_once),
		TEST(numbers_that_run_out_prove_nothing),
		TEST(a_print_proves_whenever_it_is_read),
		TEST(another_print_is_another_code_object),
		TEST(a_perf_map_s_name_serves_otherwise),
		TEST(a_child_has_its_parents_names),
		TEST(a_child_has_no_more_than_that),
		TEST(the_dead_have_the_names_that_are_known),
		TEST(the_dead_have_no_names),
		TEST(a_process_has_one_program),
		TEST(what_was_garbage_may_be_code_later),
		TEST(a_collection_forgets_what_nobody_needs),
		TEST(what_waits_is_bounded),
		TEST(what_waits_of_a_user_is_bounded),
		TEST(what_is_kept_is_bounded),
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
