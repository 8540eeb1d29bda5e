/* SPDX-License-Identifier: GPL-2.0-only */
/* A store and a profile; a selection and its frames by their texts only, as clients know them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/u64map.h"
#include "profile/delta.h"
#include "profile/end.h"

#include <stdio.h>
#include <string.h>

#define SECOND NSEC_PER_SEC
#define T0     (1000 * SECOND)

struct world {
	struct pp_store *store;
	struct pp_u64map refs; /* process → references */
	int64_t nr_refs;
};

static inline void on_ref(void *userdata, uint64_t process)
{
	struct world *w = userdata;
	uint64_t n = 0;

	pp_u64map_get(&w->refs, process, &n);
	assert_int_equal(pp_u64map_put(&w->refs, process, n + 1), 0);
	w->nr_refs++;
}

static inline void on_unref(void *userdata, uint64_t process)
{
	struct world *w = userdata;
	uint64_t n = 0;

	assert_true(pp_u64map_get(&w->refs, process, &n));
	assert_true(n > 0);
	assert_int_equal(pp_u64map_put(&w->refs, process, n - 1), 0);
	w->nr_refs--;
}

static inline int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(pp_store_new(&w->store), 0);
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->nr_refs, 0);
	pp_store_free(w->store);
	pp_u64map_done(&w->refs);
	free(w);
	return 0;
}

static inline struct pp_profile *profile(struct world *w, uint64_t window_ns, uint32_t windows_max)
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

static inline uint32_t frame(struct world *w, enum pp_kind kind, const char *name)
{
	uint32_t id;

	assert_int_equal(pp_store_frame(w->store, kind, name, strlen(name), NULL, 0, NULL, 0, &id),
			 0);
	return id;
}

static inline uint32_t pending(struct world *w, enum pp_kind kind, uint64_t offset)
{
	uint32_t id;

	assert_int_equal(pp_frames_pending(w->store->frames, kind, 0, offset, &id), 0);
	return id;
}

static inline uint32_t node(struct world *w, uint32_t parent, uint32_t f)
{
	uint32_t id;

	assert_int_equal(pp_stacks_child(w->store->stacks, parent, f, &id), 0);
	return id;
}

static inline const struct pp_window *last(const struct pp_profile *p)
{
	return pp_profile_window(p, pp_profile_windows(p) - 1);
}

/* What a client knows a stack by: "frame;frame;…", root first. */
static inline char *folded(struct pp_store *store, struct pp_stacks *stacks, uint32_t id)
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
static inline int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline char *join(char **lines, size_t nr)
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

static inline char *line(uint64_t process, const char *stack, unsigned int end, uint64_t samples,
			 uint64_t cpu)
{
	char *text = NULL;

	assert_true(asprintf(&text, "%llu %s %u %llu %llu", (unsigned long long)process, stack, end,
			     (unsigned long long)samples, (unsigned long long)cpu) > 0);
	return text;
}

static inline char *selection_text(struct pp_selection *s)
{
	char **lines = calloc(s->nr + 1, sizeof(*lines));

	for (size_t i = 0; i < s->nr; i++) {
		const struct pp_selected *e = &s->entries[i];
		_cleanup_free_ char *stack = folded(s->store, s->stacks, e->node);

		lines[i] = line(e->process, stack, e->end, e->samples, e->cpu_ns);
	}
	return join(lines, s->nr);
}

static inline void assert_selection(struct pp_profile *p, const struct pp_query *query,
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

static inline enum pp_want want_by_number(void *userdata, uint64_t process)
{
	(*(int *)userdata)++;
	return (enum pp_want)(process % 3);
}
