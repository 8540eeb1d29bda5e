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
 *
 * There may be a million nodes, so a collection goes on over many turns, a few milliseconds each:
 * holders mark, entry by entry; the tree of stacks is swept, node by node; and at last
 * the dead are freed, and frames and strings, which are fewer, are swept, a turn each. Samples come
 * all the while. That is safe since a node can only be had by asking for its stack, and a string by
 * its text, which marks it: what a holder gets behind the marking's back is marked already.
 */
#pragma once

#include "frames.h"
#include "stacks.h"
#include "strings.h"

/* Bounds of one store. A machine of 100 Pythons uses a twentieth of them. (More frames
 * would make their sweep a long turn.) */
#define PP_STORE_STRINGS_MAX (64 * MIB)
#define PP_STORE_FRAMES_MAX  (1U << 18)
#define PP_STORE_NODES_MAX   (1U << 22)

struct pp_store;

/* How far a holder has marked; all 0 at first, the holder's own to use. */
struct pp_mark {
	uint64_t window, entry;
};

struct pp_holder {
	/* Marks some of what is kept and returns whether there is more. May be NULL. */
	bool (*mark)(void *userdata, struct pp_store *store, struct pp_mark *at);
	void (*swept)(void *userdata, struct pp_store *store); /* may be NULL */
	void *userdata;
	struct pp_holder *next; /* private */
};

struct pp_store {
	struct pp_strings *strings;
	struct pp_frames *frames;
	struct pp_stacks *stacks;
	struct pp_holder *holders;
	size_t bytes_kept;    /* after the last collection */
	uint64_t collections; /* completed */
	/* Private. */
	uint64_t refusals_seen;
	enum { PP_STORE_RESTS, PP_STORE_MARKS, PP_STORE_SWEEPS, PP_STORE_ENDS } phase;
	struct pp_holder *marking; /* the holder whose turn it is */
	struct pp_mark at;
};

int pp_store_new(struct pp_store **ret);
struct pp_store *pp_store_free(struct pp_store *s);
PP_DEFINE_CLEANUP(struct pp_store *, pp_store_free)

/* The holder is the caller's memory, until it is dropped. */
void pp_store_hold(struct pp_store *s, struct pp_holder *holder);
void pp_store_drop(struct pp_store *s, struct pp_holder *holder);

/* Begins a collection if enough has been added since the last one, and goes on with one that has
 * begun for a few milliseconds. Cheap otherwise. */
void pp_store_tend(struct pp_store *s);
/* The next piece of a collection, a few microseconds but for the last one; begins one where none
 * goes on. Returns whether there is more. */
bool pp_store_step(struct pp_store *s);
/* A whole collection, however long it takes; one that has begun is ended first. */
void pp_store_collect(struct pp_store *s);

/* For pp_u64map_filter() of frames, once the store was swept: keeps those that live, under their
 * final numbers. */
bool pp_store_keeps(void *store, uint64_t *frame);

size_t pp_store_bytes(const struct pp_store *s);

/* The frame with this name; texts need no NUL and may be NULL where their length is 0. */
int pp_store_frame(struct pp_store *s, enum pp_kind kind, const char *name, size_t name_len,
		   const char *file, size_t file_len, const char *module, size_t module_len,
		   uint32_t *ret);

/* A line of a Python function, which begins at first_line; 0: not known. A program may give it the
 * empty name, which is shown as "<empty>". */
int pp_store_python(struct pp_store *s, const char *name, size_t name_len, const char *file,
		    size_t file_len, uint32_t line, uint32_t first_line, uint32_t *ret);
