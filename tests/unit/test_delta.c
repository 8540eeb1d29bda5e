/* SPDX-License-Identifier: GPL-2.0-only */
/* Streams: a reader that sums up what it is told has the profile. */
#include "profile_world.h"

#define TOLD_MAX 100000

struct reader {
	char *frames[TOLD_MAX];
	struct pp_delta_node nodes[TOLD_MAX];
	uint32_t last_frame, last_node;
	struct pp_delta_count *counts;
	size_t nr, cap;
	uint64_t lost;
};

static void read_take(struct reader *r, struct world *w, const struct pp_delta_take *take)
{
	struct pp_frame_text t = { 0 };

	for (size_t i = 0; i < take->nr_frames; i++) {
		uint32_t id = take->frames[i].id;

		/* The next number, or one that was told before. */
		assert_in_range(id, 1, r->last_frame + 1);
		r->last_frame = MAX(r->last_frame, id);
		assert_int_equal(pp_frame_text(&t, w->store, take->frames[i].frame), 0);
		free(r->frames[id]);
		r->frames[id] = strdup((char *)t.name.data);
	}
	for (size_t i = 0; i < take->nr_nodes; i++) {
		const struct pp_delta_node *n = &take->nodes[i];

		assert_int_equal(n->id, ++r->last_node);
		assert_in_range(n->frame, 1, r->last_frame);
		assert_true(n->parent < n->id);
		r->nodes[n->id] = *n;
	}
	for (size_t i = 0; i < take->nr_counts; i++) {
		assert_true(take->counts[i].node <= r->last_node);
		if (r->nr == r->cap) {
			r->cap = r->cap * 2 + 64;
			r->counts = reallocarray(r->counts, r->cap, sizeof(*r->counts));
		}
		r->counts[r->nr++] = take->counts[i];
	}
	r->lost += take->lost;
	pp_frame_text_done(&t);
}

static void fold_node(struct reader *r, uint32_t id, struct pp_buf *out)
{
	if (!id)
		return;
	fold_node(r, r->nodes[id].parent, out);
	pp_buf_printf(out, "%s%s", r->nodes[id].parent ? ";" : "", r->frames[r->nodes[id].frame]);
}

struct sum {
	char *key;
	uint64_t process, samples, cpu;
	unsigned int end;
};

static int compare_sums(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->key, y->key);
}

static char *reader_text(struct reader *r)
{
	struct sum *sums = calloc(r->nr + 1, sizeof(*sums));
	char **lines = calloc(r->nr + 1, sizeof(*lines));
	size_t nr = 0;

	for (size_t i = 0; i < r->nr; i++) {
		const struct pp_delta_count *c = &r->counts[i];
		struct pp_buf key = PP_BUF(0);

		pp_buf_printf(&key, "%s", "");
		fold_node(r, c->node, &key);
		sums[i] =
			(struct sum){ (char *)key.data, c->process, c->samples, c->cpu_ns, c->end };
	}
	qsort(sums, r->nr, sizeof(*sums), compare_sums);
	for (size_t i = 0; i < r->nr; i++) {
		if (i + 1 < r->nr && !compare_sums(&sums[i], &sums[i + 1])) {
			sums[i + 1].samples += sums[i].samples;
			sums[i + 1].cpu += sums[i].cpu;
		} else {
			lines[nr++] = line(sums[i].process, sums[i].key, sums[i].end,
					   sums[i].samples, sums[i].cpu);
		}
	}
	for (size_t i = 0; i < r->nr; i++)
		free(sums[i].key);
	free(sums);
	return join(lines, nr);
}

static void reader_done(struct reader *r)
{
	for (size_t i = 0; i <= r->last_frame; i++)
		free(r->frames[i]);
	free(r->counts);
	free(r);
}

static void take(struct world *w, struct reader *r, struct pp_delta *d, uint64_t now,
		 const struct pp_query *query)
{
	struct pp_delta_take t;

	assert_int_equal(pp_delta_take(d, now, query, &t), 0);
	read_take(r, w, &t);
}

#define KEPT 16

/* A random life: pending frames that resolve, collections, churn that makes numbers come back. */
static void live(struct world *w, struct pp_profile *p, struct pp_delta *d, struct reader *r,
		 const struct pp_query *query, unsigned int seed)
{
	uint32_t waiting[KEPT] = { 0 }, names = 0;

	srandom(seed);
	for (int step = 0; step < 20000; step++) {
		uint64_t now = T0 + (uint64_t)step * SECOND / 100;
		size_t depth = (size_t)random() % 6;
		uint32_t at = 0;
		char name[32];

		for (size_t i = 0; i < depth; i++) {
			size_t slot = (size_t)random() % KEPT;

			bool kernel = random() % 3 == 0;

			snprintf(name, sizeof(name), "%c%ld", kernel ? 'k' : 'f', random() % 10);
			if (random() % 8) {
				enum pp_kind kind = kernel ? PP_KIND_KERNEL : PP_KIND_NATIVE;

				at = node(w, at, frame(w, kind, name));
				continue;
			}
			if (!waiting[slot])
				waiting[slot] = pending(w, PP_KIND_NATIVE, ++names);
			at = node(w, at, waiting[slot]);
		}
		assert_int_equal(pp_profile_add(p, now, (uint64_t)random() % 4, at, 0,
						(enum pp_end)(random() % 3), 1000),
				 0);
		if (random() % 10 == 0) {
			size_t slot = (size_t)random() % KEPT;

			snprintf(name, sizeof(name), "late%u", names % 20);
			if (waiting[slot] && random() % 3)
				pp_frames_resolve(w->store->frames, waiting[slot],
						  frame(w, PP_KIND_NATIVE, name));
			else if (waiting[slot])
				pp_frames_give_up(w->store->frames, waiting[slot]);
			waiting[slot] = 0;
		}
		if (random() % 300 == 0)
			take(w, r, d, now, query);
		if (random() % 500 == 0)
			pp_store_collect(w->store);
		/* And one goes on all the while, piece by piece. */
		if (random() % 4 == 0)
			pp_store_step(w->store);
	}
	for (size_t i = 0; i < KEPT; i++)
		if (waiting[i])
			pp_frames_give_up(w->store->frames, waiting[i]);
}

static void deltas_sum_up_to_the_profile(void **state)
{
	struct world *w = *state;

	for (unsigned int seed = 1; seed <= 6; seed++) {
		struct pp_query query = { .kernel = (enum pp_kernel_view)(seed % 3) };
		_cleanup_(pp_profile_freep) struct pp_profile *all = profile(w, 0, 0);
		_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
		_cleanup_(pp_selection_freep) struct pp_selection *s = NULL;
		_cleanup_free_ char *expected = NULL, *got = NULL;
		struct reader *r = calloc(1, sizeof(*r));

		assert_int_equal(pp_delta_new(&d, all, T0), 0);
		live(w, all, d, r, &query, seed);
		pp_profile_lost(all, 4);
		take(w, r, d, T0 + 201 * SECOND, &query);
		assert_int_equal(r->lost, 4);
		assert_int_equal(pp_selection_new(&s, all, &query), 0);
		expected = selection_text(s);
		got = reader_text(r);
		assert_true(strlen(expected) > 10000);
		assert_string_equal(got, expected);
		reader_done(r);
	}
}

/* The ring forgets, so numbers of stacks come back with other meanings; the reader never notices.
 */
static void a_stream_outlives_what_it_told(void **state)
{
	struct world *w = *state;
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	_cleanup_(pp_profile_freep) struct pp_profile *ring = profile(w, SECOND, 2);
	_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
	struct reader *r = calloc(1, sizeof(*r));
	struct pp_buf expected = PP_BUF(0);
	_cleanup_free_ char *got = NULL;

	assert_int_equal(pp_delta_new(&d, ring, T0), 0);
	for (uint64_t i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "once%02llu", (unsigned long long)i);
		assert_int_equal(pp_profile_add(ring, T0 + i * SECOND, 1,
						node(w, 0, frame(w, PP_KIND_NATIVE, name)), 0,
						PP_END_ROOT, 1),
				 0);
		pp_buf_printf(&expected, "1 %s 0 1 1\n", name);
		take(w, r, d, T0 + i * SECOND, &query);
		pp_store_collect(w->store);
		/* Three windows are held, and nothing else. */
		assert_true(pp_stacks_count(w->store->stacks) <= 3);
	}
	got = reader_text(r);
	assert_string_equal(got, (char *)expected.data);
	assert_int_equal(r->last_node, 100);
	reader_done(r);
	pp_buf_done(&expected);
}

/* A take may go out in parts, to somebody slow: meanwhile nothing in it becomes another's. */
static void a_take_stays_as_it_was(void **state)
{
	struct world *w = *state;
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	_cleanup_(pp_profile_freep) struct pp_profile *ring = profile(w, SECOND, 2);
	_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
	struct pp_attributes a = { .gil = PP_GIL_HELD };
	struct pp_delta_take t;
	uint32_t attributes, other;

	assert_int_equal(pp_delta_new(&d, ring, T0), 0);
	assert_int_equal(pp_strings_get(w->store->strings, "worker", 6, &a.thread), 0);
	assert_int_equal(pp_attributes_get(w->store, &a, &attributes), 0);
	assert_int_equal(pp_profile_add(ring, T0, 1, node(w, 0, frame(w, PP_KIND_NATIVE, "f")),
					attributes, PP_END_ROOT, 1),
			 0);
	assert_int_equal(pp_delta_take(d, T0 + 1, &query, &t), 0);
	assert_int_equal(t.nr_attributes, 1);
	pp_profile_advance(ring, T0 + 100 * SECOND);
	pp_store_collect(w->store);
	assert_int_equal(pp_strings_get(w->store->strings, "another's", 9, &other), 0);
	assert_string_equal(pp_strings_text(w->store->strings, t.attributes[0].thread, NULL),
			    "worker");
	assert_string_equal(
		pp_strings_text(w->store->strings,
				pp_frames_describe(w->store->frames, t.frames[0].frame)->name,
				NULL),
		"f");
	/* And no longer. */
	assert_int_equal(pp_delta_take(d, T0 + 101 * SECOND, &query, &t), 0);
	pp_store_collect(w->store);
	assert_false(pp_strings_find(w->store->strings, "worker", 6));
}

static void a_stream_tells_processes_and_spans(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
	struct pp_profile *p = profile(w, 0, 0);
	int asked = 0;
	struct pp_query query = { .want = want_by_number, .userdata = &asked };
	struct pp_delta_take t;
	uint64_t end;

	assert_int_equal(pp_delta_new(&d, p, T0), 0);
	for (uint64_t i = 0; i < 12; i++)
		assert_int_equal(pp_profile_add(p, T0 + 1, i % 6, 0, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0 + SECOND, &query, &t), 0);
	assert_int_equal(t.end_wall_ns - t.start_wall_ns, SECOND);
	assert_int_equal(t.nr_processes, 2);
	assert_int_equal(t.processes[0].id, 1);
	assert_true(t.processes[0].first && t.processes[1].first);
	assert_int_equal(t.nr_counts, 2);
	assert_int_equal(t.counts[0].samples, 2);
	assert_int_equal(t.hidden, 2);
	end = t.end_wall_ns;

	assert_int_equal(pp_profile_add(p, T0 + 2, 1, 0, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0 + 3 * SECOND, &query, &t), 0);
	assert_int_equal(t.start_wall_ns, end);
	assert_int_equal(t.nr_processes, 1);
	assert_false(t.processes[0].first);
	assert_int_equal(t.hidden, 0);

	/* The session is gone; its stream has nothing more to say. */
	assert_int_equal(pp_profile_add(p, T0 + 2, 1, 0, 0, PP_END_ROOT, 1), 0);
	pp_profile_free(p);
	assert_int_equal(pp_delta_take(d, T0 + 4 * SECOND, &query, &t), 0);
	assert_int_equal(t.nr_counts + t.nr_processes + t.nr_nodes + t.nr_frames, 0);
	assert_int_equal(t.start_wall_ns, t.end_wall_ns);
}

static void a_slow_reader_loses_and_hears_of_it(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 0, 0);
	_cleanup_(pp_delta_freep) struct pp_delta *d = NULL;
	uint64_t before = pp_counters[PP_C_delta_refused];
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	struct pp_delta_take t;

	assert_int_equal(pp_delta_new(&d, p, T0), 0);
	for (uint64_t i = 0; i < PP_DELTA_ENTRIES_MAX + 5; i++)
		assert_int_equal(pp_profile_add(p, T0, i, 0, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0, &query, &t), 0);
	assert_int_equal(t.nr_counts, PP_DELTA_ENTRIES_MAX);
	assert_int_equal(t.lost, 5);
	assert_int_equal(pp_counters[PP_C_delta_refused], before + 5);
	assert_int_equal(pp_profile_add(p, T0, 1, 0, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0, &query, &t), 0);
	assert_int_equal(t.nr_counts, 1);
	assert_int_equal(t.lost, 0);
}

/* 100 Pythons, 2,000 stacks each, 40 deep, that share what real stacks share: the interpreter's
 * frames between a program's own functions. */
static void a_busy_machine_fits(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 60);
	uint32_t eval = frame(w, PP_KIND_NATIVE, "_PyEval_EvalFrameDefault");
	size_t keys = 0, nodes, bytes;
	char name[64];

	srandom(9);
	for (uint64_t process = 0; process < 100; process++)
		for (int i = 0; i < 2000; i++) {
			uint32_t at = 0;

			/* Calls branch less near the root than at the leaf. */
			for (long k = 0; k < 20; k++) {
				snprintf(name, sizeof(name), "module%llu.function_%ld",
					 (unsigned long long)process,
					 k * 8 + random() % (k < 12 ? 1 + k / 6 : 8));
				at = node(w, node(w, at, eval), frame(w, PP_KIND_PYTHON, name));
			}
			assert_int_equal(pp_profile_add(p, T0 + keys++ * 600 * SECOND / 200000,
							process, at, 0, PP_END_ROOT, 1),
					 0);
		}
	pp_store_collect(w->store);
	nodes = pp_stacks_count(w->store->stacks);
	bytes = pp_profile_bytes(p) + pp_store_bytes(w->store);
	print_message("           %zu stacks, %zu nodes: store %zu KiB (%.1f B/node), "
		      "windows %zu KiB (%.1f B/stack)\n",
		      keys, nodes, pp_store_bytes(w->store) / 1024,
		      (double)pp_stacks_bytes(w->store->stacks) / (double)nodes,
		      pp_profile_bytes(p) / 1024, (double)pp_profile_bytes(p) / (double)keys);
	assert_true((double)pp_stacks_bytes(w->store->stacks) < 20.0 * (double)nodes);
	assert_true(pp_profile_bytes(p) < 30 * keys);
	assert_true(bytes / keys < 400);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(deltas_sum_up_to_the_profile),
		TEST(a_stream_outlives_what_it_told),
		TEST(a_take_stays_as_it_was),
		TEST(a_stream_tells_processes_and_spans),
		TEST(a_slow_reader_loses_and_hears_of_it),
		TEST(a_busy_machine_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
