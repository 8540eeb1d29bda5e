/* SPDX-License-Identifier: GPL-2.0-only */
/* The columns of a report that say what a row is. */
#include "report.h"

#include <inttypes.h>
#include <string.h>

/* A module's name may be long; one column must not push the others off the page. */
#define WIDTH_MAX 32

static void pad(FILE *out, const char *text, int width)
{
	fprintf(out, "  %s%*s", text, MAX(width - pp_text_width(text), 0), "");
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
	for (size_t i = 0; i < nr_rows; i++) {
		fit(&c->comm, pp_text_width(pp_profile_text(p, t->rows[i].comm)));
		fit(&c->object, pp_text_width(pp_profile_object(p, t->rows[i].sample)));
	}
}

void pp_columns_header(const struct pp_columns *c, FILE *out)
{
	if (c->group & PP_GROUP_PID)
		fprintf(out, "  %*s", c->pid, "Pid");
	if (c->group & PP_GROUP_COMM)
		pad(out, "Command", c->comm);
	if (c->group & PP_GROUP_OBJECT)
		pad(out, "Shared Object", c->object);
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
	bool last_is_object = !(c->group & PP_GROUP_SYMBOL);
	int r;

	if (c->group & PP_GROUP_PID)
		fprintf(out, "  %*" PRId64, c->pid, row->pid);
	if (c->group & PP_GROUP_COMM)
		pad(out, pp_profile_text(p, row->comm), c->comm);
	if (c->group & PP_GROUP_OBJECT)
		pad(out, pp_profile_object(p, row->sample), last_is_object ? 0 : c->object);
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
