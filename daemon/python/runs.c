/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/runs.h"

#include <string.h>

/* A run of so many entries that lies behind the one below is joined to it whatever their sizes: it
 * costs no copy of what is below. A shorter one waits, since realloc may copy after all. */
#define APPEND_MIN 4096

void pp_runs_done(struct pp_runs *rs)
{
	for (uint32_t i = 0; i < rs->nr; i++)
		pp_run_unref(rs->runs[i]);
	*rs = (struct pp_runs){ 0 };
}

static int merge(struct pp_run **older, struct pp_run **newer)
{
	struct pp_run *merged;
	int r;

	if (pp_run_can_append(*older, *newer)) {
		r = pp_run_append(older, *newer);
	} else {
		r = pp_run_merge(&merged, *older, *newer);
		if (r == 0) {
			pp_run_unref(*older);
			*older = merged;
		}
	}
	if (r == 0)
		*newer = pp_run_unref(*newer);
	return r;
}

/* Whether the newest run is to be merged with the one below: while that is less than twice as long,
 * each entry is copied log2(entries) times in its life. */
static bool is_due(const struct pp_runs *rs, const struct pp_run *older, const struct pp_run *newer)
{
	return older->len / 2 < newer->len || rs->nr >= PP_RUNS_MAX - 1 ||
	       (newer->len >= APPEND_MIN && pp_run_can_append(older, newer));
}

void pp_runs_push(struct pp_runs *rs, struct pp_run *run)
{
	struct pp_run **top;

	rs->runs[rs->nr++] = run;
	while (rs->nr >= rs->nr_inherited + 2) {
		top = &rs->runs[rs->nr - 2];
		/* Without memory for it they serve as they are. */
		if (!is_due(rs, top[0], top[1]) || merge(&top[0], &top[1]) < 0)
			break;
		rs->nr--;
	}
}

int pp_runs_inherit(struct pp_runs *child, const struct pp_runs *parent)
{
	if (parent->nr > PP_RUNS_INHERITED_MAX || child->nr + parent->nr >= PP_RUNS_MAX)
		return -ENOSPC;
	memmove(child->runs + parent->nr, child->runs, child->nr * sizeof(*child->runs));
	for (uint32_t i = 0; i < parent->nr; i++)
		child->runs[i] = pp_run_ref(parent->runs[i]);
	child->nr += parent->nr;
	child->nr_inherited = parent->nr;
	return 0;
}

const struct pp_piece *pp_runs_find(const struct pp_runs *rs, uint64_t address,
				    const struct pp_run **ret_run)
{
	for (uint32_t i = rs->nr; i > 0; i--) {
		const struct pp_piece *piece = pp_run_find(rs->runs[i - 1], address);

		if (piece) {
			*ret_run = rs->runs[i - 1];
			return piece;
		}
	}
	return NULL;
}

bool pp_runs_is_inherited(const struct pp_runs *rs, const struct pp_run *run)
{
	for (uint32_t i = 0; i < rs->nr_inherited; i++)
		if (rs->runs[i] == run)
			return true;
	return false;
}

size_t pp_runs_memory(const struct pp_runs *rs)
{
	size_t n = 0;

	for (uint32_t i = rs->nr_inherited; i < rs->nr; i++)
		n += pp_run_memory(rs->runs[i]);
	return n;
}

size_t pp_runs_pieces(const struct pp_runs *rs)
{
	size_t n = 0;

	for (uint32_t i = rs->nr_inherited; i < rs->nr; i++)
		n += rs->runs[i]->len;
	return n;
}

size_t pp_runs_count(const struct pp_runs *rs, uint64_t start, uint64_t end, uint64_t *ret_first)
{
	size_t n = 0;

	for (uint32_t i = rs->nr_inherited; i < rs->nr; i++) {
		const struct pp_run *run = rs->runs[i];
		uint32_t from = pp_run_from(run, start), to = pp_run_from(run, end);

		if (from < to)
			*ret_first = run->pieces[from].start;
		n += to > from ? to - from : 0;
	}
	return n;
}
