/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Line tables, as CPython's own readers (PyCode_Addr2Line and its iterators) take them. Addresses
 * only rise and every step takes at least a byte, so the length of the table bounds the work. Line
 * numbers are computed in 64 bits: no table in bounds overflows them.
 */
#include "proc/code.h"

#define NO_LINE_310   (-128)
#define VARINT_SHIFTS 36 /* 6 bits a byte: more than any 32-bit delta takes */

/* The location table's kinds of entries that say something of the line. */
enum {
	FIRST_ONE_LINE = 10, /* 10, 11, 12: so many minus 10 lines on */
	LAST_ONE_LINE = 12,
	NO_COLUMNS = 13,
	LONG = 14,
	NONE = 15,
};

static uint32_t shown(int64_t line)
{
	return line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
}

static uint32_t lnotab(const uint8_t *table, size_t len, int64_t line, int64_t offset)
{
	int64_t address = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		address += table[i];
		if (address > offset)
			break;
		line += (int8_t)table[i + 1];
	}
	return shown(line);
}

static uint32_t ranges(const uint8_t *table, size_t len, int64_t line, int64_t offset)
{
	int64_t end = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		int8_t delta = (int8_t)table[i + 1];

		end += table[i];
		if (delta != NO_LINE_310)
			line += delta;
		if (end > offset)
			return delta == NO_LINE_310 ? 0 : shown(line);
	}
	return 0;
}

/* A signed number of 6-bit groups, lowest first; the sign is its lowest bit. */
static int64_t signed_varint(const uint8_t *table, size_t len, size_t i)
{
	uint64_t n = 0;

	for (unsigned int shift = 0; i < len && shift < VARINT_SHIFTS; shift += 6) {
		n |= (uint64_t)(table[i] & 63) << shift;
		if (!(table[i++] & 64))
			break;
	}
	return n & 1 ? -(int64_t)(n >> 1) : (int64_t)(n >> 1);
}

static uint32_t locations(const uint8_t *table, size_t len, int64_t line, int64_t offset)
{
	int64_t end = 0;

	for (size_t i = 0; i < len;) {
		unsigned int kind = (table[i] >> 3) & 15;

		end += 2L * ((table[i] & 7) + 1);
		if (kind == NO_COLUMNS || kind == LONG)
			line += signed_varint(table, len, i + 1);
		else if (kind >= FIRST_ONE_LINE && kind <= LAST_ONE_LINE)
			line += kind - FIRST_ONE_LINE;
		if (end > offset)
			return kind == NONE ? 0 : shown(line);
		/* Only the first byte of an entry has its top bit set. */
		do
			i++;
		while (i < len && !(table[i] & 0x80));
	}
	return 0;
}

uint32_t pp_code_line(enum pp_code_lines kind, const uint8_t *table, size_t len,
		      uint32_t first_line, int64_t offset)
{
	int64_t first = (int32_t)first_line;

	if (offset < 0)
		return shown(first);
	switch (kind) {
	case PP_CODE_LNOTAB:
		return lnotab(table, len, first, offset);
	case PP_CODE_RANGES:
		return ranges(table, len, first, offset);
	case PP_CODE_LOCATIONS:
		return locations(table, len, first, offset);
	}
	return 0;
}
