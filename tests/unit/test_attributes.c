/* SPDX-License-Identifier: GPL-2.0-only */
/* Sets of attributes: kept, collected, selected by, told in a stream; and made from samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/counters.h"
#include "proc/processes.h"
#include "profile/attributes.h"
#include "profile/delta.h"
#include "states.h"

#define T0 (1000 * NSEC_PER_SEC)

static struct pp_store *store;
static struct pp_profile *profile;

static int setup(_unused_ void **state)
{
	const struct pp_profile_config config = { .entries_max = PP_PROFILE_ENTRIES };

	assert_int_equal(pp_store_new(&store), 0);
	return pp_profile_new(&profile, store, T0, &config);
}

static int teardown(_unused_ void **state)
{
	profile = pp_profile_free(profile);
	store = pp_store_free(store);
	return 0;
}

static uint32_t string(const char *text)
{
	uint32_t id;

	assert_int_equal(pp_strings_get(store->strings, text, strlen(text), &id), 0);
	return id;
}

static uint32_t function(const char *name)
{
	uint32_t id;

	assert_int_equal(pp_store_python(store, name, strlen(name), "a.py", 4, 7, 7, &id), 0);
	return id;
}

static uint32_t set_of(enum pp_gil gil, enum pp_gc gc, const char *thread, uint32_t task)
{
	const struct pp_attributes a = {
		.gil = (uint8_t)gil, .gc = (uint8_t)gc, .thread = string(thread), .task = task
	};
	uint32_t id;

	assert_int_equal(pp_attributes_get(store, &a, &id), 0);
	return id;
}

static void add(uint32_t process, uint32_t attributes)
{
	assert_int_equal(pp_profile_add(profile, T0 + 1, process, 0, attributes, PP_END_ROOT, 1),
			 0);
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static void assert_set(const struct pp_stacks *stacks, uint32_t id, enum pp_gil gil, enum pp_gc gc,
		       const char *thread, const char *task)
{
	struct pp_attributes a = pp_attributes_read(store, stacks, id);
	const struct pp_frame *f = pp_frames_describe(store->frames, a.task);

	assert_int_equal(a.gil, gil);
	assert_int_equal(a.gc, gc);
	assert_string_equal(pp_strings_text(store->strings, a.thread, NULL), thread);
	assert_string_equal(pp_strings_text(store->strings, f->name, NULL), task);
}

static void a_set_is_read_as_it_was_put(_unused_ void **state)
{
	uint32_t task = function("Server.handle");
	uint32_t full = set_of(PP_GIL_WAITING, PP_GC_RUNNING, "worker", task);

	assert_int_equal(full, set_of(PP_GIL_WAITING, PP_GC_RUNNING, "worker", task));
	assert_int_not_equal(full, set_of(PP_GIL_HELD, PP_GC_RUNNING, "worker", task));
	assert_int_not_equal(full, set_of(PP_GIL_WAITING, PP_GC_IDLE, "worker", task));
	assert_set(store->stacks, full, PP_GIL_WAITING, PP_GC_RUNNING, "worker", "Server.handle");
	assert_set(store->stacks, set_of(PP_GIL_NONE, PP_GC_NONE, "", task), PP_GIL_NONE,
		   PP_GC_NONE, "", "Server.handle");
	assert_set(store->stacks, set_of(PP_GIL_HELD, PP_GC_IDLE, "x", PP_FRAME_UNKNOWN),
		   PP_GIL_HELD, PP_GC_IDLE, "x", "");
	assert_set(store->stacks, PP_ATTRIBUTES_NONE, PP_GIL_NONE, PP_GC_NONE, "", "");
	/* What turns out to be no function is no task. */
	assert_set(store->stacks, set_of(PP_GIL_HELD, PP_GC_IDLE, "x", PP_FRAME_SHIM), PP_GIL_HELD,
		   PP_GC_IDLE, "x", "");
}

static void words(_unused_ void **state)
{
	assert_null(pp_gil_text(PP_GIL_NONE));
	assert_null(pp_gil_text(PP_GIL_MAX));
	assert_null(pp_gc_text(PP_GC_NONE));
	assert_null(pp_gc_text(PP_GC_MAX));
	for (unsigned int gil = PP_GIL_UNKNOWN; gil < PP_GIL_MAX; gil++)
		assert_int_equal(pp_gil_of_text(pp_gil_text((enum pp_gil)gil)), gil);
	assert_int_equal(pp_gil_of_text("hel"), PP_GIL_MAX);
	assert_string_equal(pp_gc_text(PP_GC_RUNNING), "running");
}

static void a_set_lives_as_long_as_what_has_it(_unused_ void **state)
{
	uint32_t id = set_of(PP_GIL_HELD, PP_GC_IDLE, "worker", function("f"));

	set_of(PP_GIL_HELD, PP_GC_IDLE, "idle", function("g"));
	add(1, id);
	pp_store_collect(store);
	assert_set(store->stacks, id, PP_GIL_HELD, PP_GC_IDLE, "worker", "f");
	assert_true(pp_strings_find(store->strings, "worker", 6));
	assert_false(pp_strings_find(store->strings, "idle", 4));
	profile = pp_profile_free(profile);
	pp_store_collect(store);
	assert_false(pp_stacks_is_live(store->stacks, id));
	assert_false(pp_strings_find(store->strings, "worker", 6));
}

/* ---- Selections ------------------------------------------------------------------------------ */

static bool is_held(void *userdata, struct pp_store *s, const struct pp_attributes *a)
{
	assert_ptr_equal(userdata, &profile);
	assert_ptr_equal(s, store);
	return a->gil == PP_GIL_HELD;
}

static void samples_are_selected_by_attributes(_unused_ void **state)
{
	const struct pp_query all = { .kernel = PP_KERNEL_FULL };
	const struct pp_query held = { .fits = is_held, .userdata = &profile };
	uint32_t one = set_of(PP_GIL_HELD, PP_GC_IDLE, "a", PP_FRAME_UNKNOWN);
	uint32_t two = set_of(PP_GIL_RELEASED, PP_GC_IDLE, "a", PP_FRAME_UNKNOWN);
	struct pp_selection *s;

	add(1, one);
	add(1, one);
	add(1, two);
	add(2, two);
	add(2, PP_ATTRIBUTES_NONE);
	assert_int_equal(pp_selection_new(&s, profile, &all), 0);
	assert_int_equal(s->nr, 4);
	assert_int_equal(s->info.samples, 5);
	assert_int_equal(s->info.processes, 2);
	pp_selection_free(s);
	assert_int_equal(pp_selection_new(&s, profile, &held), 0);
	assert_int_equal(s->nr, 1);
	assert_int_equal(s->entries[0].samples, 2);
	assert_set(s->stacks, s->entries[0].attributes, PP_GIL_HELD, PP_GC_IDLE, "a", "");
	assert_int_equal(s->info.samples, 2);
	assert_int_equal(s->info.processes, 1);
	pp_selection_free(s);
}

static uint32_t pending(void)
{
	uint32_t id;

	assert_int_equal(pp_frames_pending(store->frames, PP_KIND_PYTHON, 0, 0, &id), 0);
	return id;
}

static void tasks_that_are_named_late_merge(_unused_ void **state)
{
	const struct pp_query all = { .kernel = PP_KERNEL_FULL };
	uint32_t late[2] = { pending(), pending() };
	struct pp_selection *s;

	for (size_t i = 0; i < 2; i++)
		add(1, set_of(PP_GIL_HELD, PP_GC_IDLE, "a", late[i]));
	assert_int_equal(pp_selection_new(&s, profile, &all), 0);
	assert_int_equal(s->nr, 2);
	pp_selection_free(s);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pp_frames_resolve(store->frames, late[i], function("late")), 0);
	assert_int_equal(pp_selection_new(&s, profile, &all), 0);
	assert_int_equal(s->nr, 1);
	assert_int_equal(s->entries[0].samples, 2);
	assert_set(s->stacks, s->entries[0].attributes, PP_GIL_HELD, PP_GC_IDLE, "a", "late");
	pp_selection_free(s);
}

/* ---- Streams --------------------------------------------------------------------------------- */

static void a_stream_tells_a_set_once(_unused_ void **state)
{
	const struct pp_query all = { .kernel = PP_KERNEL_FULL };
	_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
	struct pp_delta_take take;
	uint32_t task = pending(), set, told, frame;

	set = set_of(PP_GIL_WAITING, PP_GC_IDLE, "a", task);
	assert_int_equal(pp_delta_new(&d, profile, T0), 0);
	add(1, set);
	add(1, PP_ATTRIBUTES_NONE);
	assert_int_equal(pp_delta_take(d, T0 + 2, &all, &take), 0);
	assert_int_equal(take.nr_counts, 2);
	assert_int_equal(take.nr_attributes, 1);
	told = take.attributes[0].id;
	frame = take.attributes[0].task;
	assert_int_equal(take.attributes[0].gil, PP_GIL_WAITING);
	assert_int_equal(take.attributes[0].gc, PP_GC_IDLE);
	assert_int_equal(take.attributes[0].thread, string("a"));
	assert_int_equal(take.nr_frames, 1);
	assert_int_equal(take.frames[0].id, frame);
	assert_int_equal(take.counts[0].attributes + take.counts[1].attributes, told);

	/* The task has its name now: its frame is told again, the set is not. */
	assert_int_equal(pp_frames_resolve(store->frames, task, function("late")), 0);
	add(1, set);
	assert_int_equal(pp_delta_take(d, T0 + 3, &all, &take), 0);
	assert_int_equal(take.nr_attributes, 0);
	assert_int_equal(take.nr_frames, 1);
	assert_int_equal(take.frames[0].id, frame);
	assert_int_equal(take.frames[0].frame, function("late"));
	assert_int_equal(take.counts[0].attributes, told);
}

static void a_stream_selects_by_attributes(_unused_ void **state)
{
	const struct pp_query held = { .fits = is_held, .userdata = &profile };
	_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
	struct pp_delta_take take;

	assert_int_equal(pp_delta_new(&d, profile, T0), 0);
	add(1, set_of(PP_GIL_RELEASED, PP_GC_IDLE, "a", PP_FRAME_UNKNOWN));
	add(2, set_of(PP_GIL_HELD, PP_GC_IDLE, "a", PP_FRAME_UNKNOWN));
	assert_int_equal(pp_delta_take(d, T0 + 2, &held, &take), 0);
	assert_int_equal(take.nr_counts, 1);
	assert_int_equal(take.counts[0].process, 2);
	assert_int_equal(take.nr_attributes, 1);
}

/* ---- Samples --------------------------------------------------------------------------------- */

static uint32_t sampled(struct pp_process *p, uint64_t time_ns, const char *thread)
{
	struct pp_sample s = {
		.time_ns = time_ns, .gil = PP_GIL_RELEASED, .gc = PP_GC_IDLE, .chain_end = 1
	};

	memcpy(s.thread, thread, strnlen(thread, sizeof(s.thread)));
	return pp_states_attributes(store, NULL, p, &s);
}

/* Sixteen bytes have no NUL behind them. */
static void a_sample_has_its_threads_name(_unused_ void **state)
{
	struct pp_process p = { .id = 1 };

	assert_set(store->stacks, sampled(&p, T0, "worker"), PP_GIL_RELEASED, PP_GC_IDLE, "worker",
		   "");
	assert_set(store->stacks, sampled(&p, T0, "0123456789abcdef"), PP_GIL_RELEASED, PP_GC_IDLE,
		   "0123456789abcdef", "");
	assert_set(store->stacks, sampled(&p, T0, ""), PP_GIL_RELEASED, PP_GC_IDLE, "", "");
}

static uint64_t unnamed(void)
{
	return pp_counters[PP_C_threads_unnamed];
}

static void names_of_threads_are_bounded(_unused_ void **state)
{
	struct pp_process p = { .id = 1 }, other = { .id = 2 };
	uint64_t before = unnamed(), refused;
	char name[PP_COMM_LEN];

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "thread %d", i);
		sampled(&p, T0, name);
	}
	refused = unnamed() - before;
	assert_in_range(refused, 1, 2999);
	/* Those that are there still count, other processes have their own, and it gets more. */
	assert_set(store->stacks, sampled(&p, T0, "thread 0"), PP_GIL_RELEASED, PP_GC_IDLE,
		   "thread 0", "");
	sampled(&other, T0, "another");
	assert_int_equal(unnamed() - before, refused);
	assert_set(store->stacks, sampled(&p, T0, "thread 2999"), PP_GIL_RELEASED, PP_GC_IDLE, "",
		   "");
	assert_int_equal(unnamed() - before, refused + 1);
	assert_set(store->stacks, sampled(&p, T0 + 60 * NSEC_PER_SEC, "later"), PP_GIL_RELEASED,
		   PP_GC_IDLE, "later", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_set_is_read_as_it_was_put),	  TEST(words),
		TEST(a_set_lives_as_long_as_what_has_it), TEST(samples_are_selected_by_attributes),
		TEST(tasks_that_are_named_late_merge),	  TEST(a_stream_tells_a_set_once),
		TEST(a_stream_selects_by_attributes),	  TEST(a_sample_has_its_threads_name),
		TEST(names_of_threads_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
