/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/object.h"

#include "base/counters.h"

#include <elf.h>
#include <string.h>

#define PAGE_BYTES 4096U /* x86-64; larger alignments of segments are multiples */

struct pp_objects {
	struct pp_u64map by_hash; /* hash of the key → the first of a chain */
	struct pp_u64map by_id;
	uint32_t last_id;
	pp_object_free_fn on_free;
	void *userdata;
};

int pp_objects_new(struct pp_objects **ret, pp_object_free_fn on_free, void *userdata)
{
	struct pp_objects *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->on_free = on_free;
	t->userdata = userdata;
	*ret = t;
	return 0;
}

/* The object's memory only: it is in no table. */
static void object_free(struct pp_objects *t, struct pp_object *o)
{
	if (t->on_free)
		t->on_free(o, t->userdata);
	free(o->path);
	free(o);
}

struct pp_objects *pp_objects_free(struct pp_objects *t)
{
	struct pp_object *o;
	size_t i = 0;

	if (!t)
		return NULL;
	while ((o = pp_objects_next(t, &i)))
		object_free(t, o);
	pp_u64map_done(&t->by_hash);
	pp_u64map_done(&t->by_id);
	free(t);
	return NULL;
}

struct pp_object *pp_objects_find(const struct pp_objects *t, const struct pp_file_key *key)
{
	struct pp_object *o = pp_u64map_get_ptr(&t->by_hash, pp_file_key_hash(key));

	while (o && !pp_file_key_equal(&o->key, key))
		o = o->next_same_hash;
	return o;
}

struct pp_object *pp_objects_by_id(const struct pp_objects *t, uint32_t id)
{
	return pp_u64map_get_ptr(&t->by_id, id);
}

static void unlink_object(struct pp_objects *t, struct pp_object *o)
{
	uint64_t hash = pp_file_key_hash(&o->key);
	struct pp_object *first = pp_u64map_get_ptr(&t->by_hash, hash);

	if (first == o) {
		/* Replacing or removing an entry that is there needs no memory. */
		if (o->next_same_hash)
			(void)pp_u64map_put_ptr(&t->by_hash, hash, o->next_same_hash);
		else
			pp_u64map_del(&t->by_hash, hash);
	} else {
		while (first->next_same_hash != o)
			first = first->next_same_hash;
		first->next_same_hash = o->next_same_hash;
	}
	pp_u64map_del(&t->by_id, o->id);
}

/* Makes room for one more. */
static bool evict(struct pp_objects *t)
{
	struct pp_object *oldest = NULL, *o;
	size_t i = 0;

	while ((o = pp_objects_next(t, &i)))
		if (!o->pins && o->state != PP_OBJECT_LOADING &&
		    (!oldest || o->last_used < oldest->last_used))
			oldest = o;
	if (!oldest)
		return false;
	unlink_object(t, oldest);
	object_free(t, oldest);
	return true;
}

static int link_object(struct pp_objects *t, struct pp_object *o)
{
	uint64_t hash = pp_file_key_hash(&o->key);
	int r;

	o->next_same_hash = pp_u64map_get_ptr(&t->by_hash, hash);
	r = pp_u64map_put_ptr(&t->by_id, o->id, o);
	if (r < 0)
		return r;
	r = pp_u64map_put_ptr(&t->by_hash, hash, o);
	if (r < 0)
		pp_u64map_del(&t->by_id, o->id);
	return r;
}

int pp_objects_get(struct pp_objects *t, const struct pp_file_key *key, const char *path,
		   uint64_t now, struct pp_object **ret)
{
	struct pp_object *o = pp_objects_find(t, key);
	const char *slash;
	int r;

	if (o) {
		o->last_used = now;
		*ret = o;
		return 0;
	}
	if (pp_objects_count(t) >= PP_OBJECTS_MAX && !evict(t)) {
		pp_count(PP_C_objects_refused);
		return -ENOSPC;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->path = strdup(path);
	if (!o->path) {
		free(o);
		return -ENOMEM;
	}
	slash = strrchr(o->path, '/');
	o->basename = slash ? slash + 1 : o->path;
	o->id = t->last_id + 1;
	o->key = *key;
	o->table = -1;
	o->last_used = now;
	o->user = PP_OBJECT_NOBODY;
	r = link_object(t, o);
	if (r < 0) {
		free(o->path);
		free(o);
		return r;
	}
	t->last_id = o->id;
	*ret = o;
	return 0;
}

static const char *failure(int error)
{
	switch (error) {
	case -ENOEXEC:
		return "it is no ELF file of this machine's kind";
	case -EBADMSG:
		return "its ELF headers lead beyond the file";
	case -E2BIG:
		return "its sections are larger than what is read";
	case -EIO:
		return "it cannot be read";
	case -EPIPE:
		return "reading it ended the ELF worker";
	case -ETIMEDOUT:
		return "reading it took the ELF worker too long";
	case -EPROTO:
		return "what the ELF worker made of it did not hold up";
	default:
		return "it could not be opened";
	}
}

const char *pp_object_fault(const struct pp_object *o)
{
	if (o->state == PP_OBJECT_FAILED)
		return failure(o->error);
	if (o->state != PP_OBJECT_READY || !o->info.bad_entries)
		return NULL;
	return o->has_table ? "part of its .eh_frame could not be decoded"
			    : "its .eh_frame is malformed, or larger than what is read";
}

size_t pp_objects_count(const struct pp_objects *t)
{
	return t->by_id.len;
}

struct pp_object *pp_objects_next(const struct pp_objects *t, size_t *i)
{
	uint64_t id, o;

	return pp_u64map_next(&t->by_id, i, &id, &o) ? (struct pp_object *)(uintptr_t)o : NULL;
}

struct pp_object *pp_objects_find_same_table(const struct pp_objects *t,
					     const struct pp_object *object)
{
	const struct pp_elf_info *a = &object->info;
	struct pp_object *o;
	size_t i = 0;

	if (!object->has_table || !a->build_id_len)
		return NULL;
	while ((o = pp_objects_next(t, &i))) {
		const struct pp_elf_info *b = &o->info;

		if (o != object && o->state == PP_OBJECT_READY && o->has_table && o->table >= 0 &&
		    a->table_hash == b->table_hash && a->build_id_len == b->build_id_len &&
		    !memcmp(a->build_id, b->build_id, a->build_id_len))
			return o;
	}
	return NULL;
}

/* Bytes before a segment's first that are mapped with it: mappings begin at a page. */
static uint64_t page_head(const struct pp_elf_segment *s)
{
	uint64_t head = s->offset % PAGE_BYTES;

	return s->address % PAGE_BYTES == head && s->file_size <= UINT64_MAX - head ? head : 0;
}

bool pp_object_address(const struct pp_object *object, uint64_t file_offset,
		       uint64_t *ret_elf_address)
{
	const struct pp_elf_info *info = &object->info;
	const struct pp_elf_segment *found = NULL;

	if (object->state != PP_OBJECT_READY)
		return false;
	/* Segments' pages may overlap in the file: an executable one is meant. */
	for (uint32_t i = 0; i < info->nr_segments; i++) {
		const struct pp_elf_segment *s = &info->segments[i];
		uint64_t head = s->flags & PF_X ? page_head(s) : 0;

		if (file_offset >= s->offset - head &&
		    file_offset - (s->offset - head) < s->file_size + head &&
		    (!found || s->flags & PF_X))
			found = s;
	}
	if (!found)
		return false;
	*ret_elf_address = found->address + (file_offset - found->offset);
	return true;
}
