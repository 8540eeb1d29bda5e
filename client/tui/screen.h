/* SPDX-License-Identifier: GPL-2.0-only */
/* The terminal, through ncurses: paints pages, reads keys. There is one at a time. */
#pragma once

#include "page.h"

/* Returns 0, or -ENOTTY where the terminal cannot be driven. */
int pp_screen_open(bool color);
void pp_screen_close(void);
void pp_screen_size(int *width, int *height);
/* Only what changed goes to the terminal. */
void pp_screen_paint(const struct pp_page *page);
/* The next key typed, if any; one of model.h's. A change of the terminal's size is key 0. */
bool pp_screen_key(unsigned int *ret);
