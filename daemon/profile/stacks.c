/* SPDX-License-Identifier: GPL-2.0-only */
#include "stacks.h"

#include "base/counters.h"
#include "base/u64map.h"
#include "ids.h"
#include "index.h"

/* Nodes whose index is rebuilt in one go: a few milliseconds. */
#define REBUILD_MAX (64U * 1024)

struct pp_stacks {
	struct pp_node *nodes; /* nodes[0] stands above the roots */
	uint32_t nodes_cap;
	size_t max;
	struct pp_ids ids;
	struct pp_index index;
	/* While a collection goes on. */
	pp_stacks_keep_fn keep; /* NULL: none does */
	void *keep_userdata;
	uint32_t swept; /* every number below has been looked at */
};

static uint64_t hash_node(const struct pp_node *n)
{
	return pp_mix((uint64_t)n->parent << 32 | n->frame);
}

static uint64_t hash_row(const void *table, uint32_t id)
{
	const struct pp_stacks *s = table;

	return hash_node(&s->nodes[id]);
}

static bool equal_row(const void *table, uint32_t id, const void *key)
{
	const struct pp_stacks *s = table;
	const struct pp_node *n = key;

	return s->nodes[id].parent == n->parent && s->nodes[id].frame == n->frame;
}

static int add(struct pp_stacks *s, struct pp_node node, uint32_t *ret)
{
	uint32_t id;
	int r;

	r = pp_array_reserve((void **)&s->nodes, sizeof(*s->nodes), &s->nodes_cap, s->ids.bound);
	if (r < 0)
		return r;
	r = pp_ids_take(&s->ids, s->max, &id);
	if (r < 0)
		return r;
	s->nodes[id] = node;
	*ret = id;
	return 0;
}

int pp_stacks_new(struct pp_stacks **ret, size_t max)
{
	struct pp_stacks *s = calloc(1, sizeof(*s));
	uint32_t top;
	int r;

	if (!s)
		return -ENOMEM;
	s->max = MIN(max, (size_t)UINT32_MAX - 1) + 1; /* and the one above */
	r = add(s, (struct pp_node){ 0 }, &top);
	if (r < 0) {
		pp_stacks_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct pp_stacks *pp_stacks_free(struct pp_stacks *s)
{
	if (!s)
		return NULL;
	free(s->nodes);
	pp_ids_done(&s->ids);
	pp_index_done(&s->index);
	free(s);
	return NULL;
}

/* Whoever is given a node may keep it, where the collection that goes on has been already. */
static void touch(struct pp_stacks *s, uint32_t id, uint32_t frame)
{
	if (!s->keep)
		return;
	pp_stacks_mark(s, id);
	s->keep(s->keep_userdata, frame);
}

int pp_stacks_child(struct pp_stacks *s, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	struct pp_node node = { parent, frame };
	uint64_t hash = hash_node(&node);
	const uint32_t *slot = pp_index_find(&s->index, hash, equal_row, s, &node);
	int r;

	if (slot && *slot) {
		*ret = *slot - 1;
		touch(s, *ret, frame);
		return 0;
	}
	r = pp_index_reserve(&s->index, (size_t)s->index.count + 1, hash_row, s);
	if (r < 0)
		return r;
	r = add(s, node, ret);
	if (r == -ENOSPC)
		pp_count(PP_C_stacks_refused);
	if (r < 0)
		return r;
	pp_index_put(&s->index, hash, *ret, hash_row, s);
	touch(s, *ret, frame);
	return 0;
}

/* The node of the frames that the stack of `near` begins with, and in *ret_nr their number: from
 * its leaf on, what is behind a frame that differs is not in common. */
static uint32_t common(const struct pp_stacks *s, uint32_t near, const uint32_t *frames, size_t nr,
		       size_t *ret_nr)
{
	uint32_t node = near;
	size_t depth = 0;

	for (uint32_t id = near; id; id = s->nodes[id].parent)
		depth++;
	for (; depth > nr; depth--)
		node = s->nodes[node].parent;
	*ret_nr = depth;
	near = node;
	for (; depth; depth--) {
		struct pp_node n = s->nodes[node];

		node = n.parent;
		if (n.frame == frames[depth - 1])
			continue;
		near = node;
		*ret_nr = depth - 1;
	}
	return near;
}

int pp_stacks_get_near(struct pp_stacks *s, uint32_t near, const uint32_t *frames, size_t nr,
		       uint32_t *ret)
{
	uint32_t node = 0;
	size_t i = 0;

	/* While a collection goes on, each node has to be touched. */
	if (near && !s->keep && pp_ids_is_live(&s->ids, near))
		node = common(s, near, frames, nr, &i);
	for (; i < nr; i++) {
		int r = pp_stacks_child(s, node, frames[i], &node);

		if (r < 0)
			return r;
	}
	*ret = node;
	return 0;
}

int pp_stacks_get(struct pp_stacks *s, const uint32_t *frames, size_t nr, uint32_t *ret)
{
	return pp_stacks_get_near(s, 0, frames, nr, ret);
}

struct pp_node pp_stacks_node(const struct pp_stacks *s, uint32_t id)
{
	return s->nodes[pp_ids_is_live(&s->ids, id) ? id : 0];
}

size_t pp_stacks_path(const struct pp_stacks *s, uint32_t id, uint32_t *frames, size_t max)
{
	size_t nr = 0;

	if (!pp_ids_is_live(&s->ids, id))
		return 0;
	for (; id && nr < max; id = s->nodes[id].parent)
		frames[nr++] = s->nodes[id].frame;
	return nr;
}

size_t pp_stacks_count(const struct pp_stacks *s)
{
	return s->ids.count - 1;
}

size_t pp_stacks_bytes(const struct pp_stacks *s)
{
	return s->nodes_cap * sizeof(*s->nodes) + pp_ids_bytes(&s->ids) + pp_index_bytes(&s->index);
}

uint32_t pp_stacks_bound(const struct pp_stacks *s)
{
	return s->ids.bound;
}

void pp_stacks_mark(struct pp_stacks *s, uint32_t id)
{
	while (id && pp_ids_mark(&s->ids, id))
		id = s->nodes[id].parent;
}

void pp_stacks_collect(struct pp_stacks *s, pp_stacks_keep_fn keep, void *userdata)
{
	s->keep = keep;
	s->keep_userdata = userdata;
	s->swept = 1;
	pp_ids_mark(&s->ids, 0);
}

/* Where two equal nodes live, only one of them is to be found. */
static void forget(struct pp_stacks *s, uint32_t id)
{
	const struct pp_node *node = &s->nodes[id];
	const uint32_t *slot = pp_index_find(&s->index, hash_node(node), equal_row, s, node);

	if (slot && *slot == id + 1)
		pp_index_remove(&s->index, hash_node(node), id, hash_row, s);
}

/*
 * Two kept nodes may have become equal, where their frames turned out to be one: both stay, as both
 * are referred to, and only one of them is found from now on.
 */
static void keep(struct pp_stacks *s, uint32_t id)
{
	struct pp_node node = s->nodes[id];
	const uint32_t *slot;

	node.frame = s->keep(s->keep_userdata, node.frame);
	if (node.frame == s->nodes[id].frame)
		return;
	forget(s, id);
	s->nodes[id] = node;
	slot = pp_index_find(&s->index, hash_node(&node), equal_row, s, &node);
	if (!slot || !*slot)
		pp_index_put(&s->index, hash_node(&node), id, hash_row, s);
}

bool pp_stacks_sweep(struct pp_stacks *s, uint32_t nodes)
{
	uint32_t end = MIN(s->ids.bound, s->swept + nodes);

	for (; s->swept < end; s->swept++) {
		if (!pp_ids_is_live(&s->ids, s->swept))
			continue;
		if (pp_ids_is_marked(&s->ids, s->swept))
			keep(s, s->swept);
		else
			forget(s, s->swept);
	}
	return s->swept < s->ids.bound;
}

/* A table that shrank is made anew where that takes no time to speak of. */
static void shrink_index(struct pp_stacks *s)
{
	if (s->index.count >= s->index.cap / 8 || s->index.count > REBUILD_MAX)
		return;
	pp_index_reset(&s->index, s->ids.count);
	for (uint32_t id = 1; id < s->ids.bound; id++) {
		const uint32_t *slot;

		if (!pp_ids_is_live(&s->ids, id))
			continue;
		slot = pp_index_find(&s->index, hash_row(s, id), equal_row, s, &s->nodes[id]);
		if (!slot || !*slot)
			pp_index_put(&s->index, hash_row(s, id), id, hash_row, s);
	}
}

void pp_stacks_collected(struct pp_stacks *s)
{
	s->keep = NULL;
	pp_ids_sweep(&s->ids);
	shrink_index(s);
	pp_array_trim((void **)&s->nodes, sizeof(*s->nodes), &s->nodes_cap, s->ids.bound);
}

bool pp_stacks_is_live(const struct pp_stacks *s, uint32_t id)
{
	return pp_ids_is_live(&s->ids, id);
}
