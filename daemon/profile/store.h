/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The store: strings, frames and stacks, interned once for every profile there is, and the
 * collection of those that nobody needs any more.
 *
 * Numbers are stable: a collection never moves what lives, it only frees what is dead, whose
 * numbers may then be used anew. Whoever keeps numbers across turns of the loop is a *holder*: it
 * marks what it keeps, and hears afterwards that numbers have died. A collection happens in
 * pp_store_tend() only, which the daemon calls between turns, never while a sample is being
 * resolved.
 */
#pragma once

#include "frames.h"
#include "stacks.h"
#include "strings.h"

/* Bounds of one store. A machine of 100 Pythons uses a twentieth of them. */
#define PP_STORE_STRINGS_MAX (64 * MIB)
#define PP_STORE_FRAMES_MAX  (1U << 20)
#define PP_STORE_NODES_MAX   (1U << 22)

struct pp_store;

struct pp_holder {
	void (*mark)(void *userdata, struct pp_store *store);  /* may be NULL */
	void (*swept)(void *userdata, struct pp_store *store); /* may be NULL */
	void *userdata;
	struct pp_holder *next; /* private */
};

struct pp_store {
	struct pp_strings *strings;
	struct pp_frames *frames;
	struct pp_stacks *stacks;
	struct pp_holder *holders;
	size_t bytes_kept; /* after the last collection */
	uint64_t collections;
	uint64_t refusals_seen; /* private */
};

int pp_store_new(struct pp_store **ret);
struct pp_store *pp_store_free(struct pp_store *s);
PP_DEFINE_CLEANUP(struct pp_store *, pp_store_free)

/* The holder is the caller's memory, until it is dropped. */
void pp_store_hold(struct pp_store *s, struct pp_holder *holder);
void pp_store_drop(struct pp_store *s, struct pp_holder *holder);

/* Collects if enough has been added since the last time. Cheap otherwise. */
void pp_store_tend(struct pp_store *s);
void pp_store_collect(struct pp_store *s);

size_t pp_store_bytes(const struct pp_store *s);

/* The frame with this name; texts need no NUL and may be NULL where their length is 0. */
int pp_store_frame(struct pp_store *s, enum pp_kind kind, const char *name, size_t name_len,
		   const char *file, size_t file_len, const char *module, size_t module_len,
		   uint32_t *ret);

/* A line of a Python function, which begins at first_line; 0: not known. */
int pp_store_python(struct pp_store *s, const char *name, size_t name_len, const char *file,
		    size_t file_len, uint32_t line, uint32_t first_line, uint32_t *ret);
