/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/growers.h"
#include "python/slots.h"

#include <string.h>

#define HALVE_NS (60 * NSEC_PER_SEC)

/*
 * When growth is worth a word. CPython never takes an entry back, nor, mostly, the code behind it,
 * so what keeps coming ends at what one map may have, 4 million entries: at ALARM_PER_MINUTE in a
 * month, which is how long services run; at SEVERE_PER_MINUTE in three days, with 100 MB of file
 * a day and 60 MB of memory for stubs. An import adds as much in a second, but of each name one:
 * so the same one must have come REPEATS_MIN times, over LASTS_NS, and be coming still.
 */
#define ALARM_PER_MINUTE  100
#define SEVERE_PER_MINUTE 1000
#define REPEATS_MIN	  50
#define LASTS_NS	  (15 * NSEC_PER_SEC)

void pp_growers_turn(struct pp_growers *g, uint64_t now_ns)
{
	g->now_ns = now_ns;
	if (!g->since_ns)
		g->since_ns = now_ns;
	if (now_ns - g->since_ns < HALVE_NS)
		return;
	g->since_ns = now_ns;
	g->total /= 2;
	for (uint32_t i = 0; i < g->nr; i++) {
		g->growers[i].count /= 2;
		g->growers[i].error /= 2;
		g->growers[i].bytes /= 2;
	}
}

static uint64_t hash_of(const struct pp_name *name)
{
	uint32_t hash = pp_slots_hash(name->name, name->len, name->kind);

	return (uint64_t)hash << 32 | pp_slots_hash(name->file ?: "", name->file_len, hash);
}

static uint8_t copy(char to[PP_GROWER_NAME_MAX], const char *text, size_t len)
{
	len = MIN(len, (size_t)PP_GROWER_NAME_MAX);
	if (len)
		memcpy(to, text, len);
	return (uint8_t)len;
}

/* The place of a name that is not there: a free one, or the rarest's, whose count it takes over. */
static struct pp_grower *replace(struct pp_growers *g)
{
	struct pp_grower *rarest = &g->growers[0];

	if (g->nr < PP_GROWERS)
		return &g->growers[g->nr++];
	for (uint32_t i = 1; i < g->nr; i++)
		if (g->growers[i].count < rarest->count)
			rarest = &g->growers[i];
	return rarest;
}

void pp_growers_add(struct pp_growers *g, const struct pp_name *name, size_t bytes)
{
	uint64_t hash = hash_of(name);
	struct pp_grower *p = NULL;

	g->total++;
	for (uint32_t i = 0; i < g->nr && !p; i++)
		if (g->growers[i].hash == hash)
			p = &g->growers[i];
	if (!p) {
		p = replace(g);
		p->hash = hash;
		p->error = p->count;
		p->first_ns = g->now_ns;
		p->kind = name->kind;
		p->name_len = copy(p->name, name->name, name->len);
		p->file_len = copy(p->file, name->file, name->file_len);
	}
	p->count++;
	p->bytes += bytes;
	p->last_ns = g->now_ns;
}

const struct pp_grower *pp_growers_top(const struct pp_growers *g)
{
	const struct pp_grower *top = NULL;

	for (uint32_t i = 0; i < g->nr; i++)
		if (!top || g->growers[i].count - g->growers[i].error > top->count - top->error)
			top = &g->growers[i];
	return top;
}

struct pp_growth_alarm pp_growers_alarm(const struct pp_growers *g, uint64_t entries,
					uint64_t bytes, uint64_t now_ns)
{
	const struct pp_grower *top = g ? pp_growers_top(g) : NULL;
	struct pp_growth_alarm a = { 0 };
	uint64_t sure;

	if (!top || top->last_ns - top->first_ns < LASTS_NS || top->last_ns + LASTS_NS < now_ns)
		return a;
	sure = top->count - top->error;
	if (sure < REPEATS_MIN)
		return a;
	a.entries = (uint64_t)((__uint128_t)entries * sure / MAX(g->total, sure));
	a.bytes = MIN(bytes, (uint64_t)((__uint128_t)a.entries * top->bytes / top->count));
	if (a.entries < ALARM_PER_MINUTE)
		return a;
	a.grower = top;
	a.severe = a.entries >= SEVERE_PER_MINUTE;
	return a;
}
