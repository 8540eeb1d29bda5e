/* SPDX-License-Identifier: GPL-2.0-only */
/* What the daemon knows of an ELF file, and the names found in one: fixed-size, plain data. */
#pragma once

#include "base/macro.h"

#define PP_ELF_BUILD_ID_MAX                                                  \
	32 /* bytes; GNU ld writes 20, lld 8 to 20, Go's is not of this kind \
	    */
#define PP_DEBUGLINK_MAX       256 /* a file's basename with its NUL */
#define PP_OBJECT_SEGMENTS_MAX 16  /* LOAD segments kept */

#define PP_ELF_TAKERS 6 /* three functions, and copies of them */

struct pp_elf_segment {
	uint64_t offset, address; /* in the file; ELF virtual */
	uint64_t file_size, memory_size;
	uint32_t flags; /* PF_R, PF_W, PF_X */
	uint32_t pad;
};

/* Where code is; length 0: nowhere. */
struct pp_elf_range {
	uint64_t start, len;
};

static inline bool pp_elf_range_has(const struct pp_elf_range *range, uint64_t address)
{
	return address - range->start < range->len;
}

/* A CPython runtime that is defined in the file. Addresses are ELF ones. */
struct pp_elf_python {
	uint64_t runtime;   /* of _PyRuntime; 0: there is none */
	uint64_t code_type; /* of PyCode_Type; 0: not exported */
	uint64_t next_code; /* 3.12: of the number of the next code object; 0: not known */
	/* The evaluation loop: its function, and the part of it that a compiler put elsewhere. */
	struct pp_elf_range eval, eval_cold;
	/* Functions that do nothing but take the GIL, as far as they have symbols. */
	struct pp_elf_range takers[PP_ELF_TAKERS];
	/* As PY_VERSION_HEX has it. Level 0: only major and minor are known, by what the file
	 * exports. 0: not known. */
	uint32_t version;
	uint32_t pypy; /* no CPython: PyPy, of which nothing else is known */
};

static inline bool pp_elf_has_python(const struct pp_elf_python *py)
{
	return py->runtime || py->pypy;
}

struct pp_elf_info {
	uint16_t type, machine; /* ET_*, EM_* */
	uint8_t build_id_len;	/* 0: none */
	uint8_t has_symtab;	/* its own full symbol table: no debug file is needed for names */
	uint8_t table_cached;	/* the table was not made but read from the cache */
	uint8_t pad;
	uint32_t debuglink_crc;
	uint32_t nr_segments;
	uint32_t frame_pointers; /* of its code, how much keeps rbp as one: thousandths */
	uint32_t pad2;
	struct pp_elf_python python;
	uint64_t table_hash;   /* of the table image, as pp_table_image_hash(); 0: no table */
	uint64_t bad_entries;  /* .eh_frame entries that could not be used */
	uint64_t table_source; /* pp_tablefile_source(); 0: the table cannot be kept */
	uint8_t build_id[PP_ELF_BUILD_ID_MAX];
	char debuglink[PP_DEBUGLINK_MAX]; /* "" for none; a plain file name, without slashes */
	struct pp_elf_segment segments[PP_OBJECT_SEGMENTS_MAX];
};

/* One answer: the function that holds an address. */
struct pp_elf_name {
	const char *name; /* demangled, NUL-terminated; "" for none. Valid during the call. */
	uint64_t start;	  /* ELF address and */
	uint64_t size;	  /* bytes of the function; 0 with "" */
};

/* Names are cut here (and end in "..."): more is template noise. Bytes, with the NUL. */
#define PP_ELF_NAME_MAX 1024
