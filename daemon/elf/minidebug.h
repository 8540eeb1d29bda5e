/* SPDX-License-Identifier: GPL-2.0-only */
/* MiniDebugInfo: a small ELF file with a symbol table, xz-compressed in section .gnu_debugdata. */
#pragma once

#include "elf/file.h"

/* Unpacks it. Returns 0, -ENODATA (the file has none), -EBADMSG, -E2BIG or -ENOMEM. */
int pp_minidebug_unpack(struct pp_elf *elf, uint8_t **ret, size_t *ret_size);
