/* SPDX-License-Identifier: GPL-2.0-only */
/* The tree of stacks, and counts, against models too simple to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/counters.h"
#include "profile/counts.h"
#include "profile/store.h"

#define STACKS 3000
#define DEPTH  24

struct stack {
	uint32_t frames[DEPTH]; /* root first */
	size_t nr;
	uint32_t node;
};

static struct stack stacks[STACKS];

/* Few frames, so that stacks share beginnings and repeat. */
static void make_stacks(unsigned int seed)
{
	srandom(seed);
	for (size_t i = 0; i < STACKS; i++) {
		stacks[i].nr = (size_t)random() % (DEPTH + 1);
		for (size_t k = 0; k < stacks[i].nr; k++)
			stacks[i].frames[k] = (uint32_t)(random() % (k < 4 ? 2 : 5));
	}
}

static int compare(const void *a, const void *b)
{
	const struct stack *x = a, *y = b;

	for (size_t i = 0; i < MIN(x->nr, y->nr); i++)
		if (x->frames[i] != y->frames[i])
			return x->frames[i] < y->frames[i] ? -1 : 1;
	return (x->nr > y->nr) - (x->nr < y->nr);
}

/* How many different beginnings the stacks of sorted array s have: the nodes that there must be. */
static size_t beginnings(const struct stack *s, size_t nr)
{
	size_t count = nr ? s[0].nr : 0;

	for (size_t i = 1; i < nr; i++) {
		size_t same = 0;

		while (same < MIN(s[i].nr, s[i - 1].nr) &&
		       s[i].frames[same] == s[i - 1].frames[same])
			same++;
		count += s[i].nr - same;
	}
	return count;
}

static void assert_path(const struct pp_stacks *s, const struct stack *stack)
{
	uint32_t path[PP_STACK_FRAMES_MAX];
	size_t nr = pp_stacks_path(s, stack->node, path, ARRAY_SIZE(path));

	assert_int_equal(nr, stack->nr);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(path[i], stack->frames[nr - 1 - i]);
}

static void add_all(struct pp_stacks *s)
{
	for (size_t i = 0; i < STACKS; i++)
		assert_int_equal(pp_stacks_get(s, stacks[i].frames, stacks[i].nr, &stacks[i].node),
				 0);
}

/* With the stacks made from the seed, sorted. */
static struct pp_stacks *filled(unsigned int seed)
{
	struct pp_stacks *s;

	assert_int_equal(pp_stacks_new(&s, 1U << 20), 0);
	make_stacks(seed);
	add_all(s);
	qsort(stacks, STACKS, sizeof(*stacks), compare);
	return s;
}

static void a_node_is_a_stack(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = filled(1);
	uint32_t node;

	(void)state;
	assert_int_equal(pp_stacks_count(s), beginnings(stacks, STACKS));
	for (size_t i = 0; i < STACKS; i++) {
		assert_path(s, &stacks[i]);
		assert_int_equal(pp_stacks_get(s, stacks[i].frames, stacks[i].nr, &node), 0);
		assert_int_equal(node, stacks[i].node);
		if (i && compare(&stacks[i], &stacks[i - 1]))
			assert_int_not_equal(node, stacks[i - 1].node);
	}
	assert_int_equal(pp_stacks_node(s, 0).parent, 0);
	assert_int_equal(pp_stacks_node(s, 1U << 30).frame, 0);
	assert_int_equal(pp_stacks_path(s, 1U << 30, &node, 1), 0);
}

static uint32_t same_frame(void *userdata, uint32_t frame)
{
	(void)userdata;
	return frame;
}

/* In pieces of an odd size. */
static void sweep(struct pp_stacks *s)
{
	while (pp_stacks_sweep(s, 37))
		;
	pp_stacks_collected(s);
}

static void a_sweep_moves_nothing(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = NULL;
	static struct stack kept[STACKS];
	size_t nr = 0;

	(void)state;
	assert_int_equal(pp_stacks_new(&s, 1U << 20), 0);
	make_stacks(2);
	for (int round = 0; round < 5; round++) {
		add_all(s);
		nr = 0;
		pp_stacks_collect(s, same_frame, NULL);
		for (size_t i = 0; i < STACKS; i++) {
			if (random() % 5)
				continue;
			pp_stacks_mark(s, stacks[i].node);
			kept[nr++] = stacks[i];
		}
		sweep(s);
		qsort(kept, nr, sizeof(*kept), compare);
		assert_int_equal(pp_stacks_count(s), beginnings(kept, nr));
		for (size_t i = 0; i < nr; i++) {
			uint32_t node;

			assert_path(s, &kept[i]);
			assert_int_equal(pp_stacks_get(s, kept[i].frames, kept[i].nr, &node), 0);
			assert_int_equal(node, kept[i].node);
		}
	}
	pp_stacks_collect(s, same_frame, NULL);
	sweep(s);
	assert_int_equal(pp_stacks_count(s), 0);
	assert_int_equal(pp_stacks_bound(s), 1);
}

/* Frames of one half turn out to be those of the other. */
static uint32_t merge_frame(void *userdata, uint32_t frame)
{
	(void)userdata;
	return frame & ~1U;
}

static void equal_nodes_may_meet_in_a_sweep(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = NULL;

	(void)state;
	assert_int_equal(pp_stacks_new(&s, 1U << 20), 0);
	make_stacks(3);
	add_all(s);
	pp_stacks_collect(s, merge_frame, NULL);
	for (size_t i = 0; i < STACKS; i++)
		pp_stacks_mark(s, stacks[i].node);
	sweep(s);
	for (size_t i = 0; i < STACKS; i++) {
		for (size_t k = 0; k < stacks[i].nr; k++)
			stacks[i].frames[k] &= ~1U;
		assert_path(s, &stacks[i]);
	}
	/* Later stacks find one of them. */
	add_all(s);
	for (size_t i = 0; i < STACKS; i++)
		assert_path(s, &stacks[i]);
}

/* Stacks come all through a collection: each is kept, and stays what it was. */
static void stacks_come_during_a_collection(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = NULL;
	static bool taken[STACKS];

	(void)state;
	assert_int_equal(pp_stacks_new(&s, 1U << 20), 0);
	for (unsigned int seed = 4; seed < 12; seed++) {
		make_stacks(seed);
		/* Half of them are there before, and none of those is marked. */
		for (size_t i = 0; i < STACKS / 2; i++)
			assert_int_equal(
				pp_stacks_get(s, stacks[i].frames, stacks[i].nr, &stacks[i].node),
				0);
		memset(taken, 0, sizeof(taken));
		pp_stacks_collect(s, same_frame, NULL);
		do {
			size_t i = (size_t)random() % STACKS;

			taken[i] = true;
			assert_int_equal(
				pp_stacks_get(s, stacks[i].frames, stacks[i].nr, &stacks[i].node),
				0);
		} while (pp_stacks_sweep(s, (uint32_t)random() % 20));
		pp_stacks_collected(s);
		for (size_t i = 0; i < STACKS; i++) {
			uint32_t node;

			if (!taken[i])
				continue;
			assert_path(s, &stacks[i]);
			assert_int_equal(pp_stacks_get(s, stacks[i].frames, stacks[i].nr, &node),
					 0);
			assert_int_equal(node, stacks[i].node);
		}
	}
}

/* Whichever is near, before, during and after a collection. */
static void near_stacks_are_the_same(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = filled(20);
	uint32_t near = 0, node;
	int r;

	(void)state;
	for (int phase = 0; phase < 3; phase++) {
		if (phase == 1) {
			pp_stacks_collect(s, same_frame, NULL);
			add_all(s);
		}
		if (phase == 2) {
			sweep(s);
			near = 0;
		}
		for (size_t i = 0; i < 10 * STACKS; i++) {
			struct stack *stack = &stacks[(size_t)random() % STACKS];

			r = pp_stacks_get_near(s, near, stack->frames, stack->nr, &node);
			assert_int_equal(r, 0);
			assert_int_equal(node, stack->node);
			near = random() % 8 ? node : (uint32_t)random() % 100000;
		}
		assert_int_equal(pp_stacks_count(s), beginnings(stacks, STACKS));
	}
}

static void stacks_are_bounded(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = NULL;
	uint64_t before = pp_counters[PP_C_stacks_refused];
	uint32_t frames[] = { 5, 6, 7, 8 }, node;

	(void)state;
	assert_int_equal(pp_stacks_new(&s, 3), 0);
	assert_int_equal(pp_stacks_get(s, frames, 4, &node), -ENOSPC);
	assert_int_equal(pp_counters[PP_C_stacks_refused], before + 1);
	assert_int_equal(pp_stacks_get(s, frames, 3, &node), 0);
	assert_int_equal(pp_stacks_count(s), 3);
}

static void the_deepest_stack_fits(void **state)
{
	_cleanup_(pp_stacks_freep) struct pp_stacks *s = NULL;
	static uint32_t frames[PP_STACK_FRAMES_MAX], path[PP_STACK_FRAMES_MAX];
	uint32_t node;

	(void)state;
	assert_int_equal(pp_stacks_new(&s, 1U << 20), 0);
	for (uint32_t i = 0; i < PP_STACK_FRAMES_MAX; i++)
		frames[i] = i % 3;
	assert_int_equal(pp_stacks_get(s, frames, PP_STACK_FRAMES_MAX, &node), 0);
	assert_int_equal(pp_stacks_path(s, node, path, ARRAY_SIZE(path)), PP_STACK_FRAMES_MAX);
	assert_int_equal(pp_stacks_path(s, node, path, 2), 2);
	assert_int_equal(path[0], (PP_STACK_FRAMES_MAX - 1) % 3);
}

#define PROCESSES 7
#define NODES	  50

static void counts_agree_with_plain_arrays(void **state)
{
	static uint64_t samples[PROCESSES][NODES][PP_END_MAX], cpu[PROCESSES][NODES][PP_END_MAX];
	struct pp_counts c = { 0 };
	size_t keys = 0;

	(void)state;
	srandom(4);
	for (int i = 0; i < 100000; i++) {
		uint32_t process = (uint32_t)random() % PROCESSES;
		uint64_t ns = (uint64_t)random();
		uint32_t node = (uint32_t)random() % NODES;
		enum pp_end end = (enum pp_end)(random() % PP_END_MAX);
		bool fresh = !samples[process][node][end]++;

		cpu[process][node][end] += ns;
		keys += fresh;
		assert_int_equal(pp_counts_add(&c, process << 24, node, 0, end, ns, SIZE_MAX),
				 fresh);
	}
	assert_int_equal(c.nr, keys);
	assert_int_equal(pp_counts_add(&c, 99, 0, 0, PP_END_ROOT, 0, keys), -ENOSPC);
	pp_counts_close(&c);
	assert_int_equal(pp_counts_bytes(&c), keys * sizeof(struct pp_entry));
	for (size_t i = 0; i < c.nr; i++) {
		const struct pp_entry *e = &c.entries[i];
		uint32_t process = e->process >> 24;

		assert_int_equal(e->samples, samples[process][e->node][e->end]);
		assert_int_equal(e->cpu_ns, cpu[process][e->node][e->end]);
		samples[process][e->node][e->end] = 0;
	}
	pp_counts_done(&c);
}

static void a_full_entry_gets_a_successor(void **state)
{
	struct pp_counts c = { 0 };

	(void)state;
	assert_int_equal(pp_counts_add(&c, 1, 2, 0, PP_END_ROOT, 3, 10), 1);
	c.entries[0].samples = (1U << 24) - 2;
	assert_int_equal(pp_counts_add(&c, 1, 2, 0, PP_END_ROOT, 3, 10), 0);
	assert_int_equal(pp_counts_add(&c, 1, 2, 0, PP_END_ROOT, 3, 10), 1);
	assert_int_equal(pp_counts_add(&c, 1, 2, 0, PP_END_ROOT, 3, 10), 0);
	assert_int_equal(c.nr, 2);
	assert_int_equal(c.entries[0].samples, (1U << 24) - 1);
	assert_int_equal(c.entries[1].samples, 2);
	assert_int_equal(c.entries[1].cpu_ns, 6);
	pp_counts_clear(&c);
	assert_int_equal(c.nr, 0);
	assert_int_equal(pp_counts_add(&c, 1, 2, 0, PP_END_ROOT, 3, 10), 1);
	pp_counts_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_a_stack),
		cmocka_unit_test(a_sweep_moves_nothing),
		cmocka_unit_test(equal_nodes_may_meet_in_a_sweep),
		cmocka_unit_test(stacks_come_during_a_collection),
		cmocka_unit_test(near_stacks_are_the_same),
		cmocka_unit_test(stacks_are_bounded),
		cmocka_unit_test(the_deepest_stack_fits),
		cmocka_unit_test(counts_agree_with_plain_arrays),
		cmocka_unit_test(a_full_entry_gets_a_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
