/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An address is a code object's only as long as that lives: modules' bodies are freed when they
 * have run, and a program that makes functions gets the same addresses again and again. So
 *
 * - a name is asked for at the end of the drain that brought its first sample, and the reader
 *   refuses it where the position does not lie in the code that it finds, and where that was made
 *   after the sample. Versions and builds that do not tell when it was made may so get, at the
 *   first sight of an address, the name of who is there next; each address where nothing excludes
 *   that is counted (codes_unproven);
 * - what samples have touched is looked at again now and then (codes_ask.c). Where another code
 *   object is found, all that was kept for the address is forgotten, and the process is looked at
 *   more often.
 *
 * Between two such looks a sample may get the name of the function that was there before; each
 * address where that may have been is counted (codes_replaced).
 */
#include "codes_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "profile/store.h"

#include <string.h>

/* Frames of one process that may wait for names: the deepest stack of each of many threads. */
#define PENDING_MAX 8192

#define MODULE "[python]"

int pp_codes_new(struct pp_codes **ret, struct pp_reader *reader, struct pp_store *store)
{
	struct pp_codes *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->reader = reader;
	cs->store = store;
	*ret = cs;
	return 0;
}

struct pp_codes *pp_codes_free(struct pp_codes *cs)
{
	free(cs);
	return NULL;
}

/* ---- Lives ----------------------------------------------------------------------------------- */

static struct pp_coded *get_coded(struct pp_codes *cs, struct pp_process *p)
{
	struct pp_coded *c = p->codes;

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->process = p;
	c->round = 1;
	c->allowance = PP_CODES_ALLOWANCE_MAX;
	c->refilled_ns = pp_now_ns();
	c->older = cs->newest;
	if (c->older)
		c->older->newer = c;
	cs->newest = c;
	p->codes = c;
	return c;
}

void pp_codes_gone(struct pp_codes *cs, struct pp_process *p)
{
	struct pp_coded *c = p->codes;

	if (!c)
		return;
	if (c->newer)
		c->newer->older = c->older;
	else
		cs->newest = c->older;
	if (c->older)
		c->older->newer = c->newer;
	pp_coded_give_up(cs, c);
	pp_code_cache_unref(c->cache);
	free(c->pending);
	free(c->marks);
	free(c->sampled);
	free(c);
	p->codes = NULL;
}

int pp_codes_runtime(struct pp_codes *cs, struct pp_process *p,
		     const struct pp_code_runtime *runtime)
{
	const struct pp_code_offsets *layout =
		pp_code_offsets_find(runtime->version, runtime->threaded);
	struct pp_coded *c;

	if (!layout)
		return -EOPNOTSUPP;
	c = get_coded(cs, p);
	if (!c)
		return -ENOMEM;
	/* What a child has from its parent is right for as long as its interpreter is the same. */
	if (c->layout && c->layout != layout)
		pp_coded_forget(c);
	c->layout = layout;
	c->runtime = *runtime;
	return 0;
}

void pp_codes_forked(struct pp_codes *cs, struct pp_process *parent, struct pp_process *child)
{
	struct pp_coded *from = parent->codes, *to;

	if (!from || !from->layout || child->codes || !(to = get_coded(cs, child)))
		return;
	to->runtime = from->runtime;
	to->layout = from->layout;
	to->cache = from->cache ? pp_code_cache_ref(from->cache) : NULL;
}

void pp_coded_forget(struct pp_coded *c)
{
	c->cache = pp_code_cache_unref(c->cache);
	c->serial++;
	c->nr_sampled = 0;
	if (c->marks)
		memset(c->marks, 0, c->marks_cap * sizeof(*c->marks));
}

/* The frames that names are taken from live as long as something shows them. */
static void sweep_objects(struct pp_codes *cs, struct pp_code_cache *cache)
{
	for (uint32_t i = 0; i < cache->nr; i++) {
		struct pp_code_object *o = &cache->objects[i];

		if (o->frame && !pp_frames_is_live(cs->store->frames, o->frame))
			o->frame = 0;
	}
}

void pp_codes_swept(struct pp_codes *cs)
{
	for (struct pp_coded *c = cs->newest; c; c = c->older) {
		struct pp_u64map kept = { .max = PP_CODE_FRAMES_MAX };
		uint64_t key, frame;
		size_t i = 0;

		if (!c->cache)
			continue;
		/* One that is shared is swept once for each of its holders, and loses nothing by
		 * it: what is dead is dead for all. */
		while (pp_u64map_next(&c->cache->frames, &i, &key, &frame))
			if (pp_frames_is_live(cs->store->frames, (uint32_t)frame))
				(void)pp_u64map_put(
					&kept, key,
					pp_frames_final(cs->store->frames, (uint32_t)frame));
		pp_u64map_done(&c->cache->frames);
		c->cache->frames = kept;
		sweep_objects(cs, c->cache);
	}
}

/* ---- Frames ---------------------------------------------------------------------------------- */

int pp_coded_touch(struct pp_coded *c, uint32_t index)
{
	if (index >= c->marks_cap) {
		uint32_t cap = MAX(c->marks_cap * 2, (index | 63) + 1);
		struct pp_code_mark *bigger = realloc(c->marks, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		memset(bigger + c->marks_cap, 0, (cap - c->marks_cap) * sizeof(*bigger));
		c->marks = bigger;
		c->marks_cap = cap;
	}
	if (c->marks[index].round == c->round)
		return 0;
	if (c->nr_sampled == c->sampled_cap) {
		uint32_t cap = MAX(c->sampled_cap * 2, (uint32_t)64);
		uint32_t *bigger = realloc(c->sampled, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->sampled = bigger;
		c->sampled_cap = cap;
	}
	c->sampled[c->nr_sampled++] = index;
	c->marks[index].round = c->round;
	return 0;
}

/* The code object at an address, made known if it is not. */
static int find_object(struct pp_coded *c, uint64_t code, uint32_t *ret)
{
	int r;

	if (c->cache && pp_code_cache_find(c->cache, code, ret))
		return 0;
	if (c->cache && pp_code_cache_full(c->cache)) {
		pp_count(PP_C_codes_forgotten);
		pp_coded_forget(c);
	}
	r = c->cache ? pp_code_cache_own(&c->cache) : pp_code_cache_new(&c->cache);
	return r < 0 ? r : pp_code_cache_add(c->cache, code, ret);
}

static int add_pending(struct pp_coded *c, const struct pp_pending_code *p)
{
	int r;

	if (c->nr_pending >= PENDING_MAX)
		return -ENOSPC;
	if (c->nr_pending == c->pending_cap) {
		size_t cap = MAX(c->pending_cap * 2, (size_t)16);
		struct pp_pending_code *bigger = realloc(c->pending, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->pending = bigger;
		c->pending_cap = cap;
	}
	r = pp_code_cache_own(&c->cache);
	if (r >= 0)
		r = pp_u64map_put(&c->cache->frames, p->key, p->frame);
	if (r < 0)
		return r;
	c->pending[c->nr_pending++] = *p;
	return 0;
}

/* A frame that gets its name later, or an unnamed one where there is no room for more. */
static uint32_t pending_frame(struct pp_codes *cs, struct pp_coded *c, struct pp_pending_code *p)
{
	uint32_t module;

	if (pp_strings_get(cs->store->strings, MODULE, strlen(MODULE), &module) < 0 ||
	    pp_frames_pending(cs->store->frames, PP_KIND_PYTHON, module, 0, &p->frame) < 0)
		return PP_FRAME_UNKNOWN;
	if (add_pending(c, p) < 0) {
		pp_count(PP_C_codes_refused);
		(void)pp_frames_give_up(cs->store->frames, p->frame);
	}
	return p->frame;
}

uint32_t pp_codes_frame(struct pp_codes *cs, struct pp_process *p, uint64_t code, uint64_t position,
			uint32_t next_code, uint64_t time_ns)
{
	struct pp_pending_code pending = { .item = { code, position, next_code, 0 },
					   .time_ns = time_ns };
	struct pp_coded *c = p->codes;
	uint64_t frame;
	uint32_t place;

	if (!c || !c->layout || find_object(c, code, &pending.index) < 0 ||
	    pp_coded_touch(c, pending.index) < 0)
		return PP_FRAME_UNKNOWN;
	pending.serial = c->serial;
	place = (uint32_t)(c->layout->instructions ? position - code : position);
	pending.key = pp_code_cache_key(c->cache, pending.index, place);
	if (pp_u64map_get(&c->cache->frames, pending.key, &frame))
		return (uint32_t)frame;
	return pending_frame(cs, c, &pending);
}

size_t pp_codes_pending(const struct pp_codes *cs, uint64_t time_ns)
{
	size_t n = 0;

	for (const struct pp_coded *c = cs->newest; c; c = c->older)
		for (size_t i = 0; i < c->nr_pending; i++)
			n += c->pending[i].time_ns <= time_ns;
	return n;
}

/* A position that can no longer be read is named by another of its code object, without a line. */
static bool name_by_object(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p)
{
	const struct pp_code_object *o;
	struct pp_frame known;
	uint32_t frame;

	if (!c->cache || p->serial != c->serial)
		return false;
	o = &c->cache->objects[p->index];
	if (p->key >> 32 != o->number || !o->frame)
		return false;
	known = *pp_frames_describe(cs->store->frames, o->frame);
	return pp_frames_get_line(cs->store->frames, (enum pp_kind)known.kind, known.name,
				  known.file, known.module, 0, known.first_line, &frame) == 0 &&
	       pp_frames_resolve(cs->store->frames, p->frame, frame) == 0;
}

void pp_coded_unread(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p)
{
	if (name_by_object(cs, c, p))
		return;
	pp_count(PP_C_codes_unnamed);
	(void)pp_frames_give_up(cs->store->frames, p->frame);
}

void pp_coded_give_up(struct pp_codes *cs, struct pp_coded *c)
{
	bool ours = c->nr_pending && c->cache && pp_code_cache_own(&c->cache) == 0;

	for (size_t i = 0; i < c->nr_pending; i++) {
		const struct pp_pending_code *p = &c->pending[i];

		pp_coded_unread(cs, c, p);
		if (ours && p->serial == c->serial)
			pp_u64map_del(&c->cache->frames, p->key);
	}
	c->nr_pending = 0;
}
