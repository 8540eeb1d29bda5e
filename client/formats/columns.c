/* SPDX-License-Identifier: GPL-2.0-only */
/* The columns of a report that say what a row is. */
#include "report.h"

#include <inttypes.h>
#include <string.h>

/* A module's name may be long; one column must not push the others off the page. */
#define WIDTH_MAX 32

/* A column's text; the last one of a line is not filled up. */
static void put(FILE *out, const char *text, int width, bool last)
{
	fprintf(out, "  %s%*s", text, last ? 0 : MAX(width - pp_text_width(text), 0), "");
}

static bool last(const struct pp_columns *c, unsigned int column)
{
	return c->group < column << 1;
}

/* What a row says where its samples say nothing. */
static const char *attribute(const struct pp_profile *p, const struct pp_row *row, unsigned int a)
{
	uint32_t text = row->attributes.texts[a];

	return text ? pp_profile_text(p, text) : "-";
}

static void fit(int *width, int needed)
{
	needed = MIN(needed, WIDTH_MAX);
	*width = MAX(*width, needed);
}

void pp_columns_fit(struct pp_columns *c, const struct pp_profile *p, const struct pp_table *t,
		    size_t nr_rows)
{
	c->pid = 7;
	c->comm = (int)strlen("Command");
	c->object = (int)strlen("Shared Object");
	for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
		c->attributes[a] = (int)strlen(pp_attribute_title((enum pp_attribute)a));
	for (size_t i = 0; i < nr_rows; i++) {
		fit(&c->comm, pp_text_width(pp_profile_text(p, t->rows[i].comm)));
		for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
			fit(&c->attributes[a], pp_text_width(attribute(p, &t->rows[i], a)));
		fit(&c->object, pp_text_width(pp_profile_object(p, t->rows[i].sample)));
	}
}

void pp_columns_header(const struct pp_columns *c, FILE *out)
{
	if (c->group & PP_GROUP_PID)
		fprintf(out, "  %*s", c->pid, "Pid");
	if (c->group & PP_GROUP_COMM)
		put(out, "Command", c->comm, last(c, PP_GROUP_COMM));
	for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
		if (c->group & PP_GROUP_ATTRIBUTE(a))
			put(out, pp_attribute_title((enum pp_attribute)a), c->attributes[a],
			    last(c, PP_GROUP_ATTRIBUTE(a)));
	if (c->group & PP_GROUP_OBJECT)
		put(out, "Shared Object", c->object, last(c, PP_GROUP_OBJECT));
	if (c->group & PP_GROUP_SYMBOL)
		fputs("  Symbol", out);
	fputc('\n', out);
}

static void dots(FILE *out, int width)
{
	fputs("  ", out);
	while (width-- > 0)
		fputc('.', out);
}

void pp_columns_rule(const struct pp_columns *c, FILE *out)
{
	if (c->group & PP_GROUP_PID)
		dots(out, c->pid);
	if (c->group & PP_GROUP_COMM)
		dots(out, c->comm);
	for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
		if (c->group & PP_GROUP_ATTRIBUTE(a))
			dots(out, c->attributes[a]);
	if (c->group & PP_GROUP_OBJECT)
		dots(out, c->object);
	if (c->group & PP_GROUP_SYMBOL)
		dots(out, 40);
	fputc('\n', out);
}

int pp_columns_row(const struct pp_columns *c, FILE *out, const struct pp_profile *p,
		   const struct pp_row *row)
{
	_cleanup_buf_ struct pp_buf symbol = { 0 };
	int r;

	if (c->group & PP_GROUP_PID)
		fprintf(out, "  %*" PRId64, c->pid, row->pid);
	if (c->group & PP_GROUP_COMM)
		put(out, pp_profile_text(p, row->comm), c->comm, last(c, PP_GROUP_COMM));
	for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
		if (c->group & PP_GROUP_ATTRIBUTE(a))
			put(out, attribute(p, row, a), c->attributes[a],
			    last(c, PP_GROUP_ATTRIBUTE(a)));
	if (c->group & PP_GROUP_OBJECT)
		put(out, pp_profile_object(p, row->sample), c->object, last(c, PP_GROUP_OBJECT));
	if (c->group & PP_GROUP_SYMBOL) {
		r = pp_profile_symbol(p, row->frame, &symbol);
		if (r < 0)
			return r;
		fprintf(out, "  [%c] %.*s",
			p->frames[row->frame].kind == PP_KIND_KERNEL ? 'k' : '.', (int)symbol.len,
			(const char *)symbol.data);
	}
	fputc('\n', out);
	return 0;
}
