/* SPDX-License-Identifier: GPL-2.0-only */
/* Where CPython 3.8 to 3.15 keeps what, on 64-bit machines, in release builds. */
#include "proc/code.h"

#define VERSION(minor) (3U << 8 | (minor)) /* the upper half of a version word */

/* An object's head is 16 bytes; what all of a generation share. */
#define STR_WITH_WCHAR \
	.str_length = 16, .str_state = 32, .str_kind = 2, .str_ascii = 48, .str_compact = 72
#define STR_WITHOUT_WCHAR \
	.str_length = 16, .str_state = 32, .str_kind = 2, .str_ascii = 40, .str_compact = 56
#define OBJECTS .type = 8, .type_flags = 168, .type_name = 24, .bytes_length = 16, .bytes_data = 32

#define CODE_OLD                                                                         \
	.name = 112, .filename = 104, .first_line = 40, .table = 120, .print_first = 40, \
	.print_words = 11, STR_WITH_WCHAR, OBJECTS
#define CODE                                                                                  \
	.units = 16, .name = 120, .qualname = 128, .filename = 112, .table = 136, .scale = 1, \
	.lines = PP_CODE_LOCATIONS, OBJECTS
#define CODE_312                                                                     \
	CODE, STR_WITHOUT_WCHAR, .first_line = 68, .version = 92, .print_first = 64, \
				 .print_words = 10

/* Without the GIL an object's head is 32 bytes, and the interned state of a str a byte. */
#define CODE_THREADED                                                                        \
	.type = 24, .refs = 12, .type_flags = 184, .type_name = 40, .bytes_length = 32,      \
	.bytes_data = 48, .str_length = 32, .str_state = 48, .str_kind = 8, .str_ascii = 56, \
	.str_compact = 72, .units = 32, .name = 136, .qualname = 144, .filename = 128,       \
	.first_line = 84, .table = 152, .version = 108, .copies = 224, .instructions = 232,  \
	.scale = 1, .print_first = 80, .print_words = 10, .lines = PP_CODE_LOCATIONS

static const struct {
	uint32_t version;
	bool threaded;
	struct pp_code_offsets layout;
} layouts[] = {
	{ VERSION(8), false, { CODE_OLD, .lines = PP_CODE_LNOTAB, .scale = 1 } },
	{ VERSION(9), false, { CODE_OLD, .lines = PP_CODE_LNOTAB, .scale = 1 } },
	{ VERSION(10), false, { CODE_OLD, .lines = PP_CODE_RANGES, .scale = 2 } },
	{ VERSION(11),
	  false,
	  { CODE, STR_WITH_WCHAR, .first_line = 72, .instructions = 184, .print_first = 72,
	    .print_words = 9 } },
	{ VERSION(12), false, { CODE_312, .instructions = 192 } },
	{ VERSION(13), false, { CODE_312, .instructions = 200 } },
	{ VERSION(14), false, { CODE_312, .instructions = 208 } },
	{ VERSION(15), false, { CODE_312, .instructions = 208 } },
	{ VERSION(14), true, { CODE_THREADED } },
	{ VERSION(15), true, { CODE_THREADED } },
};

const struct pp_code_offsets *pp_code_offsets_find(uint32_t version, bool threaded)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		if (layouts[i].version == version >> 16 && layouts[i].threaded == threaded)
			return &layouts[i].layout;
	return NULL;
}
