/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Objects: the files that code runs from, one per identity and contents (struct pp_file_key),
 * however many processes map them. Plain bookkeeping, no I/O: the daemon's root asks the reader and
 * the worker and writes down here what they said.
 */
#pragma once

#include "base/filekey.h"
#include "elf/info.h"

/* Beyond what a machine maps at one time (2,685 ELF files are *installed* on a build host). */
#define PP_OBJECTS_MAX 8192

enum pp_object_state {
	PP_OBJECT_NEW,	   /* known by key only */
	PP_OBJECT_LOADING, /* the worker has it */
	PP_OBJECT_READY,   /* info is valid */
	PP_OBJECT_FAILED,  /* not ELF, malformed, or the worker failed on it: frame pointers, no
			      names */
};

#define PP_OBJECT_NOBODY UINT32_MAX
#define PP_OBJECT_MANY	 (UINT32_MAX - 1)

struct pp_object {
	uint32_t id; /* never reused; from 1 */
	enum pp_object_state state;
	struct pp_file_key key;
	char *path;	      /* as first seen, bytes; for display */
	const char *basename; /* within path */
	struct pp_elf_info info;
	int table;			  /* slot in the unwind store, -1: none installed */
	bool has_table;			  /* info.table_hash is that of a usable table */
	int error;			  /* why FAILED */
	uint64_t last_used;		  /* caller's clock */
	uint32_t user;			  /* whose processes use it: a uid, or one of the above */
	unsigned int pins;		  /* mappings that refer to it: not evicted meanwhile */
	void *userdata;			  /* the daemon root's */
	struct pp_object *next_same_hash; /* the table's chain */
};

struct pp_objects;
typedef void (*pp_object_free_fn)(struct pp_object *object, void *userdata);

/* on_free (may be NULL) is called before an object goes. */
int pp_objects_new(struct pp_objects **ret, pp_object_free_fn on_free, void *userdata);
struct pp_objects *pp_objects_free(struct pp_objects *t);
PP_DEFINE_CLEANUP(struct pp_objects *, pp_objects_free)

struct pp_object *pp_objects_find(const struct pp_objects *t, const struct pp_file_key *key);
struct pp_object *pp_objects_by_id(const struct pp_objects *t, uint32_t id);
/*
 * Finds or makes the object. When the table is full, the least recently used object without pins
 * goes; -ENOSPC (counted) if there is none. -ENOMEM.
 */
int pp_objects_get(struct pp_objects *t, const struct pp_file_key *key, const char *path,
		   uint64_t now, struct pp_object **ret);
size_t pp_objects_count(const struct pp_objects *t);
/* Iterates in no particular order; *i starts at 0; NULL at the end. The table must not change. */
struct pp_object *pp_objects_next(const struct pp_objects *t, size_t *i);

/* A user's process runs in it. */
static inline void pp_object_use(struct pp_object *o, uint32_t user, uint64_t now)
{
	o->last_used = now;
	if (o->user == PP_OBJECT_NOBODY)
		o->user = user;
	else if (o->user != user)
		o->user = PP_OBJECT_MANY;
}

/* Why stacks through the object are walked without rules of its own, or partly so, for people;
 * NULL: there is nothing wrong with it, as far as is known. */
const char *pp_object_fault(const struct pp_object *object);

/* Another READY object with an installed table, the same build-id and the same table hash. */
struct pp_object *pp_objects_find_same_table(const struct pp_objects *t,
					     const struct pp_object *object);

/* The LOAD segment of a READY object that holds this file offset gives its ELF address. The page
 * that an executable segment begins in is that segment's from its first byte on, as it is mapped;
 * linkers let the one before end in the same page of the file, at another address (lld). */
bool pp_object_address(const struct pp_object *object, uint64_t file_offset,
		       uint64_t *ret_elf_address);
