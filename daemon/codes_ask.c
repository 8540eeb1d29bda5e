/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code objects: what is asked of the reader. A process has one request at a time: names as soon as
 * there is something to name, else a look at whether the code objects that were sampled are still
 * the same.
 *
 * How often: soon after something was found replaced, and twice as late after each time that
 * nothing was. From 3.14 on the interpreter counts the code objects it frees (its generation), and
 * as long as that has not changed a look costs one read. Before, each code object's identity is
 * read anew.
 */
#include "codes_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "profile/store.h"

#include <string.h>

#define CHECK_MIN_NS (100 * NSEC_PER_MSEC)
#define CHECK_MAX_NS (4 * NSEC_PER_SEC)

/* How long after a process's end its cache is kept for samples that come late. */
#define AFTERLIFE_NS (5 * NSEC_PER_SEC)

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

/* The code object there is another than the one that was: whatever was kept for it is not its. */
static void replaced(struct pp_coded *c, uint32_t index, uint64_t identity)
{
	if (c->cache->objects[index].identity)
		pp_count(PP_C_codes_replaced);
	c->interval_ns = CHECK_MIN_NS;
	if (pp_code_cache_own(&c->cache) < 0)
		pp_coded_forget(c);
	else
		pp_code_cache_replace(c->cache, index, identity);
}

/* What the reader found out about the code object of a pending frame. */
static void learn(struct pp_coded *c, const struct pp_pending_code *p,
		  const struct pp_code_info *info, uint32_t generation)
{
	struct pp_code_object *o = &c->cache->objects[p->index];
	uint64_t identity = info->identity;

	if (p->key >> 32 != o->number)
		return;
	/* The one that was sampled is gone, and this one has its own frames. */
	if (info->error == PP_CODE_LATER) {
		replaced(c, p->index, identity);
		return;
	}
	o->failed = !o->identity && !identity;
	if (o->failed)
		return;
	if (!o->identity) {
		if (info->error == PP_CODE_FOUND && !p->item.next_code)
			pp_count(PP_C_codes_unproven);
		/* Also for those who share the cache: it was theirs when they were forked. */
		o->identity = identity;
		c->marks[p->index].generation = generation;
	} else if (identity && o->identity != identity) {
		replaced(c, p->index, identity);
	}
}

/* For positions in the same code object that come when the process has ended. */
static void keep_name(struct pp_coded *c, const struct pp_pending_code *p, uint32_t frame)
{
	struct pp_code_object *o = &c->cache->objects[p->index];

	if (p->key >> 32 == o->number)
		o->frame = frame;
}

static void settle(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		   const struct pp_code_info *info, uint32_t generation)
{
	uint32_t frame;

	if (p->serial == c->serial)
		learn(c, p, info, generation);
	if (info->error == PP_CODE_FOUND && named_frame(cs, c, info, &frame) == 0 &&
	    pp_frames_resolve(cs->store->frames, p->frame, frame) == 0) {
		if (p->serial == c->serial && frame != PP_FRAME_SHIM)
			keep_name(c, p, frame);
		return;
	}
	if (info->error == PP_CODE_UNREADABLE) {
		pp_coded_unread(cs, c, p);
		return;
	}
	pp_count(PP_C_codes_unnamed);
	(void)pp_frames_give_up(cs->store->frames, p->frame);
}

static void on_names(void *userdata, int error, const struct pp_code_answer *answer)
{
	struct request *rq = userdata;
	struct pp_coded *c = rq->process->codes;
	uint64_t now_ns = pp_now_ns();

	c->asking = false;
	if (error < 0 || !answer->nr || answer->nr > c->asked) {
		pp_coded_give_up(rq->codes, c);
	} else {
		for (size_t i = 0; i < answer->nr; i++)
			settle(rq->codes, c, &c->pending[i], &answer->infos[i],
			       (uint32_t)answer->generation);
		c->nr_pending -= answer->nr;
		memmove(c->pending, c->pending + answer->nr, c->nr_pending * sizeof(*c->pending));
		pp_coded_serve(rq->codes, c, now_ns);
	}
	request_free(rq);
}

/* ---- The check ------------------------------------------------------------------------------- */

/* What was found of the code object of an index that was looked at. */
static bool check(struct pp_coded *c, uint32_t index, const struct pp_code_info *info,
		  uint32_t generation)
{
	uint64_t known = c->cache->objects[index].identity;
	uint64_t found = info->error == PP_CODE_FOUND ? info->identity : 0;

	if (known && known == found) {
		c->marks[index].generation = generation;
		return false;
	}
	/* Where nothing could be read before, the next sample tries again; what has not been read
	 * yet, for the process that this one was forked from, will be. */
	if (known || (found && c->cache->objects[index].failed))
		replaced(c, index, 0);
	return known;
}

static uint64_t next_interval(uint64_t interval_ns)
{
	uint64_t twice = MAX(interval_ns * 2, (uint64_t)CHECK_MIN_NS);

	return MIN(twice, (uint64_t)CHECK_MAX_NS);
}

static void on_identities(void *userdata, int error, const struct pp_code_answer *answer)
{
	struct request *rq = userdata;
	struct pp_coded *c = rq->process->codes;
	size_t checked = c->asked;
	bool changed = false;

	c->asking = false;
	/* None is answered: nothing was freed since. A part: the rest is looked at the next time.
	 */
	if (error >= 0 && answer->nr)
		checked = MIN(checked, answer->nr);
	for (size_t i = 0; error >= 0 && i < MIN(checked, answer->nr); i++)
		if (c->asked_serial == c->serial)
			changed |= check(c, c->sampled[i], &answer->infos[i],
					 (uint32_t)answer->generation);
	if (c->asked_serial == c->serial) {
		if (error >= 0)
			c->generation = (uint32_t)answer->generation;
		c->nr_sampled -= (uint32_t)checked;
		memmove(c->sampled, c->sampled + checked, c->nr_sampled * sizeof(*c->sampled));
	}
	c->interval_ns = changed ? CHECK_MIN_NS : next_interval(c->interval_ns);
	c->check_ns = pp_now_ns() + c->interval_ns;
	pp_coded_serve(rq->codes, c, pp_now_ns());
	request_free(rq);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static int ask_names(struct pp_coded *c, struct request *rq)
{
	struct pp_code_item items[PP_CODE_ITEMS_MAX];

	c->asked = MIN(c->nr_pending, (size_t)PP_CODE_ITEMS_MAX);
	for (size_t i = 0; i < c->asked; i++)
		items[i] = c->pending[i].item;
	return pp_reader_codes(rq->codes->reader, pp_process_target(c->process), &c->runtime, items,
			       c->asked, on_names, rq);
}

static int ask_identities(struct pp_coded *c, struct request *rq)
{
	struct pp_code_item items[PP_CODE_ITEMS_MAX];
	uint32_t generation = c->generation;

	c->asked = MIN(c->nr_sampled, (uint32_t)PP_CODE_ITEMS_MAX);
	for (size_t i = 0; i < c->asked; i++) {
		uint32_t index = c->sampled[i];

		items[i] = (struct pp_code_item){ .code = c->cache->objects[index].address };
		if (c->marks[index].generation != c->generation)
			generation = 0;
	}
	/* What is sampled from here on is for the next check. */
	c->round++;
	return pp_reader_code_identities(rq->codes->reader, pp_process_target(c->process),
					 &c->runtime, generation, items, c->asked, on_identities,
					 rq);
}

void pp_coded_serve(struct pp_codes *cs, struct pp_coded *c, uint64_t now_ns)
{
	struct request *rq;
	int r;

	if (c->asking || !c->layout)
		return;
	if (!c->nr_pending && (!c->nr_sampled || !c->process->alive || now_ns < c->check_ns))
		return;
	rq = request_new(cs, c->process);
	if (!rq)
		return;
	c->asked_serial = c->serial;
	r = c->nr_pending ? ask_names(c, rq) : ask_identities(c, rq);
	c->asking = r >= 0;
	if (r >= 0)
		return;
	request_free(rq);
	if (r == -EBUSY) /* it is not served; others (a full queue) are for the next drain */
		pp_coded_give_up(cs, c);
}

void pp_codes_tick(struct pp_codes *cs, uint64_t now_ns)
{
	for (struct pp_coded *c = cs->newest; c; c = c->older) {
		pp_coded_serve(cs, c, now_ns);
		if (!c->process->alive && c->cache && !c->asking && !c->nr_pending &&
		    c->process->exit_ns + AFTERLIFE_NS < now_ns)
			pp_coded_forget(c);
	}
}
