/* SPDX-License-Identifier: GPL-2.0-only */
/* What a file is: build-id, debug link, segments, and whether CPython is in it. */
#pragma once

#include "elf/file.h"
#include "elf/info.h"

/* Fills in everything but the table's fields. Returns 0, or -ENOMEM, -EIO. What is malformed is
 * left out. */
int pp_identify(struct pp_elf *elf, struct pp_elf_info *ret);

/* The GNU build-id; its length, 0 for none. */
size_t pp_build_id(struct pp_elf *elf, uint8_t id[PP_ELF_BUILD_ID_MAX]);

/* Whether a separate debug file belongs to elf: by equal build-ids or, where elf has none, by the
 * checksum beside its debug link. */
bool pp_debug_file_matches(struct pp_elf *elf, struct pp_elf *debug);
