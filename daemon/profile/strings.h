/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Byte strings, each kept once and known by a number. Any byte may be in them, NUL included; they
 * are counted, and NUL-terminated besides. Id 0 is the empty string. An id stays valid, and keeps
 * its meaning, until a sweep finds it unmarked.
 */
#pragma once

#include "base/macro.h"

/* A longer one is cut to this. */
#define PP_STRING_MAX (64 * KIB)
/* What is longer than a path can be is long. All long ones together may take so much, that whoever
 * makes them without end leaves room to the others; beyond, one is cut to the length of a path. */
#define PP_STRING_SHORT_MAX   (4 * KIB)
#define PP_STRINGS_LONG_BYTES (8 * MIB)

struct pp_strings;

/* bytes_max bounds text and bookkeeping together. */
int pp_strings_new(struct pp_strings **ret, size_t bytes_max);
struct pp_strings *pp_strings_free(struct pp_strings *s);
PP_DEFINE_CLEANUP(struct pp_strings *, pp_strings_free)

/* Returns 0, -ENOSPC (limit; counted) or -ENOMEM. What is cut is counted too. */
int pp_strings_get(struct pp_strings *s, const char *text, size_t len, uint32_t *ret);

/* Whether it is there, at most PP_STRING_MAX bytes long. */
bool pp_strings_find(const struct pp_strings *s, const char *text, size_t len);

/* The same as pp_strings_get without cutting, for text of our own making. */
int pp_strings_get_whole(struct pp_strings *s, const char *text, size_t len, uint32_t *ret);

/* The text, valid until the next pp_strings_get or sweep. ret_len may be NULL. An id that is not in
 * use gives "". */
const char *pp_strings_text(const struct pp_strings *s, uint32_t id, size_t *ret_len);

size_t pp_strings_count(const struct pp_strings *s);
size_t pp_strings_bytes(const struct pp_strings *s);

/* Collection (see store.h): what was not marked since the last sweep goes. From pp_strings_collect
 * on, strings that are asked for are marked. */
void pp_strings_collect(struct pp_strings *s);
void pp_strings_mark(struct pp_strings *s, uint32_t id);
void pp_strings_sweep(struct pp_strings *s);
