/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each function cost: on its own (self) and with everything it called (total). A function
 * counts once for a stack, however often it recurs in it.
 */
#pragma once

#include "view.h"

/* What makes a row; what is not asked for is merged. */
enum pp_group {
	PP_GROUP_PID = 1 << 0,
	PP_GROUP_COMM = 1 << 1,
	PP_GROUP_GIL = 1 << 2, /* and the other attributes, by PP_GROUP_ATTRIBUTE() */
	PP_GROUP_OBJECT = 1 << 6,
	PP_GROUP_SYMBOL = 1 << 7, /* includes the object: two files' `main` are two functions */
};
#define PP_GROUP_ATTRIBUTE(a) ((unsigned int)PP_GROUP_GIL << (a))

struct pp_row {
	int64_t pid;			 /* 0 unless grouped by */
	uint32_t comm;			 /* text; 0 unless grouped by */
	uint32_t module;		 /* text; 0 unless grouped by object only */
	uint32_t frame;			 /* PP_FRAME_NONE unless grouped by symbol */
	struct pp_attributes attributes; /* 0 unless grouped by */
	uint32_t sample; /* a frame that belongs to the row: for what all of them have in common */
	uint32_t depth;	 /* nearest to the root that it was seen */
	uint64_t total, self; /* weights */
	uint64_t self_samples, total_samples;
};

/* That an entry's stack holds a row; start: where the stack shows it first, from the root, or 0 if
 * it is the leaf. (What is drawn below a caller is its callees, below a leaf how one gets there.)
 */
struct pp_posting {
	uint32_t row, entry, start;
};

struct pp_table_options {
	unsigned int view;  /* enum pp_view */
	unsigned int group; /* enum pp_group */
	bool postings;
	bool by_self; /* order of the rows: by self, else by total */
	/* Which entries count; NULL: all. */
	bool (*keep)(const struct pp_profile *p, const struct pp_entry *e, void *arg);
	void *arg;
};

struct pp_table {
	struct pp_row *rows; /* heaviest first */
	size_t nr_rows;
	struct pp_posting *postings; /* in the order of the rows, if asked for */
	size_t nr_postings;
	uint64_t total; /* weight of everything */

	/* private to table.c */
	size_t rows_cap, postings_cap;
	struct pp_u64map ids;
	uint32_t *seen;
	size_t seen_cap;
};

int pp_table_new(struct pp_table **ret, const struct pp_profile *p,
		 const struct pp_table_options *options);
struct pp_table *pp_table_free(struct pp_table *t);
PP_DEFINE_CLEANUP(struct pp_table *, pp_table_free)
