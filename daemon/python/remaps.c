/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/remaps.h"

#include "base/array.h"

#include <string.h>

void pp_remaps_done(struct pp_remaps *r)
{
	free(r->spans);
	free(r->list);
	*r = (struct pp_remaps){ 0 };
}

/* ---- Spans ----------------------------------------------------------------------------------- */

/* The first span that ends behind start. */
static uint32_t search(const struct pp_remaps *r, uint64_t start)
{
	uint32_t low = 0, high = r->nr_spans;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (r->spans[middle].end <= start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct pp_remaps *r, uint32_t n)
{
	return pp_array_grow(&r->spans, &r->cap_spans, r->nr_spans + n, sizeof(*r->spans),
			     PP_SPANS_MAX);
}

/* Puts [start, end) in place of what overlaps it; of that, what sticks out stays. */
static void replace(struct pp_remaps *r, uint64_t start, uint64_t end)
{
	struct pp_span pieces[3];
	uint32_t i = search(r, start), j = i, n = 0;

	if (make_room(r, ARRAY_SIZE(pieces) - 1) < 0) {
		r->forgot = true;
		return;
	}
	while (j < r->nr_spans && r->spans[j].start < end)
		j++;
	if (i < j && r->spans[i].start < start)
		pieces[n++] = (struct pp_span){ r->spans[i].start, start };
	pieces[n++] = (struct pp_span){ start, end };
	if (i < j && r->spans[j - 1].end > end)
		pieces[n++] = (struct pp_span){ end, r->spans[j - 1].end };
	memmove(&r->spans[i + n], &r->spans[j], (r->nr_spans - j) * sizeof(*r->spans));
	memcpy(&r->spans[i], pieces, n * sizeof(*pieces));
	r->nr_spans = r->nr_spans - (j - i) + n;
}

/* What is new of [start, end): narrows it; whether that was known before. */
static bool narrow(const struct pp_remaps *r, uint64_t *start, uint64_t *end)
{
	uint64_t at = *start, first = UINT64_MAX, last = 0;

	for (uint32_t i = search(r, at); i < r->nr_spans && r->spans[i].start < *end; i++) {
		const struct pp_span *s = &r->spans[i];

		if (s->start < *start || s->end > *end)
			return true;
		if (s->start > at) {
			first = MIN(first, at);
			last = s->start;
		}
		at = s->end;
	}
	if (at < *end) {
		first = MIN(first, at);
		last = *end;
	}
	if (first > last) /* all of it was known */
		return true;
	*start = first;
	*end = last;
	return false;
}

/* ---- Remappings ------------------------------------------------------------------------------ */

static void remember(struct pp_remaps *r, uint64_t start, uint64_t end, uint64_t at_ns, bool reused)
{
	struct pp_remap *last = r->nr ? &r->list[r->nr - 1] : NULL;

	/* One that grows. */
	if (last && !reused && !last->reused && (last->start == end || last->end == start)) {
		last->start = MIN(last->start, start);
		last->end = MAX(last->end, end);
		return;
	}
	if (!r->list)
		r->list = malloc(PP_REMAPS_MAX * sizeof(*r->list));
	if (!r->list) {
		r->forgot = true;
		return;
	}
	if (r->nr == PP_REMAPS_MAX) {
		memmove(r->list, r->list + 1, --r->nr * sizeof(*r->list));
		r->forgot = true;
	}
	r->list[r->nr++] = (struct pp_remap){ start, end, at_ns, reused };
}

void pp_remaps_seen(struct pp_remaps *r, uint64_t start, uint64_t end)
{
	replace(r, start, end);
}

bool pp_remaps_add(struct pp_remaps *r, uint64_t start, uint64_t end, uint64_t at_ns)
{
	uint64_t from = start, to = end;
	bool reused = narrow(r, &from, &to);

	if (reused || r->keep_all)
		remember(r, from, to, at_ns, reused);
	replace(r, start, end);
	return reused;
}

void pp_remaps_fork(struct pp_remaps *child, const struct pp_remaps *parent)
{
	child->keep_all = true;
	child->forgot = parent->forgot;
	if (!parent->nr_spans)
		return;
	child->spans = malloc(parent->nr_spans * sizeof(*child->spans));
	if (!child->spans) {
		child->forgot = true;
		return;
	}
	memcpy(child->spans, parent->spans, parent->nr_spans * sizeof(*child->spans));
	child->nr_spans = child->cap_spans = parent->nr_spans;
}

const struct pp_remap *pp_remaps_at(const struct pp_remaps *r, uint64_t address, uint64_t time_ns)
{
	for (uint32_t i = r->nr; i > 0; i--) {
		const struct pp_remap *m = &r->list[i - 1];

		if (m->at_ns <= time_ns && address >= m->start && address < m->end)
			return m;
	}
	return NULL;
}

uint64_t pp_remaps_after(const struct pp_remaps *r, uint64_t address, uint64_t time_ns)
{
	for (uint32_t i = 0; i < r->nr; i++) {
		const struct pp_remap *m = &r->list[i];

		if (m->at_ns > time_ns && address >= m->start && address < m->end)
			return m->at_ns;
	}
	return UINT64_MAX;
}
