/* SPDX-License-Identifier: GPL-2.0-only */
#include "counts.h"

#include <string.h>

#include "base/u64map.h"
#include "ids.h"

#define SAMPLES_MAX ((1U << 24) - 1)

static uint64_t hash_entry(const struct pp_entry *e)
{
	return pp_mix(pp_mix((uint64_t)e->process << 32 | e->attributes) ^
		      ((uint64_t)e->node << 8 | e->end));
}

static uint64_t hash_row(const void *table, uint32_t row)
{
	const struct pp_counts *c = table;

	return hash_entry(&c->entries[row]);
}

/* A full entry is equal to nothing, so that the next one takes over. */
static bool equal_row(const void *table, uint32_t row, const void *key)
{
	const struct pp_counts *c = table;
	const struct pp_entry *a = &c->entries[row], *b = key;

	return a->node == b->node && a->process == b->process && a->attributes == b->attributes &&
	       a->end == b->end && a->samples < SAMPLES_MAX;
}

int pp_counts_add(struct pp_counts *c, uint32_t process, uint32_t node, uint32_t attributes,
		  enum pp_end end, uint64_t cpu_ns, size_t max)
{
	struct pp_entry entry = {
		.process = process, .node = node, .attributes = attributes, .end = (uint8_t)end
	};
	uint64_t hash = hash_entry(&entry);
	const uint32_t *slot = pp_index_find(&c->index, hash, equal_row, c, &entry);
	int r;

	if (slot && *slot) {
		c->entries[*slot - 1].samples++;
		c->entries[*slot - 1].cpu_ns += cpu_ns;
		return 0;
	}
	if (c->nr >= max)
		return -ENOSPC;
	r = pp_array_reserve((void **)&c->entries, sizeof(*c->entries), &c->cap, c->nr);
	if (r < 0)
		return r;
	r = pp_index_reserve(&c->index, (size_t)c->index.count + 1, hash_row, c);
	if (r < 0)
		return r;
	entry.samples = 1;
	entry.cpu_ns = cpu_ns;
	pp_index_put(&c->index, hash, c->nr, hash_row, c);
	c->entries[c->nr++] = entry;
	return 1;
}

void pp_counts_close(struct pp_counts *c)
{
	struct pp_entry *exact;

	pp_index_done(&c->index);
	if (!c->nr) {
		pp_counts_done(c);
		return;
	}
	exact = reallocarray(c->entries, c->nr, sizeof(*exact));
	if (!exact)
		return;
	c->entries = exact;
	c->cap = c->nr;
}

void pp_counts_clear(struct pp_counts *c)
{
	c->nr = 0;
	pp_index_reset(&c->index, c->index.cap / 2);
}

void pp_counts_done(struct pp_counts *c)
{
	free(c->entries);
	pp_index_done(&c->index);
	*c = (struct pp_counts){ 0 };
}

size_t pp_counts_bytes(const struct pp_counts *c)
{
	return c->cap * sizeof(*c->entries) + pp_index_bytes(&c->index);
}
