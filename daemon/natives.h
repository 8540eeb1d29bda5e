/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames of native code: from a file's offset to a named frame. */
#pragma once

#include "elf/info.h"
#include "files.h"

/* The frame of a pc in a mapping of a file; pending the first time it is seen. exact: the pc is not
 * a return address. 0 (PP_FRAME_UNKNOWN) where no frame could be made. */
uint32_t pp_natives_frame(struct pp_store *store, struct pp_files *files, struct pp_process *p,
			  struct pp_map *map, uint64_t pc, bool exact, uint64_t time_ns);

/* The ELF addresses of the first n pending pcs of a READY file; pcs outside every segment are given
 * up here. Returns how many. */
size_t pp_natives_addresses(struct pp_file *file, uint64_t *ret, size_t n);
/* The answer to them, in their order. */
void pp_natives_named(struct pp_store *store, struct pp_file *file, const struct pp_elf_name *names,
		      size_t n);
