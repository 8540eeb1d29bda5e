/* SPDX-License-Identifier: GPL-2.0-only */
#include "trace/rulebook.h"

#include "base/counters.h"
#include "base/u64map.h"
#include "bpf/pp_types.h"

/* libpython has 450 rules, LLVM 900. What somebody made up must not take the numbers of all other
 * files. */
#define FILE_RULES_MAX 4096

#define UNSUPPORTED_NUMBER 0 /* of the rule PP_RULE_UNSUPPORTED; always held */

struct pp_rulebook {
	uint32_t *shared;
	struct pp_u64map numbers; /* rule → number */
	uint32_t refs[PP_RULES_MAX];
	uint16_t unused[PP_RULES_MAX]; /* numbers that were some rule's */
	uint32_t nr_unused, nr_ever;
};

static int take(struct pp_rulebook *b, uint32_t rule)
{
	uint64_t number;
	int r;

	if (!pp_u64map_get(&b->numbers, rule, &number)) {
		if (!b->nr_unused && b->nr_ever == PP_RULES_MAX)
			return -ENOSPC;
		number = b->nr_unused ? b->unused[b->nr_unused - 1] : b->nr_ever;
		r = pp_u64map_put(&b->numbers, rule, number);
		if (r < 0)
			return r;
		if (b->nr_unused)
			b->nr_unused--;
		else
			b->nr_ever++;
		b->shared[number] = rule;
	}
	b->refs[number]++;
	return (int)number;
}

int pp_rulebook_take(struct pp_rulebook *b, const uint32_t *rules, uint32_t n,
		     uint16_t *ret_numbers)
{
	for (uint32_t i = 0; i < n; i++) {
		int number = i < FILE_RULES_MAX ? take(b, rules[i]) : -ENOSPC;

		if (number == -ENOSPC) {
			pp_count(PP_C_rules_refused);
			b->refs[UNSUPPORTED_NUMBER]++;
			number = UNSUPPORTED_NUMBER;
		}
		if (number < 0) {
			pp_rulebook_release(b, ret_numbers, i);
			return number;
		}
		ret_numbers[i] = (uint16_t)number;
	}
	return 0;
}

void pp_rulebook_release(struct pp_rulebook *b, const uint16_t *numbers, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (--b->refs[numbers[i]])
			continue;
		pp_u64map_del(&b->numbers, b->shared[numbers[i]]);
		b->unused[b->nr_unused++] = numbers[i];
	}
}

uint32_t pp_rulebook_count(const struct pp_rulebook *b)
{
	return (uint32_t)b->numbers.len;
}

int pp_rulebook_new(struct pp_rulebook **ret, uint32_t *shared)
{
	_cleanup_(pp_rulebook_freep) struct pp_rulebook *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->shared = shared;
	r = take(b, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0)); /* the first: its number is 0 */
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

struct pp_rulebook *pp_rulebook_free(struct pp_rulebook *b)
{
	if (!b)
		return NULL;
	pp_u64map_done(&b->numbers);
	free(b);
	return NULL;
}
