/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The report that people know from perf: one row a function, and below it the tree of what it
 * called, in percent of everything. Functions that are only ever called by one another follow each
 * other in a column; where ways part there is a branch for each, with its share:
 *
 *	---_start
 *	   |
 *	    --90.71%--__libc_start_main
 *	              Py_BytesMain
 *
 * Below a leaf stands how one gets there from the root, as in perf.
 */
#include "report.h"

#include "base/array.h"
#include "lib/calltree.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MARGIN 12 /* where a row's tree starts */

struct drawing {
	FILE *out;
	const struct pp_profile *p;
	const struct pp_calltree *t;
	uint64_t total; /* what 100% is */
	uint64_t least; /* weight of the lightest branch that is drawn */
	int margin;
	bool *bars; /* by depth: whether the branch goes on below */
	size_t bars_cap;
	struct pp_buf line;
};

static void drawing_done(struct drawing *d)
{
	free(d->bars);
	pp_buf_done(&d->line);
}

static int put_line(struct drawing *d)
{
	while (d->line.len && d->line.data[d->line.len - 1] == ' ')
		d->line.len--;
	fprintf(d->out, "%.*s\n", (int)d->line.len, (const char *)d->line.data);
	d->line.len = 0;
	return 0;
}

/* Starts a line with the bars of `depth` branches. */
static int start_line(struct drawing *d, size_t depth)
{
	int r;

	r = pp_buf_printf(&d->line, "%*s", d->margin, "");
	for (size_t i = 0; i < depth && r >= 0; i++)
		r = pp_buf_printf(&d->line, "%c%10s", d->bars[i] ? '|' : ' ', "");
	return r;
}

static int draw_name(struct drawing *d, uint32_t frame)
{
	int r = pp_profile_symbol(d->p, frame, &d->line);

	return r < 0 ? r : put_line(d);
}

/* How many of a node's children are drawn: they are in order of weight. */
static uint32_t nr_drawn(const struct drawing *d, const struct pp_calltree_node *n)
{
	uint32_t nr = 0;

	while (nr < n->nr_children && d->t->nodes[d->t->order[n->first + nr]].total >= d->least)
		nr++;
	return nr;
}

/* The node that a column ends with: where ways part, or where samples were taken. */
static const struct pp_calltree_node *column_next(const struct drawing *d,
						  const struct pp_calltree_node *n)
{
	if (n->nr_children != 1 || n->self)
		return NULL;
	return &d->t->nodes[d->t->order[n->first]];
}

static int draw_branches(struct drawing *d, const struct pp_calltree_node *n, size_t depth);

/*
 * One branch at bar number depth: its share and first function, the functions that follow in a
 * column, then the branches below.
 */
static int draw_branch(struct drawing *d, const struct pp_calltree_node *n, size_t depth, bool last)
{
	int r;

	r = start_line(d, depth + 1);
	if (r >= 0)
		r = put_line(d);
	d->bars[depth] = !last;
	if (r >= 0)
		r = start_line(d, depth);
	if (r >= 0)
		r = pp_buf_printf(&d->line, "%c--%.2f%%--", last ? ' ' : '|',
				  pp_percent(n->total, d->total));
	if (r >= 0)
		r = draw_name(d, n->frame);
	for (const struct pp_calltree_node *next; r >= 0 && (next = column_next(d, n)); n = next) {
		r = start_line(d, depth + 1);
		if (r >= 0)
			r = draw_name(d, next->frame);
	}
	return r < 0 ? r : draw_branches(d, n, depth + 1);
}

static int draw_branches(struct drawing *d, const struct pp_calltree_node *n, size_t depth)
{
	uint32_t nr = nr_drawn(d, n);
	int r;

	r = pp_array_grow(&d->bars, &d->bars_cap, depth + 1, sizeof(*d->bars), PP_STACK_MAX);
	for (uint32_t i = 0; i < nr && r >= 0; i++) {
		d->bars[depth] = true;
		r = draw_branch(d, &d->t->nodes[d->t->order[n->first + i]], depth, i + 1 == nr);
	}
	return r;
}

/* Where all of the row goes one way, that way is drawn without a share. */
static int draw_tree(struct drawing *d)
{
	const struct pp_calltree_node *n = &d->t->nodes[0], *next = column_next(d, n);
	int r;

	d->margin = MARGIN;
	if (next) {
		fprintf(d->out, "%*s|\n", d->margin, "");
		r = pp_buf_printf(&d->line, "%*s---", d->margin, "");
		d->margin += 3;
		while (r >= 0 && next) {
			n = next;
			r = draw_name(d, n->frame);
			next = column_next(d, n);
			if (next && r >= 0)
				r = start_line(d, 0);
		}
		if (r < 0)
			return r;
	}
	r = draw_branches(d, n, 0);
	fputc('\n', d->out);
	return r;
}

/* The tree below row number row: what its postings say. Advances *posting over them. */
static int draw_row(struct drawing *d, const struct pp_table *t, uint32_t row, size_t *posting,
		    const struct pp_report_options *o)
{
	_cleanup_(pp_calltree_freep) struct pp_calltree *tree = NULL;
	_cleanup_stack_ struct pp_stack stack = { 0 };
	int r;

	r = pp_calltree_new(&tree);
	for (; r >= 0 && *posting < t->nr_postings && t->postings[*posting].row == row;
	     (*posting)++) {
		const struct pp_posting *at = &t->postings[*posting];
		const struct pp_entry *e = &d->p->entries[at->entry];

		r = pp_stack_get(&stack, d->p, e, o->view);
		if (r >= 0)
			r = pp_calltree_add(tree, stack.frames + at->start, stack.len - at->start,
					    pp_profile_weight(d->p, e));
	}
	if (r >= 0)
		r = pp_calltree_sort(tree, d->p);
	if (r < 0)
		return r;
	d->t = tree;
	return draw_tree(d);
}

int pp_tree_write(FILE *out, const struct pp_profile *p, const struct pp_report_options *o)
{
	_cleanup_(pp_table_freep) struct pp_table *t = NULL;
	_cleanup_(drawing_done) struct drawing d = { .out = out, .p = p };
	struct pp_columns c = { .group = o->group };
	size_t nr = 0, posting = 0;
	int r;

	r = pp_table_new(
		&t, p,
		&(struct pp_table_options){ .view = o->view, .group = o->group, .postings = true });
	if (r < 0)
		return r;
	d.total = t->total;
	d.least = MAX((uint64_t)ceil((double)t->total * o->percent_limit / 100), (uint64_t)1);
	while (nr < t->nr_rows && t->rows[nr].total >= d.least)
		nr++;
	pp_columns_fit(&c, p, t, nr);
	fputs("# Children      Self       Samples", out);
	pp_columns_header(&c, out);
	fputs("# ........  ........  ............", out);
	pp_columns_rule(&c, out);
	fputs("#\n", out);
	for (uint32_t i = 0; i < nr; i++) {
		const struct pp_row *row = &t->rows[i];

		fprintf(out, "  %7.2f%%  %7.2f%%  %12" PRIu64, pp_percent(row->total, t->total),
			pp_percent(row->self, t->total), row->self_samples);
		r = pp_columns_row(&c, out, p, row);
		if (r >= 0)
			r = draw_row(&d, t, i, &posting, o);
		if (r < 0)
			return r;
	}
	return 0;
}
