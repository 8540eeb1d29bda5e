/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who holds how much of something that all share and that is bounded. Nobody is held to a share
 * while there is room. When there is none, whoever holds most yields, until he holds no more than
 * the one who wants: so the room that is left to each is what it would be with equal shares, and
 * nobody can take what others need by taking everything.
 *
 * A user is a uid. One who has subordinate uids (a user namespace with several mapped) counts as
 * that many users here.
 */
#pragma once

#include "u64map.h"

struct pp_holdings {
	struct pp_u64map of; /* user -> amount */
};

/* Returns 0 or -ENOMEM: without memory to remember it by, an amount is not counted. */
int pp_holdings_add(struct pp_holdings *h, uint32_t user, uint64_t amount);
/* Taking more away than there is leaves nothing. */
void pp_holdings_take(struct pp_holdings *h, uint32_t user, uint64_t amount);
uint64_t pp_holdings_of(const struct pp_holdings *h, uint32_t user);
/* Who is to yield so that `user` can have so much more: whoever holds most, or, where all hold less
 * than he would, he himself. */
uint32_t pp_holdings_yields(const struct pp_holdings *h, uint32_t user, uint64_t more);
void pp_holdings_done(struct pp_holdings *h);
