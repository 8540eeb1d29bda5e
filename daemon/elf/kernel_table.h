/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's functions by address: made line by line, then searched. 10 bytes each, and names. */
#pragma once

#include "base/macro.h"

struct pp_kernel_symbol {
	const char *name;   /* valid as long as the table */
	const char *module; /* "" for the kernel itself */
	uint64_t start;
};

struct pp_kernel_table;

struct pp_kernel_table *pp_kernel_table_new(void); /* NULL: no memory */
struct pp_kernel_table *pp_kernel_table_free(struct pp_kernel_table *t);

/*
 * Takes a line of /proc/kallsyms, `ADDRESS T NAME[\tMODULE]`, the module in brackets; what is not
 * code (t, T, w, W) or not in that form is left out. Returns 0, -E2BIG, -ENOBUFS or -ENOMEM.
 */
int pp_kernel_table_add(struct pp_kernel_table *t, const char *line, size_t len);
/* After the last line, before any lookup. */
void pp_kernel_table_finish(struct pp_kernel_table *t);

/* As pp_kallsyms_lookup(). */
bool pp_kernel_table_lookup(const struct pp_kernel_table *t, uint64_t address,
			    struct pp_kernel_symbol *ret, bool *ret_stale);

/* Whether there were lines and all addresses were zero. */
bool pp_kernel_table_hidden(const struct pp_kernel_table *t);
size_t pp_kernel_table_count(const struct pp_kernel_table *t);
size_t pp_kernel_table_memory(const struct pp_kernel_table *t);
