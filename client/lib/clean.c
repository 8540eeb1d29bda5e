/* SPDX-License-Identifier: GPL-2.0-only */
/* base/text.h's escaping, made idempotent. */
#include "clean.h"

#include "base/text.h"

#define ESCAPE_LEN 4 /* \xHH */

static bool is_lower_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_escape(const char *p, size_t len)
{
	return len >= ESCAPE_LEN && p[0] == '\\' && p[1] == 'x' && is_lower_hex(p[2]) &&
	       is_lower_hex(p[3]);
}

int pp_text_clean(struct pp_buf *out, const char *text, size_t len)
{
	size_t start = 0;
	int r;

	for (size_t i = 0; i < len;) {
		if (!is_escape(text + i, len - i)) {
			i++;
			continue;
		}
		r = pp_text_escape(out, text + start, i - start, NULL);
		if (r >= 0)
			r = pp_buf_add(out, text + i, ESCAPE_LEN);
		if (r < 0)
			return r;
		i += ESCAPE_LEN;
		start = i;
	}
	return pp_text_escape(out, text + start, len - start, NULL);
}
