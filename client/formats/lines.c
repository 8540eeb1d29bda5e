/* SPDX-License-Identifier: GPL-2.0-only */
/* The lines of one function: what each cost on its own, and with what it called. What is no Python
 * costs the line for which it works. */
#include "report.h"

#include <inttypes.h>
#include <string.h>

bool pp_report_has(const struct pp_profile *p, const struct pp_report_options *o, uint32_t frame)
{
	_cleanup_buf_ struct pp_buf symbol = { 0 };
	const struct pp_frame *f = &p->frames[frame];

	if (!o->function)
		return true;
	if (f->kind != PP_KIND_PYTHON)
		return false;
	if (strcmp(pp_profile_text(p, f->name), o->function) == 0)
		return true;
	/* Or as it is written elsewhere, with its file. */
	return pp_profile_symbol(p, p->functions[frame], &symbol) >= 0 &&
	       pp_buf_add(&symbol, "", 1) >= 0 &&
	       strcmp((const char *)symbol.data, o->function) == 0;
}

int pp_lines_write(FILE *out, const struct pp_profile *p, const struct pp_report_options *o)
{
	_cleanup_(pp_table_freep) struct pp_table *t = NULL;
	struct pp_columns c = { .group = o->group };
	int r;

	r = pp_table_new(&t, p, &(struct pp_table_options){ .view = o->view, .group = o->group });
	if (r < 0)
		return r;
	fputs("#    Total      Self       Samples", out);
	pp_columns_header(&c, out);
	fputs("# ........  ........  ............", out);
	pp_columns_rule(&c, out);
	fputs("#\n", out);
	for (size_t i = 0; i < t->nr_rows; i++) {
		const struct pp_row *row = &t->rows[i];

		if (pp_percent(row->total, t->total) < o->percent_limit)
			break;
		if (!pp_report_has(p, o, row->frame))
			continue;
		fprintf(out, "  %7.2f%%  %7.2f%%  %12" PRIu64, pp_percent(row->total, t->total),
			pp_percent(row->self, t->total), row->total_samples);
		r = pp_columns_row(&c, out, p, row);
		if (r < 0)
			return r;
	}
	return 0;
}
