/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/contest.h"
#include "base/counters.h"

#define MANY 0		  /* in the place of a name's hash */
#define LONG (1ULL << 63) /* with the start of a long entry; user addresses are below */

struct pp_contest {
	unsigned int refs;
	size_t *used;
	struct pp_u64map names; /* by address: its name's hash, or MANY */
};

static size_t memory(const struct pp_contest *c)
{
	return sizeof(*c) + c->names.cap * (sizeof(*c->names.slots) + sizeof(*c->names.used));
}

int pp_contest_new(struct pp_contest **ret, size_t *used)
{
	struct pp_contest *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->used = used;
	c->names.max = PP_CONTEST_MAX;
	*used += memory(c);
	*ret = c;
	return 0;
}

struct pp_contest *pp_contest_ref(struct pp_contest *c)
{
	if (c)
		c->refs++;
	return c;
}

struct pp_contest *pp_contest_unref(struct pp_contest *c)
{
	if (!c || --c->refs)
		return NULL;
	*c->used -= memory(c);
	pp_u64map_done(&c->names);
	free(c);
	return NULL;
}

/* Notes a name; whether it is the second one there. Where there is no room, none is believed. */
static bool note(struct pp_contest *c, uint64_t key, uint64_t name)
{
	uint64_t known;

	if (!pp_u64map_get(&c->names, key, &known)) {
		(void)pp_u64map_put(&c->names, key, name);
		return false;
	}
	return known != name && known != MANY && pp_u64map_put(&c->names, key, MANY) == 0;
}

bool pp_contest_add(struct pp_contest *c, uint64_t start, uint32_t size, uint64_t name)
{
	bool second = false;

	name = name == MANY ? 1 : name;
	*c->used -= memory(c);
	if (size > PP_CONTEST_SMALL)
		second = note(c, start | LONG, name);
	else
		for (uint64_t at = start; at < start + size; at++)
			second |= note(c, at, name);
	*c->used += memory(c);
	if (second)
		pp_count(PP_C_perfmap_entries_contested);
	return second;
}

enum pp_contest_state pp_contest_at(const struct pp_contest *c, uint64_t start, uint64_t address)
{
	uint64_t name;

	if (!pp_u64map_get(&c->names, address, &name) &&
	    !pp_u64map_get(&c->names, start | LONG, &name))
		return PP_CONTEST_NONE;
	return name == MANY ? PP_CONTEST_MANY : PP_CONTEST_ONE;
}
