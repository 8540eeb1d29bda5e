/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/slots.h"
#include "base/u64map.h"

#include <string.h>

#define SLOTS_FIRST 256U

/*
 * Hashing dominates taking a line, so 16 bytes go into one multiplication, folded. The secrets make
 * collisions unpredictable: whoever writes the names does not know them.
 */
static uint64_t secrets[2];

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t pp_slots_hash(const char *text, size_t len, uint64_t h)
{
	uint64_t a, b;

	if (!secrets[0]) {
		secrets[0] = pp_mix(1) | 1;
		secrets[1] = pp_mix(2);
	}
	h ^= fold(len ^ secrets[1], secrets[0]);
	for (; len > 16; len -= 16, text += 16) {
		memcpy(&a, text, 8);
		memcpy(&b, text + 8, 8);
		h = fold(a ^ secrets[0], b ^ secrets[1] ^ h);
	}
	a = b = 0;
	memcpy(&a, text, MIN(len, 8U));
	if (len > 8)
		memcpy(&b, text + 8, len - 8);
	return (uint32_t)fold(a ^ secrets[0], b ^ secrets[1] ^ h);
}

static void put(struct pp_slots *t, struct pp_slot pair)
{
	struct pp_slot *s = pp_slots_first(t, pair.hash);

	while (s->number)
		s = pp_slots_next(t, s);
	*s = pair;
}

int pp_slots_put(struct pp_slots *t, uint32_t hash, uint32_t number)
{
	if (t->len * 2 >= t->cap) {
		struct pp_slots bigger = { .cap = t->cap ? t->cap * 2 : SLOTS_FIRST };

		bigger.len = t->len;
		bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
		if (!bigger.slots)
			return -ENOMEM;
		for (uint32_t i = 0; i < t->cap; i++)
			if (t->slots[i].number)
				put(&bigger, t->slots[i]);
		free(t->slots);
		*t = bigger;
	}
	put(t, (struct pp_slot){ hash, number });
	t->len++;
	return 0;
}

void pp_slots_done(struct pp_slots *t)
{
	free(t->slots);
	*t = (struct pp_slots){ 0 };
}
