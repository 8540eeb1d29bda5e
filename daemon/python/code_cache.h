/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which code object of a process was found at which address, and the frames of positions in it.
 *
 * A code object found at an address is a *tenant* of it and gets a number as such. When another is
 * found there it gets the next one, so what was kept under the old one is not found any more. A
 * fork's child holds its parent's cache until one of them adds to it, which copies it.
 */
#pragma once

#include "base/u64map.h"

/* Frames and code objects of one process. Code that really runs is far less; what churns past the
 * limit is kept anew from then on. */
#define PP_CODE_FRAMES_MAX  (128 * KIB)
#define PP_CODE_OBJECTS_MAX (64 * KIB)

struct pp_code_object {
	uint64_t address;
	uint32_t number, print; /* as proc/reader.h has them */
	uint32_t seen;		/* the number of the next code object, before it was last read */
	uint32_t tenant;
	uint32_t frame;	      /* one of its frames with a name; 0: none */
	bool known;	      /* it has been read; else nothing else holds */
	uint8_t nr_unchanged; /* readings since the first that found it again, at most 255 */
};

struct pp_code_cache {
	uint32_t refs, next;		/* next: tenant's number */
	uint32_t swept;			/* its holder's: in which sweep it last was */
	struct pp_u64map addresses;	/* address -> index in objects */
	struct pp_u64map frames;	/* tenant << 32 | place -> frame */
	struct pp_code_object *objects; /* each address's: an index stays its address's */
	uint32_t nr;
	size_t cap;
};

int pp_code_cache_new(struct pp_code_cache **ret);
struct pp_code_cache *pp_code_cache_ref(struct pp_code_cache *c);
/* Returns NULL; accepts NULL. */
struct pp_code_cache *pp_code_cache_unref(struct pp_code_cache *c);
PP_DEFINE_CLEANUP(struct pp_code_cache *, pp_code_cache_unref)

/* Makes *c the caller's alone, to be written to: copies what others hold too. Indices stay. */
int pp_code_cache_own(struct pp_code_cache **c);

/* Whether there is no room for another code object or frame: its holder begins with a new one. */
bool pp_code_cache_full(const struct pp_code_cache *c);

bool pp_code_cache_find(const struct pp_code_cache *c, uint64_t address, uint32_t *ret_index);
/* Adds an address that is not there; c is the caller's alone. -ENOMEM, -ENOSPC. */
int pp_code_cache_add(struct pp_code_cache *c, uint64_t address, uint32_t *ret_index);
/* Another code object, of which nothing is known yet, is at the address of this index; c is the
 * caller's alone. */
void pp_code_cache_replace(struct pp_code_cache *c, uint32_t index);
/* Keeps of c, which is the caller's alone, only what was so when the next code object's number was
 * this. */
void pp_code_cache_go_back(struct pp_code_cache *c, uint32_t next_code);

/* place: tells one position in the code from another. */
static inline uint64_t pp_code_cache_key(const struct pp_code_cache *c, uint32_t index,
					 uint32_t place)
{
	return (uint64_t)c->objects[index].tenant << 32 | place;
}

size_t pp_code_cache_bytes(const struct pp_code_cache *c);
