/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/code_cache.h"

#include "base/array.h"

#include <string.h>

int pp_code_cache_new(struct pp_code_cache **ret)
{
	struct pp_code_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->addresses.max = PP_CODE_OBJECTS_MAX;
	c->frames.max = PP_CODE_FRAMES_MAX;
	*ret = c;
	return 0;
}

struct pp_code_cache *pp_code_cache_ref(struct pp_code_cache *c)
{
	c->refs++;
	return c;
}

struct pp_code_cache *pp_code_cache_unref(struct pp_code_cache *c)
{
	if (!c || --c->refs)
		return NULL;
	pp_u64map_done(&c->addresses);
	pp_u64map_done(&c->frames);
	free(c->objects);
	free(c);
	return NULL;
}

int pp_code_cache_own(struct pp_code_cache **c)
{
	_cleanup_(pp_code_cache_unrefp) struct pp_code_cache *copy = NULL;
	const struct pp_code_cache *from = *c;
	int r;

	if (from->refs == 1)
		return 0;
	r = pp_code_cache_new(&copy);
	if (r >= 0)
		r = pp_u64map_copy(&copy->addresses, &from->addresses);
	if (r >= 0)
		r = pp_u64map_copy(&copy->frames, &from->frames);
	if (r < 0)
		return r;
	copy->next = from->next;
	if (from->nr) {
		copy->objects = malloc(from->cap * sizeof(*copy->objects));
		if (!copy->objects)
			return -ENOMEM;
		memcpy(copy->objects, from->objects, from->nr * sizeof(*copy->objects));
		copy->nr = from->nr;
		copy->cap = from->cap;
	}
	pp_code_cache_unref(*c);
	*c = TAKE_PTR(copy);
	return 0;
}

bool pp_code_cache_full(const struct pp_code_cache *c)
{
	/* Numbers are not used twice: what they named may still be there. */
	return c->frames.len >= c->frames.max || c->nr >= PP_CODE_OBJECTS_MAX ||
	       c->next == UINT32_MAX;
}

bool pp_code_cache_find(const struct pp_code_cache *c, uint64_t address, uint32_t *ret_index)
{
	uint64_t index;

	if (!pp_u64map_get(&c->addresses, address, &index))
		return false;
	*ret_index = (uint32_t)index;
	return true;
}

int pp_code_cache_add(struct pp_code_cache *c, uint64_t address, uint32_t *ret_index)
{
	int r;

	r = pp_array_grow(&c->objects, &c->cap, c->nr + 1, sizeof(*c->objects), UINT32_MAX);
	if (r < 0)
		return r;
	r = pp_u64map_put(&c->addresses, address, c->nr);
	if (r < 0)
		return r;
	c->objects[c->nr] = (struct pp_code_object){ .address = address, .tenant = c->next++ };
	*ret_index = c->nr++;
	return 0;
}

void pp_code_cache_replace(struct pp_code_cache *c, uint32_t index)
{
	uint64_t address = c->objects[index].address;

	c->objects[index] = (struct pp_code_object){ .address = address, .tenant = c->next++ };
}

void pp_code_cache_go_back(struct pp_code_cache *c, uint32_t next_code)
{
	for (uint32_t i = 0; i < c->nr; i++) {
		struct pp_code_object *o = &c->objects[i];

		/* One without a number is known by its print. */
		if (o->known && o->number && o->number >= next_code)
			pp_code_cache_replace(c, i);
		else
			o->seen = MIN(o->seen, next_code);
	}
}

size_t pp_code_cache_bytes(const struct pp_code_cache *c)
{
	const size_t slot = sizeof(struct pp_u64map_slot) + 1;

	return sizeof(*c) + (c->addresses.cap + c->frames.cap) * slot +
	       c->cap * sizeof(*c->objects);
}
