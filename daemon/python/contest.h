/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which names of a perf map can be believed where several processes write to the same file:
 * containers that share /tmp and have the same pid inside. Lines do not say whose they are.
 *
 * A process has written the line of every trampoline that it runs, so an address that has had one
 * name only in the whole file has the right one; where it has had several, none is believed.
 * Addresses are random in each process, so that is rare but where randomization is turned off.
 */
#pragma once

#include "base/u64map.h"

/* An entry of up to so many bytes, as a trampoline's is, is judged at every one of them, for
 * another process's may overlap it anyhow; a longer one, another JIT's, by where it starts. */
#define PP_CONTEST_SMALL 32
/* Addresses known of one map: 20,000 functions. What is beyond is not believed. At most 9 MiB. */
#define PP_CONTEST_MAX (1U << 18)

enum pp_contest_state {
	PP_CONTEST_NONE, /* no entry is known there */
	PP_CONTEST_ONE,	 /* all entries there have one name */
	PP_CONTEST_MANY,
};

struct pp_contest;

/* used: where the bytes held are added up; has to outlive it. Returns 0 or -ENOMEM. */
int pp_contest_new(struct pp_contest **ret, size_t *used);
struct pp_contest *pp_contest_ref(struct pp_contest *c);   /* accepts NULL */
struct pp_contest *pp_contest_unref(struct pp_contest *c); /* returns NULL; accepts NULL */

/* Takes an entry of the file; name: a hash of it. Whether an address has got a second name. */
bool pp_contest_add(struct pp_contest *c, uint64_t start, uint32_t size, uint64_t name);
/* start: of the entry that is there. */
enum pp_contest_state pp_contest_at(const struct pp_contest *c, uint64_t start, uint64_t address);
