/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Byte strings that many processes share (paths of mapped files, units, containers), kept once.
 * Equal strings are the same pointer.
 */
#pragma once

#include "base/holdings.h"
#include "base/macro.h"
#include "base/u64map.h"

struct pp_atom {
	struct pp_atom *next; /* of the same hash */
	uint64_t hash;
	uint32_t refs;
	uint32_t len;
	uint32_t user; /* who had it first, and pays */
	char text[];   /* any bytes but NUL inside, NUL at text[len] */
};

struct pp_atoms {
	struct pp_u64map by_hash;
	size_t bytes;		  /* held by all atoms */
	struct pp_holdings *held; /* the same by user is part of this */
};

/* The atom of text (cut at a NUL); a reference is the caller's. user: for whom. Returns NULL
 * without memory. */
struct pp_atom *pp_atoms_get(struct pp_atoms *atoms, uint32_t user, const char *text, size_t len);
struct pp_atom *pp_atom_ref(struct pp_atom *a);
/* Returns NULL; accepts NULL. */
struct pp_atom *pp_atom_unref(struct pp_atoms *atoms, struct pp_atom *a);
/* The table only; every atom must have been given back. */
void pp_atoms_done(struct pp_atoms *atoms);
