/* SPDX-License-Identifier: GPL-2.0-only */
#include "text.h"

#include <string.h>

size_t pp_utf8_sequence(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	uint32_t code, least;
	size_t n;

	if (!len)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if ((p[0] & 0xe0) == 0xc0)
		n = 2, code = p[0] & 0x1f, least = 0x80;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3, code = p[0] & 0x0f, least = 0x800;
	else if ((p[0] & 0xf8) == 0xf0)
		n = 4, code = p[0] & 0x07, least = 0x10000;
	else
		return 0;
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

/* What ends a line, or turns the direction of all that follows it in a terminal: marks (U+061C,
 * U+200E, U+200F), separators and embeddings (U+2028 to 202E), isolates (U+2066 to 2069). */
static bool is_layout(const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	uint32_t code = 0;

	if (n == 2)
		code = (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
	else if (n == 3)
		code = (p[0] & 0x0fU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
	return code == 0x61c || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static bool is_control(const char *p, size_t n)
{
	uint8_t c = (uint8_t)p[0];

	if (n == 1)
		return c < 0x20 || c == 0x7f;
	/* C1: U+0080..U+009F */
	return (n == 2 && c == 0xc2 && (uint8_t)p[1] < 0xa0) || is_layout(p, n);
}

/* Length of the character that text begins with, if it may stand as it is; 0: it may not. */
static size_t plain(const char *text, size_t len, const char *also)
{
	size_t n = pp_utf8_sequence(text, len);

	if (!n || is_control(text, n) || *text == '\\' || (also && n == 1 && strchr(also, *text)))
		return 0;
	return n;
}

static int add_hex(struct pp_buf *out, const char *text, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	int r = 0;

	for (size_t i = 0; i < len && r >= 0; i++) {
		uint8_t c = (uint8_t)text[i];

		r = pp_buf_add(out, (const char[]){ '\\', 'x', digits[c >> 4], digits[c & 15] }, 4);
	}
	return r;
}

int pp_text_escape(struct pp_buf *out, const char *text, size_t len, const char *also)
{
	for (size_t i = 0, from; i < len;) {
		size_t n;
		int r;

		for (from = i; i < len && (n = plain(text + i, len - i, also)); i += n)
			;
		r = pp_buf_add(out, text + from, i - from);
		if (r >= 0 && i < len) {
			n = pp_utf8_sequence(text + i, len - i) ?: 1;
			r = add_hex(out, text + i, n);
			i += n;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
