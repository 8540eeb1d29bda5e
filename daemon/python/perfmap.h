/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An index of one process's perf map (/tmp/perf-PID.map): lines `START SIZE NAME`, both numbers in
 * hex with or without 0x, as CPython's trampolines and other JITs write them. Pure: it is fed bytes
 * and does no I/O. A line that is no entry, behind one of CPython's, is more of its name: there was
 * a newline in it. Where entries overlap, wholly or in part, the last one fed wins at every
 * address.
 *
 * Maps that come from one pp_perfmaps share its dictionary of names and its memory budget; it is
 * reference-counted by its maps, so it may be freed before them.
 */
#pragma once

#include "python/name.h"

/* What one map may cost; beyond, the rest is dropped and counted (counters perfmap_*). */
#define PP_PERFMAP_BYTES_MAX   (256 * MIB) /* read, over the map's whole life */
#define PP_PERFMAP_ENTRIES_MAX (4U << 20)
/* A longer name is cut to this: a qualname and a file name of 64 KiB each, and what joins them. */
#define PP_PERFMAP_NAME_MAX (128 * KIB + sizeof("py:::") - 1)
/* What all maps together may hold. A map may never hold more than is left for the others, so that
 * a newcomer finds room however greedy those before it were. */
#define PP_PERFMAPS_MEMORY_MAX (128 * MIB)

struct pp_perfmaps;
struct pp_perfmap;

/* max_bytes: PP_PERFMAPS_MEMORY_MAX, or less. */
int pp_perfmaps_new(struct pp_perfmaps **ret, size_t max_bytes);
struct pp_perfmaps *pp_perfmaps_free(struct pp_perfmaps *all);
PP_DEFINE_CLEANUP(struct pp_perfmaps *, pp_perfmaps_free)
/* Bytes that all maps and the dictionary hold. */
size_t pp_perfmaps_memory(const struct pp_perfmaps *all);

int pp_perfmap_new(struct pp_perfmap **ret, struct pp_perfmaps *all);
struct pp_perfmap *pp_perfmap_free(struct pp_perfmap *map);
PP_DEFINE_CLEANUP(struct pp_perfmap *, pp_perfmap_free)

/* Takes the next bytes of the file, cut anywhere; an unterminated last line is kept until its
 * newline comes. Never fails: what cannot be kept is dropped and counted. */
void pp_perfmap_feed(struct pp_perfmap *map, const void *data, size_t len);

struct pp_growers;
/* From now on the names of what is fed are counted there too; NULL: no more. */
void pp_perfmap_watch(struct pp_perfmap *map, struct pp_growers *growers);
/* The same for a reader of another format: one entry, its name as a line would have it. -EINVAL: it
 * makes no sense; -ENOSPC: it is over a limit, and counted. */
int pp_perfmap_add(struct pp_perfmap *map, uint64_t start, uint64_t size, const char *name,
		   size_t len);
/* How many of len more bytes of a file may yet be read for this map; they count as fed. */
size_t pp_perfmap_allow(struct pp_perfmap *map, size_t len);

/* Forgets an unterminated last line: what is fed next begins a line (the file was truncated or
 * replaced). Entries stay. */
void pp_perfmap_restart(struct pp_perfmap *map);

/*
 * Gives child, which must not have been given one before, parent's entries as they are now,
 * beneath its own: it sees none that parent gets later. Costs a few references, whatever the size.
 * Returns 0 or -ENOMEM.
 */
int pp_perfmap_inherit(struct pp_perfmap *child, struct pp_perfmap *parent);

/*
 * Other processes write to the same file: what is fed from here on (the file again, from its
 * beginning) names an address only where all its entries have one name; see contest.h. Children are
 * given that judgement with the entries. Returns 0 or -ENOMEM.
 */
int pp_perfmap_contest(struct pp_perfmap *map);

/* Whose file an entry was in. A map at the end of a long chain of forks does not keep them apart.
 */
enum pp_perfmap_origin { PP_PERFMAP_OWN, PP_PERFMAP_INHERITED, PP_PERFMAP_EITHER };

/* What is visible at an address: the entry, or the piece of it that later ones left over. */
struct pp_perfmap_entry {
	uint64_t start;
	uint32_t size;
	struct pp_name name; /* lives as long as the map */
	enum pp_perfmap_origin origin;
};

/* The entry that covers address. Amortises sorting what was fed since the last call. */
bool pp_perfmap_lookup(struct pp_perfmap *map, uint64_t address, struct pp_perfmap_entry *ret);

/*
 * Rises whenever an entry came that may have changed the name at an address that had one already.
 * While it stands still, answers given remain true; when it has risen, ask again. It may rise
 * without cause (entries out of order within a 64 KiB block), never fail to rise.
 */
uint64_t pp_perfmap_replaced(const struct pp_perfmap *map);

/* Of the map's own entries as they are visible, not counting inherited ones: how many there are,
 * and how many begin in [start, end). Where entries came out of order, one that later ones hide may
 * be counted too. ret_first, where any does: the address of one. */
size_t pp_perfmap_visible(struct pp_perfmap *map);
size_t pp_perfmap_count(struct pp_perfmap *map, uint64_t start, uint64_t end, uint64_t *ret_first);

struct pp_perfmap_stats {
	uint64_t bytes;	  /* fed */
	uint64_t entries; /* taken, inherited ones not counted */
	/* lines not taken */
	uint64_t bad_address, bad_size, bad_range, no_name;
	uint64_t refused; /* entries over a limit */
	uint64_t cut;	  /* names cut to PP_PERFMAP_NAME_MAX */
	size_t memory;	  /* bytes held by this map alone */
	bool full;	  /* a limit was reached: later entries are missing */
};
void pp_perfmap_get_stats(const struct pp_perfmap *map, struct pp_perfmap_stats *ret);
