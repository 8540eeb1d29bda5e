/* SPDX-License-Identifier: GPL-2.0-only */
#include "pcs.h"

#include "base/array.h"
#include "profile/store.h"

bool pp_pcs_get(const struct pp_pcs *p, uint64_t key, uint32_t *ret_frame)
{
	uint64_t frame;

	if (!pp_u64map_get(&p->frames, key, &frame))
		return false;
	*ret_frame = (uint32_t)frame;
	return true;
}

static int put(struct pp_pcs *p, uint64_t key, uint32_t frame)
{
	int r;

	p->frames.max = PP_PCS_MAX;
	r = pp_u64map_put(&p->frames, key, frame);
	if (r != -ENOSPC || p->nr_pending >= PP_PCS_MAX)
		return r;
	pp_pcs_forget(p);
	return pp_u64map_put(&p->frames, key, frame);
}

void pp_pcs_put(struct pp_pcs *p, uint64_t key, uint32_t frame)
{
	(void)put(p, key, frame);
}

void pp_pcs_drop(struct pp_pcs *p, uint64_t key)
{
	pp_u64map_del(&p->frames, key);
}

int pp_pcs_put_pending(struct pp_pcs *p, uint64_t key, uint32_t frame, uint64_t time_ns)
{
	int r;

	r = pp_array_grow(&p->pending, &p->pending_cap, p->nr_pending + 1, sizeof(*p->pending),
			  PP_PCS_MAX);
	if (r < 0)
		return r;
	r = put(p, key, frame);
	if (r < 0)
		return r;
	p->pending[p->nr_pending++] = (struct pp_pending_pc){ key, time_ns, frame, false };
	return 0;
}

void pp_pcs_drop_pending(struct pp_pcs *p, size_t i)
{
	p->pending[i] = p->pending[--p->nr_pending];
	if (!p->nr_pending) {
		free(p->pending);
		p->pending = NULL;
		p->pending_cap = 0;
	}
}

size_t pp_pcs_pending(const struct pp_pcs *p, uint64_t time_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nr_pending; i++)
		n += p->pending[i].time_ns <= time_ns && !p->pending[i].late;
	return n;
}

void pp_pcs_swept(struct pp_pcs *p, struct pp_store *store)
{
	pp_u64map_filter(&p->frames, pp_store_keeps, store);
}

void pp_pcs_forget(struct pp_pcs *p)
{
	pp_u64map_clear(&p->frames);
	for (size_t i = 0; i < p->nr_pending; i++)
		(void)pp_u64map_put(&p->frames, p->pending[i].key, p->pending[i].frame);
}

void pp_pcs_renew(struct pp_pcs *p)
{
	pp_u64map_clear(&p->frames);
}

void pp_pcs_done(struct pp_pcs *p, struct pp_store *store)
{
	for (size_t i = 0; i < p->nr_pending; i++)
		(void)pp_frames_give_up(store->frames, p->pending[i].frame);
	free(p->pending);
	pp_u64map_done(&p->frames);
	*p = (struct pp_pcs){ 0 };
}
