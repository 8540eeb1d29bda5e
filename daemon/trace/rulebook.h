/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine-wide numbers of unwind rules, by which rows in the store name them. Tables share the
 * rules they have in common; a number is another rule's only when no table uses it any more.
 */
#pragma once

#include "base/macro.h"

struct pp_rulebook;

/* shared: what BPF reads, PP_RULES_MAX rules by number. */
int pp_rulebook_new(struct pp_rulebook **ret, uint32_t *shared);
struct pp_rulebook *pp_rulebook_free(struct pp_rulebook *b);
PP_DEFINE_CLEANUP(struct pp_rulebook *, pp_rulebook_free)

/*
 * Numbers a table's n rules; each holds its number until it is released. Rules for which there is
 * no number, and those beyond what one file may have, are as unsupported ones (walks end there and
 * say so), and counted. Returns 0 or -ENOMEM.
 */
int pp_rulebook_take(struct pp_rulebook *b, const uint32_t *rules, uint32_t n,
		     uint16_t *ret_numbers);
/* No walk reads rows with these numbers any more. */
void pp_rulebook_release(struct pp_rulebook *b, const uint16_t *numbers, uint32_t n);

uint32_t pp_rulebook_count(const struct pp_rulebook *b);
