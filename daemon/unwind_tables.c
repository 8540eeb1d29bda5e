/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which objects have their unwind table in the store: shared where two are the same, evicted where
 * a newer one needs the room, and waiting while the store grows or what was evicted settles.
 *
 * A table belongs to the user whose processes run in its files; those in which several users' do
 * belong to nobody of them, and count as one more user's. So who maps others' files does not make
 * them his, and files by the thousand evict each other.
 */
#include "unwind_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "elf/table.h"

#include <fcntl.h>
#include <string.h>

#define WAIT_TRIES_MAX 100 /* pumps that one waits */

/* Everybody who maps the object needs a new block. */
static void touch_mappers(struct pp_unwind *u, const struct pp_object *o)
{
	struct pp_process *p = NULL;

	while ((p = pp_processes_next(u->processes, p)))
		for (size_t i = 0; i < pp_process_nr_maps(p); i++)
			if (p->maps->maps[i].object == o) {
				pp_unwind_touch(u, p);
				break;
			}
}

static void drop_table(struct pp_unwind *u, struct pp_object *o)
{
	if (o->table < 0)
		return;
	if (!--u->slot_refs[o->table])
		pp_tables_drop(u->tables, o->table);
	o->table = -1;
}

/* When a sample last touched each slot, and whose each is. */
static void look_at_slots(struct pp_unwind *u)
{
	struct pp_object *o;
	size_t i = 0;

	memset(u->slot_used_ns, 0, sizeof(u->slot_used_ns));
	for (int slot = 0; slot < PP_TABLES_MAX; slot++)
		u->slot_user[slot] = PP_OBJECT_NOBODY;
	while ((o = pp_objects_next(pp_files_objects(u->files), &i))) {
		uint32_t *user = o->table < 0 ? NULL : &u->slot_user[o->table];

		if (!user)
			continue;
		u->slot_used_ns[o->table] = MAX(u->slot_used_ns[o->table], o->last_used);
		if (*user == PP_OBJECT_NOBODY)
			*user = o->user;
		else if (o->user != PP_OBJECT_NOBODY && o->user != *user)
			*user = PP_OBJECT_MANY;
	}
}

/* Of the slots of the user who is to yield, the one that no sample has touched for longest; -1:
 * there is none. */
static int find_oldest(struct pp_unwind *u, uint32_t user, uint32_t words)
{
	struct pp_holdings held = { 0 };
	uint32_t yields;
	int oldest = -1;

	look_at_slots(u);
	for (int slot = 0; slot < PP_TABLES_MAX; slot++)
		if (u->slot_refs[slot])
			(void)pp_holdings_add(&held, u->slot_user[slot],
					      pp_tables_words(u->tables, slot));
	yields = pp_holdings_yields(&held, user, words);
	pp_holdings_done(&held);
	for (int slot = 0; slot < PP_TABLES_MAX; slot++)
		if (u->slot_refs[slot] && u->slot_user[slot] == yields &&
		    (oldest < 0 || u->slot_used_ns[slot] < u->slot_used_ns[oldest]))
			oldest = slot;
	return oldest;
}

int pp_unwind_evict(struct pp_unwind *u, uint32_t user, uint32_t words)
{
	uint32_t dropped = pp_tables_settling(u->tables);
	struct pp_object *o;
	size_t i;
	int slot;

	if (dropped)
		return -EAGAIN;
	while (dropped < MAX(words, 1U) && (slot = find_oldest(u, user, words)) >= 0) {
		dropped += pp_tables_words(u->tables, slot);
		pp_count(PP_C_tables_evicted);
		i = 0;
		while ((o = pp_objects_next(pp_files_objects(u->files), &i)))
			if (o->table == slot) {
				drop_table(u, o);
				touch_mappers(u, o);
			}
	}
	return dropped ? -EAGAIN : -ENOSPC;
}

static int put_table(struct pp_unwind *u, struct pp_object *o, const struct pp_table_image *image)
{
	struct pp_table_source source = {
		.start = image->start,
		.index = image->index,
		.rows = image->rows,
		.rules = image->rules,
		.nr_buckets = image->nr_buckets,
		.nr_row_words = image->nr_row_words,
		.nr_rules = image->nr_rules,
	};
	int slot = pp_tables_put(u->tables, &source);

	if (slot == -ENOSPC)
		return pp_unwind_evict(u, o->user, source.nr_row_words + source.nr_buckets);
	if (slot < 0)
		return slot;
	o->table = slot;
	u->slot_refs[slot] = 1;
	return 0;
}

/* Returns -EAGAIN when there will be room in a moment. */
static int install_table(struct pp_unwind *u, struct pp_object *o, int table_fd)
{
	struct pp_object *same = pp_objects_find_same_table(pp_files_objects(u->files), o);
	struct pp_table_image image;
	int r;

	if (same) {
		o->table = same->table;
		u->slot_refs[o->table]++;
		return 0;
	}
	r = table_fd < 0 ? -EBADF : pp_table_image_map(&image, table_fd, false);
	if (r < 0)
		return r;
	r = put_table(u, o, &image);
	pp_table_image_unmap(&image);
	return r;
}

/* Refused: the next sample that ends there asks for the table again. */
static void wait_for_room(struct pp_unwind *u, const struct pp_object *o, int table_fd)
{
	int fd = -1;

	for (size_t i = 0; i < u->nr_waiting; i++)
		if (u->waiting[i].object == o->id)
			return;
	if (u->nr_waiting < PP_WAITING_MAX)
		fd = fcntl(table_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		pp_count(PP_C_tables_refused);
	else
		u->waiting[u->nr_waiting++] = (struct pp_waiting){ .object = o->id, .fd = fd };
}

void pp_unwind_install_waiting(struct pp_unwind *u)
{
	size_t left = 0;

	for (size_t i = 0; i < u->nr_waiting; i++) {
		struct pp_waiting w = u->waiting[i];
		struct pp_object *o = pp_objects_by_id(pp_files_objects(u->files), w.object);
		int r = o && o->table < 0 ? install_table(u, o, w.fd) : 0;

		if (r == -EAGAIN && ++w.tries < WAIT_TRIES_MAX) {
			u->waiting[left++] = w;
			continue;
		}
		pp_close(w.fd);
		if (r < 0)
			pp_count(PP_C_tables_refused);
		if (o)
			touch_mappers(u, o);
	}
	u->nr_waiting = left;
}

void pp_unwind_loaded(struct pp_unwind *u, struct pp_object *o, int table_fd)
{
	int r = 0;

	o->last_used = pp_now_ns();
	if (o->has_table && o->table < 0)
		r = install_table(u, o, table_fd);
	if (r == -EAGAIN) {
		wait_for_room(u, o, table_fd);
		return;
	}
	if (r < 0)
		pp_count(PP_C_tables_refused);
	touch_mappers(u, o);
}

void pp_unwind_object_free(struct pp_unwind *u, struct pp_object *o)
{
	drop_table(u, o);
}
