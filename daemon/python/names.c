/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A pool is a list of chunks of at most 64 KiB (one that must hold a longer record is as long as
 * that); a reference is chunk << 16 | offset. Chunks never move, so names may be pointed at. They
 * start small and double: a process with twenty names must not cost 64 KiB.
 *
 * Record: varint(len << 2 | form), varint(file number) if it has a file, len bytes.
 * File:   varint(file number), varint(len), len bytes; file numbers index an array of references.
 */
#include "python/names.h"
#include "python/slots.h"

#include <string.h>

#define CHUNK_SHIFT 16
#define CHUNK_MAX   (1U << CHUNK_SHIFT)
#define CHUNK_FIRST 1024U
#define CHUNKS_MAX  (1U << 15) /* leaves the top bit of a reference to the user */
#define VARINT_MAX  5	       /* bytes of a 32-bit one */
#define FORM_BITS   2
#define ARRAY_FIRST 16U
#define CACHE_LINE  64

/* Of a record. */
enum form {
	FORM_BARE, /* Python's, without a file */
	FORM_JIT,
	FORM_FILE,
	FORM_BASE_FILE, /* the file is the base's */
	FORM_MASK = (1 << FORM_BITS) - 1,
};

struct pp_names {
	uint32_t refs;
	struct pp_names *base; /* a reference, or NULL */
	uint32_t interned_max;
	uint8_t **chunks;
	uint32_t nr_chunks, cap_chunks;
	uint32_t used, size; /* of the last chunk */
	uint32_t *files;     /* references of file records */
	uint32_t nr_files, cap_files;
	struct pp_slots file_slots; /* reference + 1: to the bytes without a look at `files` */
	struct pp_slots name_slots; /* reference + 1 */
	uint64_t last_text;	    /* of the file that was found or added last; 0: none */
	uint32_t last_file;
	size_t memory;
	size_t *account;
};

static void charge(struct pp_names *p, size_t more, size_t less)
{
	p->memory += more - less;
	*p->account += more - less;
}

int pp_names_new(struct pp_names **ret, uint32_t interned_max, struct pp_names *base,
		 size_t *account)
{
	struct pp_names *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->refs = 1;
	p->interned_max = interned_max;
	p->base = base ? pp_names_ref(base) : NULL;
	p->account = account;
	charge(p, sizeof(*p), 0);
	*ret = p;
	return 0;
}

struct pp_names *pp_names_ref(struct pp_names *p)
{
	p->refs++;
	return p;
}

struct pp_names *pp_names_unref(struct pp_names *p)
{
	if (!p || --p->refs)
		return NULL;
	for (uint32_t i = 0; i < p->nr_chunks; i++)
		free(p->chunks[i]);
	*p->account -= p->memory;
	pp_names_unref(p->base);
	free(p->chunks);
	free(p->files);
	pp_slots_done(&p->file_slots);
	pp_slots_done(&p->name_slots);
	free(p);
	return NULL;
}

size_t pp_names_memory(const struct pp_names *p)
{
	return p->memory;
}

bool pp_names_shared(const struct pp_names *p)
{
	return p->refs > 1;
}

bool pp_names_full(const struct pp_names *p)
{
	return p->name_slots.len >= p->interned_max;
}

/* Makes room in an array of elements of `size` bytes for one more; it doubles. */
static int array_grow(struct pp_names *p, void **array, uint32_t len, uint32_t *cap, size_t size)
{
	uint32_t bigger = *cap ? *cap * 2 : ARRAY_FIRST;
	void *a;

	if (len < *cap)
		return 0;
	a = realloc(*array, bigger * size);
	if (!a)
		return -ENOMEM;
	charge(p, bigger * size, *cap * size);
	*array = a;
	*cap = bigger;
	return 0;
}

/* len fresh bytes, all in one chunk. */
static int bytes_new(struct pp_names *p, size_t len, uint32_t *ret_ref, uint8_t **ret)
{
	/* A reference can say where a record begins only within so much of a chunk. */
	if (!p->nr_chunks || p->size - p->used < len || p->used >= CHUNK_MAX) {
		size_t size = p->nr_chunks ? MIN(p->size * 2, CHUNK_MAX) : CHUNK_FIRST;
		uint8_t *chunk;
		int r;

		if (p->nr_chunks >= CHUNKS_MAX)
			return -ENOSPC;
		r = array_grow(p, (void **)&p->chunks, p->nr_chunks, &p->cap_chunks,
			       sizeof(*p->chunks));
		if (r < 0)
			return r;
		size = MAX(size, len);
		chunk = malloc(size);
		if (!chunk)
			return -ENOMEM;
		charge(p, size, 0);
		p->chunks[p->nr_chunks++] = chunk;
		p->size = (uint32_t)size;
		p->used = 0;
	}
	*ret_ref = (p->nr_chunks - 1) << CHUNK_SHIFT | p->used;
	*ret = p->chunks[p->nr_chunks - 1] + p->used;
	return 0;
}

static uint8_t *varint_put(uint8_t *p, uint32_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static const uint8_t *varint_get(const uint8_t *p, uint32_t *ret)
{
	uint32_t v = *p & 0x7f;

	for (unsigned int shift = 7; *p++ & 0x80; shift += 7)
		v |= (uint32_t)(*p & 0x7f) << shift;
	*ret = v;
	return p;
}

static size_t varint_len(uint32_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static const uint8_t *at(const struct pp_names *p, uint32_t ref)
{
	return p->chunks[ref >> CHUNK_SHIFT] + (ref & (CHUNK_MAX - 1));
}

static int slots_put(struct pp_names *p, struct pp_slots *t, uint32_t hash, uint32_t number)
{
	size_t before = pp_slots_memory(t);
	int r = pp_slots_put(t, hash, number);

	charge(p, pp_slots_memory(t), before);
	return r;
}

static const uint8_t *file_at(const struct pp_names *p, uint32_t ref, uint32_t *ret_number,
			      size_t *ret_len)
{
	const uint8_t *from;
	uint32_t n;

	from = varint_get(varint_get(at(p, ref), ret_number), &n);
	*ret_len = n;
	return from;
}

static bool file_find(const struct pp_names *p, const struct pp_name *name, uint32_t hash,
		      uint32_t *ret)
{
	const struct pp_slots *t = &p->file_slots;
	const uint8_t *have;
	size_t len;

	if (!t->cap)
		return false;
	for (struct pp_slot *s = pp_slots_first(t, hash); s->number; s = pp_slots_next(t, s)) {
		if (s->hash != hash)
			continue;
		have = file_at(p, s->number - 1, ret, &len);
		if (len == name->file_len && memcmp(have, name->file, len) == 0)
			return true;
	}
	return false;
}

static int file_add(struct pp_names *p, const struct pp_name *name, uint32_t hash, uint32_t *ret)
{
	uint8_t *start, *to;
	uint32_t ref;
	int r;

	r = array_grow(p, (void **)&p->files, p->nr_files, &p->cap_files, sizeof(*p->files));
	if (r < 0)
		return r;
	r = bytes_new(p, VARINT_MAX + VARINT_MAX + name->file_len, &ref, &start);
	if (r < 0)
		return r;
	if (p->file_slots.len < PP_NAMES_FILES_INTERNED_MAX) {
		r = slots_put(p, &p->file_slots, hash, ref + 1);
		if (r < 0)
			return r;
	}
	to = varint_put(start, p->nr_files);
	to = varint_put(to, (uint32_t)name->file_len);
	memcpy(to, name->file, name->file_len);
	p->used += (uint32_t)((size_t)(to - start) + name->file_len);
	*ret = p->nr_files;
	p->files[p->nr_files++] = ref;
	return 0;
}

/* The number of a file; one that is not there yet is added, or -ENXIO. */
static int file_number(struct pp_names *p, const struct pp_name *name,
		       const struct pp_file_key *key, bool add, uint32_t *ret)
{
	int r;

	if (p->last_text != key->text) {
		if (!file_find(p, name, key->hash, &p->last_file)) {
			p->last_text = 0;
			r = add ? file_add(p, name, key->hash, &p->last_file) : -ENXIO;
			if (r < 0)
				return r;
		}
		p->last_text = key->text;
	}
	*ret = p->last_file;
	return 0;
}

uint32_t pp_names_hash_file(const struct pp_name *name)
{
	return pp_slots_hash(name->file, name->file_len, 0);
}

void pp_names_prefetch(const struct pp_names *p, const struct pp_file_key *key)
{
	if (p->file_slots.cap)
		__builtin_prefetch(pp_slots_first(&p->file_slots, key->hash));
}

void pp_names_prefetch_file(const struct pp_names *p, const struct pp_file_key *key)
{
	const struct pp_slots *t = &p->file_slots;
	struct pp_slot *s;

	if (!t->cap)
		return;
	for (s = pp_slots_first(t, key->hash); s->number && s->hash != key->hash;)
		s = pp_slots_next(t, s);
	if (!s->number)
		return;
	/* A path is about as long as a line of the cache, and so lies in two. */
	__builtin_prefetch(at(p, s->number - 1));
	__builtin_prefetch(at(p, s->number - 1) + CACHE_LINE);
}

bool pp_names_is_last_file(const struct pp_names *p, const struct pp_name *name,
			   const struct pp_file_key *key)
{
	return name->has_file && p->last_text == key->text;
}

static enum form form_of(const struct pp_name *name)
{
	if (name->kind == PP_NAME_JIT)
		return FORM_JIT;
	return name->has_file ? FORM_FILE : FORM_BARE;
}

static bool has_file(uint32_t head)
{
	enum form form = head & FORM_MASK;

	return form == FORM_FILE || form == FORM_BASE_FILE;
}

/* Appends a name whose file is `file`. */
static int name_add(struct pp_names *p, const struct pp_name *name, enum form form, uint32_t file,
		    uint32_t *ret)
{
	uint32_t ref, head = (uint32_t)name->len << FORM_BITS | form;
	uint8_t *start, *to;
	size_t room;
	int r;

	room = varint_len(head) + (name->has_file ? varint_len(file) : 0) + name->len;
	r = bytes_new(p, room, &ref, &start);
	if (r < 0)
		return r;
	to = varint_put(start, head);
	if (name->has_file)
		to = varint_put(to, file);
	memcpy(to, name->name, name->len);
	p->used += (uint32_t)room;
	*ret = ref;
	return 0;
}

int pp_names_add(struct pp_names *p, const struct pp_name *name, const struct pp_file_key *key,
		 uint32_t *ret)
{
	enum form form = form_of(name);
	uint32_t file = 0;
	int r = 0;

	/* Who looked for the whole name there found its file, if it is there. */
	if (form == FORM_FILE && p->base && pp_names_is_last_file(p->base, name, key)) {
		form = FORM_BASE_FILE;
		file = p->base->last_file;
	} else if (form == FORM_FILE) {
		r = file_number(p, name, key, true, &file);
	}
	return r < 0 ? r : name_add(p, name, form, file, ret);
}

void pp_names_get(const struct pp_names *p, uint32_t ref, struct pp_name *ret)
{
	const struct pp_names *of;
	const uint8_t *from;
	uint32_t head, number;

	from = varint_get(at(p, ref), &head);
	*ret = (struct pp_name){
		.kind = (head & FORM_MASK) == FORM_JIT ? PP_NAME_JIT : PP_NAME_PYTHON,
		.has_file = has_file(head),
		.len = head >> FORM_BITS,
	};
	if (ret->has_file) {
		from = varint_get(from, &number);
		of = (head & FORM_MASK) == FORM_BASE_FILE ? p->base : p;
		ret->file = (const char *)file_at(of, of->files[number], &number, &ret->file_len);
	}
	ret->name = (const char *)from;
}

/* Whether the record of a dictionary at ref is this name in this file. */
static bool is_name(const struct pp_names *p, uint32_t ref, const struct pp_name *name,
		    uint32_t file)
{
	const uint8_t *from;
	uint32_t head, number;

	from = varint_get(at(p, ref), &head);
	if (head != ((uint32_t)name->len << FORM_BITS | form_of(name)))
		return false;
	if (name->has_file) {
		from = varint_get(from, &number);
		if (number != file)
			return false;
	}
	return memcmp(from, name->name, name->len) == 0;
}

int pp_names_find_file(struct pp_names *p, const struct pp_name *name,
		       const struct pp_file_key *key)
{
	uint32_t file;

	return name->has_file ? file_number(p, name, key, false, &file) : -ENXIO;
}

int pp_names_intern(struct pp_names *p, const struct pp_name *name, const struct pp_file_key *key,
		    uint32_t *ret)
{
	const struct pp_slots *t = &p->name_slots;
	uint32_t hash, file = 0;
	int r;

	if (name->has_file) {
		r = file_number(p, name, key, !pp_names_full(p), &file);
		if (r < 0)
			return r;
	}
	hash = pp_slots_hash(name->name, name->len,
			     (uint64_t)file << 1 | (name->kind == PP_NAME_JIT));
	if (t->cap) {
		for (struct pp_slot *s = pp_slots_first(t, hash); s->number;
		     s = pp_slots_next(t, s)) {
			if (s->hash == hash && is_name(p, s->number - 1, name, file)) {
				*ret = s->number - 1;
				return 0;
			}
		}
	}
	if (pp_names_full(p))
		return -ENOENT;
	r = name_add(p, name, form_of(name), file, ret);
	return r < 0 ? r : slots_put(p, &p->name_slots, hash, *ret + 1);
}
