/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The unwind store: tables and mapping blocks in the word space that BPF searches (see pp_types.h).
 * It grows by chunks up to a byte budget; whoever is told -ENOSPC evicts something and tries again.
 *
 * What is dropped is reused only a moment later: a walk that found it an instant before must not
 * read another's words. Call pp_store_settle() regularly.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

struct pp_bpf;
struct pp_store;

/* A table as the ELF worker built it, with rules numbered within itself; checked by the caller. */
struct pp_store_table {
	uint64_t start; /* ELF address of bucket 0 */
	const uint32_t *index, *rows, *rules;
	uint32_t nr_buckets, nr_row_words, nr_rules;
};

int pp_store_new(struct pp_store **ret, struct pp_bpf *bpf, size_t budget_bytes);
struct pp_store *pp_store_free(struct pp_store *s);
PP_DEFINE_CLEANUP(struct pp_store *, pp_store_free)

/* Returns the table's slot, -ENOSPC (budget, slots or rules used up) or -ENOMEM. */
int pp_store_put_table(struct pp_store *s, const struct pp_store_table *table);
void pp_store_drop_table(struct pp_store *s, int slot);
/* Words that the table takes. */
uint32_t pp_store_table_words(const struct pp_store *s, int slot);

/* A block of mappings; returns its word number (never 0) in *ret, or -ENOSPC. */
int pp_store_put_block(struct pp_store *s, const struct pp_mapping *mappings, size_t n,
		       uint32_t *ret);
void pp_store_drop_block(struct pp_store *s, uint32_t block, size_t n);

/* Frees what was dropped long enough ago. */
void pp_store_settle(struct pp_store *s, uint64_t now_ns);

struct pp_store_usage {
	uint64_t bytes, budget; /* of chunks */
	uint64_t bytes_used;	/* of what lies in them */
	uint32_t tables, rules;
};
void pp_store_usage(const struct pp_store *s, struct pp_store_usage *ret);
