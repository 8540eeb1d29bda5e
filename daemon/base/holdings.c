/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/holdings.h"

#include "base/macro.h"

int pp_holdings_add(struct pp_holdings *h, uint32_t user, uint64_t amount)
{
	return pp_u64map_put(&h->of, user, pp_holdings_of(h, user) + amount);
}

void pp_holdings_take(struct pp_holdings *h, uint32_t user, uint64_t amount)
{
	uint64_t held = pp_holdings_of(h, user);

	if (held > amount)
		(void)pp_u64map_put(&h->of, user, held - amount);
	else
		pp_u64map_del(&h->of, user);
}

uint64_t pp_holdings_of(const struct pp_holdings *h, uint32_t user)
{
	uint64_t held = 0;

	(void)pp_u64map_get(&h->of, user, &held);
	return held;
}

uint32_t pp_holdings_yields(const struct pp_holdings *h, uint32_t user, uint64_t more)
{
	uint64_t most = pp_holdings_of(h, user) + more, other, held;
	uint32_t yields = user;
	size_t i = 0;

	while (pp_u64map_next(&h->of, &i, &other, &held))
		if (held > most) {
			most = held;
			yields = (uint32_t)other;
		}
	return yields;
}

void pp_holdings_done(struct pp_holdings *h)
{
	pp_u64map_done(&h->of);
}
