/* SPDX-License-Identifier: GPL-2.0-only */
/* Unwind rows of an x86-64 file, decoded from its .eh_frame. */
#pragma once

#include "bpf/pp_types.h"
#include "elf/file.h"

#define PP_CFI_SECTION_MAX (64 * MIB) /* of .eh_frame; chromium's has 34 MB */

/* A row is in force from its offset up to the next row's. */
struct pp_cfi_row {
	uint32_t offset; /* from pp_cfi.start */
	uint32_t rule;	 /* PP_RULE word */
};

/*
 * Rows ascend strictly and neighbours differ; the first is at offset 0, the last is a
 * PP_RULE_NONE that ends the covered code.
 */
struct pp_cfi {
	uint64_t start; /* ELF address */
	struct pp_cfi_row *rows;
	size_t nr_rows, cap_rows;
	size_t nr_fdes; /* functions described */
	size_t nr_bad;	/* entries that could not be decoded: skipped, or cut where they break */
};

/*
 * Returns 0, -ENODATA (the file has no unwind information), -EBADMSG (none of it can be used),
 * -E2BIG or -ENOMEM. Hostile input costs time and memory linear in the section's size, up to the
 * bounds in cfi.c.
 */
int pp_cfi_read(struct pp_cfi *ret, struct pp_elf *elf);
/*
 * Appends a row; addresses must not descend. One that says what the one before says is left out; a
 * later one at the same address wins. Returns 0, -E2BIG or -ENOMEM.
 */
int pp_cfi_add_row(struct pp_cfi *cfi, uint64_t address, uint32_t rule);
/* Of the code described, how much has a frame of its own that rbp points into: in thousandths. */
uint32_t pp_cfi_frame_pointers(const struct pp_cfi *cfi);
void pp_cfi_done(struct pp_cfi *cfi);
#define _cleanup_cfi_ _cleanup_(pp_cfi_done)
