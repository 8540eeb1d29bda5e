/* SPDX-License-Identifier: GPL-2.0-only */
/* Terminal cells: a clean text (lib/clean.h) takes one, two or none for a character. */
#pragma once

#include "base/macro.h"

int pp_text_width(const char *text);

/* The bytes of text that fit in so many cells; whole characters only. */
size_t pp_text_clip(const char *text, int cells);
