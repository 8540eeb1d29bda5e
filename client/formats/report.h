/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The forms of a report: a call tree below every function as `perf report --stdio -n -g` draws it
 * (tree.c), one line a function (flat.c), one line a line of one function (lines.c), and all of
 * them as JSON (json.c).
 */
#pragma once

#include "lib/percent.h"
#include "lib/table.h"
#include "width.h"

#include <jansson.h>
#include <stdio.h>

#define PP_PERCENT_LIMIT_DEFAULT 0.5 /* perf's, for call chains */

struct pp_report_options {
	unsigned int view;    /* enum pp_view */
	unsigned int group;   /* enum pp_group */
	double percent_limit; /* what weighs less is not shown */
	/* Only the lines of Python functions that are called so, with or without `py::` and the
	 * file; NULL: everything. Wants PP_VIEW_PYTHON | PP_VIEW_LINES and PP_GROUP_SYMBOL. */
	const char *function;
};

/* Whether the report is about a frame. */
bool pp_report_has(const struct pp_profile *p, const struct pp_report_options *o, uint32_t frame);

/* All return 0 or a negative errno; a write error shows in ferror(out). */
int pp_tree_write(FILE *out, const struct pp_profile *p, const struct pp_report_options *o);
int pp_flat_write(FILE *out, const struct pp_profile *p, const struct pp_report_options *o);
int pp_lines_write(FILE *out, const struct pp_profile *p, const struct pp_report_options *o);
/* {"rows": [...], "tree": [...]}: functions, or the lines of one; and the merged stacks, each node
 * with its parent's index in the list, callers first (none where it is about one function). */
int pp_report_json(json_t **ret, const struct pp_profile *p, const struct pp_report_options *o);

/* The columns that say what a row is, shared by the forms: those in the group, wide enough for all
 * rows. */
struct pp_columns {
	unsigned int group;
	int pid, comm, attributes[PP_ATTRIBUTES], object;
};

void pp_columns_fit(struct pp_columns *c, const struct pp_profile *p, const struct pp_table *t,
		    size_t nr_rows);
void pp_columns_header(const struct pp_columns *c, FILE *out);
void pp_columns_rule(const struct pp_columns *c, FILE *out);
int pp_columns_row(const struct pp_columns *c, FILE *out, const struct pp_profile *p,
		   const struct pp_row *row);
