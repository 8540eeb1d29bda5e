/* SPDX-License-Identifier: GPL-2.0-only */
#include "proc/atoms.h"

#include <string.h>

struct pp_atom *pp_atoms_get(struct pp_atoms *atoms, uint32_t user, const char *text, size_t len)
{
	struct pp_atom *a, *first;
	uint64_t hash;

	len = strnlen(text, MIN(len, (size_t)UINT32_MAX));
	hash = pp_hash(text, len);
	first = pp_u64map_get_ptr(&atoms->by_hash, hash);
	for (a = first; a; a = a->next)
		if (a->len == len && !memcmp(a->text, text, len))
			return pp_atom_ref(a);
	a = malloc(sizeof(*a) + len + 1);
	if (!a)
		return NULL;
	*a = (struct pp_atom){
		.next = first, .hash = hash, .refs = 1, .len = (uint32_t)len, .user = user
	};
	memcpy(a->text, text, len);
	a->text[len] = '\0';
	if (pp_u64map_put_ptr(&atoms->by_hash, hash, a) < 0) {
		free(a);
		return NULL;
	}
	atoms->bytes += sizeof(*a) + len + 1;
	(void)pp_holdings_add(atoms->held, user, sizeof(*a) + len + 1);
	return a;
}

struct pp_atom *pp_atom_ref(struct pp_atom *a)
{
	if (a)
		a->refs++;
	return a;
}

struct pp_atom *pp_atom_unref(struct pp_atoms *atoms, struct pp_atom *a)
{
	struct pp_atom *first, **at;

	if (!a || --a->refs)
		return NULL;
	first = pp_u64map_get_ptr(&atoms->by_hash, a->hash);
	for (at = &first; *at != a; at = &(*at)->next)
		;
	*at = a->next;
	if (first)
		(void)pp_u64map_put_ptr(&atoms->by_hash, a->hash,
					first); /* replaces: cannot fail */
	else
		pp_u64map_del(&atoms->by_hash, a->hash);
	atoms->bytes -= sizeof(*a) + a->len + 1;
	pp_holdings_take(atoms->held, a->user, sizeof(*a) + a->len + 1);
	free(a);
	return NULL;
}

void pp_atoms_done(struct pp_atoms *atoms)
{
	pp_u64map_done(&atoms->by_hash);
}
