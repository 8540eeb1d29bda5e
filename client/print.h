/* SPDX-License-Identifier: GPL-2.0-only */
/* Printing what the daemon says about others: text from JSON, cleaned for a terminal. */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdio.h>

/* The member's text clean (lib/clean.h), or what stands for none. Lives in *buf. */
const char *pp_print_text(struct pp_buf *buf, const json_t *object, const char *key,
			  const char *none);
int64_t pp_print_integer(const json_t *object, const char *key);

/* Terminal attributes, or "" without colours. */
const char *pp_color(bool on, const char *attribute);
#define PP_BOLD	 "\033[1m"
#define PP_DIM	 "\033[2m"
#define PP_GREEN "\033[32m"
#define PP_RED	 "\033[31m"
#define PP_RESET "\033[0m"

/* The terminal's width where out is one, else 0. */
int pp_print_width(FILE *out);

/* A table whose columns are as wide as their widest cell; the last is as wide as it likes. */
#define PP_COLUMNS_MAX 16
struct pp_cells {
	char **cells; /* row by row; the first row is the header */
	size_t nr, cap;
	size_t columns; /* at most PP_COLUMNS_MAX */
	int widths[PP_COLUMNS_MAX];
	int width; /* of the whole: the last column is cut to it; 0: as wide as it is */
	bool fitted;
};

/* Take a copy of the text. Return 0 or -ENOMEM. */
int pp_cells_add(struct pp_cells *t, const char *text);
int pp_cells_addf(struct pp_cells *t, const char *format, ...) _printf_(2, 3);
/* To be called when all is added. right: bit n, column n's texts stand at its right. */
void pp_cells_write_row(struct pp_cells *t, size_t row, unsigned int right, FILE *out);
void pp_cells_done(struct pp_cells *t);
#define _cleanup_cells_ _cleanup_(pp_cells_done)
