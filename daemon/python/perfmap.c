/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entries are taken into a log in the order of the file. A look-up, or a full log, sorts it into a
 * run (run.h); runs of like size are merged, so there are few of them, and a map that grows by the
 * line costs O(log n) per line, one that is read at once a single sort. Names go to the dictionary
 * that all maps share while it has room, else to the map's own pool, which dies with the map.
 *
 * Where the lines of a file come in no order, the time goes into waiting for the memory of the file
 * names that are looked for. So lines are taken apart in batches, and what they will look for is
 * fetched before the first of them is taken.
 *
 * A fork takes references to the parent's runs: they are immutable, so the child's view cannot
 * change under it.
 */
#include "python/perfmap.h"
#include "base/counters.h"
#include "python/contest.h"
#include "python/frontier.h"
#include "python/growers.h"
#include "python/perfline.h"
#include "python/perfmaps.h"
#include "python/runs.h"

#include <string.h>

#define LOG_FIRST 64
#define LOG_MAX	  (64U * 1024) /* 1.5 MiB: sorted within the cache, and bounded scratch */

/* The budget is looked at again after this many bytes of names. */
#define UNCHECKED_MAX (64 * KIB)

/* After so many names in a row that a full dictionary does not have, a map's names are taken for
 * its own: only their files are still looked for there. */
#define STRANGERS_MAX 4096

/* Lines of a batch: enough that a core always has as many fetches under way as it can have. */
#define BATCH 32

/* An unterminated line. */
#define TAIL_MAX (PP_PERFLINE_NUMBERS_MAX + PP_PERFMAP_NAME_MAX)

struct pp_perfmap {
	struct pp_perfmaps *all;
	struct pp_names *dictionary, *own; /* own: made when needed */
	bool own_file;	    /* the last name's file is not in the dictionary, and will never be */
	uint32_t strangers; /* names in a row that the dictionary does not have */
	struct pp_runs runs;
	struct pp_entry *log;
	uint32_t nr_log, cap_log;
	struct pp_buf tail;
	bool flat;		    /* own runs are among the inherited ones */
	struct pp_perfline last;    /* the last entry; its name is gone */
	unsigned int continuations; /* lines that may yet belong to its name */
	bool skipping;		    /* the rest of a line that was too long */
	size_t unchecked;	    /* bytes of names taken since the budget was looked at */
	struct pp_frontier frontier;
	struct pp_growers *growers; /* not ours; NULL: nobody counts */
	/* NULL where the file is this process's alone; above: of the parent's entries. */
	struct pp_contest *contest, *above;
	uint64_t replaced;
	struct pp_perfmap_stats stats;
};

/* ---- Limits -------------------------------------------------------------------------------- */

static size_t own_memory(const struct pp_perfmap *map)
{
	return sizeof(*map) + map->cap_log * sizeof(*map->log) + map->tail.cap +
	       pp_frontier_memory(&map->frontier) + pp_runs_memory(&map->runs) +
	       (map->own ? pp_names_memory(map->own) : 0);
}

static bool within_budget(const struct pp_perfmap *map)
{
	return pp_perfmaps_may_grow(map->all, own_memory(map)) &&
	       map->nr_log + pp_runs_pieces(&map->runs) < PP_PERFMAP_ENTRIES_MAX;
}

static void refuse(struct pp_perfmap *map)
{
	map->stats.full = true;
	map->stats.refused++;
	pp_count(PP_C_perfmap_entries_refused);
}

/* ---- The log ------------------------------------------------------------------------------- */

static void drop_log(struct pp_perfmap *map)
{
	map->all->used -= map->cap_log * sizeof(*map->log);
	free(map->log);
	map->log = NULL;
	map->nr_log = map->cap_log = 0;
}

/* Makes the log a run. Without memory for it the log's entries are lost, and counted. */
static void log_flush(struct pp_perfmap *map)
{
	struct pp_run *run;
	int r = -ENOSPC;

	if (!pp_runs_full(&map->runs))
		r = pp_run_new(&run, map->log, map->nr_log, map->own, map->dictionary,
			       &map->all->used);
	if (r == 0) {
		pp_runs_push(&map->runs, run);
	} else {
		map->stats.full = true;
		map->stats.refused += map->nr_log;
		pp_count_add(PP_C_perfmap_entries_refused, map->nr_log);
	}
	map->nr_log = 0;
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

static struct pp_file_key new_key(struct pp_perfmap *map, const struct pp_name *name)
{
	if (!name->has_file)
		return (struct pp_file_key){ 0 };
	return (struct pp_file_key){ ++map->all->texts, pp_names_hash_file(name) };
}

/* Looks for a name in the dictionary. -ENOENT: its file is there; -ENXIO: not even that. */
static int intern_shared(struct pp_perfmap *map, const struct pp_name *name,
			 const struct pp_file_key *file, uint32_t *ret)
{
	int r;

	if (map->strangers >= STRANGERS_MAX)
		return pp_names_find_file(map->dictionary, name, file) ?: -ENOENT;
	r = pp_names_intern(map->dictionary, name, file, ret);
	map->strangers = r == 0 ? 0 : map->strangers + 1;
	if (r == 0)
		*ret |= PP_PIECE_SHARED;
	return r;
}

static int intern(struct pp_perfmap *map, const struct pp_name *name,
		  const struct pp_file_key *file, uint32_t *ret)
{
	int r;

	if (map->dictionary &&
	    !(map->own_file && map->own && pp_names_is_last_file(map->own, name, file))) {
		r = intern_shared(map, name, file, ret);
		map->own_file = r == -ENXIO;
		if (r != -ENOENT && r != -ENXIO)
			return r;
	}
	if (!map->own) {
		r = pp_names_new(&map->own, 0, map->dictionary, &map->all->used);
		if (r < 0)
			return r;
	}
	return pp_names_add(map->own, name, file, ret);
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
static bool take(struct pp_perfmap *map, uint64_t start, uint32_t size, const struct pp_name *name,
		 const struct pp_file_key *file)
{
	struct pp_piece piece = { .start = start, .size = size };

	if (!make_room(map, name->len + name->file_len) ||
	    intern(map, name, file, &piece.name) < 0) {
		refuse(map);
		return false;
	}
	map->log[map->nr_log] = (struct pp_entry){ piece, map->nr_log };
	map->nr_log++;
	return true;
}

/* What is kept of a name. */
static size_t name_len(const struct pp_perfline *entry)
{
	return MIN(entry->len, PP_PERFMAP_NAME_MAX);
}

/* name: what is kept of the entry's; line_len: bytes of the file that it took. */
static int add(struct pp_perfmap *map, const struct pp_perfline *entry, const struct pp_name *name,
	       const struct pp_file_key *file, size_t line_len)
{
	if (entry->len > PP_PERFMAP_NAME_MAX) {
		map->stats.cut++;
		pp_count(PP_C_perfmap_names_cut);
	}
	if (!take(map, entry->start, entry->size, name, file))
		return -ENOSPC;
	map->stats.entries++;
	if (map->growers)
		pp_growers_add(map->growers, name, line_len);
	if (map->contest && pp_contest_add(map->contest, entry->start, entry->size,
					   pp_hash(entry->name, name_len(entry))))
		map->replaced++;
	if (pp_frontier_cross(&map->frontier, entry->start, entry->start + entry->size))
		map->replaced++;
	return 0;
}

int pp_perfmap_add(struct pp_perfmap *map, uint64_t start, uint64_t size, const char *name,
		   size_t len)
{
	struct pp_perfline entry = { start, (uint32_t)size, name, len };
	struct pp_file_key file;
	struct pp_name split;

	if (!pp_perfline_is_range(start, size) || !len)
		return -EINVAL;
	pp_name_split(name, name_len(&entry), &split);
	file = new_key(map, &split);
	return add(map, &entry, &split, &file, len);
}

/* ---- Lines --------------------------------------------------------------------------------- */

/* CPython writes names as they are. One with a newline in it goes on in the next line, which is no
 * entry then; so many times. */
#define CONTINUATIONS_MAX 4

/* A line, taken apart. */
struct line {
	const char *text;
	size_t len;
	bool behind_hole; /* in the file, where another entry begins */
	enum pp_perfline_result result;
	/* Of an entry. */
	struct pp_perfline entry;
	struct pp_name name;
	struct pp_file_key file;
};

static void bad(uint64_t *reason)
{
	(*reason)++;
	pp_count(PP_C_perfmap_lines_bad);
}

/* Takes a line that is no entry for more of the name before it. */
static bool continue_name(struct pp_perfmap *map, const char *text, size_t len)
{
	_cleanup_buf_ struct pp_buf whole = PP_BUF(PP_PERFMAP_NAME_MAX);
	struct pp_perfmap_entry entry;
	struct pp_file_key file;
	struct pp_name name;

	/* Where several write, the line before may be another's. */
	if (!map->continuations || map->contest)
		return false;
	map->continuations--;
	if (!pp_perfmap_lookup(map, map->last.start, &entry) ||
	    pp_name_write(&whole, &entry.name) < 0 || pp_buf_add(&whole, "\n", 1) < 0 ||
	    pp_buf_add(&whole, text, len) < 0) {
		map->continuations = 0;
		return false;
	}
	pp_name_split((const char *)whole.data, whole.len, &name);
	file = new_key(map, &name);
	if (take(map, map->last.start, map->last.size, &name, &file))
		map->replaced++;
	return true;
}

/* All but the file's key. */
static void parse(struct line *l, const char *text, size_t len)
{
	l->text = text;
	l->len = len;
	l->behind_hole = false;
	l->result = pp_perfline_parse(text, len, &l->entry);
	if (l->result == PP_PERFLINE_ENTRY)
		pp_name_split(l->entry.name, name_len(&l->entry), &l->name);
}

static void entry_line(struct pp_perfmap *map, const struct line *l)
{
	bool python = l->name.kind == PP_NAME_PYTHON;
	int r = add(map, &l->entry, &l->name, &l->file, l->len + 1);

	map->last = l->entry;
	map->continuations = r == 0 && python ? CONTINUATIONS_MAX : 0;
}

static void take_line(struct pp_perfmap *map, const struct line *l)
{
	if (l->behind_hole)
		map->continuations = 0;
	switch (l->result) {
	case PP_PERFLINE_ENTRY:
		entry_line(map, l);
		break;
	case PP_PERFLINE_ADDRESS:
		if (!continue_name(map, l->text, l->len))
			bad(&map->stats.bad_address);
		break;
	case PP_PERFLINE_SIZE:
		if (!continue_name(map, l->text, l->len))
			bad(&map->stats.bad_size);
		break;
	case PP_PERFLINE_RANGE: /* an entry all the same, so the name before it is over */
		map->continuations = 0;
		bad(&map->stats.bad_range);
		break;
	case PP_PERFLINE_NAME:
		map->continuations = 0;
		bad(&map->stats.no_name);
		break;
	}
}

/* ---- Batches ------------------------------------------------------------------------------- */

struct batch {
	struct line lines[BATCH];
	unsigned int nr;
	struct pp_name name; /* the last one that has a file, and its key */
	struct pp_file_key file;
};

static void prefetch_file(struct pp_perfmap *map, const struct pp_file_key *file)
{
	if (map->dictionary)
		pp_names_prefetch_file(map->dictionary, file);
	if (map->own)
		pp_names_prefetch_file(map->own, file);
}

static void batch_take(struct pp_perfmap *map, struct batch *b)
{
	uint64_t text = 0;

	for (unsigned int i = 0; i < b->nr; i++) {
		const struct line *l = &b->lines[i];

		if (l->result != PP_PERFLINE_ENTRY || !l->name.has_file || l->file.text == text)
			continue;
		prefetch_file(map, &l->file);
		text = l->file.text;
	}
	for (unsigned int i = 0; i < b->nr; i++)
		take_line(map, &b->lines[i]);
	b->nr = 0;
}

static void batch_name(struct pp_perfmap *map, struct batch *b, struct line *l)
{
	const struct pp_name *name = &l->name;

	if (!name->has_file)
		return;
	if (!b->file.text || name->file_len != b->name.file_len ||
	    memcmp(name->file, b->name.file, name->file_len) != 0) {
		b->file = new_key(map, name);
		if (map->dictionary)
			pp_names_prefetch(map->dictionary, &b->file);
		if (map->own)
			pp_names_prefetch(map->own, &b->file);
	}
	b->name = *name;
	l->file = b->file;
}

static void batch_add(struct pp_perfmap *map, struct batch *b, const char *text, size_t len,
		      bool behind_hole)
{
	struct line *l = &b->lines[b->nr++];

	parse(l, text, len);
	l->behind_hole = behind_hole;
	if (l->result == PP_PERFLINE_ENTRY)
		batch_name(map, b, l);
	if (b->nr == BATCH)
		batch_take(map, b);
}

/* ---- Bytes --------------------------------------------------------------------------------- */

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
	struct line l;

	if (!map->skipping)
		tail_set(map, data, len);
	parse(&l, (const char *)map->tail.data, map->tail.len);
	if (l.result == PP_PERFLINE_ENTRY)
		l.file = new_key(map, &l.name);
	take_line(map, &l);
	tail_drop(map);
}

size_t pp_perfmap_allow(struct pp_perfmap *map, size_t len)
{
	size_t allowed = MIN(len, PP_PERFMAP_BYTES_MAX - map->stats.bytes);

	if (allowed < len) {
		map->stats.full = true;
		pp_count_add(PP_C_perfmap_bytes_refused, len - allowed);
	}
	map->stats.bytes += allowed;
	return allowed;
}

/* A file that was made longer than it is goes on behind a hole, with another entry. */
static const char *skip_hole(const char *p, const char *end)
{
	while (p < end && !*p)
		p++;
	return p;
}

static void feed_lines(struct pp_perfmap *map, const char *p, const char *end)
{
	struct batch b;
	bool hole;

	b.nr = 0;
	b.file.text = 0;
	for (;;) {
		const char *from = skip_hole(p, end), *newline;

		hole = from > p;
		p = from;
		newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
		if (!newline)
			break;
		batch_add(map, &b, p, (size_t)(newline - p), hole);
		p = newline + 1;
	}
	batch_take(map, &b);
	if (hole)
		map->continuations = 0;
	if (p < end)
		tail_set(map, p, (size_t)(end - p));
}

void pp_perfmap_feed(struct pp_perfmap *map, const void *data, size_t len)
{
	const char *p = data, *end = p + pp_perfmap_allow(map, len), *newline;

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
	feed_lines(map, p, end);
}

void pp_perfmap_watch(struct pp_perfmap *map, struct pp_growers *growers)
{
	map->growers = growers;
}

void pp_perfmap_restart(struct pp_perfmap *map)
{
	map->continuations = 0;
	tail_drop(map);
}

/* ---- Maps ---------------------------------------------------------------------------------- */

int pp_perfmap_new(struct pp_perfmap **ret, struct pp_perfmaps *all)
{
	struct pp_perfmap *map = calloc(1, sizeof(*map));

	if (!map)
		return -ENOMEM;
	map->all = pp_perfmaps_ref(all);
	all->used += sizeof(*map);
	map->dictionary = pp_perfmaps_dictionary(all);
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
	pp_runs_done(&map->runs);
	pp_frontier_done(&map->frontier);
	pp_contest_unref(map->contest);
	pp_contest_unref(map->above);
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
	for (uint32_t i = 0; i < map->runs.nr; i++) {
		const struct pp_run *run = map->runs.runs[i];

		for (uint32_t k = 0; k < run->len; k++) {
			struct pp_file_key file;
			struct pp_name name;

			pp_run_name(run, &run->pieces[k], &name);
			file = new_key(flat, &name);
			take(flat, run->pieces[k].start, run->pieces[k].size, &name, &file);
		}
	}
	settle(flat);
	pp_runs_done(&map->runs);
	map->stats.full |= flat->stats.full;
	map->flat = true;
	return pp_runs_inherit(&map->runs, &flat->runs);
}

int pp_perfmap_inherit(struct pp_perfmap *child, struct pp_perfmap *parent)
{
	int r;

	settle(parent);
	settle(child);
	r = pp_runs_inherit(&child->runs, &parent->runs);
	if (r == -ENOSPC) {
		r = flatten(parent);
		if (r == 0)
			r = pp_runs_inherit(&child->runs, &parent->runs);
	}
	if (r < 0)
		return r;
	child->flat = parent->flat;
	for (uint32_t i = 0; i < child->runs.nr_inherited; i++)
		pp_frontier_add_span(&child->frontier, pp_run_start(child->runs.runs[i]),
				     pp_run_end(child->runs.runs[i]));
	child->replaced++;
	pp_contest_unref(child->above);
	child->above = pp_contest_ref(parent->contest ?: parent->above);
	return 0;
}

int pp_perfmap_contest(struct pp_perfmap *map)
{
	map->replaced++;
	return map->contest ? 0 : pp_contest_new(&map->contest, &map->all->used);
}

/* Whether a piece is of the process's own writing, or its parent's. */
static bool is_believed(const struct pp_perfmap *map, uint64_t start, uint64_t address)
{
	enum pp_contest_state state = PP_CONTEST_NONE;

	if (map->contest)
		state = pp_contest_at(map->contest, start, address);
	if (state == PP_CONTEST_NONE && map->above)
		state = pp_contest_at(map->above, start, address);
	return state == PP_CONTEST_ONE || (state == PP_CONTEST_NONE && !map->contest);
}

bool pp_perfmap_lookup(struct pp_perfmap *map, uint64_t address, struct pp_perfmap_entry *ret)
{
	const struct pp_piece *piece;
	const struct pp_run *run;

	settle(map);
	piece = pp_runs_find(&map->runs, address, &run);
	if (!piece || !is_believed(map, piece->start, address))
		return false;
	ret->start = piece->start;
	ret->size = piece->size;
	if (!pp_runs_is_inherited(&map->runs, run))
		ret->origin = PP_PERFMAP_OWN;
	else
		ret->origin = map->flat ? PP_PERFMAP_EITHER : PP_PERFMAP_INHERITED;
	pp_run_name(run, piece, &ret->name);
	return true;
}

size_t pp_perfmap_visible(struct pp_perfmap *map)
{
	settle(map);
	return pp_runs_pieces(&map->runs);
}

size_t pp_perfmap_count(struct pp_perfmap *map, uint64_t start, uint64_t end, uint64_t *ret_first)
{
	settle(map);
	return pp_runs_count(&map->runs, start, end, ret_first);
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
