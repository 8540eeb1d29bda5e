/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Folded stacks, one a line: `COMMAND;root;...;leaf COUNT`. A Python frame is `py::QUALNAME:FILE`
 * (`py::QUALNAME:FILE:LINE` in a view with lines, where the line is known),
 * a kernel frame ends in `_[k]`, an unnamed one is `[MODULE+0xOFFSET]`, and a stack that is not
 * complete starts with `[truncated: REASON]`. Within a name `\xHH` stands for `;`, backslash,
 * control bytes and what is not UTF-8.
 */
#pragma once

#include "lib/view.h"

#include <stdio.h>

/*
 * Writes what was counted, equal stacks of processes of one name together, sorted by text. Returns
 * 0 or a negative errno; a write error shows in ferror(out).
 */
int pp_folded_write(FILE *out, const struct pp_profile *p, unsigned int view);
