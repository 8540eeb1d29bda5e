/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading DWARF's encodings out of a bounded range of bytes. A read beyond the end yields 0, moves
 * to the end and sets `bad`, which stays set: a parser may read on and look at it once.
 */
#pragma once

#include "base/macro.h"
#include <string.h>

struct pp_cursor {
	const uint8_t *p, *end;
	bool bad;
};

static inline size_t pp_cursor_left(const struct pp_cursor *c)
{
	return (size_t)(c->end - c->p);
}

static inline bool pp_cursor_skip(struct pp_cursor *c, uint64_t n)
{
	if (n > pp_cursor_left(c)) {
		c->p = c->end;
		c->bad = true;
		return false;
	}
	c->p += n;
	return true;
}

static inline uint64_t pp_cursor_uint(struct pp_cursor *c, size_t bytes)
{
	const uint8_t *at = c->p;
	uint64_t v = 0;

	if (pp_cursor_skip(c, bytes))
		memcpy(&v, at, bytes); /* little-endian, as the files are */
	return v;
}

static inline uint8_t pp_cursor_u8(struct pp_cursor *c)
{
	if (c->p == c->end) {
		c->bad = true;
		return 0;
	}
	return *c->p++;
}

static inline int64_t pp_cursor_int(struct pp_cursor *c, size_t bytes)
{
	unsigned int shift = 64 - 8 * (unsigned int)bytes;

	return (int64_t)(pp_cursor_uint(c, bytes) << shift) >> shift;
}

/* Bits beyond 64 are dropped. */
static inline uint64_t pp_cursor_uleb(struct pp_cursor *c)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = pp_cursor_u8(c);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return v;
}

static inline int64_t pp_cursor_sleb(struct pp_cursor *c)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = pp_cursor_u8(c);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (shift < 64 && byte & 0x40)
		v |= ~0ULL << shift;
	return (int64_t)v;
}
