/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a forked child sees of its parent's map.
 *
 * A child whose parent was not read up to the fork waits in the parent's list. When the parent is,
 * the child takes its view, and children that wait for that child may have theirs in turn; that
 * goes round by a work list, since a chain of forks may be as long as it likes.
 */
#include "python/pymap_private.h"

#include "base/counters.h"

void pp_pymap_stop_waiting(struct pp_pymap *p)
{
	if (!p->parent)
		return;
	if (p->older)
		p->older->younger = p->younger;
	else
		p->parent->waiting = p->younger;
	if (p->younger)
		p->younger->older = p->older;
	p->parent = p->older = p->younger = NULL;
}

static void start_waiting(struct pp_pymap *p, struct pp_pymap *parent)
{
	p->parent = parent;
	p->younger = parent->waiting;
	if (p->younger)
		p->younger->older = p;
	parent->waiting = p;
}

void pp_pymap_take_view(struct pp_pymap *child, struct pp_pymap *parent)
{
	if (pp_perfmap_inherit(child->map, parent->map) < 0)
		pp_count(PP_C_perfmap_forks_refused);
	child->progress++;
}

void pp_pymap_serve_children(struct pp_pymap *p, bool all)
{
	struct pp_pymap *work = p;

	p->work = NULL;
	while (work) {
		struct pp_pymap *parent = work, *child, *next;

		work = parent->work;
		for (child = parent->waiting; child; child = next) {
			next = child->younger;
			if (!all && !pp_pymap_is_settled(parent, child->fork_ns))
				continue;
			pp_pymap_stop_waiting(child);
			pp_pymap_take_view(child, parent);
			child->work = work;
			work = child;
		}
		all = false;
	}
}

int pp_pymap_fork(struct pp_pymap *p, struct pp_pymap *child, uint64_t fork_ns)
{
	child->fork_ns = fork_ns;
	child->forked = true;
	pp_remaps_fork(&child->remaps, &p->remaps);
	if (pp_pymap_is_settled(p, fork_ns)) {
		int r = pp_perfmap_inherit(child->map, p->map);

		if (r < 0)
			pp_count(PP_C_perfmap_forks_refused);
		return r;
	}
	p->need_ns = MAX(p->need_ns, fork_ns + (p->dump ? PP_PYMAP_FORK_FLUSH_NS : 0));
	start_waiting(child, p);
	return 0;
}
