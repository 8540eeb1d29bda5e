/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who has had how much of something that all share and that does one thing at a time. What is done
 * for an owner is his debt, which time pays off; of those that wait, the one who owes least comes
 * next. So who asks rarely waits for no more than what is under way, however many others ask.
 */
#pragma once

#include "u64map.h"

struct pp_shares {
	struct pp_u64map paid_ns; /* owner -> when he owes nothing any more, CLOCK_MONOTONIC */
};

void pp_shares_charge(struct pp_shares *s, uint32_t owner, uint64_t used_ns, uint64_t now_ns);
/* In ns; of use to compare with another's. */
uint64_t pp_shares_owed(const struct pp_shares *s, uint32_t owner, uint64_t now_ns);
void pp_shares_done(struct pp_shares *s);
