/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One pool of bytes, entries one after the other: id, length, text, NUL. A sweep walks the pool in
 * its own order and moves what lives down, so it needs no memory and leaves no holes.
 */
#include "strings.h"

#include <string.h>

#include "base/counters.h"
#include "base/u64map.h"
#include "ids.h"
#include "index.h"

struct entry {
	uint32_t id, len;
	char text[];
};

struct pp_strings {
	char *pool;
	size_t len, cap, max;
	uint32_t *offsets; /* of entries in the pool, by id */
	uint32_t offsets_cap;
	struct pp_ids ids;
	struct pp_index index;
	size_t long_bytes; /* of entries over PP_STRING_SHORT_MAX */
	bool collecting;   /* whoever is given a string may keep it */
};

struct key {
	const char *text;
	size_t len;
};

/* Entries are aligned for their two numbers. */
static size_t entry_size(size_t len)
{
	return (sizeof(struct entry) + len + 1 + 3) & ~(size_t)3;
}

static void count_long(struct pp_strings *s, size_t len)
{
	if (len > PP_STRING_SHORT_MAX)
		s->long_bytes += entry_size(len);
}

static struct entry *entry_of(const struct pp_strings *s, uint32_t id)
{
	return (struct entry *)(s->pool + s->offsets[id]);
}

static uint64_t hash_row(const void *table, uint32_t id)
{
	const struct entry *e = entry_of(table, id);

	return pp_hash(e->text, e->len);
}

static bool equal_row(const void *table, uint32_t id, const void *key)
{
	const struct entry *e = entry_of(table, id);
	const struct key *k = key;

	return e->len == k->len && (!k->len || !memcmp(e->text, k->text, k->len));
}

static int pool_reserve(struct pp_strings *s, size_t more)
{
	size_t cap = MAX(s->cap, (size_t)KIB);
	char *pool;

	if (s->len + more <= s->cap)
		return 0;
	while (cap < s->len + more)
		cap += cap / 2;
	pool = realloc(s->pool, cap);
	if (!pool)
		return -ENOMEM;
	s->pool = pool;
	s->cap = cap;
	return 0;
}

static int add(struct pp_strings *s, const char *text, size_t len, uint32_t *ret)
{
	struct entry *e;
	uint32_t id;
	int r;

	if (pp_strings_bytes(s) + entry_size(len) > s->max)
		return -ENOSPC;
	r = pool_reserve(s, entry_size(len));
	if (r < 0)
		return r;
	r = pp_index_reserve(&s->index, s->ids.count + 1, hash_row, s);
	if (r < 0)
		return r;
	/* An id is at most the count of those before it. */
	r = pp_array_reserve((void **)&s->offsets, sizeof(*s->offsets), &s->offsets_cap,
			     s->ids.bound);
	if (r < 0)
		return r;
	r = pp_ids_take(&s->ids, UINT32_MAX, &id);
	if (r < 0)
		return r;
	e = (struct entry *)(s->pool + s->len);
	*e = (struct entry){ .id = id, .len = (uint32_t)len };
	if (len)
		memcpy(e->text, text, len);
	memset(e->text + len, 0, entry_size(len) - sizeof(*e) - len);
	s->offsets[id] = (uint32_t)s->len;
	s->len += entry_size(len);
	count_long(s, len);
	pp_index_put(&s->index, pp_hash(text, len), id, hash_row, s);
	*ret = id;
	return 0;
}

int pp_strings_new(struct pp_strings **ret, size_t bytes_max)
{
	struct pp_strings *s = calloc(1, sizeof(*s));
	uint32_t empty;
	int r;

	if (!s)
		return -ENOMEM;
	s->max = MIN(bytes_max, (size_t)UINT32_MAX); /* offsets have 32 bits */
	r = add(s, "", 0, &empty);
	if (r < 0) {
		pp_strings_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct pp_strings *pp_strings_free(struct pp_strings *s)
{
	if (!s)
		return NULL;
	free(s->pool);
	free(s->offsets);
	pp_ids_done(&s->ids);
	pp_index_done(&s->index);
	free(s);
	return NULL;
}

static bool find(const struct pp_strings *s, const char *text, size_t len, uint32_t *ret)
{
	struct key key = { text, len };
	const uint32_t *slot = pp_index_find(&s->index, pp_hash(text, len), equal_row, s, &key);

	if (!slot || !*slot)
		return false;
	*ret = *slot - 1;
	return true;
}

bool pp_strings_find(const struct pp_strings *s, const char *text, size_t len)
{
	uint32_t id;

	return find(s, text, len, &id);
}

int pp_strings_get_whole(struct pp_strings *s, const char *text, size_t len, uint32_t *ret)
{
	int r = find(s, text, len, ret) ? 0 : add(s, text, len, ret);

	if (r == -ENOSPC)
		pp_count(PP_C_strings_refused);
	if (r >= 0 && s->collecting)
		pp_ids_mark(&s->ids, *ret);
	return r;
}

/* How much of text to keep of max bytes: not half a character at its end. */
static size_t cut(const char *text, size_t max)
{
	size_t len = max;

	while (len > max - 4 && ((uint8_t)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

int pp_strings_get(struct pp_strings *s, const char *text, size_t len, uint32_t *ret)
{
	size_t keep = len > PP_STRING_MAX ? cut(text, PP_STRING_MAX) : len;

	if (keep > PP_STRING_SHORT_MAX &&
	    s->long_bytes + entry_size(keep) > PP_STRINGS_LONG_BYTES && !find(s, text, keep, ret))
		keep = cut(text, PP_STRING_SHORT_MAX);
	if (keep < len)
		pp_count(PP_C_strings_cut);
	return pp_strings_get_whole(s, text, keep, ret);
}

const char *pp_strings_text(const struct pp_strings *s, uint32_t id, size_t *ret_len)
{
	const struct entry *e = entry_of(s, pp_ids_is_live(&s->ids, id) ? id : 0);

	if (ret_len)
		*ret_len = e->len;
	return e->text;
}

size_t pp_strings_count(const struct pp_strings *s)
{
	return s->ids.count;
}

size_t pp_strings_bytes(const struct pp_strings *s)
{
	return s->cap + s->offsets_cap * sizeof(*s->offsets) + pp_ids_bytes(&s->ids) +
	       pp_index_bytes(&s->index);
}

void pp_strings_mark(struct pp_strings *s, uint32_t id)
{
	pp_ids_mark(&s->ids, id);
}

void pp_strings_collect(struct pp_strings *s)
{
	s->collecting = true;
}

void pp_strings_sweep(struct pp_strings *s)
{
	size_t to = 0, size;
	char *smaller;

	s->collecting = false;

	pp_ids_mark(&s->ids, 0);
	pp_ids_sweep(&s->ids);
	pp_index_reset(&s->index, s->ids.count);
	s->long_bytes = 0;
	for (size_t from = 0; from < s->len; from += size) {
		struct entry *e = (struct entry *)(s->pool + from);

		size = entry_size(e->len);
		if (!pp_ids_is_live(&s->ids, e->id))
			continue;
		s->offsets[e->id] = (uint32_t)to;
		memmove(s->pool + to, e, size);
		e = (struct entry *)(s->pool + to);
		count_long(s, e->len);
		pp_index_put(&s->index, pp_hash(e->text, e->len), e->id, hash_row, s);
		to += size;
	}
	s->len = to;
	pp_array_trim((void **)&s->offsets, sizeof(*s->offsets), &s->offsets_cap, s->ids.bound);
	if (s->len < s->cap / 2) {
		smaller = realloc(s->pool, s->len + s->len / 4);
		if (smaller) {
			s->pool = smaller;
			s->cap = s->len + s->len / 4;
		}
	}
}
