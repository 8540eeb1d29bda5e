/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the names of perf maps are kept: an append-only pool of (qualname, file) pairs, reference-
 * counted, addressed by 32-bit references that stay good as long as the pool. File names are kept
 * once each. A pool made with a limit on interned names is a *dictionary*: it keeps whole names
 * once each too, which many processes running the same code share. Other pools may be based on one,
 * and keep a name whose file is there without it.
 */
#pragma once

#include "python/name.h"

#define PP_NAMES_FILES_INTERNED_MAX (64U * 1024) /* later files are kept once per entry */

struct pp_names;

/*
 * A name's file, as pools look for it. Most names have the file of the name before: they are given
 * the same text number then, and no other text ever gets it, so that pools need not look twice.
 */
struct pp_file_key {
	uint64_t text; /* never 0 */
	uint32_t hash; /* pp_names_hash_file() */
};

uint32_t pp_names_hash_file(const struct pp_name *name);

/* interned_max: 0, or a dictionary's limit. base: a dictionary to be based on, or NULL. account:
 * what the pool holds is added there, in bytes, and taken off again as it goes; it must outlive the
 * pool.
 */
int pp_names_new(struct pp_names **ret, uint32_t interned_max, struct pp_names *base,
		 size_t *account);
struct pp_names *pp_names_ref(struct pp_names *p);
struct pp_names *pp_names_unref(struct pp_names *p); /* returns NULL, accepts NULL */
PP_DEFINE_CLEANUP(struct pp_names *, pp_names_unref)

/* Bytes the pool holds. */
size_t pp_names_memory(const struct pp_names *p);
/* Whether anybody else holds a reference. */
bool pp_names_shared(const struct pp_names *p);
/* Whether a dictionary takes no more. */
bool pp_names_full(const struct pp_names *p);

/* Begin to fetch what looking for a file will need: first where it would be, then, after other
 * work, what is there. */
void pp_names_prefetch(const struct pp_names *p, const struct pp_file_key *key);
void pp_names_prefetch_file(const struct pp_names *p, const struct pp_file_key *key);

/* Of all of these, key is that of name's file, where it has one. */

/* Appends. The base must just have been asked for the name, or its file is kept here again. Returns
 * 0, -ENOSPC (references run out) or -ENOMEM. */
int pp_names_add(struct pp_names *p, const struct pp_name *name, const struct pp_file_key *key,
		 uint32_t *ret);
/* Finds or, while the dictionary is not full, adds. Returns 0, -ENOENT (full, and not there),
 * -ENXIO (full, and not even its file is there), -ENOSPC or -ENOMEM. */
int pp_names_intern(struct pp_names *p, const struct pp_name *name, const struct pp_file_key *key,
		    uint32_t *ret);
/* Of a full dictionary: only looks for the file. Returns 0 or -ENXIO. */
int pp_names_find_file(struct pp_names *p, const struct pp_name *name,
		       const struct pp_file_key *key);
/* Whether name is in the file that the call before was about. */
bool pp_names_is_last_file(const struct pp_names *p, const struct pp_name *name,
			   const struct pp_file_key *key);
/* The name behind a reference; lives as long as the pool. */
void pp_names_get(const struct pp_names *p, uint32_t ref, struct pp_name *ret);
