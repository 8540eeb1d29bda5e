/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The store's nodes are mapped to nodes of final frames in a tree of the selection's own: stacks
 * that were told apart only while a name was missing meet there. Each node is mapped once, on the
 * way down from the first mapped parent, and carries how many Python frames lie on its path.
 */
#include "selection.h"

#include "base/u64map.h"
#include "end.h"
#include "ids.h"
#include "index.h"

struct figures {
	uint16_t python, named; /* of a path; at most PP_STACK_FRAMES_MAX */
};
_Static_assert(PP_STACK_FRAMES_MAX <= UINT16_MAX, "struct figures");

struct builder {
	struct pp_selection *s;
	const struct pp_query *query;
	struct pp_u64map verdicts; /* process → enum pp_want */
	uint32_t *mapped;	   /* the store's node → ours + 1; 0: not yet */
	struct figures *figures;   /* of our nodes */
	uint32_t figures_cap;
	struct pp_index index; /* of s->entries */
	uint32_t entries_cap;
};

static void builder_done(struct builder *b)
{
	pp_u64map_done(&b->verdicts);
	free(b->mapped);
	free(b->figures);
	pp_index_done(&b->index);
}

static uint64_t hash_selected(const struct pp_selected *e)
{
	return pp_mix(pp_mix(e->process << 32 ^ e->attributes) ^ ((uint64_t)e->node << 8 | e->end));
}

static uint64_t hash_row(const void *table, uint32_t row)
{
	const struct pp_selection *s = table;

	return hash_selected(&s->entries[row]);
}

static bool equal_row(const void *table, uint32_t row, const void *key)
{
	const struct pp_selection *s = table;
	const struct pp_selected *a = &s->entries[row], *b = key;

	return a->node == b->node && a->process == b->process && a->attributes == b->attributes &&
	       a->end == b->end;
}

/* Our node of `frame` under `parent`, with its figures. */
static int child(struct builder *b, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	struct pp_selection *s = b->s;
	uint32_t shown = pp_frame_shown(s->store, frame, s->kernel);
	const struct pp_frame *f = pp_frames_describe(s->store->frames, shown);
	struct figures figures = b->figures[parent];
	int r;

	if (pp_frames_final(s->store->frames, frame) == PP_FRAME_SHIM) {
		*ret = parent;
		return 0;
	}
	if (s->kernel == PP_KERNEL_HIDDEN && f->kind == PP_KIND_KERNEL && parent &&
	    pp_stacks_node(s->stacks, parent).frame == shown) {
		*ret = parent;
		return 0;
	}
	r = pp_stacks_child(s->stacks, parent, shown, ret);
	if (r < 0)
		return r;
	r = pp_array_reserve((void **)&b->figures, sizeof(*b->figures), &b->figures_cap, *ret);
	if (r < 0)
		return r;
	if (f->kind == PP_KIND_PYTHON) {
		figures.python++;
		figures.named += f->name != 0;
	}
	b->figures[*ret] = figures;
	return 0;
}

static int map_node(struct builder *b, uint32_t node, uint32_t *ret)
{
	uint32_t path[PP_STACK_FRAMES_MAX], ours = 0;
	size_t nr = 0;

	for (uint32_t n = node; n; n = pp_stacks_node(b->s->store->stacks, n).parent) {
		if (b->mapped[n]) {
			ours = b->mapped[n] - 1;
			break;
		}
		if (nr == ARRAY_SIZE(path))
			return -ENOSPC;
		path[nr++] = n;
	}
	while (nr--) {
		uint32_t frame = pp_stacks_node(b->s->store->stacks, path[nr]).frame;
		int r = child(b, ours, frame, &ours);

		if (r < 0)
			return r;
		b->mapped[path[nr]] = ours + 1;
	}
	*ret = ours;
	return 0;
}

/* The same of a set of attributes, whose frames are shown to everybody. */
static int map_attributes(struct builder *b, uint32_t attributes, uint32_t *ret)
{
	struct pp_node n;
	uint32_t parent;
	int r;

	*ret = PP_ATTRIBUTES_NONE;
	if (!attributes)
		return 0;
	if (b->mapped[attributes]) {
		*ret = b->mapped[attributes] - 1;
		return 0;
	}
	n = pp_stacks_node(b->s->store->stacks, attributes);
	r = map_attributes(b, n.parent, &parent);
	if (r >= 0)
		r = pp_stacks_child(b->s->stacks, parent,
				    pp_frames_final(b->s->store->frames, n.frame), ret);
	if (r >= 0)
		b->mapped[attributes] = *ret + 1;
	return r;
}

static bool fits(const struct builder *b, uint32_t attributes)
{
	const struct pp_query *q = b->query;
	struct pp_attributes a;

	if (!q->fits)
		return true;
	a = pp_attributes_read(b->s->store, b->s->stacks, attributes);
	return q->fits(q->userdata, b->s->store, &a);
}

static int verdict(struct builder *b, uint64_t process, enum pp_want *ret)
{
	struct pp_profile_info *info = &b->s->info;
	uint64_t known;
	int r;

	if (pp_u64map_get(&b->verdicts, process, &known)) {
		*ret = (enum pp_want)known;
		return 0;
	}
	*ret = b->query->want ? b->query->want(b->query->userdata, process) : PP_WANT_YES;
	r = pp_u64map_put(&b->verdicts, process, *ret);
	if (r < 0)
		return r;
	info->hidden += *ret == PP_WANT_HIDDEN;
	return 0;
}

static int merge(struct builder *b, const struct pp_entry *e, uint32_t node, uint32_t attributes)
{
	struct pp_selection *s = b->s;
	struct pp_selected key = {
		.process = e->process, .node = node, .attributes = attributes, .end = e->end
	};
	uint64_t hash = hash_selected(&key);
	const uint32_t *slot = pp_index_find(&b->index, hash, equal_row, s, &key);
	uint32_t row;
	int r;

	if (slot && *slot) {
		row = *slot - 1;
	} else {
		row = b->index.count;
		r = pp_array_reserve((void **)&s->entries, sizeof(*s->entries), &b->entries_cap,
				     row);
		if (r < 0)
			return r;
		r = pp_index_reserve(&b->index, (size_t)row + 1, hash_row, s);
		if (r < 0)
			return r;
		pp_index_put(&b->index, hash, row, hash_row, s);
		s->entries[row] = key;
		s->nr = b->index.count;
	}
	s->entries[row].samples += e->samples;
	s->entries[row].cpu_ns += e->cpu_ns;
	return 0;
}

static int select_entry(struct builder *b, const struct pp_entry *e)
{
	struct pp_profile_info *info = &b->s->info;
	uint32_t node, attributes;
	enum pp_want want;
	int r;

	r = verdict(b, e->process, &want);
	if (r < 0 || want != PP_WANT_YES)
		return r;
	r = map_attributes(b, e->attributes, &attributes);
	if (r < 0 || !fits(b, attributes))
		return r;
	r = map_node(b, e->node, &node);
	if (r < 0)
		return r;
	r = merge(b, e, node, attributes);
	if (r < 0)
		return r;
	info->samples += e->samples;
	info->complete += pp_end_complete(e->end) ? e->samples : 0;
	info->cpu_ns += e->cpu_ns;
	info->python_frames += (uint64_t)b->figures[node].python * e->samples;
	info->python_named += (uint64_t)b->figures[node].named * e->samples;
	return 0;
}

static int select_window(struct builder *b, const struct pp_window *w)
{
	struct pp_profile_info *info = &b->s->info;

	if (!info->start_wall_ns)
		info->start_wall_ns = w->start_ns + (uint64_t)w->wall_offset_ns;
	info->end_wall_ns = w->end_ns + (uint64_t)w->wall_offset_ns;
	info->lost += w->lost;
	for (size_t i = 0; i < w->counts.nr; i++) {
		int r = select_entry(b, &w->counts.entries[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int select_all(struct builder *b, const struct pp_profile *p)
{
	struct pp_store *store = b->s->store;
	size_t last = pp_profile_windows(p) - 1;
	int r;

	b->mapped = calloc(pp_stacks_bound(store->stacks), sizeof(*b->mapped));
	if (!b->mapped)
		return -ENOMEM;
	r = pp_array_reserve((void **)&b->figures, sizeof(*b->figures), &b->figures_cap, 0);
	if (r < 0)
		return r;
	b->figures[0] = (struct figures){ 0 };
	for (size_t i = 0; i <= last; i++) {
		const struct pp_window *w = pp_profile_window(p, i);

		/* The open one always counts: a selection covers some span, if an empty one. */
		if (i < last && b->query->since_ns && w->end_ns <= b->query->since_ns)
			continue;
		r = select_window(b, w);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A process's samples lie together, and stacks beside their like: it costs little here, and makes
 * what is written from it smaller. */
static int compare(const void *a, const void *b)
{
	const struct pp_selected *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	if (x->attributes != y->attributes)
		return x->attributes < y->attributes ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

/* How many processes the entries, which are in order, are of. */
static uint64_t count_processes(const struct pp_selection *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->nr; i++)
		n += !i || s->entries[i].process != s->entries[i - 1].process;
	return n;
}

int pp_selection_new(struct pp_selection **ret, const struct pp_profile *p,
		     const struct pp_query *query)
{
	_cleanup_(pp_selection_freep) struct pp_selection *s = calloc(1, sizeof(*s));
	_cleanup_(builder_done) struct builder b = { .query = query };
	int r;

	if (!s)
		return -ENOMEM;
	s->store = pp_profile_store(p);
	s->kernel = query->kernel;
	r = pp_stacks_new(&s->stacks, PP_STORE_NODES_MAX);
	if (r < 0)
		return r;
	b.s = s;
	r = select_all(&b, p);
	if (r < 0)
		return r;
	if (s->nr)
		qsort(s->entries, s->nr, sizeof(*s->entries), compare);
	s->info.processes = count_processes(s);
	*ret = TAKE_PTR(s);
	return 0;
}

struct pp_selection *pp_selection_free(struct pp_selection *s)
{
	if (!s)
		return NULL;
	pp_stacks_free(s->stacks);
	free(s->entries);
	free(s);
	return NULL;
}
