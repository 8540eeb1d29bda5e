/* SPDX-License-Identifier: GPL-2.0-only */
/* Names for PLT stubs: which imported function an entry of .plt, .plt.sec or .plt.got jumps to. */
#pragma once

#include "elf/file.h"

struct pp_plt;

/* Reads the relocations of PLT slots. Returns 0 (an empty table where there are none), or -ENOMEM,
 * -EIO. */
int pp_plt_new(struct pp_plt **ret, struct pp_elf *elf);
struct pp_plt *pp_plt_free(struct pp_plt *p);
PP_DEFINE_CLEANUP(struct pp_plt *, pp_plt_free)

/* The stub that holds an address: its bounds, and the name of its target in the dynamic string
 * table (an offset there). False: not in a PLT, or a stub that names nothing. */
bool pp_plt_lookup(struct pp_plt *p, struct pp_elf *elf, uint64_t address, uint64_t *ret_start,
		   uint64_t *ret_size, uint32_t *ret_name);
size_t pp_plt_memory(const struct pp_plt *p);
