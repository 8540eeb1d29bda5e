/* SPDX-License-Identifier: GPL-2.0-only */
/* Windows, selections and streams. Readers here know frames by their texts only, as clients do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/u64map.h"
#include "profile/delta.h"
#include "profile/end.h"

#define SECOND NSEC_PER_SEC
#define T0     (1000 * SECOND)

struct world {
	struct pp_store *store;
	struct pp_u64map refs; /* process → references */
	int64_t nr_refs;
};

static void on_ref(void *userdata, uint64_t process)
{
	struct world *w = userdata;
	uint64_t n = 0;

	pp_u64map_get(&w->refs, process, &n);
	assert_int_equal(pp_u64map_put(&w->refs, process, n + 1), 0);
	w->nr_refs++;
}

static void on_unref(void *userdata, uint64_t process)
{
	struct world *w = userdata;
	uint64_t n = 0;

	assert_true(pp_u64map_get(&w->refs, process, &n));
	assert_true(n > 0);
	assert_int_equal(pp_u64map_put(&w->refs, process, n - 1), 0);
	w->nr_refs--;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(pp_store_new(&w->store), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->nr_refs, 0);
	pp_store_free(w->store);
	pp_u64map_done(&w->refs);
	free(w);
	return 0;
}

static struct pp_profile *profile(struct world *w, uint64_t window_ns, uint32_t windows_max)
{
	struct pp_profile_config config = {
		.window_ns = window_ns,
		.windows_max = windows_max,
		.entries_max = PP_PROFILE_ENTRIES,
		.ref = on_ref,
		.unref = on_unref,
		.userdata = w,
	};
	struct pp_profile *p;

	assert_int_equal(pp_profile_new(&p, w->store, T0, &config), 0);
	return p;
}

static uint32_t frame(struct world *w, enum pp_kind kind, const char *name)
{
	uint32_t id;

	assert_int_equal(pp_store_frame(w->store, kind, name, strlen(name), NULL, 0, NULL, 0, &id),
			 0);
	return id;
}

static uint32_t pending(struct world *w, enum pp_kind kind, uint64_t offset)
{
	uint32_t id;

	assert_int_equal(pp_frames_pending(w->store->frames, kind, 0, offset, &id), 0);
	return id;
}

static uint32_t node(struct world *w, uint32_t parent, uint32_t f)
{
	uint32_t id;

	assert_int_equal(pp_stacks_child(w->store->stacks, parent, f, &id), 0);
	return id;
}

static const struct pp_window *last(const struct pp_profile *p)
{
	return pp_profile_window(p, pp_profile_windows(p) - 1);
}

static void windows_follow_each_other(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	uint64_t wall = pp_wall_ns() - pp_now_ns();

	for (uint64_t s = 0; s < 200; s++)
		assert_int_equal(pp_profile_add(p, T0 + s * SECOND, s / 10, 0, PP_END_ROOT, 5), 0);
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
				pp_profile_add(p, T0 + s * SECOND, process, 0, PP_END_ROOT, 1), 0);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(pp_profile_window(p, i)->nr_processes, 3);
	assert_int_equal(w->nr_refs, 21);
}

static void a_late_sample_counts_in_the_open_window(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);

	pp_profile_advance(p, T0 + 10 * SECOND);
	assert_int_equal(pp_profile_add(p, T0 + 10 * SECOND - 1, 1, 0, PP_END_STACK, 5), 0);
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

	assert_int_equal(pp_profile_add(p, T0, 1, 0, PP_END_ROOT, 5), 0);
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
		assert_int_equal(pp_profile_add(p, T0 + s * SECOND, 7, 0, PP_END_ROOT, 2), 0);
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
		assert_int_equal(pp_profile_add(p, T0, i, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_profile_add(p, T0 + SECOND, 10, 0, PP_END_ROOT, 1), -ENOSPC);
	assert_int_equal(pp_profile_add(p, T0 + SECOND, 9, 0, PP_END_ROOT, 1), 0);
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
		assert_int_equal(pp_profile_add(p, T0 + i / 4 * SECOND, i, 0, PP_END_ROOT, 1), 0);
	/* 4 + 4 + 2, then the first four made room. */
	assert_int_equal(pp_profile_windows(p), 2);
	assert_int_equal(pp_profile_window(p, 0)->start_ns, T0 + SECOND);
	assert_int_equal(pp_counters[PP_C_windows_expired_early], before + 1);
	assert_int_equal(w->nr_refs, 8);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(pp_profile_add(p, T0 + 2 * SECOND, 20 + i, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_profile_windows(p), 1);
	assert_int_equal(pp_profile_add(p, T0 + 2 * SECOND, 30, 0, PP_END_ROOT, 1), -ENOSPC);
}

/* What a client knows a stack by: "frame;frame;…", root first. */
static char *folded(struct pp_store *store, struct pp_stacks *stacks, uint32_t id)
{
	uint32_t path[PP_STACK_FRAMES_MAX];
	size_t nr = pp_stacks_path(stacks, id, path, ARRAY_SIZE(path));
	struct pp_buf out = PP_BUF(0);
	struct pp_frame_text t = { 0 };

	pp_buf_printf(&out, "%s", "");
	while (nr--) {
		assert_int_equal(pp_frame_text(&t, store, path[nr]), 0);
		pp_buf_printf(&out, "%s%s", (char *)t.name.data, nr ? ";" : "");
	}
	pp_frame_text_done(&t);
	return (char *)out.data;
}

/* Each entry as "process folded end samples cpu", sorted, in one text. */
static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *join(char **lines, size_t nr)
{
	struct pp_buf out = PP_BUF(0);

	qsort(lines, nr, sizeof(*lines), compare_lines);
	pp_buf_printf(&out, "%s", "");
	for (size_t i = 0; i < nr; i++) {
		pp_buf_printf(&out, "%s\n", lines[i]);
		free(lines[i]);
	}
	free(lines);
	return (char *)out.data;
}

static char *line(uint64_t process, const char *stack, unsigned int end, uint64_t samples,
		  uint64_t cpu)
{
	char *text = NULL;

	assert_true(asprintf(&text, "%llu %s %u %llu %llu", (unsigned long long)process, stack, end,
			     (unsigned long long)samples, (unsigned long long)cpu) > 0);
	return text;
}

static char *selection_text(struct pp_selection *s)
{
	char **lines = calloc(s->nr + 1, sizeof(*lines));

	for (size_t i = 0; i < s->nr; i++) {
		const struct pp_selected *e = &s->entries[i];
		_cleanup_free_ char *stack = folded(s->store, s->stacks, e->node);

		lines[i] = line(e->process, stack, e->end, e->samples, e->cpu_ns);
	}
	return join(lines, s->nr);
}

static void assert_selection(struct pp_profile *p, const struct pp_query *query,
			     const char *expected, struct pp_profile_info *ret_info)
{
	_cleanup_(pp_selection_freep) struct pp_selection *s = NULL;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(pp_selection_new(&s, p, query), 0);
	text = selection_text(s);
	assert_string_equal(text, expected);
	if (ret_info)
		*ret_info = s->info;
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

	assert_int_equal(pp_profile_add(p, T0, 1, a, PP_END_ROOT, 10), 0);
	assert_int_equal(pp_profile_add(p, T0, 1, b, PP_END_ROOT, 10), 0);
	assert_int_equal(pp_profile_add(p, T0 + 11 * SECOND, 1, c, PP_END_ROOT, 10), 0);
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
		assert_int_equal(pp_profile_add(p, T0 + s * SECOND, s / 10, 0, PP_END_ROOT, 1), 0);
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

static enum pp_want want_by_number(void *userdata, uint64_t process)
{
	(*(int *)userdata)++;
	return (enum pp_want)(process % 3);
}

static void a_selection_asks_about_each_process_once(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_profile_freep) struct pp_profile *p = profile(w, 10 * SECOND, 6);
	int asked = 0;
	struct pp_query query = { .want = want_by_number, .userdata = &asked };
	struct pp_profile_info info;

	for (uint64_t i = 0; i < 60; i++)
		assert_int_equal(pp_profile_add(p, T0 + i * SECOND, i % 6, 0,
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
	assert_int_equal(pp_profile_add(p, T0, 1, leaf, PP_END_ROOT, 1), 0);
	leaf = node(w, user, frame(w, PP_KIND_KERNEL, "irq"));
	assert_int_equal(pp_profile_add(p, T0, 1, leaf, PP_END_ROOT, 1), 0);
	leaf = node(w, 0, frame(w, PP_KIND_KERNEL, "kthread"));
	assert_int_equal(pp_profile_add(p, T0, 2, leaf, PP_END_NO_USER, 1), 0);

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

/* ---- Streams: a reader that sums up what it is told. ----------------------------------------- */

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
		assert_int_equal(pp_profile_add(p, now, (uint64_t)random() % 4, at,
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
						node(w, 0, frame(w, PP_KIND_NATIVE, name)),
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
		assert_int_equal(pp_profile_add(p, T0 + 1, i % 6, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0 + SECOND, &query, &t), 0);
	assert_int_equal(t.end_wall_ns - t.start_wall_ns, SECOND);
	assert_int_equal(t.nr_processes, 2);
	assert_int_equal(t.processes[0].id, 1);
	assert_true(t.processes[0].first && t.processes[1].first);
	assert_int_equal(t.nr_counts, 2);
	assert_int_equal(t.counts[0].samples, 2);
	assert_int_equal(t.hidden, 2);
	end = t.end_wall_ns;

	assert_int_equal(pp_profile_add(p, T0 + 2, 1, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0 + 3 * SECOND, &query, &t), 0);
	assert_int_equal(t.start_wall_ns, end);
	assert_int_equal(t.nr_processes, 1);
	assert_false(t.processes[0].first);
	assert_int_equal(t.hidden, 0);

	/* The session is gone; its stream has nothing more to say. */
	assert_int_equal(pp_profile_add(p, T0 + 2, 1, 0, PP_END_ROOT, 1), 0);
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
		assert_int_equal(pp_profile_add(p, T0, i, 0, PP_END_ROOT, 1), 0);
	assert_int_equal(pp_delta_take(d, T0, &query, &t), 0);
	assert_int_equal(t.nr_counts, PP_DELTA_ENTRIES_MAX);
	assert_int_equal(t.lost, 5);
	assert_int_equal(pp_counters[PP_C_delta_refused], before + 5);
	assert_int_equal(pp_profile_add(p, T0, 1, 0, PP_END_ROOT, 1), 0);
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
							process, at, PP_END_ROOT, 1),
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
		TEST(deltas_sum_up_to_the_profile),
		TEST(a_stream_outlives_what_it_told),
		TEST(a_stream_tells_processes_and_spans),
		TEST(a_slow_reader_loses_and_hears_of_it),
		TEST(a_busy_machine_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
