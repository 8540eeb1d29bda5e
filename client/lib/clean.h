/* SPDX-License-Identifier: GPL-2.0-only */
/* Names as they may be shown. */
#pragma once

#include "base/buf.h"

/*
 * Appends text as valid UTF-8 without control characters, in which a backslash is always the start
 * of \xHH (lower-case hex). What has that form already, because the daemon gave it to it, stays as
 * it is: cleaning twice changes nothing. Returns 0, -ENOBUFS or -ENOMEM.
 */
int pp_text_clean(struct pp_buf *out, const char *text, size_t len);
