/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPython's code objects in another process's memory: where each version keeps what, and from a
 * position in the code to its line. Everything read through this is that process's own to make up.
 */
#pragma once

#include "base/macro.h"

/* What is known of a process's interpreter. */
struct pp_code_runtime {
	uint32_t version;   /* as python/version.h has it */
	uint32_t threaded;  /* free-threaded (no GIL): its objects have another head */
	uint64_t code_type; /* address of PyCode_Type; 0: not known, the type's name is looked at */
	/* Of the program that it runs: the random word that an exec leaves at this address. 0: not
	 * known, and then next_code is none. */
	uint64_t image_at, image;
	uint64_t next_code; /* address of the u32 that numbers its code objects; 0: none */
	/* Where each interpreter numbers its own: the address of the runtime's first, main one and
	 * how many there ever were. 0: they all take their numbers from one. */
	uint64_t interpreters;
};

enum pp_code_lines {
	PP_CODE_LNOTAB,	   /* 3.8, 3.9: pairs of increments */
	PP_CODE_RANGES,	   /* 3.10: pairs, with "no line" */
	PP_CODE_LOCATIONS, /* 3.11 and later: the location table */
};

/* Offsets in bytes. */
struct pp_code_offsets {
	uint16_t type; /* ob_type, of every object */
	uint16_t refs; /* without the GIL: the owner's count of references, then the others' */
	uint16_t type_flags; /* tp_flags, of a type */
	uint16_t type_name;  /* tp_name */
	/* Of a code object. */
	uint16_t units;		 /* 3.11 and later: how many code units it has (ob_size); else 0 */
	uint16_t name, qualname; /* qualname 0: none */
	uint16_t filename, first_line, table;
	uint16_t version;      /* co_version, 0: none */
	uint16_t instructions; /* co_code_adaptive; 0: positions are offsets, not addresses */
	uint16_t copies;       /* co_tlbc, a thread's own copies of the instructions; 0: none */
	uint16_t print_first, print_words; /* what its print is made of; see bpf/pp_types.h */
	/* Of a str and of bytes. */
	uint16_t str_length, str_state, str_ascii, str_compact;
	uint16_t bytes_length, bytes_data;
	uint8_t str_kind; /* the lowest bit of the state's kind, compact and ascii */
	enum pp_code_lines lines;
	uint8_t scale; /* bytes that a position counts, where it is an offset */
};

/* NULL: no layout of that version is known. */
const struct pp_code_offsets *pp_code_offsets_find(uint32_t version, bool threaded);

/*
 * The line of the instruction at `offset` bytes into the code; before the first one it is the first
 * line. 0: none, or the table does not tell (it may be cut or nonsense).
 */
uint32_t pp_code_line(enum pp_code_lines kind, const uint8_t *table, size_t len,
		      uint32_t first_line, int64_t offset);
