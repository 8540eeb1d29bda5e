/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stacks as a tree: a node is a frame called by its parent node, so stacks share what they have in
 * common from the root on, and one number stands for a whole stack. Node 0 is above every root.
 * Eight bytes a node and about seven for finding it.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

/* A path is never longer: what one sample can hold. */
#define PP_STACK_FRAMES_MAX (PP_USER_FRAMES_MAX + PP_KERNEL_FRAMES_MAX + PP_PYTHON_FRAMES_MAX)

struct pp_node {
	uint32_t parent, frame;
};

struct pp_stacks;

int pp_stacks_new(struct pp_stacks **ret, size_t max);
struct pp_stacks *pp_stacks_free(struct pp_stacks *s);
PP_DEFINE_CLEANUP(struct pp_stacks *, pp_stacks_free)

/* The node of `frame` under `parent` (0: a root). Returns 0, -ENOSPC (limit; counted) or -ENOMEM.
 */
int pp_stacks_child(struct pp_stacks *s, uint32_t parent, uint32_t frame, uint32_t *ret);
/* The node of a whole stack, root first. */
int pp_stacks_get(struct pp_stacks *s, const uint32_t *frames, size_t nr, uint32_t *ret);
/* The same, faster where it has much in common with the stack of `near`, a node that was got since
 * the last collection ended; 0: none is known. */
int pp_stacks_get_near(struct pp_stacks *s, uint32_t near, const uint32_t *frames, size_t nr,
		       uint32_t *ret);

/* { 0, 0 } for node 0 and for a number that is not in use. */
struct pp_node pp_stacks_node(const struct pp_stacks *s, uint32_t id);
/* The stack's frames, leaf first, at most max of them; returns how many. */
size_t pp_stacks_path(const struct pp_stacks *s, uint32_t id, uint32_t *frames, size_t max);

size_t pp_stacks_count(const struct pp_stacks *s);
size_t pp_stacks_bytes(const struct pp_stacks *s);
uint32_t pp_stacks_bound(const struct pp_stacks *s); /* every id is below */

/*
 * Collection (see store.h), over many turns. From pp_stacks_collect on, nodes that are asked for
 * are marked, and their frames passed through `keep`. Holders mark what they have; then
 * pp_stacks_sweep goes through all nodes, some at a time: a kept one's frame becomes what keep()
 * says is its final number, a dead one is not found any more. It returns whether there are more.
 * pp_stacks_collected frees the dead.
 */
typedef uint32_t (*pp_stacks_keep_fn)(void *userdata, uint32_t frame);
void pp_stacks_collect(struct pp_stacks *s, pp_stacks_keep_fn keep, void *userdata);
void pp_stacks_mark(struct pp_stacks *s, uint32_t id); /* and all its parents */
bool pp_stacks_sweep(struct pp_stacks *s, uint32_t nodes);
void pp_stacks_collected(struct pp_stacks *s);
bool pp_stacks_is_live(const struct pp_stacks *s, uint32_t id);
