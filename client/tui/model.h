/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `pyprofctl top` shows, without a screen: a state that keys change, and the lines that it
 * makes of a profile. page.c puts them into words, screen.c on the terminal.
 */
#pragma once

#include "lib/calltree.h"
#include "lib/table.h"

enum pp_top_mode {
	PP_TOP_FUNCTIONS,
	PP_TOP_PROCESSES,
	PP_TOP_TREE,
	PP_TOP_LINES,  /* of one Python function */
	PP_TOP_GROUPS, /* samples by an attribute */
};

/* Lighter branches of a call tree are not shown, in percent: half a sample of a second. */
#define PP_TOP_TREE_LEAST 0.5
#define PP_TOP_FILTER_MAX 64 /* bytes of a filter typed in */

struct pp_top_line {
	uint64_t total, self; /* weights */
	uint64_t id;	/* what the cursor sticks to: a process's index or a path's hash; 0: none */
	uint32_t frame; /* functions, tree, lines */
	uint32_t process;    /* processes: index */
	uint32_t value;	     /* groups: text */
	uint32_t depth;	     /* tree: steps of indentation */
	bool branch, closed; /* tree: has callees; they are not shown */
};

struct pp_top {
	enum pp_top_mode mode;
	unsigned int view; /* enum pp_view */
	bool by_self, paused, help;
	bool focused;	      /* on one process: */
	int64_t focus;	      /* its id */
	enum pp_attribute by; /* of groups */
	bool within;	      /* one group: */
	enum pp_attribute within_by;
	uint32_t value;	   /* its attribute's text */
	uint32_t function; /* whose lines are shown: a frame */
	bool editing;	   /* the filter is being typed */
	char filter[PP_TOP_FILTER_MAX + 1];
	size_t cursor, top, shift; /* line; first line on the page; columns to the right */
	size_t page;		   /* lines that fit on the page */
	bool quit;

	const struct pp_profile *profile; /* of the last update, not owned; NULL before */
	struct pp_top_line *lines;
	size_t nr_lines, lines_cap;
	uint64_t total; /* weight that is 100% */

	/* private to model.c */
	bool closed; /* branches are closed unless toggled */
	struct pp_u64map toggled;
};

/* Starts with functions by self. */
void pp_top_init(struct pp_top *t);
void pp_top_done(struct pp_top *t);
/* Shows groups. */
void pp_top_group(struct pp_top *t, enum pp_attribute by);

/* Makes the lines anew from p; keeps the cursor on what it was on. Returns 0 or a negative errno.
 */
int pp_top_update(struct pp_top *t, const struct pp_profile *p);

/* So many lines fit on the page: keeps the cursor on it. */
void pp_top_resize(struct pp_top *t, size_t page);

/* Keys that are no characters. */
enum {
	PP_KEY_UP = 0x110000, /* above Unicode */
	PP_KEY_DOWN,
	PP_KEY_LEFT,
	PP_KEY_RIGHT,
	PP_KEY_PAGE_UP,
	PP_KEY_PAGE_DOWN,
	PP_KEY_HOME,
	PP_KEY_END,
	PP_KEY_ENTER,
	PP_KEY_ESCAPE,
	PP_KEY_BACKSPACE,
	PP_KEY_TAB,
};

/* Does what the key stands for. Returns whether the lines have to be made anew. */
bool pp_top_key(struct pp_top *t, unsigned int key);
