/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An address is a code object's only as long as that lives: modules' bodies are freed when they
 * have run, and a program that makes functions gets the same addresses again and again. So a sample
 * says more of a code object than its address, and only what has been proven to be the one that was
 * sampled names it.
 *
 * - From 3.12 on the interpreter numbers code objects as it makes them, and the sample says which
 *   number was next. Who is found at the address later and has a lower number was there at the
 *   sample: it was made before, it is there still, and between the two nobody else can have been.
 *   What has been read stays proven for later samples as long as the next number is what it was
 *   before the reading: since then no code object has been made. When it has risen, all that is
 *   sampled is looked at again, which takes one look at each code object for all samples of a
 * drain.
 * - Where there are no such numbers (3.8 to 3.11, sub-interpreters that have their own, a program
 * of which nothing is known yet), the sample has a print of each code object, which must be that of
 *   the one that is read. That holds whenever it is read.
 *
 * What cannot be proven is unnamed, and counted (codes_unproven): mostly the bodies of modules,
 * which are gone before anybody can look.
 *
 * A fork's child has its parent's code objects as they were at the fork. What the parent's next
 * number was then is not known, but for the parent's samples before it; what was read of the parent
 * holds for the child up to the highest of those.
 */
#include "codes_private.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/counters.h"
#include "profile/store.h"

#include <string.h>

/* Frames of one process that may wait for names: the deepest stack of each of many threads. */
#define PENDING_MAX 8192

/* How often a code object is found again before its samples are judged together. It costs names
 * only when it is replaced all the same: those of one drain, after so many. */
#define UNCHANGED_ENOUGH 16

/* Pending frames that are looked through for one of the sample in hand, which are the last. */
#define SEARCHED_MAX 2048

#define MODULE "[python]"

int pp_codes_new(struct pp_codes **ret, struct pp_reader *reader, struct pp_store *store,
		 const struct pp_codes_hooks *hooks, void *userdata)
{
	struct pp_codes *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->reader = reader;
	cs->store = store;
	cs->hooks = *hooks;
	cs->userdata = userdata;
	pp_list_init(&cs->all);
	pp_list_init(&cs->busy);
	*ret = cs;
	return 0;
}

struct pp_codes *pp_codes_free(struct pp_codes *cs)
{
	if (cs)
		pp_holdings_done(&cs->pending_of);
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
	c->codes = cs;
	c->process = p;
	c->inherited = UINT32_MAX;
	c->allowance = PP_CODES_ALLOWANCE_MAX;
	c->refilled_ns = pp_now_ns();
	pp_list_join(&cs->all, &c->all);
	p->codes = c;
	return c;
}

void pp_codes_gone(struct pp_codes *cs, struct pp_process *p)
{
	struct pp_coded *c = p->codes;

	if (!c)
		return;
	pp_list_leave(&c->all);
	pp_coded_give_up(cs, c);
	pp_list_leave(&c->busy);
	pp_code_cache_unref(c->cache);
	free(c->pending);
	pp_u64map_done(&c->waiting);
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
	/* Who was looked at has gone, and another program has come with an exec. */
	if (c->layout && c->runtime.image && runtime->image && runtime->image != c->runtime.image)
		return -ESTALE;
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
	to->inherited = to->highest = from->highest;
}

void pp_coded_forget(struct pp_coded *c)
{
	c->cache = pp_code_cache_unref(c->cache);
	c->inherited = UINT32_MAX;
	/* The next cache's tenants have numbers of their own. */
	for (size_t i = 0; i < c->nr_pending; i++)
		c->pending[i].proven = false;
}

int pp_coded_own(struct pp_coded *c)
{
	size_t bytes = c->cache->refs > 1 ? pp_code_cache_bytes(c->cache) : 0;
	int r;

	if (bytes && c->codes->cache_bytes + bytes > PP_CODES_BYTES_MAX) {
		pp_count(PP_C_codes_forgotten);
		pp_coded_forget(c);
		return pp_code_cache_new(&c->cache);
	}
	c->codes->cache_bytes += bytes;
	r = pp_code_cache_own(&c->cache);
	if (r >= 0 && c->inherited != UINT32_MAX) {
		pp_code_cache_go_back(c->cache, c->inherited);
		c->inherited = UINT32_MAX;
	}
	return r;
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
	cs->sweeps++;
	pp_list_each (struct pp_coded, c, &cs->all, all) {
		for (size_t k = 0; k < c->nr_pending; k++)
			if (!pp_frames_is_live(cs->store->frames, c->pending[k].stub))
				c->pending[k].stub = PP_FRAME_UNKNOWN;
		/* One that is shared is swept once: it may have thousands of holders. */
		if (!c->cache || c->cache->swept == cs->sweeps)
			continue;
		c->cache->swept = cs->sweeps;
		pp_u64map_filter(&c->cache->frames, pp_store_keeps, cs->store);
		sweep_objects(cs, c->cache);
	}
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* The code object at an address, made known of if it is not. */
static int find_object(struct pp_coded *c, uint64_t code, uint32_t *ret)
{
	int r;

	if (c->cache && pp_code_cache_find(c->cache, code, ret))
		return 0;
	if (c->cache && pp_code_cache_full(c->cache)) {
		pp_count(PP_C_codes_forgotten);
		pp_coded_forget(c);
	}
	r = c->cache ? pp_coded_own(c) : pp_code_cache_new(&c->cache);
	return r < 0 ? r : pp_code_cache_add(c->cache, code, ret);
}

/* Whether what is known of a code object is of the one that was sampled. */
static bool is_proven(const struct pp_coded *c, const struct pp_code_object *o,
		      const struct pp_pending_code *p)
{
	if (!o->known)
		return false;
	if (p->has_print)
		return p->print == o->print;
	return p->next_code <= MIN(o->seen, c->inherited) &&
	       o->number < MIN(p->next_code, c->inherited);
}

/* What is in the record, in one form. */
static struct pp_pending_code sampled(const struct pp_coded *c, const struct pp_pyframe_raw *raw,
				      uint32_t next_code, uint64_t time_ns)
{
	bool addresses = c->layout->instructions;
	struct pp_pending_code p = { .code = raw->code & PP_PYFRAME_ADDRESS,
				     .time_ns = time_ns,
				     .samples = 1,
				     .has_print = raw->code & PP_PYFRAME_PRINT };

	if (p.has_print) {
		p.print = (uint32_t)(raw->position >> 32);
		p.place = (uint32_t)raw->position;
		p.position = (addresses ? p.code : 0) + (uint64_t)(int32_t)p.place;
	} else {
		p.next_code = next_code;
		p.place = (uint32_t)(raw->position - (addresses ? p.code : 0));
		p.position = raw->position;
	}
	return p;
}

/*
 * What tells a frame that waits from others. Samples of a code object that has been found again
 * often are judged together, by the one that proves the least: where a program makes code without
 * end, each sample would else have frames of its own.
 */
static uint64_t waiting_key(const struct pp_code_object *o, const struct pp_pending_code *p)
{
	uint64_t proof = p->has_print			       ? 1ULL << 32 | p->print
			 : o->nr_unchanged >= UNCHANGED_ENOUGH ? 2ULL << 32
							       : p->next_code;

	return pp_mix(pp_mix(pp_mix(p->code) ^ p->position) ^ proof);
}

static bool join(struct pp_coded *c, const struct pp_code_object *o, uint64_t key,
		 struct pp_pending_code *p)
{
	struct pp_pending_code *w;
	uint64_t index;

	if (!pp_u64map_get(&c->waiting, key, &index))
		return false;
	w = &c->pending[index];
	if (w->code != p->code || w->position != p->position || w->has_print != p->has_print ||
	    w->print != p->print || w->proven != p->proven || w->tenant != p->tenant ||
	    (w->next_code != p->next_code && o->nr_unchanged < UNCHANGED_ENOUGH))
		return false;
	w->next_code = MIN(w->next_code, p->next_code);
	w->samples++;
	p->frame = w->frame;
	return true;
}

/* Makes room for another that waits, if its user may have one. */
static int reserve_pending(struct pp_codes *cs, struct pp_coded *c)
{
	if (!c->nr_pending)
		c->uid = c->process->ruid;
	if (cs->nr_pending >= PP_CODES_PENDING_MAX ||
	    (c->uid && pp_holdings_of(&cs->pending_of, c->uid) >= PP_CODES_PENDING_USER_MAX))
		return -ENOSPC;
	return pp_array_grow(&c->pending, &c->pending_cap, c->nr_pending + 1, sizeof(*c->pending),
			     PENDING_MAX);
}

void pp_coded_drop(struct pp_codes *cs, struct pp_coded *c, size_t nr)
{
	c->nr_pending -= nr;
	cs->nr_pending -= nr;
	pp_holdings_take(&cs->pending_of, c->uid, nr);
	if (c->nr_pending)
		return;
	/* There may be many processes that each had much to ask for once. */
	free(c->pending);
	c->pending = NULL;
	c->pending_cap = 0;
	pp_u64map_done(&c->waiting);
}

/* Returns -ENOMEM or 0. */
static int add_pending(struct pp_codes *cs, struct pp_coded *c, uint64_t key,
		       const struct pp_pending_code *p)
{
	int r = pp_holdings_add(&cs->pending_of, c->uid, 1);

	if (r < 0)
		return r;
	cs->nr_pending++;
	pp_list_join(&cs->busy, &c->busy);
	(void)pp_u64map_put(&c->waiting, key, c->nr_pending);
	c->pending[c->nr_pending++] = *p;
	return 0;
}

/* A frame that gets its name later, or an unnamed one where there is no room for more. */
static uint32_t pending_frame(struct pp_codes *cs, struct pp_coded *c,
			      const struct pp_code_object *o, struct pp_pending_code *p)
{
	uint64_t key = waiting_key(o, p);
	uint32_t module;
	int r;

	if (join(c, o, key, p))
		return p->frame;
	if (reserve_pending(cs, c) < 0) {
		pp_count(PP_C_codes_refused);
		r = pp_frames_unnamed(cs->store->frames, PP_KIND_PYTHON, 0, 0, &p->frame);
		return r < 0 ? PP_FRAME_UNKNOWN : p->frame;
	}
	if (pp_strings_get(cs->store->strings, MODULE, strlen(MODULE), &module) < 0 ||
	    pp_frames_pending(cs->store->frames, PP_KIND_PYTHON, module, 0, &p->frame) < 0)
		return PP_FRAME_UNKNOWN;
	if (add_pending(cs, c, key, p) < 0)
		(void)pp_frames_give_up(cs->store->frames, p->frame);
	return p->frame;
}

uint32_t pp_codes_frame(struct pp_codes *cs, struct pp_process *p, const struct pp_pyframe_raw *raw,
			uint32_t next_code, uint64_t time_ns)
{
	struct pp_coded *c = p->codes;
	const struct pp_code_object *o;
	struct pp_pending_code pending;
	uint64_t frame;
	uint32_t index;

	if (!c || !c->layout)
		return PP_FRAME_UNKNOWN;
	pending = sampled(c, raw, next_code, time_ns);
	c->highest = MAX(c->highest, pending.next_code);
	if (find_object(c, pending.code, &index) < 0)
		return PP_FRAME_UNKNOWN;
	o = &c->cache->objects[index];
	pending.proven = is_proven(c, o, &pending);
	pending.tenant = o->tenant;
	if (pending.proven &&
	    pp_u64map_get(&c->cache->frames, pp_code_cache_key(c->cache, index, pending.place),
			  &frame))
		return (uint32_t)frame;
	return pending_frame(cs, c, o, &pending);
}

void pp_codes_otherwise(struct pp_codes *cs, struct pp_process *p, uint32_t frame, uint32_t stub)
{
	struct pp_coded *c = p->codes;
	struct pp_pending_code *w;

	if (!c || !pp_frames_is_pending(cs->store->frames, frame))
		return;
	for (size_t i = c->nr_pending, n = 0; i-- > 0 && n < SEARCHED_MAX; n++) {
		w = &c->pending[i];
		if (w->frame != frame)
			continue;
		/* Samples that are judged together need not be of one code object. */
		w->stub = !w->has_stub || w->stub == stub ? stub : PP_FRAME_UNKNOWN;
		w->has_stub = true;
		return;
	}
}

uint32_t pp_codes_function(struct pp_codes *cs, struct pp_process *p, uint64_t code,
			   uint32_t next_code, uint64_t time_ns)
{
	const struct pp_coded *c = p->codes;
	struct pp_pyframe_raw first = { .code = code };

	if (!c || !c->layout)
		return PP_FRAME_UNKNOWN;
	/* f_lasti is -1 before the first instruction. */
	first.position = c->layout->instructions ? code + c->layout->instructions : UINT64_MAX;
	return pp_codes_frame(cs, p, &first, next_code, time_ns);
}

size_t pp_codes_pending(const struct pp_codes *cs, uint64_t time_ns)
{
	size_t n = 0;

	pp_list_each (const struct pp_coded, c, &cs->all, all)
		for (size_t i = 0; i < c->nr_pending; i++)
			n += c->pending[i].time_ns <= time_ns;
	return n;
}

bool pp_coded_named(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		    uint32_t frame)
{
	if (pp_frames_resolve(cs->store->frames, p->frame, frame) < 0)
		return false;
	if (frame != PP_FRAME_SHIM)
		cs->hooks.on_settled(cs->userdata, c->process, p->samples, true);
	return true;
}

void pp_coded_unnamed(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		      enum pp_counter why)
{
	if (p->stub && pp_coded_named(cs, c, p, p->stub))
		return;
	pp_count(why);
	(void)pp_frames_give_up(cs->store->frames, p->frame);
	cs->hooks.on_settled(cs->userdata, c->process, p->samples, false);
}

/* A position that can no longer be read is named by another of its code object, without a line. */
static bool name_by_object(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p)
{
	const struct pp_code_object *o;
	struct pp_frame known;
	uint32_t frame, index;

	if (!p->proven || !c->cache || !pp_code_cache_find(c->cache, p->code, &index))
		return false;
	o = &c->cache->objects[index];
	if (p->tenant != o->tenant || !o->frame)
		return false;
	known = *pp_frames_describe(cs->store->frames, o->frame);
	return pp_frames_get_line(cs->store->frames, (enum pp_kind)known.kind, known.name,
				  known.file, known.module, 0, known.first_line, &frame) == 0 &&
	       pp_coded_named(cs, c, p, frame);
}

void pp_coded_unread(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p)
{
	if (name_by_object(cs, c, p))
		return;
	pp_coded_unnamed(cs, c, p, PP_C_codes_unnamed);
}

void pp_coded_give_up(struct pp_codes *cs, struct pp_coded *c)
{
	for (size_t i = 0; i < c->nr_pending; i++)
		pp_coded_unread(cs, c, &c->pending[i]);
	pp_coded_drop(cs, c, c->nr_pending);
	c->nr_sorted = 0;
	pp_u64map_clear(&c->waiting);
}
