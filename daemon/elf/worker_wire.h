/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon and its worker say to each other; native layout, both are one program. A request
 * carries the file, and after it that of the table cache (LOAD) or the debug file (NAMES), if there
 * is one, each as an envelope or as a descriptor of its own; a reply carries a memory file where it
 * says so.
 */
#pragma once

#include "base/filekey.h"
#include "elf/info.h"

enum {
	PP_WIRE_LOAD,
	PP_WIRE_NAMES,
};

struct pp_wire_request {
	uint32_t kind;
	uint32_t nr_addresses;
	struct pp_file_key key;
	uint64_t addresses[];
};

/* Every reply begins with the error: 0, or -ENOEXEC, -EBADMSG, -ENOMEM, -EIO, -E2BIG. */
struct pp_wire_loaded {
	int32_t error;
	uint16_t has_table; /* a table image is in the memory file that comes along */
	uint16_t cache_bad; /* the cache's file did not hold up */
	struct pp_elf_info info;
};

/* Followed by the names, or by nothing and a memory file with them. */
struct pp_wire_named {
	int32_t error;
	uint32_t nr;
	uint32_t bytes; /* of the names */
	uint32_t in_file;
};

/* One name: this, then len bytes without a NUL. Packed, one after the other. */
struct pp_wire_name {
	uint64_t start, size;
	uint16_t len;
} __attribute__((packed));

/* The names of one reply: 1,024 of the longest. */
#define PP_WIRE_NAMES_MAX (1024 * (sizeof(struct pp_wire_name) + PP_ELF_NAME_MAX))
