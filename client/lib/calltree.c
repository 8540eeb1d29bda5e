/* SPDX-License-Identifier: GPL-2.0-only */
/* The merged tree of stacks. */
#include "calltree.h"

#include "base/array.h"

#include <string.h>

int pp_calltree_new(struct pp_calltree **ret)
{
	_cleanup_(pp_calltree_freep) struct pp_calltree *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = pp_array_grow(&t->nodes, &t->nodes_cap, 1, sizeof(*t->nodes), PP_PROFILE_NODES_MAX);
	if (r < 0)
		return r;
	t->nodes[t->nr_nodes++] = (struct pp_calltree_node){ 0 };
	*ret = TAKE_PTR(t);
	return 0;
}

struct pp_calltree *pp_calltree_free(struct pp_calltree *t)
{
	if (!t)
		return NULL;
	free(t->nodes);
	free(t->order);
	pp_u64map_done(&t->ids);
	free(t);
	return NULL;
}

static int child(struct pp_calltree *t, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	uint64_t key = (uint64_t)parent << 32 | frame, id;
	int r;

	if (pp_u64map_get(&t->ids, key, &id)) {
		*ret = (uint32_t)id;
		return 0;
	}
	r = pp_array_grow(&t->nodes, &t->nodes_cap, t->nr_nodes + 1, sizeof(*t->nodes),
			  PP_PROFILE_NODES_MAX);
	if (r >= 0)
		r = pp_u64map_put(&t->ids, key, t->nr_nodes);
	if (r < 0)
		return r;
	t->nodes[t->nr_nodes] = (struct pp_calltree_node){ .frame = frame, .parent = parent };
	*ret = (uint32_t)t->nr_nodes++;
	return 0;
}

int pp_calltree_add(struct pp_calltree *t, const uint32_t *frames, size_t nr, uint64_t weight)
{
	uint32_t n = 0;
	int r;

	t->nodes[0].total += weight;
	for (size_t i = 0; i < nr; i++) {
		r = child(t, n, frames[i], &n);
		if (r < 0)
			return r;
		t->nodes[n].total += weight;
	}
	t->nodes[n].self += weight;
	return 0;
}

int pp_frame_compare(const struct pp_profile *p, uint32_t a, uint32_t b)
{
	const struct pp_frame *f = &p->frames[a], *g = &p->frames[b];
	int r;

	r = strcmp(pp_profile_text(p, f->name), pp_profile_text(p, g->name));
	if (!r)
		r = strcmp(pp_profile_text(p, f->file), pp_profile_text(p, g->file));
	if (!r)
		r = strcmp(pp_profile_text(p, f->module), pp_profile_text(p, g->module));
	if (!r && f->line != g->line)
		r = f->line < g->line ? -1 : 1;
	return r ?: (int)f->kind - (int)g->kind;
}

struct order {
	const struct pp_calltree *t;
	const struct pp_profile *p;
};

static int by_parent_and_weight(const void *va, const void *vb, void *arg)
{
	const struct order *o = arg;
	const struct pp_calltree_node *a = &o->t->nodes[*(const uint32_t *)va];
	const struct pp_calltree_node *b = &o->t->nodes[*(const uint32_t *)vb];

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return pp_frame_compare(o->p, a->frame, b->frame);
}

int pp_calltree_sort(struct pp_calltree *t, const struct pp_profile *p)
{
	size_t nr = t->nr_nodes - 1;

	free(t->order);
	t->order = calloc(nr ?: 1, sizeof(*t->order));
	if (!t->order)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		t->order[i] = (uint32_t)i + 1;
	qsort_r(t->order, nr, sizeof(*t->order), by_parent_and_weight, &(struct order){ t, p });
	for (size_t i = 0; i < t->nr_nodes; i++)
		t->nodes[i].nr_children = 0;
	for (size_t i = 0; i < nr; i++) {
		struct pp_calltree_node *parent = &t->nodes[t->nodes[t->order[i]].parent];

		if (!parent->nr_children++)
			parent->first = (uint32_t)i;
	}
	return 0;
}
