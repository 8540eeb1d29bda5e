/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The unwind table of one file as the worker hands it over: one blob,
 *
 *     struct pp_table_header | u32 rules[nr_rules] | u32 index[nr_buckets] | u32 rows[nr_row_words]
 *
 * index and rows as bpf/pp_types.h lays them out, with rule numbers local to the image (rules[n] is
 * a PP_RULE word). Rule 0 is always PP_RULE_NONE. Words of rows[] that no bucket refers to are
 * padding; their rule numbers are valid too, so renumbering may run over the whole array.
 */
#pragma once

#include "base/buf.h"
#include "elf/cfi.h"

#define PP_TABLE_MAGIC 0x31746270 /* "pbt1" */
/* Above any file seen (libLLVM: 5 MB). One file takes no more than half of the default budget. */
#define PP_TABLE_IMAGE_MAX (16 * MIB)

struct pp_table_header {
	uint32_t magic;
	uint32_t nr_rules;
	uint64_t start; /* ELF address of bucket 0 */
	uint32_t nr_buckets;
	uint32_t nr_row_words;
};

/* A view into the bytes it was made of. */
struct pp_table_image {
	uint64_t start;
	const uint32_t *rules, *index, *rows;
	uint32_t nr_rules, nr_buckets, nr_row_words;
	const void *data; /* the whole blob */
	size_t size;
};

/* Appends the image of these rows to an empty out. Returns 0, -E2BIG or -ENOMEM. */
int pp_table_build(struct pp_buf *out, const struct pp_cfi *cfi);

/*
 * Checks every field and every row of a blob from an untrusted maker; data must be 8-byte aligned
 * and outlive the view. Returns 0 or -EBADMSG. Time is linear in size.
 */
int pp_table_image_validate(struct pp_table_image *ret, const void *data, size_t size);

/*
 * Maps a sealed memory file that holds an image and makes the view. check: validate it fully;
 * without, only the header is looked at (for a descriptor that has been through this once). Returns
 * 0, -EPERM (not sealed), -EBADMSG, or what mmap says.
 */
int pp_table_image_map(struct pp_table_image *ret, int fd, bool check);
void pp_table_image_unmap(struct pp_table_image *image);
#define _cleanup_image_ _cleanup_(pp_table_image_unmap)

/* The PP_RULE word in force at an ELF address; PP_RULE_NONE outside. The reference for BPF's. */
uint32_t pp_table_image_lookup(const struct pp_table_image *image, uint64_t address);

/*
 * A hash of the whole image under this process's secret key (SipHash-2-4), so that nobody can
 * prepare two images that agree in it. Never 0.
 */
uint64_t pp_table_image_hash(const struct pp_table_image *image);
