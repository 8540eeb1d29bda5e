/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/name.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

#define PYTHON_PREFIX	  "py::"
#define PYTHON_PREFIX_LEN (sizeof(PYTHON_PREFIX) - 1)

bool pp_name_is_python(const char *text, size_t len)
{
	return len >= PYTHON_PREFIX_LEN && memcmp(text, PYTHON_PREFIX, PYTHON_PREFIX_LEN) == 0;
}

/* Whether text begins as a URL does. */
static bool is_url(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && (isalnum((unsigned char)text[i]) ||
			   (i && (text[i] == '+' || text[i] == '-' || text[i] == '.'))))
		i++;
	return i && len - i >= 3 && memcmp(text + i, "://", 3) == 0;
}

static bool is_like_a_file(const char *text, size_t len)
{
	return len && (*text == '/' || *text == '<' || is_url(text, len));
}

/* The colon before the file in QUALNAME:FILE; NULL: none. */
static const char *separator(const char *text, size_t len)
{
	const char *end = text + len, *first = memchr(text, ':', len);

	for (const char *colon = first; colon;
	     colon = memchr(colon + 1, ':', (size_t)(end - colon - 1)))
		if (is_like_a_file(colon + 1, (size_t)(end - colon - 1)))
			return colon;
	return first;
}

void pp_name_split(const char *text, size_t len, struct pp_name *ret)
{
	const char *colon;

	*ret = (struct pp_name){ .kind = PP_NAME_JIT, .name = text, .len = len };
	if (!pp_name_is_python(text, len))
		return;
	ret->kind = PP_NAME_PYTHON;
	ret->name += PYTHON_PREFIX_LEN;
	ret->len -= PYTHON_PREFIX_LEN;
	colon = separator(ret->name, ret->len);
	if (!colon)
		return;
	ret->has_file = true;
	ret->file = colon + 1;
	ret->file_len = ret->len - (size_t)(ret->file - ret->name);
	ret->len = (size_t)(colon - ret->name);
}

int pp_name_write(struct pp_buf *out, const struct pp_name *name)
{
	size_t need = name->len + name->file_len + PYTHON_PREFIX_LEN + 1;
	int r = pp_buf_reserve(out, need);

	if (r < 0)
		return r;
	if (name->kind == PP_NAME_PYTHON)
		pp_buf_add(out, PYTHON_PREFIX, PYTHON_PREFIX_LEN);
	pp_buf_add(out, name->name, name->len);
	if (name->has_file) {
		pp_buf_add(out, ":", 1);
		pp_buf_add(out, name->file, name->file_len);
	}
	return 0;
}

/* Bytes of a qualname and of a file that are compared: a sample may hold a thousand pairs. */
#define COMPARED_MAX 256

struct beginning {
	size_t len;
	bool whole;
	char text[2 * COMPARED_MAX + 1];
};

static void begin_with(struct beginning *b, const char *text, size_t len)
{
	size_t n = MIN(len, (size_t)COMPARED_MAX);

	if (!b->whole)
		return;
	memcpy(b->text + b->len, text, n);
	b->len += n;
	b->whole = n == len;
}

static bool is_text(const char *text, size_t len)
{
	size_t at = 0, n;

	while (at < MIN(len, (size_t)COMPARED_MAX)) {
		n = pp_utf8_sequence(text + at, len - at);
		if (!n)
			return false;
		at += n;
	}
	return true;
}

/* As CPython's "%s" has it; instead: what it has for what is no text. */
static void begin_as_written(struct beginning *b, const char *text, size_t len, const char *instead)
{
	if (is_text(text, len))
		begin_with(b, text, strnlen(text, len));
	else
		begin_with(b, instead, strlen(instead));
}

static bool is_entry(const struct beginning *read, const char *name, size_t len, const char *file,
		     size_t file_len, const char *instead)
{
	struct beginning written = { .whole = true };
	const char *newline;

	begin_as_written(&written, name, len, instead);
	begin_with(&written, ":", 1);
	begin_as_written(&written, file, file_len, instead);
	newline = memchr(written.text, '\n', written.len);
	if (newline) {
		written.len = (size_t)(newline - written.text);
		written.whole = true;
		if (!memchr(written.text, ':', written.len))
			written.text[written.len++] = ':';
	}
	if (written.whole && read->whole && written.len != read->len)
		return false;
	return !memcmp(written.text, read->text, MIN(written.len, read->len));
}

bool pp_name_agrees(const struct pp_name *entry, const char *name, size_t len, const char *file,
		    size_t file_len)
{
	struct beginning read = { .whole = true };

	begin_with(&read, entry->name, entry->len);
	/* An empty file is as good as none: a frame does not tell the two apart. */
	begin_with(&read, ":", 1);
	if (entry->has_file)
		begin_with(&read, entry->file, entry->file_len);
	return is_entry(&read, name, len, file, file_len, "(null)") ||
	       is_entry(&read, name, len, file, file_len, "");
}
