/* SPDX-License-Identifier: GPL-2.0-only */
/* One line a function, by what it cost on its own. */
#include "report.h"

#include <inttypes.h>

int pp_flat_write(FILE *out, const struct pp_profile *p, const struct pp_report_options *o)
{
	_cleanup_(pp_table_freep) struct pp_table *t = NULL;
	struct pp_columns c = { .group = o->group };
	size_t nr = 0;
	int r;

	r = pp_table_new(
		&t, p,
		&(struct pp_table_options){ .view = o->view, .group = o->group, .by_self = true });
	if (r < 0)
		return r;
	while (nr < t->nr_rows && pp_percent(t->rows[nr].self, t->total) >= o->percent_limit)
		nr++;
	pp_columns_fit(&c, p, t, nr);
	fputs("#     Self     Total       Samples", out);
	pp_columns_header(&c, out);
	fputs("# ........  ........  ............", out);
	pp_columns_rule(&c, out);
	fputs("#\n", out);
	for (size_t i = 0; i < nr; i++) {
		const struct pp_row *row = &t->rows[i];

		fprintf(out, "  %7.2f%%  %7.2f%%  %12" PRIu64, pp_percent(row->self, t->total),
			pp_percent(row->total, t->total), row->self_samples);
		r = pp_columns_row(&c, out, p, row);
		if (r < 0)
			return r;
	}
	return 0;
}
