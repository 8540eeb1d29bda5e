/* SPDX-License-Identifier: GPL-2.0-only */
/* A page of top as lines of text: what screen.c paints, and what `top --once` prints. */
#pragma once

#include "model.h"
#include "client/trampolines.h"

enum pp_page_style {
	PP_STYLE_PLAIN,
	PP_STYLE_TITLE,
	PP_STYLE_WARNING,
	PP_STYLE_HEADER,
	PP_STYLE_CURSOR,
	PP_STYLE_PYTHON,
	PP_STYLE_KERNEL,
	PP_STYLE_KEYS,
};

struct pp_page_line {
	enum pp_page_style style;
	char *text; /* clean, at most as wide as the page */
};

struct pp_page {
	struct pp_page_line *lines;
	size_t nr, cap;
	int width;
};

/* What the page says beside the model's lines. */
struct pp_page_facts {
	unsigned int frequency;
	uint64_t span_ns, lost, hidden;
	struct pp_pythons pythons;
	const json_t *processes; /* of ListProcesses, for versions and trampolines; may be NULL */
};

/*
 * Replaces the page by one of width x height cells for t, and tells t how many of its lines fit.
 * height 0: plain, as high as it takes for t->page lines, without cursor and keys. Returns 0 or
 * -ENOMEM.
 */
int pp_page_make(struct pp_page *page, struct pp_top *t, const struct pp_page_facts *f, int width,
		 int height);
void pp_page_done(struct pp_page *page);
#define _cleanup_page_ _cleanup_(pp_page_done)
