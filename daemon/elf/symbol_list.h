/* SPDX-License-Identifier: GPL-2.0-only */
/* Symbols by address: built from what tables hold in any order, then searched. */
#pragma once

#include "base/macro.h"

/* Functions kept of one file (chromium with symbols: about 900,000); the rest are cut. */
#define PP_SYMBOLS_MAX (2U << 20)
/* Names compared at one address. */
#define PP_SYMBOL_ALIASES_MAX 16

struct pp_symbol {
	uint32_t offset, size; /* in the code */
	uint32_t name;	       /* in its source's string table */
	uint32_t reach;	       /* the largest end of the symbols up to here: how far back to look */
	uint8_t source, rank;  /* of a larger rank is better, of a smaller source */
	uint16_t section;
};

struct pp_symbol_list {
	struct pp_symbol *v; /* by offset, once sorted */
	size_t n, cap;
};

/* Returns 0, also when the list is full, or -ENOMEM. */
int pp_symbol_list_add(struct pp_symbol_list *l, const struct pp_symbol *s);
void pp_symbol_list_sort(struct pp_symbol_list *l);
/* Leaves one where two sources have the same function; sorted before. */
void pp_symbol_list_drop_repeats(struct pp_symbol_list *l);
/* Nothing more comes: makes it fit for the search. */
void pp_symbol_list_finish(struct pp_symbol_list *l);

/* Index of the first symbol beyond offset; sorted before. */
size_t pp_symbol_list_after(const struct pp_symbol_list *l, uint32_t offset);
/* The innermost symbol that holds offset, of several the last in order; finished before. */
bool pp_symbol_list_find(const struct pp_symbol_list *l, uint32_t offset, size_t *ret);
