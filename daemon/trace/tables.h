/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The unwind store: tables and mapping blocks in the word space that BPF searches (see pp_types.h).
 * It grows by chunks up to a byte budget. Growing takes a moment: whoever is told -EAGAIN tries
 * again after pp_tables_settle() has been called a few times; whoever is told -ENOSPC drops
 * something first, and waits until that has settled.
 *
 * What is dropped is reused only a moment later: a walk that found it an instant before must not
 * read another's words. Nor must a block that still leads to a dropped table see another take its
 * slot: the caller says up to when it has replaced those.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

struct pp_bpf;
struct pp_tables;

/* A table as the ELF worker built it, with rules numbered within itself; checked by the caller. */
struct pp_table_source {
	uint64_t start; /* ELF address of bucket 0 */
	const uint32_t *index, *rows, *rules;
	uint32_t nr_buckets, nr_row_words, nr_rules;
};

int pp_tables_new(struct pp_tables **ret, struct pp_bpf *bpf, size_t budget_bytes);
struct pp_tables *pp_tables_free(struct pp_tables *s);
PP_DEFINE_CLEANUP(struct pp_tables *, pp_tables_free)

/* Returns the table's slot, -EAGAIN, -ENOSPC (budget or slots used up), -EFBIG (larger than the
 * budget) or -ENOMEM. */
int pp_tables_put(struct pp_tables *s, const struct pp_table_source *table);
void pp_tables_drop(struct pp_tables *s, int slot);
/* Words that the table takes. */
uint32_t pp_tables_words(const struct pp_tables *s, int slot);

/* Words of dropped tables that have not been freed yet. */
uint32_t pp_tables_settling(const struct pp_tables *s);

/* A block of mappings; returns its word number (never 0) in *ret, -EAGAIN, -ENOSPC, or -EDQUOT:
 * blocks have half the budget at the most, so that nobody's mappings leave no room for tables. */
int pp_tables_put_block(struct pp_tables *s, const struct pp_mapping *mappings, size_t n,
			uint32_t *ret);
void pp_tables_drop_block(struct pp_tables *s, uint32_t block, size_t n);

/* Frees what was dropped long enough before until_ns, and takes in room that has come. until_ns: no
 * block refers any more to what was dropped before; now, at the latest. */
void pp_tables_settle(struct pp_tables *s, uint64_t until_ns);

struct pp_tables_usage {
	uint64_t bytes, budget; /* of chunks */
	uint64_t bytes_used;	/* of what lies in them */
	uint32_t tables, rules;
};
void pp_tables_usage(const struct pp_tables *s, struct pp_tables_usage *ret);
