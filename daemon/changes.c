/* SPDX-License-Identifier: GPL-2.0-only */
#include "changes.h"

#include <string.h>

void pp_changes_add(struct pp_changes *c, uint64_t start, uint64_t end, uint64_t at_ns,
		    uint32_t gen)
{
	if (c->nr == PP_CHANGES_MAX) {
		struct pp_change *first = &c->list[0], *second = &c->list[1];

		second->start = MIN(first->start, second->start);
		second->end = MAX(first->end, second->end);
		second->at_ns = MIN(first->at_ns, second->at_ns);
		memmove(first, second, --c->nr * sizeof(*first));
	}
	c->list[c->nr++] = (struct pp_change){ start, end, at_ns, gen };
}

static bool is_new(const struct pp_changes *c, const struct pp_sample *s, uint64_t address)
{
	for (uint32_t i = c->nr; i-- > 0 && c->list[i].gen >= s->gen;) {
		const struct pp_change *change = &c->list[i];

		if (change->at_ns <= s->time_ns && address >= change->start &&
		    address < change->end)
			return true;
	}
	return false;
}

uint32_t pp_changes_known(const struct pp_changes *c, const struct pp_sample *s)
{
	const __u64 *user = pp_sample_user(s);

	if (!c->nr || c->list[c->nr - 1].gen < s->gen)
		return s->nr_user;
	/* The byte before a return address is its call's; of an exact pc it is the same mapping's,
	 * but at its very beginning. */
	for (uint32_t i = 0; i < s->nr_user; i++)
		if (is_new(c, s, (user[i] & PP_PC_ADDRESS) - (i > 0)))
			return i;
	return s->nr_user;
}
