/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/shares.h"

/* Who has a fifth of the time, or less, owes nothing in the long run. */
#define FACTOR	   5
#define OWED_MAX   (10 * NSEC_PER_SEC) /* forgotten after that */
#define OWNERS_MAX 4096		       /* then all are forgiven: an order, not a record */

uint64_t pp_shares_owed(const struct pp_shares *s, uint32_t owner, uint64_t now_ns)
{
	uint64_t paid_ns;

	return pp_u64map_get(&s->paid_ns, owner, &paid_ns) && paid_ns > now_ns ? paid_ns - now_ns
									       : 0;
}

void pp_shares_charge(struct pp_shares *s, uint32_t owner, uint64_t used_ns, uint64_t now_ns)
{
	uint64_t owed = pp_shares_owed(s, owner, now_ns) + MIN(used_ns, OWED_MAX) * FACTOR;

	s->paid_ns.max = OWNERS_MAX;
	if (pp_u64map_put(&s->paid_ns, owner, now_ns + MIN(owed, OWED_MAX)) == -ENOSPC)
		pp_u64map_clear(&s->paid_ns);
}

void pp_shares_done(struct pp_shares *s)
{
	pp_u64map_done(&s->paid_ns);
}
