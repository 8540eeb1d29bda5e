/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Function names of one file, from its .symtab, .dynsym, MiniDebugInfo, PLT relocations and a
 * separate debug file. Compact (24 bytes a function): names stay in the file and are read when
 * asked for. A stripped CPython's loop is named where its compiler has split it too (cold.h).
 */
#pragma once

#include "elf/file.h"
#include "elf/info.h"

struct pp_symbols;

/* debug: a file that has been found to belong to elf, or NULL. Neither is kept. Returns 0 (also
 * without any symbol), -ENOMEM or -EIO; malformed tables are left out. */
int pp_symbols_new(struct pp_symbols **ret, struct pp_elf *elf, struct pp_elf *debug);
struct pp_symbols *pp_symbols_free(struct pp_symbols *s);
PP_DEFINE_CLEANUP(struct pp_symbols *, pp_symbols_free)

struct pp_symbol_hit {
	uint64_t start, size;
	char name[PP_ELF_NAME_MAX]; /* demangled */
};

/*
 * The function that holds an ELF address; elf and debug are those of pp_symbols_new(), perhaps
 * opened anew. False: none does. Of several, in this order: one with a size before one without
 * (assembly labels, which reach to the next symbol), the innermost, global before local before
 * weak, fewer leading underscores, the longer name.
 */
bool pp_symbols_lookup(struct pp_symbols *s, struct pp_elf *elf, struct pp_elf *debug,
		       uint64_t address, struct pp_symbol_hit *ret);

size_t pp_symbols_memory(const struct pp_symbols *s);
