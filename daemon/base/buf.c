/* SPDX-License-Identifier: GPL-2.0-only */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SMALLEST_CAPACITY 64

int pp_buf_reserve(struct pp_buf *b, size_t more)
{
	size_t need, cap;
	uint8_t *data;

	if (__builtin_add_overflow(b->len, more, &need) || (b->max && need > b->max))
		return -ENOBUFS;
	if (need <= b->cap)
		return 0;
	cap = MAX(b->cap * 2, (size_t)SMALLEST_CAPACITY);
	cap = MAX(cap, need);
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int pp_buf_add(struct pp_buf *b, const void *data, size_t len)
{
	int r = pp_buf_reserve(b, len);

	if (r < 0)
		return r;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int pp_buf_printf(struct pp_buf *b, const char *format, ...)
{
	va_list ap;
	int n, r;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	r = pp_buf_reserve(b, (size_t)n + 1);
	if (r < 0)
		return r;
	va_start(ap, format);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void pp_buf_consume(struct pp_buf *b, size_t n)
{
	n = MIN(n, b->len);
	b->len -= n;
	if (n && b->len)
		memmove(b->data, b->data + n, b->len);
}

void pp_buf_done(struct pp_buf *b)
{
	free(b->data);
	*b = (struct pp_buf){ .max = b->max };
}
