/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables and texts for a terminal. */
#include "print.h"

#include "formats/width.h"
#include "base/array.h"
#include "lib/clean.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

/* Cells of one table: more rows than a machine has processes. */
#define CELLS_MAX (64U << 20)

const char *pp_print_text(struct pp_buf *buf, const json_t *object, const char *key,
			  const char *none)
{
	const json_t *v = json_object_get(object, key);

	buf->len = 0;
	if (!json_is_string(v) ||
	    pp_text_clean(buf, json_string_value(v), json_string_length(v)) < 0 ||
	    pp_buf_add(buf, "", 1) < 0)
		return none;
	return (const char *)buf->data;
}

int64_t pp_print_integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

const char *pp_color(bool on, const char *attribute)
{
	return on ? attribute : "";
}

int pp_print_width(FILE *out)
{
	struct winsize ws;

	return ioctl(fileno(out), TIOCGWINSZ, &ws) == 0 ? ws.ws_col : 0;
}

int pp_cells_add(struct pp_cells *t, const char *text)
{
	int r;

	r = pp_array_grow(&t->cells, &t->cap, t->nr + 1, sizeof(*t->cells), CELLS_MAX);
	if (r < 0)
		return r;
	t->cells[t->nr] = strdup(text);
	if (!t->cells[t->nr])
		return -ENOMEM;
	t->nr++;
	return 0;
}

int pp_cells_addf(struct pp_cells *t, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return pp_cells_add(t, text);
}

static void fit(struct pp_cells *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		int *width = &t->widths[i % t->columns];

		*width = MAX(*width, pp_text_width(t->cells[i]));
	}
	t->fitted = true;
}

/* Bytes of a last column that starts at cell `at`. */
static int last_len(const struct pp_cells *t, const char *text, int at)
{
	return t->width ? (int)pp_text_clip(text, MAX(t->width - at, 0)) : (int)strlen(text);
}

void pp_cells_write_row(struct pp_cells *t, size_t row, unsigned int right, FILE *out)
{
	int at = 0;

	if (!t->fitted)
		fit(t);
	for (size_t c = 0; c < t->columns; c++) {
		const char *text = t->cells[row * t->columns + c];
		int gap = t->widths[c] - pp_text_width(text);
		bool last = c + 1 == t->columns;

		if (last && !*text)
			break;
		fprintf(out, "%s", c ? "  " : "");
		at += t->widths[c] + 2;
		if (right & 1U << c)
			fprintf(out, "%*s%s", gap, "", text);
		else if (!last)
			fprintf(out, "%s%*s", text, gap, "");
		else
			fprintf(out, "%.*s", last_len(t, text, at - t->widths[c] - 2), text);
	}
	fputc('\n', out);
}

void pp_cells_done(struct pp_cells *t)
{
	for (size_t i = 0; i < t->nr; i++)
		free(t->cells[i]);
	free(t->cells);
}
