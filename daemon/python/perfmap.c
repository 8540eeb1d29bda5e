/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries are taken into a log in the order of the file. A look-up, or a full log, sorts it into a
 * run (run.h); runs of like size are merged, so there are few of them, and a map that grows by the
 * line costs O(log n) per line, one that is read at once a single sort. Names go to the dictionary
 * that all maps share while it has room, else to the map's own pool, which dies with the map.
 *
 * A fork takes references to the parent's runs: they are immutable, so the child's view cannot
 * change under it.
 */
#include "python/perfmap.h"
#include "base/counters.h"
#include "python/frontier.h"
#include "python/perfline.h"
#include "python/run.h"

#include <string.h>

#define LOG_FIRST  64
#define APPEND_MIN 4096		/* entries */
#define LOG_MAX	   (64U * 1024) /* 1.5 MiB: sorted within the cache, and bounded scratch */
/* Runs of a map: log2(entries) of its own and as many again for each fork above it; beyond, the
 * inherited ones are made into one. */
#define RUNS_MAX 48
#define RUNS_OWN 24 /* of them, room for a map's own */

/* The shared dictionary: names a machine's Pythons have in common (a stdlib-heavy start has 1,500).
 * A full one is followed by another; with so many alive, new maps do without. */
#define DICTIONARY_NAMES_MAX (16U * 1024)
#define DICTIONARIES_MAX     8

/* The budget is looked at again after this many bytes of names. */
#define UNCHECKED_MAX (64 * KIB)

/* An unterminated line. */
#define TAIL_MAX (PP_PERFLINE_NUMBERS_MAX + PP_PERFMAP_NAME_MAX)

struct pp_perfmaps {
	uint32_t refs;
	size_t used, max;
	struct pp_names *dictionaries[DICTIONARIES_MAX]; /* the first is the one in use */
};

struct pp_perfmap {
	struct pp_perfmaps *all;
	struct pp_names *dictionary, *own; /* own: made when needed */
	bool own_file; /* the last name's file is not in the dictionary, and will never be */
	struct pp_run *runs[RUNS_MAX]; /* oldest first */
	uint32_t nr_runs, nr_inherited;
	struct pp_entry *log;
	uint32_t nr_log, cap_log;
	struct pp_buf tail;
	bool skipping;	  /* the rest of a line that was too long */
	size_t unchecked; /* bytes of names taken since the budget was looked at */
	struct pp_frontier frontier;
	uint64_t replaced;
	struct pp_perfmap_stats stats;
};

/* ---- What all maps share ------------------------------------------------------------------- */

int pp_perfmaps_new(struct pp_perfmaps **ret, size_t max_bytes)
{
	struct pp_perfmaps *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->refs = 1;
	all->max = MIN(max_bytes, PP_PERFMAPS_MEMORY_MAX);
	*ret = all;
	return 0;
}

struct pp_perfmaps *pp_perfmaps_free(struct pp_perfmaps *all)
{
	if (!all || --all->refs)
		return NULL;
	for (size_t i = 0; i < DICTIONARIES_MAX; i++)
		pp_names_unref(all->dictionaries[i]);
	free(all);
	return NULL;
}

size_t pp_perfmaps_memory(const struct pp_perfmaps *all)
{
	return all->used;
}

/* The dictionary for a new map, or NULL. Forgets full ones that no map uses any more. */
static struct pp_names *dictionary_get(struct pp_perfmaps *all)
{
	struct pp_names **d = all->dictionaries;

	for (size_t i = 0; i < DICTIONARIES_MAX; i++)
		if (d[i] && pp_names_full(d[i]) && !pp_names_shared(d[i]))
			d[i] = pp_names_unref(d[i]);
	if (d[0] && !pp_names_full(d[0]))
		return pp_names_ref(d[0]);
	for (size_t i = 0; i < DICTIONARIES_MAX; i++) {
		if (d[i])
			continue;
		d[i] = d[0];
		d[0] = NULL;
		if (pp_names_new(&d[0], DICTIONARY_NAMES_MAX, &all->used) < 0)
			return NULL;
		return pp_names_ref(d[0]);
	}
	return NULL;
}

/* ---- Limits -------------------------------------------------------------------------------- */

static size_t own_memory(const struct pp_perfmap *map)
{
	size_t n = sizeof(*map) + map->cap_log * sizeof(*map->log) + map->tail.cap +
		   pp_frontier_memory(&map->frontier);

	if (map->own)
		n += pp_names_memory(map->own);
	for (uint32_t i = map->nr_inherited; i < map->nr_runs; i++)
		n += pp_run_memory(map->runs[i]);
	return n;
}

static size_t nr_pieces(const struct pp_perfmap *map)
{
	size_t n = map->nr_log;

	for (uint32_t i = map->nr_inherited; i < map->nr_runs; i++)
		n += map->runs[i]->len;
	return n;
}

/* Everybody may hold as much as is left, so there is always something left. */
static bool within_budget(const struct pp_perfmap *map)
{
	const struct pp_perfmaps *all = map->all;

	return all->used < all->max && own_memory(map) <= all->max - all->used &&
	       nr_pieces(map) < PP_PERFMAP_ENTRIES_MAX;
}

static void refuse(struct pp_perfmap *map)
{
	map->stats.full = true;
	map->stats.refused++;
	pp_count(PP_C_perfmap_entries_refused);
}

/* ---- Runs ---------------------------------------------------------------------------------- */

static void drop_log(struct pp_perfmap *map)
{
	map->all->used -= map->cap_log * sizeof(*map->log);
	free(map->log);
	map->log = NULL;
	map->nr_log = map->cap_log = 0;
}

static int merge(struct pp_run **older, struct pp_run **newer)
{
	struct pp_run *merged;
	int r;

	if (pp_run_can_append(*older, *newer)) {
		r = pp_run_append(older, *newer);
	} else {
		r = pp_run_merge(&merged, *older, *newer);
		if (r == 0) {
			pp_run_unref(*older);
			*older = merged;
		}
	}
	if (r == 0)
		*newer = pp_run_unref(*newer);
	return r;
}

/* Merges the newest runs while the one below is less than twice as long, or a large one can be had
 * without copying what is below; inherited ones stay. */
static void merge_runs(struct pp_perfmap *map)
{
	while (map->nr_runs >= map->nr_inherited + 2) {
		struct pp_run **top = &map->runs[map->nr_runs - 2];

		if (top[0]->len / 2 >= top[1]->len && map->nr_runs < RUNS_MAX - 1 &&
		    !(top[1]->len >= APPEND_MIN && pp_run_can_append(top[0], top[1])))
			break;
		if (merge(&top[0], &top[1]) < 0)
			break; /* they serve as they are */
		map->nr_runs--;
	}
}

/* Makes the log a run. Without memory for it the log's entries are lost, and counted. */
static void log_flush(struct pp_perfmap *map)
{
	int r = -ENOSPC;

	if (map->nr_runs < RUNS_MAX)
		r = pp_run_new(&map->runs[map->nr_runs], map->log, map->nr_log, map->own,
			       map->dictionary, &map->all->used);
	if (r < 0) {
		map->stats.full = true;
		map->stats.refused += map->nr_log;
		pp_count_add(PP_C_perfmap_entries_refused, map->nr_log);
	}
	map->nr_log = 0;
	if (r < 0)
		return;
	map->nr_runs++;
	merge_runs(map);
}

/* What a reader of the map does first. */
static void settle(struct pp_perfmap *map)
{
	if (map->nr_log)
		log_flush(map);
	drop_log(map);
}

static int log_grow(struct pp_perfmap *map)
{
	uint32_t cap = map->cap_log ? map->cap_log * 2 : LOG_FIRST;
	struct pp_entry *log;

	log = realloc(map->log, cap * sizeof(*log));
	if (!log)
		return -ENOMEM;
	map->all->used += (cap - map->cap_log) * sizeof(*log);
	map->log = log;
	map->cap_log = cap;
	return 0;
}

/* ---- Entries ------------------------------------------------------------------------------- */

static int intern(struct pp_perfmap *map, const struct pp_name *name, uint32_t *ret)
{
	int r;

	if (map->dictionary &&
	    !(map->own_file && map->own && pp_names_is_last_file(map->own, name))) {
		r = pp_names_intern(map->dictionary, name, ret);
		map->own_file = r == -ENXIO;
		if (r == 0)
			*ret |= PP_PIECE_SHARED;
		if (r != -ENOENT && r != -ENXIO)
			return r;
	}
	if (!map->own) {
		r = pp_names_new(&map->own, 0, &map->all->used);
		if (r < 0)
			return r;
	}
	return pp_names_add(map->own, name, ret);
}

/* Whether another entry with a name of len bytes fits; when the log is full, makes room. */
static bool make_room(struct pp_perfmap *map, size_t len)
{
	if (map->nr_log == LOG_MAX)
		log_flush(map);
	map->unchecked += len;
	if (map->nr_log < map->cap_log && map->unchecked < UNCHECKED_MAX)
		return true;
	if (!within_budget(map))
		return false;
	map->unchecked = 0;
	return map->nr_log < map->cap_log || log_grow(map) == 0;
}

/* Takes an entry; whether it is in the log now. */
static bool take(struct pp_perfmap *map, uint64_t start, uint32_t size, const struct pp_name *name)
{
	struct pp_piece piece = { .start = start, .size = size };

	if (!make_room(map, name->len + name->file_len) || intern(map, name, &piece.name) < 0) {
		refuse(map);
		return false;
	}
	map->log[map->nr_log] = (struct pp_entry){ piece, map->nr_log };
	map->nr_log++;
	return true;
}

static void add(struct pp_perfmap *map, const struct pp_perfline *entry)
{
	size_t len = entry->len;
	struct pp_name name;

	if (len > PP_PERFMAP_NAME_MAX) {
		len = PP_PERFMAP_NAME_MAX;
		map->stats.cut++;
		pp_count(PP_C_perfmap_names_cut);
	}
	pp_name_split(entry->name, len, &name);
	if (!take(map, entry->start, entry->size, &name))
		return;
	map->stats.entries++;
	if (pp_frontier_cross(&map->frontier, entry->start, entry->start + entry->size))
		map->replaced++;
}

/* ---- Lines --------------------------------------------------------------------------------- */

static void bad(uint64_t *reason)
{
	(*reason)++;
	pp_count(PP_C_perfmap_lines_bad);
}

static void line(struct pp_perfmap *map, const char *p, size_t len)
{
	struct pp_perfline entry;

	switch (pp_perfline_parse(p, len, &entry)) {
	case PP_PERFLINE_ENTRY:
		add(map, &entry);
		break;
	case PP_PERFLINE_ADDRESS:
		bad(&map->stats.bad_address);
		break;
	case PP_PERFLINE_SIZE:
		bad(&map->stats.bad_size);
		break;
	case PP_PERFLINE_RANGE:
		bad(&map->stats.bad_range);
		break;
	case PP_PERFLINE_NAME:
		bad(&map->stats.no_name);
		break;
	}
}

static void tail_set(struct pp_perfmap *map, const char *data, size_t len)
{
	size_t before = map->tail.cap;

	if (map->tail.len + len > TAIL_MAX) {
		/* One byte over the longest name marks it as cut. */
		len = TAIL_MAX - map->tail.len;
		map->skipping = true;
	}
	if (!within_budget(map) || pp_buf_add(&map->tail, data, len) < 0) {
		map->skipping = true;
		map->tail.len = 0;
	}
	map->all->used += map->tail.cap - before;
}

static void tail_drop(struct pp_perfmap *map)
{
	map->all->used -= map->tail.cap;
	pp_buf_done(&map->tail);
	map->skipping = false;
}

/* Ends the line that earlier calls left unterminated. */
static void tail_end(struct pp_perfmap *map, const char *data, size_t len)
{
	if (!map->skipping)
		tail_set(map, data, len);
	line(map, (const char *)map->tail.data, map->tail.len);
	tail_drop(map);
}

void pp_perfmap_feed(struct pp_perfmap *map, const void *data, size_t len)
{
	const char *p = data, *end = p + len, *newline;

	if (len > PP_PERFMAP_BYTES_MAX - map->stats.bytes) {
		size_t over = len - (PP_PERFMAP_BYTES_MAX - map->stats.bytes);

		map->stats.full = true;
		pp_count_add(PP_C_perfmap_bytes_refused, over);
		len -= over;
		end -= over;
	}
	map->stats.bytes += len;
	if (p < end && (map->tail.len || map->skipping)) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline) {
			if (!map->skipping)
				tail_set(map, p, (size_t)(end - p));
			return;
		}
		tail_end(map, p, (size_t)(newline - p));
		p = newline + 1;
	}
	for (; p < end; p = newline + 1) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline) {
			tail_set(map, p, (size_t)(end - p));
			return;
		}
		line(map, p, (size_t)(newline - p));
	}
}

void pp_perfmap_restart(struct pp_perfmap *map)
{
	tail_drop(map);
}

/* ---- Maps ---------------------------------------------------------------------------------- */

int pp_perfmap_new(struct pp_perfmap **ret, struct pp_perfmaps *all)
{
	struct pp_perfmap *map = calloc(1, sizeof(*map));

	if (!map)
		return -ENOMEM;
	map->all = all;
	all->refs++;
	all->used += sizeof(*map);
	map->dictionary = dictionary_get(all);
	pp_frontier_init(&map->frontier, &all->used);
	*ret = map;
	return 0;
}

struct pp_perfmap *pp_perfmap_free(struct pp_perfmap *map)
{
	if (!map)
		return NULL;
	drop_log(map);
	tail_drop(map);
	for (uint32_t i = 0; i < map->nr_runs; i++)
		pp_run_unref(map->runs[i]);
	pp_frontier_done(&map->frontier);
	map->all->used -= sizeof(*map);
	pp_names_unref(map->own);
	pp_names_unref(map->dictionary);
	pp_perfmaps_free(map->all);
	free(map);
	return NULL;
}

/* Makes map's runs few, so that a child has room above them: everything is taken again, in order,
 * into new ones. They count as inherited since their names are in another pool. */
static int flatten(struct pp_perfmap *map)
{
	_cleanup_(pp_perfmap_freep) struct pp_perfmap *flat = NULL;
	int r = pp_perfmap_new(&flat, map->all);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < map->nr_runs; i++) {
		const struct pp_run *run = map->runs[i];

		for (uint32_t k = 0; k < run->len; k++) {
			struct pp_name name;

			pp_run_name(run, &run->pieces[k], &name);
			take(flat, run->pieces[k].start, run->pieces[k].size, &name);
		}
	}
	settle(flat);
	for (uint32_t i = 0; i < map->nr_runs; i++)
		pp_run_unref(map->runs[i]);
	memcpy(map->runs, flat->runs, flat->nr_runs * sizeof(*map->runs));
	map->nr_runs = map->nr_inherited = flat->nr_runs;
	map->stats.full |= flat->stats.full;
	flat->nr_runs = 0;
	return 0;
}

int pp_perfmap_inherit(struct pp_perfmap *child, struct pp_perfmap *parent)
{
	int r;

	settle(parent);
	settle(child);
	if (parent->nr_runs + child->nr_runs > RUNS_MAX - RUNS_OWN) {
		r = flatten(parent);
		if (r < 0)
			return r;
	}
	if (parent->nr_runs + child->nr_runs > RUNS_MAX - RUNS_OWN)
		return -ENOSPC;
	memmove(child->runs + parent->nr_runs, child->runs, child->nr_runs * sizeof(*child->runs));
	for (uint32_t i = 0; i < parent->nr_runs; i++) {
		child->runs[i] = pp_run_ref(parent->runs[i]);
		pp_frontier_add_span(&child->frontier, pp_run_start(child->runs[i]),
				     pp_run_end(child->runs[i]));
	}
	child->nr_runs += parent->nr_runs;
	child->nr_inherited = parent->nr_runs;
	child->replaced++;
	return 0;
}

bool pp_perfmap_lookup(struct pp_perfmap *map, uint64_t address, struct pp_perfmap_entry *ret)
{
	settle(map);
	for (uint32_t i = map->nr_runs; i > 0; i--) {
		const struct pp_run *run = map->runs[i - 1];
		const struct pp_piece *piece = pp_run_find(run, address);

		if (!piece)
			continue;
		ret->start = piece->start;
		ret->size = piece->size;
		pp_run_name(run, piece, &ret->name);
		return true;
	}
	return false;
}

uint64_t pp_perfmap_replaced(const struct pp_perfmap *map)
{
	return map->replaced;
}

void pp_perfmap_get_stats(const struct pp_perfmap *map, struct pp_perfmap_stats *ret)
{
	*ret = map->stats;
	ret->memory = own_memory(map);
}
