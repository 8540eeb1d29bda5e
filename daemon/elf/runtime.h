/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether a file holds a CPython runtime, by what it exports and contains, never by its name. */
#pragma once

#include "elf/file.h"
#include "elf/info.h"

/* *ret is all zero where the file defines none, but for PyPy's mark. Returns 0, or -ENOMEM, -EIO.
 * What is malformed is left out. */
int pp_find_runtime(struct pp_elf *elf, struct pp_elf_python *ret);
