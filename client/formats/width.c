/* SPDX-License-Identifier: GPL-2.0-only */
/* How wide a text is on the terminal. */
#include "width.h"

#include <string.h>
#include <wchar.h>

/* The character at p: its bytes, and its cells in *ret. In a locale that is not UTF-8 each byte is
 * one cell. */
static size_t character(const char *p, size_t len, mbstate_t *state, int *ret)
{
	wchar_t c;
	size_t n = mbrtowc(&c, p, len, state);

	if (n == 0 || n > len) {
		*state = (mbstate_t){ 0 };
		*ret = 1;
		return 1;
	}
	*ret = wcwidth(c);
	if (*ret < 0)
		*ret = 1;
	return n;
}

int pp_text_width(const char *text)
{
	size_t len = strlen(text);
	mbstate_t state = { 0 };
	int width = 0, cells;

	for (size_t i = 0; i < len;) {
		i += character(text + i, len - i, &state, &cells);
		width += cells;
	}
	return width;
}

size_t pp_text_clip(const char *text, int cells)
{
	size_t len = strlen(text), i = 0;
	mbstate_t state = { 0 };
	int width = 0, w;

	while (i < len) {
		size_t n = character(text + i, len - i, &state, &w);

		if (width + w > cells)
			break;
		width += w;
		i += n;
	}
	return i;
}
