/* SPDX-License-Identifier: GPL-2.0-only */
#include "store.h"

#include "base/clock.h"
#include "base/counters.h"

/* Collect when the store has grown by half since the last time, but not over trifles. */
#define COLLECT_MIN (2 * MIB)

/* A collection gets so much of a turn, looked at after so many nodes. */
#define TEND_NS	    (4 * NSEC_PER_MSEC)
#define SWEEP_NODES 256

/* A table that refuses something is full: then it is time, whatever the size. */
static uint64_t refusals(void)
{
	return pp_counters[PP_C_strings_refused] + pp_counters[PP_C_frames_refused] +
	       pp_counters[PP_C_stacks_refused];
}

int pp_store_new(struct pp_store **ret)
{
	_cleanup_(pp_store_freep) struct pp_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = pp_strings_new(&s->strings, PP_STORE_STRINGS_MAX);
	if (r < 0)
		return r;
	r = pp_frames_new(&s->frames, s->strings, PP_STORE_FRAMES_MAX);
	if (r < 0)
		return r;
	r = pp_stacks_new(&s->stacks, PP_STORE_NODES_MAX);
	if (r < 0)
		return r;
	s->refusals_seen = refusals();
	*ret = TAKE_PTR(s);
	return 0;
}

struct pp_store *pp_store_free(struct pp_store *s)
{
	if (!s)
		return NULL;
	pp_stacks_free(s->stacks);
	pp_frames_free(s->frames);
	pp_strings_free(s->strings);
	free(s);
	return NULL;
}

void pp_store_hold(struct pp_store *s, struct pp_holder *holder)
{
	holder->next = s->holders;
	s->holders = holder;
}

void pp_store_drop(struct pp_store *s, struct pp_holder *holder)
{
	if (s->marking == holder) {
		s->marking = holder->next;
		s->at = (struct pp_mark){ 0 };
	}
	for (struct pp_holder **p = &s->holders; *p; p = &(*p)->next) {
		if (*p != holder)
			continue;
		*p = holder->next;
		holder->next = NULL;
		return;
	}
}

/* A kept node's frame: under its final number from now on, and kept. The number that it had stays
 * for this once: a holder may have taken it from the node after it had marked. */
static uint32_t keep_frame(void *userdata, uint32_t frame)
{
	struct pp_store *s = userdata;

	pp_frames_mark(s->frames, frame);
	return pp_frames_final(s->frames, frame);
}

static void begin(struct pp_store *s)
{
	pp_stacks_collect(s->stacks, keep_frame, s);
	s->phase = PP_STORE_MARKS;
	s->marking = s->holders;
	s->at = (struct pp_mark){ 0 };
}

static void mark_some(struct pp_store *s)
{
	struct pp_holder *h = s->marking;

	if (!h) {
		s->phase = PP_STORE_SWEEPS;
		return;
	}
	if (h->mark && h->mark(h->userdata, s, &s->at))
		return;
	s->marking = h->next;
	s->at = (struct pp_mark){ 0 };
}

/* Each table's sweep marks what its rows refer to in the next one. */
static void free_nodes_and_frames(struct pp_store *s)
{
	pp_stacks_collected(s->stacks);
	pp_strings_collect(s->strings);
	pp_frames_sweep(s->frames);
	for (struct pp_holder *h = s->holders; h; h = h->next)
		if (h->swept)
			h->swept(h->userdata, s);
	s->phase = PP_STORE_ENDS;
}

static void end(struct pp_store *s)
{
	pp_strings_sweep(s->strings);
	s->phase = PP_STORE_RESTS;
	s->bytes_kept = pp_store_bytes(s);
	s->refusals_seen = refusals();
	s->collections++;
}

bool pp_store_step(struct pp_store *s)
{
	if (s->phase == PP_STORE_RESTS)
		begin(s);
	else if (s->phase == PP_STORE_MARKS)
		mark_some(s);
	else if (s->phase == PP_STORE_ENDS)
		end(s);
	else if (!pp_stacks_sweep(s->stacks, SWEEP_NODES))
		free_nodes_and_frames(s);
	return s->phase != PP_STORE_RESTS;
}

void pp_store_collect(struct pp_store *s)
{
	while (s->phase != PP_STORE_RESTS)
		pp_store_step(s);
	while (pp_store_step(s))
		;
}

static bool is_due(const struct pp_store *s)
{
	return pp_store_bytes(s) > MAX(s->bytes_kept + s->bytes_kept / 2, (size_t)COLLECT_MIN) ||
	       refusals() != s->refusals_seen;
}

void pp_store_tend(struct pp_store *s)
{
	uint64_t until_ns;

	if (s->phase == PP_STORE_RESTS && !is_due(s))
		return;
	until_ns = pp_now_ns() + TEND_NS;
	while (pp_store_step(s) && s->phase != PP_STORE_ENDS && pp_now_ns() < until_ns)
		;
}

size_t pp_store_bytes(const struct pp_store *s)
{
	return pp_strings_bytes(s->strings) + pp_frames_bytes(s->frames) +
	       pp_stacks_bytes(s->stacks);
}

static int get_strings(struct pp_store *s, const char *name, size_t name_len, const char *file,
		       size_t file_len, const char *module, size_t module_len, uint32_t ids[3])
{
	int r;

	r = pp_strings_get(s->strings, name, name_len, &ids[0]);
	if (r >= 0)
		r = pp_strings_get(s->strings, file, file_len, &ids[1]);
	if (r >= 0)
		r = pp_strings_get(s->strings, module, module_len, &ids[2]);
	return r;
}

int pp_store_frame(struct pp_store *s, enum pp_kind kind, const char *name, size_t name_len,
		   const char *file, size_t file_len, const char *module, size_t module_len,
		   uint32_t *ret)
{
	uint32_t ids[3];
	int r;

	r = get_strings(s, name, name_len, file, file_len, module, module_len, ids);
	return r < 0 ? r : pp_frames_get(s->frames, kind, ids[0], ids[1], ids[2], ret);
}

int pp_store_python(struct pp_store *s, const char *name, size_t name_len, const char *file,
		    size_t file_len, uint32_t line, uint32_t first_line, uint32_t *ret)
{
	static const char module[] = "[python]", empty[] = "<empty>";
	uint32_t ids[3];
	int r;

	if (!name_len) {
		name = empty;
		name_len = sizeof(empty) - 1;
	}
	r = get_strings(s, name, name_len, file, file_len, module, sizeof(module) - 1, ids);
	return r < 0 ? r
		     : pp_frames_get_line(s->frames, PP_KIND_PYTHON, ids[0], ids[1], ids[2], line,
					  first_line, ret);
}

bool pp_store_keeps(void *store, uint64_t *frame)
{
	const struct pp_store *s = store;

	if (!pp_frames_is_live(s->frames, (uint32_t)*frame))
		return false;
	*frame = pp_frames_final(s->frames, (uint32_t)*frame);
	return true;
}
