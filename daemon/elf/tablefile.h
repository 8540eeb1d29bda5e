/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An unwind table in a file: struct pp_tablefile_header, then an image as elf/table.h describes.
 *
 * Such a file is kept for later starts and may be anything by then: half written, damaged, of
 * another version, of another file that has the same name in the cache. What is read from it is
 * checked as strictly as what the worker makes of a hostile ELF file, and it counts only if it was
 * made from a file with this identity whose unwind sections still have this hash, by a program that
 * makes the same tables.
 */
#pragma once

#include "base/filekey.h"
#include "elf/file.h"
#include "elf/info.h"
#include "elf/table.h"

#define PP_TABLEFILE_MAGIC 0x656c626174707070ULL /* "ppptable" */
/* Raised with every change of this layout, of the image's, or of what tables are made to say. */
#define PP_TABLEFILE_VERSION 1
#define PP_TABLEFILE_MAX     (sizeof(struct pp_tablefile_header) + PP_TABLE_IMAGE_MAX)

struct pp_tablefile_header {
	uint64_t magic;
	uint32_t version;
	uint32_t frame_pointers; /* as in struct pp_elf_info */
	uint64_t maker;		 /* pp_tablefile_maker() of who made it */
	uint64_t source;	 /* pp_tablefile_source() of what it was made from */
	struct pp_file_key key;	 /* and whose that is */
	uint64_t bad_entries;
	uint64_t image_bytes;
	uint64_t check; /* of the header, this field being 0, and the image: against damage */
};
_Static_assert(sizeof(struct pp_tablefile_header) % 8 == 0, "the image behind it is aligned");

/* Says which tables this program makes: its version and the layout's constants. */
uint64_t pp_tablefile_maker(void);

/*
 * A hash of the file's headers and unwind sections, never 0. Returns 0, -ENODATA (it has none, or
 * they cannot be told without making the table), -EIO or -ENOMEM.
 */
int pp_tablefile_source(struct pp_elf *elf, uint64_t *ret);

/* The header for an image that was made of key's file. */
void pp_tablefile_describe(struct pp_tablefile_header *ret, const struct pp_file_key *key,
			   const struct pp_elf_info *info);
/* Enters size and check of the image. */
void pp_tablefile_seal(struct pp_tablefile_header *h, const void *image, size_t size);

/*
 * Checks a file's bytes, 8-byte aligned, and makes the view of its image. Returns 0, -ESTALE (made
 * from something else, or by another version) or -EBADMSG (damaged).
 */
int pp_tablefile_read(struct pp_table_image *ret, struct pp_tablefile_header *ret_header,
		      const void *data, size_t size, const struct pp_file_key *key,
		      uint64_t source);
