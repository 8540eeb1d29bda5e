/* SPDX-License-Identifier: GPL-2.0-only */
/* Windows, and selections of what they hold. */
#include "profile_world.h"

static void windows_follow_each_other(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	uint64_t wall = pp_wall_ns() - pp_now_ns();

	for (uint64_t s = 0; s < 200; s++)
		assert_int_equal(pp_profile_add(p, T0 + s * SECOND, s / 10, 0, 0, PP_END_ROOT, 5),
				 0);
	assert_int_equal(pp_profile_windows(p), 7);
	for (size_t i = 0; i < 7; i++) {
		const struct pp_window *win = pp_profile_window(p, i);

		assert_int_equal(win->start_ns, T0 + (13 + i) * 10 * SECOND);
		assert_int_equal(win->end_ns, win->start_ns + (i < 6 ? 10 : 9) * SECOND);
		assert_int_equal(win->samples, 10);
		assert_int_equal(win->cpu_ns, 50);
		assert_int_equal(win->counts.nr, 1);
		assert_int_equal(win->nr_processes, 1);
		assert_int_equal(win->processes[0], 13 + i);
		assert_in_range((uint64_t)win->wall_offset_ns - wall + SECOND, 0, 2 * SECOND);
	}
	/* A life is held while a window mentions it, and no longer. */
	assert_int_equal(w->nr_refs, 7);
	pp_profile_advance(p, T0 + 215 * SECOND);
	assert_int_equal(w->nr_refs, 5);
	assert_int_equal(pp_profile_windows(p), 7);
	assert_int_equal(last(p)->samples, 0);
	assert_int_equal(last(p)->end_ns, T0 + 215 * SECOND);
}

static void every_window_holds_what_it_mentions(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);

	for (uint64_t s = 0; s < 70; s++)
		for (uint64_t process = 0; process < 3; process++)
			assert_int_equal(
				pp_profile_add(p, T0 + s * SECOND, process, 0, 0, PP_END_ROOT, 1),
				0);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(pp_profile_window(p, i)->nr_processes, 3);
	assert_int_equal(w->nr_refs, 21);
}

static void a_late_sample_counts_in_the_open_window(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);

	pp_profile_advance(p, T0 + 10 * SECOND);
	assert_int_equal(pp_profile_add(p, T0 + 10 * SECOND - 1, 1, 0, 0, PP_END_STACK, 5), 0);
	assert_int_equal(pp_profile_windows(p), 2);
	assert_int_equal(last(p)->samples, 1);
	assert_int_equal(last(p)->complete, 0);
	assert_int_equal(last(p)->end_ns, T0 + 10 * SECOND);
	pp_profile_lost(p, 3);
	assert_int_equal(last(p)->lost, 3);
}

static void a_long_silence_empties_the_ring(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	uint64_t later = T0 + 1000000000ULL * 10 * SECOND + 3 * SECOND;

	assert_int_equal(pp_profile_add(p, T0, 1, 0, 0, PP_END_ROOT, 5), 0);
	pp_profile_advance(p, later);
	assert_int_equal(w->nr_refs, 0);
	assert_int_equal(pp_profile_windows(p), 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(pp_profile_window(p, i)->start_ns,
				 later - 3 * SECOND - (6 - i) * 10 * SECOND);
}

static void a_session_is_one_window(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 0, 60);

	for (uint64_t s = 0; s < 5000; s++)
		assert_int_equal(pp_profile_add(p, T0 + s * SECOND, 7, 0, 0, PP_END_ROOT, 2), 0);
	assert_int_equal(pp_profile_windows(p), 1);
	assert_int_equal(last(p)->samples, 5000);
	assert_int_equal(last(p)->counts.nr, 1);
	assert_int_equal(w->nr_refs, 1);
}

static void a_full_session_refuses_new_keys_only(void **state)
{
	struct world *w = *state;
	struct pp_profile_config config = { 0, 0, 10, on_ref, on_unref, w };
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	uint64_t before = pp_counters[PP_C_profile_refused];

	assert_int_equal(pp_profile_new(&p, w->store, T0, &config), 0);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(pp_profile_add(p, T0, i, 0, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_profile_add(p, T0 + SECOND, 10, 0, 0, PP_END_ROOT, 1), -ENOSPC);
	assert_int_equal(pp_profile_add(p, T0 + SECOND, 9, 0, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_counters[PP_C_profile_refused], before + 1);
	assert_int_equal(last(p)->samples, 11);
	assert_int_equal(last(p)->lost, 1);
}

static void a_full_ring_forgets_its_oldest(void **state)
{
	struct world *w = *state;
	struct pp_profile_config config = { SECOND, 5, 10, on_ref, on_unref, w };
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	uint64_t before = pp_counters[PP_C_windows_expired_early];

	assert_int_equal(pp_profile_new(&p, w->store, T0, &config), 0);
	for (uint64_t i = 0; i < 12; i++)
		assert_int_equal(pp_profile_add(p, T0 + i / 4 * SECOND, i, 0, 0, PP_END_ROOT, 1),
				 0);
	/* 4 + 4 + 2, then the first four made room. */
	assert_int_equal(pp_profile_windows(p), 2);
	assert_int_equal(pp_profile_window(p, 0)->start_ns, T0 + SECOND);
	assert_int_equal(pp_counters[PP_C_windows_expired_early], before + 1);
	assert_int_equal(w->nr_refs, 8);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(pp_profile_add(p, T0 + 2 * SECOND, 20 + i, 0, 0, PP_END_ROOT, 1),
				 0);
	assert_int_equal(pp_profile_windows(p), 1);
	assert_int_equal(pp_profile_add(p, T0 + 2 * SECOND, 30, 0, 0, PP_END_ROOT, 1), -ENOSPC);
}

static void names_that_come_late_merge(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	uint32_t root = frame(w, PP_KIND_NATIVE, "_start"), f = frame(w, PP_KIND_PYTHON, "f"),
		 late1 = pending(w, PP_KIND_PYTHON, 1), late2 = pending(w, PP_KIND_PYTHON, 2);
	uint32_t a = node(w, node(w, root = node(w, 0, root), f), f),
		 b = node(w, node(w, root, late1), f), c = node(w, node(w, root, late2), late1);
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	struct pp_profile_info info;

	assert_int_equal(pp_profile_add(p, T0, 1, a, 0, PP_END_ROOT, 10), 0);
	assert_int_equal(pp_profile_add(p, T0, 1, b, 0, PP_END_ROOT, 10), 0);
	assert_int_equal(pp_profile_add(p, T0 + 11 * SECOND, 1, c, 0, PP_END_ROOT, 10), 0);
	pp_profile_lost(p, 2);
	assert_selection(p, &query,
			 "1 _start;?;? 0 1 10\n"
			 "1 _start;?;f 0 1 10\n"
			 "1 _start;f;f 0 1 10\n",
			 &info);
	assert_int_equal(info.python_frames, 6);
	assert_int_equal(info.python_named, 3);

	assert_int_equal(pp_frames_resolve(w->store->frames, late1, f), 0);
	assert_int_equal(pp_frames_give_up(w->store->frames, late2), 0);
	for (int collected = 0; collected < 2; collected++) {
		assert_selection(p, &query,
				 "1 _start;?;f 0 1 10\n"
				 "1 _start;f;f 0 2 20\n",
				 &info);
		assert_int_equal(info.samples, 3);
		assert_int_equal(info.complete, 3);
		assert_int_equal(info.cpu_ns, 30);
		assert_int_equal(info.lost, 2);
		assert_int_equal(info.python_frames, 6);
		assert_int_equal(info.python_named, 5);
		assert_int_equal(info.processes, 1);
		assert_int_equal(info.hidden, 0);
		assert_in_range(info.end_wall_ns - info.start_wall_ns, 10 * SECOND, 12 * SECOND);
		pp_store_collect(w->store);
	}
}

static void a_selection_says_what_span_it_covers(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	struct pp_query query = { .since_ns = T0 + 25 * SECOND };
	struct pp_profile_info info;

	for (uint64_t s = 0; s < 45; s++)
		assert_int_equal(pp_profile_add(p, T0 + s * SECOND, s / 10, 0, 0, PP_END_ROOT, 1),
				 0);
	assert_selection(p, &query, "2  0 10 10\n3  0 10 10\n4  0 5 5\n", &info);
	assert_in_range(info.end_wall_ns - info.start_wall_ns, 23 * SECOND, 25 * SECOND);
	query.since_ns = T0 + 30 * SECOND; /* exactly a window's end: that window is before it */
	assert_selection(p, &query, "3  0 10 10\n4  0 5 5\n", NULL);
	query.since_ns = T0 + 900 * SECOND;
	assert_selection(p, &query, "4  0 5 5\n", NULL);
	query.since_ns = 0;
	assert_selection(p, &query, "0  0 10 10\n1  0 10 10\n2  0 10 10\n3  0 10 10\n4  0 5 5\n",
			 &info);
	assert_int_equal(info.processes, 5);
}

static void a_selection_asks_about_each_process_once(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	int asked = 0;
	struct pp_query query = { .want = want_by_number, .userdata = &asked };
	struct pp_profile_info info;

	for (uint64_t i = 0; i < 60; i++)
		assert_int_equal(pp_profile_add(p, T0 + i * SECOND, i % 6, 0, 0,
						i % 12 == 1 ? PP_END_FP : PP_END_ROOT, 1),
				 0);
	assert_selection(p, &query, "1  0 5 5\n1  10 5 5\n4  0 10 10\n", &info);
	assert_int_equal(asked, 6);
	assert_int_equal(info.processes, 2);
	assert_int_equal(info.hidden, 2);
	assert_int_equal(info.samples, 20);
	assert_int_equal(info.complete, 15);
}

static void the_kernel_is_shown_as_allowed(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	uint32_t user = node(w, 0, frame(w, PP_KIND_NATIVE, "main")), bare, leaf;

	assert_int_equal(pp_frames_unnamed(w->store->frames, PP_KIND_KERNEL, 0, 0xff, &bare), 0);
	leaf = node(w, user, frame(w, PP_KIND_KERNEL, "sys"));
	leaf = node(w, node(w, leaf, bare), frame(w, PP_KIND_KERNEL, "copy"));
	assert_int_equal(pp_profile_add(p, T0, 1, leaf, 0, PP_END_ROOT, 1), 0);
	leaf = node(w, user, frame(w, PP_KIND_KERNEL, "irq"));
	assert_int_equal(pp_profile_add(p, T0, 1, leaf, 0, PP_END_ROOT, 1), 0);
	leaf = node(w, 0, frame(w, PP_KIND_KERNEL, "kthread"));
	assert_int_equal(pp_profile_add(p, T0, 2, leaf, 0, PP_END_NO_USER, 1), 0);

	assert_selection(p, &query,
			 "1 main;irq 0 1 1\n"
			 "1 main;sys;[kernel+0xff];copy 0 1 1\n"
			 "2 kthread 1 1 1\n",
			 NULL);
	query.kernel = PP_KERNEL_NAMES;
	assert_selection(p, &query,
			 "1 main;irq 0 1 1\n"
			 "1 main;sys;[kernel];copy 0 1 1\n"
			 "2 kthread 1 1 1\n",
			 NULL);
	query.kernel = PP_KERNEL_HIDDEN;
	assert_selection(p, &query, "1 main;[kernel] 0 2 2\n2 [kernel] 1 1 1\n", NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(windows_follow_each_other),
		TEST(every_window_holds_what_it_mentions),
		TEST(a_late_sample_counts_in_the_open_window),
		TEST(a_long_silence_empties_the_ring),
		TEST(a_session_is_one_window),
		TEST(a_full_session_refuses_new_keys_only),
		TEST(a_full_ring_forgets_its_oldest),
		TEST(names_that_come_late_merge),
		TEST(a_selection_says_what_span_it_covers),
		TEST(a_selection_asks_about_each_process_once),
		TEST(the_kernel_is_shown_as_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
