/* SPDX-License-Identifier: GPL-2.0-only */
/* A code object of CPython 3.13 and what it refers to, forged in the test's own memory. */
#pragma once

#include "base/macro.h"

#include <string.h>

struct object {
	uint64_t refs, type;
};

struct type {
	struct object head;
	uint64_t size;
	uint64_t name;
	uint64_t fields[17];
	uint64_t flags;
};

struct str {
	struct object head;
	uint64_t length, hash;
	uint32_t state, pad;
	union {
		uint8_t ascii[64];
		struct {
			uint64_t utf8_length, utf8;
			uint8_t latin1[48];
			/* or others */
		};
	};
};

struct bytes {
	struct object head;
	uint64_t size, hash;
	uint8_t data[64];
};

struct code {
	struct object head;
	uint64_t units;
	uint64_t unused[5];
	uint32_t pad1, first_line; /* 64, 68 */
	uint64_t unused2[2];
	uint32_t pad2, version; /* 88, 92 */
	uint64_t unused3[2];
	uint64_t file, name, qualname, table; /* 112 … */
	uint64_t unused4[7];
	uint8_t instructions[64]; /* 200 */
};
_Static_assert(offsetof(struct type, flags) == 168, "tp_flags");
_Static_assert(offsetof(struct code, first_line) == 68, "co_firstlineno");
_Static_assert(offsetof(struct code, version) == 92, "co_version");
_Static_assert(offsetof(struct code, file) == 112, "co_filename");
_Static_assert(offsetof(struct code, instructions) == 200, "co_code_adaptive");

#define ASCII	      (1U << 2 | 1U << 5 | 1U << 6)
#define COMPACT(kind) ((uint32_t)(kind) << 2 | 1U << 5)

static struct type code_type, str_type, bytes_type;
static struct code code;
static struct str name, file;
static struct bytes table;

static uint64_t at(const void *p)
{
	return (uintptr_t)p;
}

static void set_ascii(struct str *s, const char *text)
{
	*s = (struct str){ .head = { 1, at(&str_type) }, .length = strlen(text), .state = ASCII };
	memcpy(s->ascii, text, strlen(text));
}

/* Three instructions: on the first line, two below, nowhere. */
static const uint8_t locations[] = { 0x80, 0, 0xe8, 2 << 1, 0xf8 };

static void forge_code(void)
{
	code_type = (struct type){ .name = at("code") };
	str_type = (struct type){ .name = at("str"), .flags = 1U << 28 };
	bytes_type = (struct type){ .name = at("bytes"), .flags = 1U << 27 };
	set_ascii(&name, "C.method");
	set_ascii(&file, "/a/b.py");
	table = (struct bytes){ .head.type = at(&bytes_type), .size = sizeof(locations) };
	memcpy(table.data, locations, sizeof(locations));
	code = (struct code){ .head = { 1, at(&code_type) },
			      .units = 3,
			      .first_line = 10,
			      .version = 77,
			      .file = at(&file),
			      .name = at(&name),
			      .qualname = at(&name),
			      .table = at(&table) };
}
