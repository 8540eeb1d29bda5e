/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: bytes as a jitdump, once whole and once cut into pieces whose size is the
 * input's first byte. Both must come to the same: state, counts, and what is visible at each
 * address that the input mentions.
 */
#include "fuzz.h"
#include "python/jitdump.h"

#include <string.h>

#define ADDRESSES_MAX 512

struct subject {
	struct pp_perfmaps *all;
	struct pp_perfmap *map;
	struct pp_jitdump *dump;
};

static void subject_new(struct subject *s)
{
	require(pp_perfmaps_new(&s->all, PP_PERFMAPS_MEMORY_MAX) == 0);
	require(pp_perfmap_new(&s->map, s->all) == 0);
	require(pp_jitdump_new(&s->dump, s->all, s->map) == 0);
}

static void subject_done(struct subject *s)
{
	pp_jitdump_free(s->dump);
	pp_perfmap_free(s->map);
	pp_perfmaps_free(s->all);
}

static void compare_at(struct subject *a, struct subject *b, uint64_t address)
{
	struct pp_perfmap_entry x, y;
	bool found = pp_perfmap_lookup(a->map, address, &x);

	require(pp_perfmap_lookup(b->map, address, &y) == found);
	if (!found)
		return;
	require(x.start == y.start && x.size == y.size);
	require(address >= x.start && address - x.start < x.size);
	require(x.name.kind == y.name.kind && x.name.len == y.name.len);
	require(memcmp(x.name.name, y.name.name, x.name.len) == 0);
	require(x.name.file_len == y.name.file_len);
	require(!x.name.file_len || memcmp(x.name.file, y.name.file, x.name.file_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subject whole, cut;
	size_t chunk;

	if (size < 1)
		return 0;
	chunk = data[0] + 1U;
	data++;
	size--;
	subject_new(&whole);
	subject_new(&cut);
	pp_jitdump_feed(whole.dump, data, size);
	for (size_t at = 0; at < size; at += chunk)
		pp_jitdump_feed(cut.dump, data + at, MIN(chunk, size - at));
	require(pp_jitdump_state(whole.dump) == pp_jitdump_state(cut.dump));
	require(!memcmp(pp_jitdump_stats(whole.dump), pp_jitdump_stats(cut.dump),
			sizeof(struct pp_jitdump_stats)));
	for (size_t at = 0; at + 8 <= size && at < ADDRESSES_MAX * 8; at += 8) {
		uint64_t address;

		memcpy(&address, data + at, sizeof(address));
		compare_at(&whole, &cut, address);
	}
	subject_done(&whole);
	subject_done(&cut);
	return 0;
}
