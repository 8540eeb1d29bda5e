/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a stack ends where it does, in short stable words: what people and scripts see. */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

/* "no mapping", "deeper than 1200 frames", … A value that is not an enum pp_end gives "unknown". */
const char *pp_end_text(enum pp_end end);

/* Whether a stack that ended so reached its thread's root. A thread without user memory (a kernel
 * thread, a process that is going away) has only its kernel stack, and that is whole. */
bool pp_end_complete(enum pp_end end);
