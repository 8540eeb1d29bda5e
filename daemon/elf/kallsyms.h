/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's functions by address, from /proc/kallsyms. Reading the file takes the kernel tens of
 * milliseconds, so a reload is done in steps.
 */
#pragma once

#include "elf/kernel_table.h"

struct pp_kallsyms;

/* An empty table that will read `path` (NULL: /proc/kallsyms). */
int pp_kallsyms_new(struct pp_kallsyms **ret, const char *path);
struct pp_kallsyms *pp_kallsyms_free(struct pp_kallsyms *k);
PP_DEFINE_CLEANUP(struct pp_kallsyms *, pp_kallsyms_free)

/* Reads it all now. Returns 0, -EPERM (addresses are hidden: kptr_restrict), or an errno. */
int pp_kallsyms_load(struct pp_kallsyms *k);

/*
 * The same without a long stop: start opens the file, each step reads about `bytes` of it and
 * returns 1 while there is more, 0 when the new table has taken the old one's place, or a negative
 * errno (the old table stays). start is 0 also while a load is under way.
 */
int pp_kallsyms_start(struct pp_kallsyms *k);
int pp_kallsyms_step(struct pp_kallsyms *k, size_t bytes);
bool pp_kallsyms_loading(const struct pp_kallsyms *k);

/* Whether addresses were all zero at the last load: no kernel frame can be named. */
bool pp_kallsyms_hidden(const struct pp_kallsyms *k);

/*
 * The function that holds an address; valid until the next step or load. False: none is known
 * there; *ret_stale then says whether reloading may help (the address is not in the kernel image
 * itself: a module or BPF program that came later). The caller limits how often it does.
 */
bool pp_kallsyms_lookup(const struct pp_kallsyms *k, uint64_t address, struct pp_kernel_symbol *ret,
			bool *ret_stale);

size_t pp_kallsyms_count(const struct pp_kallsyms *k);
/* Bytes held. */
size_t pp_kallsyms_memory(const struct pp_kallsyms *k);
