/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code objects: what is asked of the reader, and what its answers prove. A process has one request
 * at a time. What waits is put in the order of the code objects, so that each is read once for all
 * that were sampled in it.
 */
#include "codes_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "profile/store.h"

#include <string.h>

/* How long after a process's end its cache is kept for samples that come late. */
#define AFTERLIFE_NS (5 * NSEC_PER_SEC)
/* There may be thousands of caches: they are measured only so often. What one grows by meanwhile is
 * little, and what a copy adds is counted at once. */
#define LOOK_NS (1 * NSEC_PER_SEC)

/* What the interpreter calls the code that it runs beneath a class's __init__ (3.13 and later): a
 * frame in the chain, and no function's. */
#define SHIM "__init__"

struct request {
	struct pp_codes *codes;
	struct pp_process *process; /* referenced: its pp_coded lives as long */
};

static struct request *request_new(struct pp_codes *cs, struct pp_process *p)
{
	struct request *rq = malloc(sizeof(*rq));

	if (!rq)
		return NULL;
	*rq = (struct request){ cs, pp_process_ref(p) };
	return rq;
}

static void request_free(struct request *rq)
{
	pp_process_unref(rq->process);
	free(rq);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static bool is_shim(const struct pp_code_info *info)
{
	return !info->line && info->name_len == strlen(SHIM) && info->file_len == strlen(SHIM) &&
	       !memcmp(info->name, SHIM, strlen(SHIM)) && !memcmp(info->file, SHIM, strlen(SHIM));
}

static bool allow(struct pp_coded *c, size_t bytes, uint64_t now_ns)
{
	uint64_t elapsed_ns = MIN(now_ns - c->refilled_ns, 3600 * NSEC_PER_SEC);

	c->allowance = MIN(c->allowance + elapsed_ns * PP_CODES_ALLOWANCE_A_SECOND / NSEC_PER_SEC,
			   (uint64_t)PP_CODES_ALLOWANCE_MAX);
	c->refilled_ns = now_ns;
	if (bytes > c->allowance) {
		pp_count(PP_C_codes_refused);
		return false;
	}
	c->allowance -= bytes;
	return true;
}

static int named_frame(struct pp_codes *cs, struct pp_coded *c, const struct pp_code_info *info,
		       uint32_t *ret)
{
	if (is_shim(info)) {
		*ret = PP_FRAME_SHIM;
		return 0;
	}
	if (!allow(c, info->name_len + info->file_len, pp_now_ns()))
		return -ENOSPC;
	return pp_store_python(cs->store, info->name, info->name_len, info->file, info->file_len,
			       info->line, info->first_line, ret);
}

/* ---- What an answer proves ------------------------------------------------------------------- */

/* Whether the reader came as far as to say which code object it is. */
static bool is_read(const struct pp_code_info *info)
{
	return info->error <= PP_CODE_ASTRAY;
}

/* Whether the code object that was read is the one that was sampled. */
static bool proves(const struct pp_code_info *info, uint32_t next_code,
		   const struct pp_pending_code *p)
{
	if (!is_read(info))
		return false;
	return p->has_print ? p->print == info->print : next_code && info->number < p->next_code;
}

/* Keeps which code object is at the address. next_code: before it was read. Returns whether its
 * index is in *ret. */
static bool learn(struct pp_coded *c, uint64_t code, const struct pp_code_info *info,
		  uint32_t next_code, uint32_t *ret)
{
	struct pp_code_object *o;

	if (!c->cache || !is_read(info) || pp_coded_own(c) < 0 ||
	    !pp_code_cache_find(c->cache, code, ret))
		return false;
	o = &c->cache->objects[*ret];
	if (o->known && (o->number != info->number || o->print != info->print))
		pp_code_cache_replace(c->cache, *ret);
	else if (o->known && next_code > o->seen && o->nr_unchanged < UINT8_MAX)
		o->nr_unchanged++;
	o->known = true;
	o->number = info->number;
	o->print = info->print;
	o->seen = next_code;
	return true;
}

/* The frame of p, which is in the code object that was read. */
static bool name(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		 const struct pp_code_info *info, bool learnt, uint32_t index)
{
	uint64_t key = learnt ? pp_code_cache_key(c->cache, index, p->place) : 0, kept;
	uint32_t frame;

	if (info->error == PP_CODE_KNOWN) {
		if (!learnt || !pp_u64map_get(&c->cache->frames, key, &kept))
			return false;
		(void)pp_coded_named(cs, c, p, (uint32_t)kept);
		return true;
	}
	if (info->error != PP_CODE_FOUND || named_frame(cs, c, info, &frame) < 0) {
		pp_coded_unnamed(cs, c, p, PP_C_codes_unnamed);
		return true;
	}
	if (learnt) {
		(void)pp_u64map_put(&c->cache->frames, key, frame);
		if (frame != PP_FRAME_SHIM)
			c->cache->objects[index].frame = frame;
	}
	(void)pp_coded_named(cs, c, p, frame);
	return true;
}

/* Returns whether p is done with; else it is to be asked for again. */
static bool settle(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		   const struct pp_code_info *info, uint32_t next_code)
{
	uint32_t index = 0;
	bool learnt = learn(c, p->code, info, next_code, &index);

	if (proves(info, next_code, p))
		return name(cs, c, p, info, learnt, index);
	if (!is_read(info)) {
		pp_coded_unread(cs, c, p);
		return true;
	}
	pp_coded_unnamed(cs, c, p, PP_C_codes_unproven);
	return true;
}

static bool is_same_item(const struct pp_pending_code *a, const struct pp_pending_code *b)
{
	return a->code == b->code && a->position == b->position;
}

/* Settles what was asked for, as far as it was answered. */
static void settle_all(struct pp_codes *cs, struct pp_coded *c, const struct pp_code_answer *answer)
{
	struct pp_pending_code last = { 0 };
	size_t item = 0, done = 0, again = 0;

	for (; done < c->nr_asked; done++) {
		struct pp_pending_code p = c->pending[done];

		if (done && !is_same_item(&last, &p))
			item++;
		last = p;
		if (item >= answer->nr)
			break;
		if (!settle(cs, c, &p, &answer->infos[item], answer->next_code))
			c->pending[again++] = p;
	}
	memmove(c->pending + again, c->pending + done,
		(c->nr_pending - done) * sizeof(*c->pending));
	pp_coded_drop(cs, c, done - again);
	c->nr_sorted -= done - again;
	pp_u64map_clear(&c->waiting);
}

static void on_names(void *userdata, int error, const struct pp_code_answer *answer)
{
	struct request *rq = userdata;
	struct pp_process *p = rq->process;
	struct pp_coded *c = p->codes;

	c->asking = false;
	if (error < 0 || !answer->nr || answer->nr > c->nr_items) {
		pp_coded_give_up(rq->codes, c);
	} else {
		settle_all(rq->codes, c, answer);
		/* They may have run out, or other interpreters have come. */
		if (c->runtime.next_code && !answer->next_code)
			rq->codes->hooks.on_unnumbered(rq->codes->userdata, p);
		pp_coded_serve(rq->codes, c);
	}
	request_free(rq);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static int compare(const void *one, const void *other)
{
	const struct pp_pending_code *a = one, *b = other;

	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return 0;
}

/* The number of the code object by which the place is known, or 0. */
static uint32_t known_number(const struct pp_coded *c, const struct pp_pending_code *p)
{
	uint64_t frame;
	uint32_t index;

	if (!c->cache || !pp_code_cache_find(c->cache, p->code, &index) ||
	    !c->cache->objects[index].known ||
	    !pp_u64map_get(&c->cache->frames, pp_code_cache_key(c->cache, index, p->place), &frame))
		return 0;
	return c->cache->objects[index].number;
}

static int ask_names(struct pp_coded *c, struct request *rq)
{
	struct pp_code_item items[PP_CODE_ITEMS_MAX];
	size_t i = 0, nr = 0;

	if (c->nr_sorted < c->nr_pending)
		qsort(c->pending, c->nr_pending, sizeof(*c->pending), compare);
	c->nr_sorted = c->nr_pending;
	pp_u64map_clear(&c->waiting);
	for (; i < c->nr_pending; i++) {
		const struct pp_pending_code *p = &c->pending[i];

		if (i && is_same_item(p - 1, p))
			continue;
		if (nr == PP_CODE_ITEMS_MAX)
			break;
		items[nr++] = (struct pp_code_item){ .code = p->code,
						     .position = p->position,
						     .known = known_number(c, p) };
	}
	c->nr_asked = i;
	c->nr_items = nr;
	return pp_reader_codes(rq->codes->reader, pp_process_target(c->process), &c->runtime, items,
			       nr, on_names, rq);
}

void pp_coded_serve(struct pp_codes *cs, struct pp_coded *c)
{
	struct request *rq;
	int r;

	if (c->asking || !c->layout || !c->nr_pending)
		return;
	rq = request_new(cs, c->process);
	if (!rq)
		return;
	r = ask_names(c, rq);
	c->asking = r >= 0;
	if (r >= 0)
		return;
	request_free(rq);
	if (r == -EBUSY) /* it is not served; others (a full queue) are for the next drain */
		pp_coded_give_up(cs, c);
}

/* What of its cache is its own account. */
static size_t share_of(const struct pp_coded *c)
{
	return c->cache ? pp_code_cache_bytes(c->cache) / c->cache->refs : 0;
}

/* Keeps the caches in bounds. Who has no more than his share of it keeps what he has. */
static void bound_caches(struct pp_codes *cs)
{
	size_t nr = 0;

	cs->cache_bytes = 0;
	pp_list_each (struct pp_coded, c, &cs->all, all) {
		cs->cache_bytes += share_of(c);
		nr += !!c->cache;
	}
	if (cs->cache_bytes <= PP_CODES_BYTES_MAX)
		return;
	pp_list_each (struct pp_coded, c, &cs->all, all) {
		size_t share = share_of(c);

		if (share <= PP_CODES_BYTES_MAX / nr)
			continue;
		pp_count(PP_C_codes_forgotten);
		cs->cache_bytes -= share;
		pp_coded_forget(c);
	}
}

/* Whatever is known of a process that has ended goes after a while. */
static void forget_dead(struct pp_codes *cs, uint64_t now_ns)
{
	pp_list_each (struct pp_coded, c, &cs->all, all)
		if (!c->process->alive && c->cache && !c->asking && !c->nr_pending &&
		    c->process->exit_ns + AFTERLIFE_NS < now_ns)
			pp_coded_forget(c);
}

void pp_codes_tick(struct pp_codes *cs, uint64_t now_ns)
{
	struct pp_links *l = cs->busy.after;

	if (now_ns >= cs->look_ns) {
		cs->look_ns = now_ns + LOOK_NS;
		bound_caches(cs);
		forget_dead(cs, now_ns);
	}
	while (l != &cs->busy) {
		struct pp_coded *c = container_of(l, struct pp_coded, busy);

		l = l->after;
		pp_coded_serve(cs, c);
		if (!c->nr_pending)
			pp_list_leave(&c->busy);
	}
}
