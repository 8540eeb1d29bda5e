/* SPDX-License-Identifier: GPL-2.0-only */
#include "unwind.h"

#include "base/clock.h"
#include "base/counters.h"
#include "elf/table.h"
#include "trace/bpf.h"
#include "trace/tables.h"

#include <fcntl.h>

#define TABLES_BUDGET_TRIES 64 /* tables evicted for one new one at the most */

/* A block in the store, shared by the processes whose mappings are still the same. */
struct block {
	uint32_t refs;
	uint32_t word, nr, gen;
};

/* A process's picture in BPF: pp_process.unwind. */
struct installed {
	struct block *block; /* NULL: none */
	bool queued;	     /* in the list of processes to sync */
	bool stale;	     /* the block no longer says what is known */
	bool wanted;	     /* its files' tables are wanted */
};

struct pp_unwind {
	struct pp_bpf *bpf;
	struct pp_files *files;
	struct pp_processes *processes;
	struct pp_tables *tables;
	uint32_t gen;
	uint32_t slot_refs[PP_TABLES_MAX]; /* objects that share a table */
	uint32_t *queue;		   /* ids of processes to sync */
	size_t nr_queue, queue_cap;
	/* Tables that wait for room. */
	struct waiting {
		uint32_t object;
		int fd;
	} * waiting;
	size_t nr_waiting;
};

int pp_unwind_new(struct pp_unwind **ret, struct pp_bpf *bpf, struct pp_processes *processes,
		  size_t budget_bytes)
{
	_cleanup_(pp_unwind_freep) struct pp_unwind *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->bpf = bpf;
	u->processes = processes;
	r = pp_tables_new(&u->tables, bpf, budget_bytes);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(u);
	return 0;
}

struct pp_unwind *pp_unwind_free(struct pp_unwind *u)
{
	if (!u)
		return NULL;
	for (size_t i = 0; i < u->nr_waiting; i++)
		pp_close(u->waiting[i].fd);
	free(u->waiting);
	pp_tables_free(u->tables);
	free(u->queue);
	free(u);
	return NULL;
}

void pp_unwind_set_files(struct pp_unwind *u, struct pp_files *files)
{
	u->files = files;
}

struct pp_tables *pp_unwind_tables(struct pp_unwind *u)
{
	return u->tables;
}

static struct installed *installed_of(struct pp_process *p)
{
	if (!p->unwind)
		p->unwind = calloc(1, sizeof(struct installed));
	return p->unwind;
}

static void enqueue(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = installed_of(p);

	if (!in || in->queued || !p->alive)
		return;
	if (u->nr_queue == u->queue_cap) {
		size_t cap = MAX(u->queue_cap * 2, (size_t)64);
		uint32_t *bigger = realloc(u->queue, cap * sizeof(*bigger));

		if (!bigger)
			return;
		u->queue = bigger;
		u->queue_cap = cap;
	}
	u->queue[u->nr_queue++] = p->id;
	in->queued = true;
}

void pp_unwind_touch(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = installed_of(p);

	if (in)
		in->stale = true;
	enqueue(u, p);
}

void pp_unwind_want(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = installed_of(p);

	if (!in || in->wanted)
		return;
	in->wanted = true;
	pp_unwind_touch(u, p);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

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

/* Makes room: the table that no sample has touched for longest goes. */
static bool evict(struct pp_unwind *u, const struct pp_object *keep)
{
	struct pp_object *o, *oldest = NULL;
	size_t i = 0;
	int slot;

	while ((o = pp_objects_next(pp_files_objects(u->files), &i)))
		if (o != keep && o->table >= 0 && (!oldest || o->last_used < oldest->last_used))
			oldest = o;
	if (!oldest)
		return false;
	pp_count(PP_C_tables_evicted);
	slot = oldest->table;
	i = 0;
	while ((o = pp_objects_next(pp_files_objects(u->files), &i)))
		if (o->table == slot) {
			drop_table(u, o);
			touch_mappers(u, o);
		}
	/* Nothing walks in what was just dropped for longer than a walk takes; see tables.h. */
	return true;
}

/* Returns -EAGAIN when there will be room in a moment; else the table is installed, or refused and
 * counted. */
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

	for (int tries = 0; slot == -ENOSPC && tries < TABLES_BUDGET_TRIES; tries++) {
		if (!evict(u, o))
			break;
		pp_tables_settle(u->tables, UINT64_MAX);
		slot = pp_tables_put(u->tables, &source);
	}
	if (slot == -EAGAIN)
		return slot;
	if (slot < 0) {
		pp_count(PP_C_tables_refused);
		return slot;
	}
	o->table = slot;
	u->slot_refs[slot] = 1;
	return 0;
}

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

static void wait_for_room(struct pp_unwind *u, const struct pp_object *o, int table_fd)
{
	struct waiting *bigger = realloc(u->waiting, (u->nr_waiting + 1) * sizeof(*bigger));

	if (!bigger)
		return; /* the next sample that ends there asks for the table again */
	u->waiting = bigger;
	u->waiting[u->nr_waiting++] =
		(struct waiting){ o->id, fcntl(table_fd, F_DUPFD_CLOEXEC, 0) };
}

static void install_waiting(struct pp_unwind *u)
{
	size_t left = 0;

	for (size_t i = 0; i < u->nr_waiting; i++) {
		struct waiting w = u->waiting[i];
		struct pp_object *o = pp_objects_by_id(pp_files_objects(u->files), w.object);

		if (o && o->table < 0 && install_table(u, o, w.fd) == -EAGAIN) {
			u->waiting[left++] = w;
			continue;
		}
		pp_close(w.fd);
		if (o)
			touch_mappers(u, o);
	}
	u->nr_waiting = left;
}

void pp_unwind_loaded(struct pp_unwind *u, struct pp_object *o, int table_fd)
{
	o->last_used = pp_now_ns();
	if (o->has_table && o->table < 0 && install_table(u, o, table_fd) == -EAGAIN)
		wait_for_room(u, o, table_fd);
	else
		touch_mappers(u, o);
}

void pp_unwind_object_free(struct pp_unwind *u, struct pp_object *o)
{
	drop_table(u, o);
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static void unref_block(struct pp_unwind *u, struct block *b)
{
	if (!b || --b->refs)
		return;
	pp_tables_drop_block(u->tables, b->word, b->nr);
	free(b);
}

static void describe_map(const struct pp_map *map, struct pp_mapping *m)
{
	const struct pp_object *o = map->object;
	uint64_t address;

	*m = (struct pp_mapping){ .start = map->start, .end = map->end };
	if (map->kind == PP_MAP_ANON) {
		m->kind = PP_MAPPING_ANON;
	} else if (map->kind == PP_MAP_SPECIAL || (o && o->state == PP_OBJECT_FAILED) ||
		   (o && o->state == PP_OBJECT_READY && !o->has_table)) {
		m->kind = PP_MAPPING_FP;
	} else if (o && o->state == PP_OBJECT_READY && o->table >= 0 &&
		   pp_object_address(o, map->pgoff, &address)) {
		m->kind = PP_MAPPING_TABLE;
		m->table = (uint32_t)o->table;
		m->bias = map->start - address;
	} else {
		m->kind = PP_MAPPING_PENDING;
	}
}

static struct block *make_block(struct pp_unwind *u, const struct pp_process *p)
{
	size_t n = MIN(pp_process_nr_maps(p), (size_t)PP_MAPPINGS_MAX);
	_cleanup_free_ struct pp_mapping *mappings = calloc(MAX(n, (size_t)1), sizeof(*mappings));
	struct block *b = calloc(1, sizeof(*b));
	int r;

	if (!b || !mappings) {
		free(b);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		describe_map(&p->maps->maps[i], &mappings[i]);
	r = pp_tables_put_block(u->tables, mappings, n, &b->word);
	if (r == -ENOSPC && evict(u, NULL)) {
		pp_tables_settle(u->tables, UINT64_MAX);
		r = pp_tables_put_block(u->tables, mappings, n, &b->word);
	}
	if (r < 0) {
		if (r != -EAGAIN)
			pp_count(PP_C_spaces_refused);
		free(b);
		return NULL;
	}
	b->refs = 1;
	b->nr = (uint32_t)n;
	b->gen = ++u->gen ?: ++u->gen;
	return b;
}

/* The identity BPF must find: from a sample, or as exec and fork left it in the map. */
static bool find_identity(struct pp_unwind *u, const struct pp_process *p, uint64_t up_to_ns,
			  struct pp_space *space)
{
	if (pp_bpf_get_space(u->bpf, p->pid, space) && space->since_ns) {
		/* An exec newer than the records applied makes another life, described soon. */
		return space->since_ns <= up_to_ns;
	}
	space->since_ns = 0;
	space->start_ns = p->start_ns;
	space->exec_id = p->exec_id;
	return p->start_ns && p->exec_id != PP_EXEC_ID_UNKNOWN;
}

static void sync_process(struct pp_unwind *u, struct pp_process *p, uint64_t up_to_ns)
{
	struct installed *in = p->unwind;
	struct pp_space space = { 0 };
	struct block *b;

	in->queued = false;
	if (!p->alive || !pp_process_nr_maps(p))
		return;
	for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
		struct pp_map *map = &p->maps->maps[i];

		/* May answer at once, and that touches the process: it is stale already then. */
		pp_files_want(u->files, p, map);
		if (in->wanted && map->object)
			pp_files_want_load(u->files, map->object);
	}
	if (!find_identity(u, p, up_to_ns, &space))
		return;
	if (p->dirty || in->stale || !in->block) {
		b = make_block(u, p);
		if (!b) {
			pp_unwind_touch(u, p); /* there may be room next time */
			return;
		}
		unref_block(u, in->block);
		in->block = b;
	}
	p->dirty = in->stale = false;
	space.gen = in->block->gen;
	space.block = in->block->word;
	space.nr_mappings = in->block->nr;
	if (pp_bpf_put_space(u->bpf, p->pid, &space) < 0)
		pp_count(PP_C_spaces_refused);
}

void pp_unwind_sync(struct pp_unwind *u, uint64_t up_to_ns)
{
	size_t n;

	pp_tables_settle(u->tables, pp_now_ns());
	install_waiting(u);
	/* What syncing touches comes next time. */
	n = u->nr_queue;
	for (size_t i = 0; i < n; i++) {
		struct pp_process *p = pp_processes_by_id(u->processes, u->queue[i]);

		if (p && p->unwind)
			sync_process(u, p, up_to_ns);
	}
	u->nr_queue -= n;
	for (size_t i = 0; i < u->nr_queue; i++)
		u->queue[i] = u->queue[n + i];
}

/* BPF has given the child what the parent had at that instant; the next sync makes it what the
 * parent has now, in case that changed in between. */
void pp_unwind_forked(struct pp_unwind *u, struct pp_process *parent, struct pp_process *child)
{
	struct installed *from = parent->unwind, *to;

	if (!from || !(to = installed_of(child)))
		return;
	to->wanted = from->wanted;
	to->stale = from->stale || parent->dirty;
	to->block = from->block;
	if (to->block)
		to->block->refs++;
	enqueue(u, child);
}

void pp_unwind_gone(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = p->unwind;

	if (!in)
		return;
	unref_block(u, in->block);
	free(in);
	p->unwind = NULL;
}
