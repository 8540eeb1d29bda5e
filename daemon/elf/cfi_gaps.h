/* SPDX-License-Identifier: GPL-2.0-only */
/* Rows for assembly that its authors left out of .eh_frame, known by its code. */
#pragma once

#include "elf/cfi.h"

/*
 * Adds rows for the undescribed functions that are recognised; what is described stays as it is.
 * Returns 0, -E2BIG, -EIO or -ENOMEM (then cfi is as it was). Time is bounded, see the file.
 */
int pp_cfi_fill_gaps(struct pp_cfi *cfi, struct pp_elf *elf);
