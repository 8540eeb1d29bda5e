/* SPDX-License-Identifier: GPL-2.0-only */
/* The other part of a function that the compiler has split, in a file whose symbols are gone. */
#pragma once

#include "elf/file.h"

/*
 * Finds the part that belongs to the function [start, start + size), the bytes of one entry of
 * .eh_frame. Returns 0, -ENOENT (there is none, or it cannot be told), -EIO or -ENOMEM. Time is
 * linear in the code of the two, up to the bound in cold.c.
 */
int pp_cold_find(struct pp_elf *elf, uint64_t start, uint64_t size, uint64_t *ret_start,
		 uint64_t *ret_size);
