/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process's executable mappings: a sorted array, shared by fork, copied when one side changes it.
 *
 * The kernel says when a mapping appears and not when it goes. So a new one replaces what it
 * covers, cuts what it overlaps, and splits what it falls into; a mapping that is gone stays until
 * something else is mapped there or maps is read again. No code runs in it meanwhile, so that only
 * costs memory.
 */
#include "proc/table.h"

#include "base/counters.h"
#include "bpf/pp_types.h"

#include <string.h>

#define MAPS_FIRST 8 /* a small program's: itself, libc, the loader, the vDSO */

/* ---- References ------------------------------------------------------------------------------ */

struct pp_process *pp_process_ref(struct pp_process *p)
{
	if (p)
		p->refs++;
	return p;
}

struct pp_process *pp_process_unref(struct pp_process *p)
{
	if (p && !--p->refs && !p->alive)
		pp_table_queue_idle(p);
	return NULL;
}

void pp_map_ref(struct pp_processes *t, const struct pp_map *map)
{
	pp_atom_ref(map->path);
	if (map->object && t->hooks.object_ref)
		t->hooks.object_ref(t->userdata, map->object);
}

void pp_map_drop(struct pp_processes *t, struct pp_map *map)
{
	map->path = pp_atom_unref(&t->atoms, map->path);
	if (map->object && t->hooks.object_unref)
		t->hooks.object_unref(t->userdata, map->object);
	map->object = NULL;
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

size_t pp_maps_bytes(size_t cap)
{
	return sizeof(struct pp_maps) + cap * sizeof(struct pp_map);
}

struct pp_maps *pp_maps_new(struct pp_process *p, size_t cap)
{
	struct pp_processes *t = p->table;
	size_t bytes = pp_maps_bytes(cap);
	struct pp_maps *maps;

	if (!pp_table_has_room(t, p->account, bytes, p->maps))
		return NULL;
	maps = malloc(bytes);
	if (!maps)
		return NULL;
	*maps = (struct pp_maps){ .refs = 1, .user = p->account, .cap = (uint32_t)cap };
	t->bytes += bytes;
	(void)pp_holdings_add(&t->held, maps->user, bytes);
	return maps;
}

struct pp_maps *pp_maps_unref(struct pp_processes *t, struct pp_maps *maps)
{
	if (!maps || --maps->refs)
		return NULL;
	for (uint32_t i = 0; i < maps->len; i++)
		pp_map_drop(t, &maps->maps[i]);
	t->bytes -= pp_maps_bytes(maps->cap);
	pp_holdings_take(&t->held, maps->user, pp_maps_bytes(maps->cap));
	free(maps);
	return NULL;
}

void pp_process_share_maps(struct pp_process *from, struct pp_process *to)
{
	if (from->maps)
		from->maps->refs++;
	to->maps = from->maps;
}

/* Makes the array this process's own, with room for `more` maps. */
static int own_maps(struct pp_process *p, size_t more)
{
	struct pp_maps *old = p->maps, *maps;
	size_t len = old ? old->len : 0, cap = old ? old->cap : MAPS_FIRST;

	if (old && old->refs == 1 && old->cap - old->len >= more)
		return 0;
	while (cap < len + more)
		cap *= 2;
	maps = pp_maps_new(p, cap);
	if (!maps) {
		pp_count(PP_C_mappings_cut);
		return -ENOSPC;
	}
	if (len)
		memcpy(maps->maps, old->maps, len * sizeof(*maps->maps));
	maps->len = (uint32_t)len;
	for (size_t i = 0; i < len; i++)
		pp_map_ref(p->table, &maps->maps[i]);
	pp_maps_unref(p->table, old);
	p->maps = maps;
	return 0;
}

size_t pp_maps_search(const struct pp_maps *maps, uint64_t address)
{
	size_t low = 0, high = maps ? maps->len : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (maps->maps[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct pp_map *pp_process_map_at(const struct pp_process *p, uint64_t address)
{
	size_t i = pp_maps_search(p->maps, address);

	if (!p->maps || i == p->maps->len || p->maps->maps[i].start > address)
		return NULL;
	return &p->maps->maps[i];
}

/* ---- Kinds ----------------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

enum pp_map_kind pp_map_kind_of(const char *path, uint64_t ino)
{
	/* Memory that has a file only in the kernel's books: shared anonymous, System V, huge. */
	static const char *const memory[] = { "/dev/zero", "/SYSV",  "/anon_hugepage",
					      "[anon",	   "[heap]", "[stack" };

	if (!strcmp(path, "[vdso]"))
		return PP_MAP_VDSO;
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
		if (starts_with(path, memory[i]))
			return PP_MAP_ANON;
	if (path[0] == '[' || starts_with(path, "anon_inode:"))
		return PP_MAP_SPECIAL;
	/* Side-band says "//anon" where maps says nothing. */
	return ino && path[0] == '/' && path[1] != '/' ? PP_MAP_FILE : PP_MAP_ANON;
}

/* ---- Entering -------------------------------------------------------------------------------- */

/* Same memory of the same file at the same place, however long. */
static bool same_origin(const struct pp_map *a, const struct pp_map *b)
{
	if (a->kind != b->kind || a->path != b->path || a->dev != b->dev || a->ino != b->ino)
		return false;
	return a->kind == PP_MAP_ANON || a->pgoff - a->start == b->pgoff - b->start;
}

bool pp_map_same(const struct pp_map *a, const struct pp_map *b)
{
	return a->start == b->start && a->end == b->end && same_origin(a, b);
}

/* The part of map from `start` to `end`, with references of its own. */
static struct pp_map part_of(struct pp_processes *t, const struct pp_map *map, uint64_t start,
			     uint64_t end)
{
	struct pp_map part = *map;

	if (part.kind != PP_MAP_ANON)
		part.pgoff += start - part.start;
	part.start = start;
	part.end = end;
	pp_map_ref(t, &part);
	return part;
}

/* Arenas grow side by side: neighbours are one mapping, as they are to the kernel. */
static void widen_over_neighbours(const struct pp_maps *maps, struct pp_map *map)
{
	size_t i;

	if (map->kind != PP_MAP_ANON || !maps)
		return;
	i = pp_maps_search(maps, map->start ? map->start - 1 : 0);
	for (; i < maps->len && maps->maps[i].start <= map->end; i++) {
		const struct pp_map *other = &maps->maps[i];

		if (!same_origin(other, map))
			continue;
		map->start = MIN(map->start, other->start);
		map->end = MAX(map->end, other->end);
	}
}

/* Replaces maps [i, j) by the pieces; own_maps has made room. */
static void splice(struct pp_process *p, size_t i, size_t j, const struct pp_map *pieces, size_t n)
{
	struct pp_maps *m = p->maps;

	for (size_t k = i; k < j; k++)
		pp_map_drop(p->table, &m->maps[k]);
	if (i + n != j)
		memmove(&m->maps[i + n], &m->maps[j], (m->len - j) * sizeof(*m->maps));
	memcpy(&m->maps[i], pieces, n * sizeof(*pieces));
	m->len = (uint32_t)(m->len - (j - i) + n);
}

static bool is_known(struct pp_process *p, const struct pp_map *map)
{
	struct pp_map *there = pp_process_map_at(p, map->start);

	if (!there)
		return false;
	if (map->kind == PP_MAP_ANON ? same_origin(there, map) && there->end >= map->end
				     : pp_map_same(there, map)) {
		there->seen_ns = MAX(there->seen_ns, map->seen_ns);
		return true;
	}
	return false;
}

/* Memory that is told again was given back meanwhile, or written to: other code may be there, and
 * who shared the array since a fork has the old one. */
static int renew_memory(struct pp_process *p)
{
	int r = own_maps(p, 0);

	if (r >= 0)
		p->dirty = true;
	return r;
}

int pp_process_enter(struct pp_process *p, struct pp_map *map, struct pp_map **ret)
{
	struct pp_map pieces[3], *maps;
	size_t i, j, n = 0, at;
	int r;

	*ret = NULL;
	if (is_known(p, map)) {
		r = map->kind == PP_MAP_ANON ? renew_memory(p) : 0;
		pp_map_drop(p->table, map);
		return r;
	}
	widen_over_neighbours(p->maps, map);
	i = j = pp_maps_search(p->maps, map->start);
	while (j < pp_process_nr_maps(p) && p->maps->maps[j].start < map->end)
		j++;
	/* Before the array is copied: it is not for nothing that the limit is there. */
	if (pp_process_nr_maps(p) - (j - i) + ARRAY_SIZE(pieces) > PP_MAPPINGS_MAX) {
		pp_count(PP_C_mappings_cut);
		pp_map_drop(p->table, map);
		return -ENOSPC;
	}
	r = own_maps(p, ARRAY_SIZE(pieces) - 1);
	if (r < 0) {
		pp_map_drop(p->table, map);
		return r;
	}
	maps = p->maps->maps;
	for (size_t k = i; k < j; k++)
		if (!same_origin(&maps[k], map)) {
			map->replaces = true;
		} else if (!map->object && maps[k].object) {
			map->object = maps[k].object;
			if (p->table->hooks.object_ref)
				p->table->hooks.object_ref(p->table->userdata, map->object);
		}
	if (i < j && maps[i].start < map->start)
		pieces[n++] = part_of(p->table, &maps[i], maps[i].start, map->start);
	at = i + n;
	pieces[n++] = *map;
	if (i < j && maps[j - 1].end > map->end)
		pieces[n++] = part_of(p->table, &maps[j - 1], map->end, maps[j - 1].end);
	splice(p, i, j, pieces, n);
	p->dirty = true;
	*ret = &p->maps->maps[at];
	return 0;
}
