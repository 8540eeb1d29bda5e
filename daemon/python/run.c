/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Resolving: entries come sorted by start, each with a rank; of those that cover an address the one
 * of highest rank is visible. Almost always nothing overlaps and entries pass straight through. A
 * cluster of entries that do overlap is swept from left to right with a heap of those that cover
 * the current position, highest rank on top: k entries become at most 2k - 1 pieces in O(k log k),
 * however they were made to lie.
 */
#include "python/run.h"

#include <string.h>

#define RADIX_BITS    11
#define RADIX	      (1U << RADIX_BITS)
#define INSERTION_MAX 32 /* below, insertion sort is faster than clearing the radix counters */
#define PIECES_FIRST  64
#define CLUSTER_FIRST 64

/* What is being made: a run that still grows, and the cluster being collected. */
struct maker {
	struct pp_run *run;
	size_t cap;
	struct pp_entry *cluster;
	size_t nr_cluster, cap_cluster;
	uint32_t *heap; /* indices into cluster */
	size_t nr_heap;
	uint64_t reach; /* where the cluster ends */
};

static void maker_done(struct maker *m)
{
	free(m->run);
	free(m->cluster);
	free(m->heap);
}

static int maker_init(struct maker *m, size_t expected)
{
	m->cap = MAX(expected, (size_t)1);
	m->run = malloc(sizeof(*m->run) + m->cap * sizeof(*m->run->pieces));
	if (!m->run)
		return -ENOMEM;
	m->run->len = 0;
	return 0;
}

static int emit_grow(struct maker *m)
{
	size_t cap = MAX(m->cap * 2, (size_t)PIECES_FIRST);
	struct pp_run *bigger;

	if (cap > UINT32_MAX)
		return -ENOMEM;
	bigger = realloc(m->run, sizeof(*bigger) + cap * sizeof(*bigger->pieces));
	if (!bigger)
		return -ENOMEM;
	m->run = bigger;
	m->cap = cap;
	return 0;
}

static inline int emit(struct maker *m, const struct pp_piece *piece)
{
	if (m->run->len == m->cap) {
		int r = emit_grow(m);

		if (r < 0)
			return r;
	}
	m->run->pieces[m->run->len++] = *piece;
	return 0;
}

static void heap_push(struct maker *m, uint32_t index)
{
	size_t i = m->nr_heap++, up;

	for (; i > 0; i = up) {
		up = (i - 1) / 2;
		if (m->cluster[m->heap[up]].rank > m->cluster[index].rank)
			break;
		m->heap[i] = m->heap[up];
	}
	m->heap[i] = index;
}

static void heap_pop(struct maker *m)
{
	uint32_t last = m->heap[--m->nr_heap];
	size_t i = 0, down;

	for (;; i = down) {
		down = 2 * i + 1;
		if (down >= m->nr_heap)
			break;
		if (down + 1 < m->nr_heap &&
		    m->cluster[m->heap[down + 1]].rank > m->cluster[m->heap[down]].rank)
			down++;
		if (m->cluster[m->heap[down]].rank < m->cluster[last].rank)
			break;
		m->heap[i] = m->heap[down];
	}
	m->heap[i] = last;
}

static int sweep(struct maker *m)
{
	uint32_t shown = UINT32_MAX; /* whose piece is being drawn out */
	struct pp_piece out = { 0 };
	uint64_t pos = 0;
	size_t i = 0;
	int r;

	m->nr_heap = 0;
	for (;;) {
		while (m->nr_heap && pp_piece_end(&m->cluster[m->heap[0]].piece) <= pos)
			heap_pop(m);
		if (!m->nr_heap) {
			if (i == m->nr_cluster)
				break;
			pos = MAX(pos, m->cluster[i].piece.start);
		}
		for (; i < m->nr_cluster && m->cluster[i].piece.start <= pos; i++)
			heap_push(m, (uint32_t)i);
		if (m->heap[0] != shown) {
			if (out.size && (r = emit(m, &out)) < 0)
				return r;
			shown = m->heap[0];
			out = m->cluster[shown].piece;
			out.start = pos;
		}
		pos = pp_piece_end(&m->cluster[shown].piece);
		if (i < m->nr_cluster)
			pos = MIN(pos, m->cluster[i].piece.start);
		out.size = (uint32_t)(pos - out.start);
	}
	m->nr_cluster = 0;
	return out.size ? emit(m, &out) : 0;
}

/* Ends the cluster: a single entry is a piece as it is. */
static int cluster_flush(struct maker *m)
{
	int r = 0;

	if (m->nr_cluster > 1)
		return sweep(m);
	if (m->nr_cluster)
		r = emit(m, &m->cluster[0].piece);
	m->nr_cluster = 0;
	return r;
}

static int cluster_grow(struct maker *m)
{
	size_t cap = m->cap_cluster ? m->cap_cluster * 2 : CLUSTER_FIRST;
	struct pp_entry *cluster = realloc(m->cluster, cap * sizeof(*cluster));
	uint32_t *heap;

	if (!cluster)
		return -ENOMEM;
	m->cluster = cluster;
	heap = realloc(m->heap, cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	m->heap = heap;
	m->cap_cluster = cap;
	return 0;
}

/* Takes the next entry by start. */
static inline int take(struct maker *m, const struct pp_piece *piece, uint32_t rank)
{
	int r;

	if (piece->start >= m->reach && m->nr_cluster) {
		r = cluster_flush(m);
		if (r < 0)
			return r;
	}
	if (m->nr_cluster == m->cap_cluster) {
		r = cluster_grow(m);
		if (r < 0)
			return r;
	}
	m->reach = m->nr_cluster ? MAX(m->reach, pp_piece_end(piece)) : pp_piece_end(piece);
	m->cluster[m->nr_cluster++] = (struct pp_entry){ *piece, rank };
	return 0;
}

static int maker_finish(struct maker *m, struct pp_names *own, struct pp_names *dictionary,
			size_t *account, struct pp_run **ret)
{
	struct pp_run *run, *fitted;
	int r = cluster_flush(m);

	if (r < 0)
		return r;
	run = TAKE_PTR(m->run);
	fitted = realloc(run, pp_run_memory(run));
	if (fitted)
		run = fitted;
	run->refs = 1;
	run->own = own ? pp_names_ref(own) : NULL;
	run->dictionary = dictionary ? pp_names_ref(dictionary) : NULL;
	run->account = account;
	*account += pp_run_memory(run);
	*ret = run;
	return 0;
}

static void insertion_sort(struct pp_entry *log, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		struct pp_entry entry = log[i];
		size_t k = i;

		for (; k > 0 && log[k - 1].piece.start > entry.piece.start; k--)
			log[k] = log[k - 1];
		log[k] = entry;
	}
}

static inline uint32_t digit(const struct pp_entry *entry, uint64_t min, unsigned int shift)
{
	return ((entry->piece.start - min) >> shift) & (RADIX - 1);
}

/* By start, least digit first; only as many digits as the log's span of addresses has. */
static int radix_sort(struct pp_entry *log, size_t len, uint64_t span, uint64_t min)
{
	_cleanup_free_ struct pp_entry *scratch = malloc(len * sizeof(*scratch));
	struct pp_entry *from = log, *to = scratch, *swap;
	uint32_t count[RADIX];

	if (!scratch)
		return -ENOMEM;
	for (unsigned int shift = 0; shift < 64 && span >> shift; shift += RADIX_BITS) {
		uint32_t at = 0;

		memset(count, 0, sizeof(count));
		for (size_t i = 0; i < len; i++)
			count[digit(&from[i], min, shift)]++;
		for (uint32_t d = 0; d < RADIX; d++) {
			uint32_t n = count[d];

			count[d] = at;
			at += n;
		}
		for (size_t i = 0; i < len; i++)
			to[count[digit(&from[i], min, shift)]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != log)
		memcpy(log, from, len * sizeof(*log));
	return 0;
}

static int sort(struct pp_entry *log, size_t len)
{
	uint64_t min = log[0].piece.start, max = min;

	for (size_t i = 1; i < len; i++) {
		min = MIN(min, log[i].piece.start);
		max = MAX(max, log[i].piece.start);
	}
	if (len > INSERTION_MAX)
		return radix_sort(log, len, max - min, min);
	insertion_sort(log, len);
	return 0;
}

/* Whether entries are sorted and disjoint: as CPython writes them, most often once sorted. */
static bool is_plain(const struct pp_entry *log, size_t len)
{
	bool plain = true;

	for (size_t i = 1; i < len; i++)
		plain &= log[i].piece.start >= pp_piece_end(&log[i - 1].piece);
	return plain;
}

static void emit_all(struct maker *m, const struct pp_entry *log, size_t len)
{
	for (size_t i = 0; i < len; i++)
		m->run->pieces[i] = log[i].piece;
	m->run->len = (uint32_t)len;
}

int pp_run_new(struct pp_run **ret, struct pp_entry *log, size_t len, struct pp_names *own,
	       struct pp_names *dictionary, size_t *account)
{
	_cleanup_(maker_done) struct maker m = { 0 };
	int r = maker_init(&m, len);

	if (r < 0)
		return r;
	if (!is_plain(log, len)) {
		r = sort(log, len);
		if (r < 0)
			return r;
	}
	if (is_plain(log, len))
		emit_all(&m, log, len);
	else
		for (size_t i = 0; r == 0 && i < len; i++)
			r = take(&m, &log[i].piece, log[i].rank);
	return r < 0 ? r : maker_finish(&m, own, dictionary, account, ret);
}

/* Into a run that was made large enough. */
static void append(struct maker *m, const struct pp_run *run)
{
	memcpy(m->run->pieces + m->run->len, run->pieces, run->len * sizeof(*run->pieces));
	m->run->len += run->len;
}

/* What is left of a run. */
struct rest {
	const struct pp_piece *next, *end;
};

/*
 * Merges up to where pieces overlap, or one run ends: all of it, mostly. Which run the next piece
 * comes from is a coin's toss, so nothing branches on it.
 */
static void interleave_disjoint(struct maker *m, struct rest *older, struct rest *newer)
{
	struct rest a = *older, b = *newer;
	struct pp_piece *out = m->run->pieces;
	uint64_t reach = 0;
	size_t of_b = 0;

	while (a.next < a.end && b.next < b.end) {
		size_t is_b = b.next->start < a.next->start;

		*out = *(is_b ? b.next : a.next);
		if (out->start < reach)
			break;
		reach = pp_piece_end(out++);
		a.next += 1 - is_b;
		b.next += is_b;
		of_b = is_b;
	}
	/* The last piece may overlap the next. */
	if (out > m->run->pieces) {
		out--;
		a.next -= 1 - of_b;
		b.next -= of_b;
	}
	m->run->len = (uint32_t)(out - m->run->pieces);
	*older = a;
	*newer = b;
}

static int interleave(struct maker *m, struct rest a, struct rest b)
{
	int r = 0;

	while (r == 0 && (a.next < a.end || b.next < b.end)) {
		if (b.next == b.end || (a.next < a.end && a.next->start <= b.next->start))
			r = take(m, a.next++, 0);
		else
			r = take(m, b.next++, 1);
	}
	return r;
}

int pp_run_merge(struct pp_run **ret, const struct pp_run *older, const struct pp_run *newer)
{
	struct rest a = { older->pieces, older->pieces + older->len };
	struct rest b = { newer->pieces, newer->pieces + newer->len };
	_cleanup_(maker_done) struct maker m = { 0 };
	int r = maker_init(&m, (size_t)older->len + newer->len);

	if (r < 0)
		return r;
	if (pp_run_end(older) <= pp_run_start(newer)) {
		append(&m, older);
		append(&m, newer);
	} else if (pp_run_end(newer) <= pp_run_start(older)) {
		append(&m, newer);
		append(&m, older);
	} else {
		interleave_disjoint(&m, &a, &b);
		r = interleave(&m, a, b);
	}
	return r < 0 ? r
		     : maker_finish(&m, older->own ?: newer->own,
				    older->dictionary ?: newer->dictionary, older->account, ret);
}

bool pp_run_can_append(const struct pp_run *older, const struct pp_run *newer)
{
	return older->refs == 1 && pp_run_end(older) <= pp_run_start(newer);
}

int pp_run_append(struct pp_run **older, const struct pp_run *newer)
{
	struct pp_run *run;

	run = realloc(*older, pp_run_memory(*older) + newer->len * sizeof(*newer->pieces));
	if (!run)
		return -ENOMEM;
	memcpy(run->pieces + run->len, newer->pieces, newer->len * sizeof(*newer->pieces));
	run->len += newer->len;
	if (!run->own && newer->own)
		run->own = pp_names_ref(newer->own);
	if (!run->dictionary && newer->dictionary)
		run->dictionary = pp_names_ref(newer->dictionary);
	*run->account += newer->len * sizeof(*newer->pieces);
	*older = run;
	return 0;
}

struct pp_run *pp_run_ref(struct pp_run *run)
{
	run->refs++;
	return run;
}

struct pp_run *pp_run_unref(struct pp_run *run)
{
	if (!run || --run->refs)
		return NULL;
	*run->account -= pp_run_memory(run);
	pp_names_unref(run->own);
	pp_names_unref(run->dictionary);
	free(run);
	return NULL;
}

const struct pp_piece *pp_run_find(const struct pp_run *run, uint64_t address)
{
	size_t low = 0, high = run->len;

	if (address < pp_run_start(run) || address >= pp_run_end(run))
		return NULL;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (run->pieces[middle].start <= address)
			low = middle;
		else
			high = middle;
	}
	return address < pp_piece_end(&run->pieces[low]) ? &run->pieces[low] : NULL;
}

void pp_run_name(const struct pp_run *run, const struct pp_piece *piece, struct pp_name *ret)
{
	pp_names_get(piece->name & PP_PIECE_SHARED ? run->dictionary : run->own,
		     piece->name & ~PP_PIECE_SHARED, ret);
}

uint32_t pp_run_from(const struct pp_run *run, uint64_t address)
{
	uint32_t low = 0, high = run->len;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (run->pieces[middle].start < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
