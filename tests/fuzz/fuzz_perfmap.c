/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: bytes as a perf map, fed in chunks whose sizes come from the input too, with
 * look-ups and a fork in between; checked against the rule that the last entry wins, address by
 * address, for the entries as the line parser sees them.
 */
#include "fuzz.h"
#include "python/perfline.h"
#include "python/perfmap.h"

#include <string.h>

#define ENTRIES_MAX 256 /* checked */

/* The last entry of text that covers address. */
static bool naive(const char *text, size_t len, uint64_t address, struct pp_perfline *ret)
{
	const char *newline;
	struct pp_perfline last;
	bool found = false, covers = false;
	int continuations = 0;

	for (; (newline = memchr(text, '\n', len));
	     len -= (size_t)(newline + 1 - text), text = newline + 1) {
		struct pp_perfline entry;
		enum pp_perfline_result r;

		/* A hole in the file. */
		for (; !*text; text++, len--)
			continuations = 0;
		r = pp_perfline_parse(text, (size_t)(newline - text), &entry);
		if (r == PP_PERFLINE_ENTRY) {
			last = entry;
			continuations = pp_name_is_python(entry.name, entry.len) ? 4 : 0;
			covers = address >= entry.start && address - entry.start < entry.size;
		} else if ((r == PP_PERFLINE_ADDRESS || r == PP_PERFLINE_SIZE) && continuations) {
			last.len = (size_t)(newline - last.name);
			continuations = last.len > PP_PERFMAP_NAME_MAX ? 0 : continuations - 1;
			if (!continuations && last.len > PP_PERFMAP_NAME_MAX)
				continue;
		} else {
			continuations = 0;
			continue;
		}
		if (covers) {
			*ret = last;
			found = true;
		}
	}
	return found;
}

static void check(struct pp_perfmap *map, const char *text, size_t len, uint64_t address)
{
	_cleanup_buf_ struct pp_buf name = { 0 };
	struct pp_perfmap_entry entry;
	struct pp_perfline want;
	bool expected = naive(text, len, address, &want);

	require(pp_perfmap_lookup(map, address, &entry) == expected);
	if (!expected)
		return;
	require(address >= entry.start && address - entry.start < entry.size);
	require(pp_name_write(&name, &entry.name) == 0);
	require(name.len == MIN(want.len, PP_PERFMAP_NAME_MAX));
	require(memcmp(name.data, want.name, name.len) == 0);
}

static void check_all(struct pp_perfmap *map, const char *text, size_t len)
{
	const char *p = text, *newline;
	size_t left = len;

	for (int n = 0; n < ENTRIES_MAX && (newline = memchr(p, '\n', left)); n++) {
		struct pp_perfline entry;

		if (pp_perfline_parse(p, (size_t)(newline - p), &entry) == PP_PERFLINE_ENTRY) {
			check(map, text, len, entry.start);
			check(map, text, len, entry.start + entry.size - 1);
			check(map, text, len, entry.start + entry.size);
			check(map, text, len, entry.start - 1);
		}
		left -= (size_t)(newline + 1 - p);
		p = newline + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(pp_perfmaps_freep) struct pp_perfmaps *all = NULL;
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *map = NULL, *child = NULL;
	size_t chunk, half;

	if (size < 1)
		return 0;
	chunk = data[0] + 1U;
	data++;
	size--;
	half = size / 2;
	require(pp_perfmaps_new(&all, PP_PERFMAPS_MEMORY_MAX) == 0);
	require(pp_perfmap_new(&map, all) == 0 && pp_perfmap_new(&child, all) == 0);
	for (size_t at = 0, n; at < size; at += n) {
		n = MIN(chunk, size - at);
		if (at < half)
			n = MIN(n, half - at);
		if (at == half)
			require(pp_perfmap_inherit(child, map) == 0);
		pp_perfmap_feed(map, data + at, n);
		if (chunk & 1)
			check(map, (const char *)data, at + n, at * 16);
	}
	check_all(map, (const char *)data, size);
	if (half)
		check_all(child, (const char *)data, half);
	return 0;
}
