/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a frame is called outside: the same words in a pprof and in a stream. All of it is valid
 * UTF-8; control bytes, bytes that are not UTF-8 and backslashes are \xHH, once and for all (who
 * prints it must not escape backslashes again).
 *
 *                named                        unnamed
 *   Python       QUALNAME (system:            ? (system: py::?)
 *                py::QUALNAME:FILE)
 *   kernel       symbol                       [kernel+0xADDRESS]; without addresses [kernel]
 *   native       symbol                       [BASENAME+0xOFFSET]
 *   JIT          name                         [jit+0xADDRESS]
 *   unknown      name                         [unknown], [BASENAME+0xOFFSET] where known
 *
 * An unnamed one with a note has that behind it: ? [not flushed].
 *
 * module: [python], [kernel], [jit], [unknown], else the ELF file's path: so it tells the kind.
 */
#pragma once

#include "base/buf.h"
#include "store.h"

/* How much of the kernel a caller may see. */
enum pp_kernel_view {
	PP_KERNEL_HIDDEN, /* one frame, [kernel], for all of its frames in a stack */
	PP_KERNEL_NAMES,  /* names, never addresses */
	PP_KERNEL_FULL,
};

struct pp_frame_text {
	struct pp_buf name, system, file, module; /* NUL-terminated; system, file may be "" */
};

/* The frame that stands for `frame` in this view; a final one. It may be a new one, so it must be
 * asked for in the turn of the loop that uses it, or marked. */
uint32_t pp_frame_shown(struct pp_store *store, uint32_t frame, enum pp_kernel_view view);

/* Replaces what t held (zero-initialise it first). Returns 0 or -ENOMEM. */
int pp_frame_text(struct pp_frame_text *t, struct pp_store *store, uint32_t frame);
void pp_frame_text_done(struct pp_frame_text *t);

/* "native", "python", …: the varlink interface's words. */
const char *pp_kind_text(enum pp_kind kind);
