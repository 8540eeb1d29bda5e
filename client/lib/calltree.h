/* SPDX-License-Identifier: GPL-2.0-only */
/* Stacks merged from a common root: who called whom, and what each path cost. */
#pragma once

#include "view.h"

struct pp_calltree_node {
	uint32_t frame, parent;
	uint32_t first, nr_children; /* range of order[], heaviest first; valid once sorted */
	uint64_t total, self;	     /* weights: with and without the callees */
};

/* Node 0 is above all roots; its total is that of the tree. */
struct pp_calltree {
	struct pp_calltree_node *nodes;
	size_t nr_nodes;
	uint32_t *order; /* nodes, siblings together */

	/* private to calltree.c */
	size_t nodes_cap;
	struct pp_u64map ids;
};

int pp_calltree_new(struct pp_calltree **ret);
struct pp_calltree *pp_calltree_free(struct pp_calltree *t);
PP_DEFINE_CLEANUP(struct pp_calltree *, pp_calltree_free)

/* Adds one stack, root first. Returns 0, -ENOSPC or -ENOMEM. */
int pp_calltree_add(struct pp_calltree *t, const uint32_t *frames, size_t nr, uint64_t weight);

/* To be called when everything has been added, before children are looked at. Siblings of one
 * weight are in the order of their names. */
int pp_calltree_sort(struct pp_calltree *t, const struct pp_profile *p);

/* Orders two frames by what they show: name, file, module, line. */
int pp_frame_compare(const struct pp_profile *p, uint32_t a, uint32_t b);
