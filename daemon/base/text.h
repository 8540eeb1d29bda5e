/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names come from other processes: any byte may be in them. They are kept as bytes; where they
 * leave (JSON, terminals, folded lines, protobuf) whatever is not plain UTF-8 text is written as
 * \xHH.
 */
#pragma once

#include "buf.h"

/*
 * Appends len bytes of text to out with control characters (C0, DEL, C1, line separators, marks of
 * direction), bytes that are not part of valid UTF-8, backslashes and every byte that occurs in
 * `also` (may be NULL) as \xHH, lower-case hex.
 */
int pp_text_escape(struct pp_buf *out, const char *text, size_t len, const char *also);

/* The length in bytes of the valid UTF-8 sequence at text (at most len bytes), 0 where there is
 * none. Overlong forms, surrogates and anything above U+10FFFF are not valid. */
size_t pp_utf8_sequence(const char *text, size_t len);
