/* SPDX-License-Identifier: GPL-2.0-only */
#include "unwind_private.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/counters.h"
#include "changes.h"
#include "interps.h"
#include "trace/bpf.h"
#include "trace/tables.h"

#include <string.h>

#define SYNC_NS	      (8 * NSEC_PER_MSEC) /* of a turn; the rest of the queue comes next time */
#define TRACEPOINT_NS (1 * NSEC_PER_SEC)  /* how long to wait for BPF to see what a record told */
#define RENEW_NS      (1 * NSEC_PER_SEC)  /* a block that a walk found wanting is made again */
#define YIELD_SPACES  16ULL		  /* at a time: it takes a look at every process */

/* A block in the store, shared by the processes whose mappings are still the same. */
struct block {
	uint32_t refs;
	uint32_t user; /* whose process it was made for */
	uint32_t word, nr, gen;
	uint64_t made_ns;
};

/* A process's picture in BPF: pp_process.unwind. */
struct installed {
	struct block *block; /* NULL: none */
	bool queued;	     /* in the list of processes to sync */
	bool stale;	     /* the block no longer says what is known of the files */
	bool wanted;	     /* its files' tables are wanted */
	bool counted;	     /* BPF has its space, on the account of: */
	uint32_t user;
	struct pp_changes *changes; /* since it has a block; NULL: none */
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
	pp_tables_free(u->tables);
	pp_holdings_done(&u->spaces);
	pp_holdings_done(&u->blocks);
	pp_u64map_done(&u->shared);
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
	if (pp_array_grow(&u->queue, &u->queue_cap, u->nr_queue + 1, sizeof(*u->queue), SIZE_MAX) <
	    0)
		return;
	u->queue[u->nr_queue++] = (struct pp_queued){ pp_now_ns(), p->id };
	in->queued = true;
}

void pp_unwind_touch(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = installed_of(p);

	if (in)
		in->stale = true;
	enqueue(u, p);
}

void pp_unwind_refresh(struct pp_unwind *u, struct pp_process *p)
{
	enqueue(u, p);
}

void pp_unwind_mapped(struct pp_unwind *u, struct pp_process *p, const struct pp_map *map)
{
	struct installed *in = p->unwind;
	bool scanned = map->seen_ns == p->scan_started_ns;

	if (!scanned) /* else pp_unwind_scanned follows */
		enqueue(u, p);
	/* What lies in memory without a file is unwound by its own bytes, whatever was there. */
	if (!in || !in->block || (map->kind == PP_MAP_ANON && !map->replaces && !scanned))
		return;
	if (!in->changes)
		in->changes = calloc(1, sizeof(*in->changes));
	if (in->changes)
		pp_changes_add(in->changes, map->start, map->end, map->seen_ns, u->gen);
}

void pp_unwind_scanned(struct pp_unwind *u, struct pp_process *p)
{
	const struct installed *in = p->unwind;

	/* Thousands that sleep need no place in BPF: those that run ask for one. */
	if (p->samples || (in && in->block))
		enqueue(u, p);
}

uint32_t pp_unwind_known(const struct pp_process *p, const struct pp_sample *s)
{
	const struct installed *in = p->unwind;

	return in && in->changes ? pp_changes_known(in->changes, s) : s->nr_user;
}

void pp_unwind_check(struct pp_unwind *u, struct pp_process *p, uint64_t now_ns)
{
	struct installed *in = installed_of(p);

	if (in && in->block && in->block->made_ns + RENEW_NS < now_ns)
		in->stale = true;
	enqueue(u, p);
}

void pp_unwind_want(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = installed_of(p);

	if (!in || in->wanted)
		return;
	in->wanted = true;
	enqueue(u, p);
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static void unref_block(struct pp_unwind *u, struct block *b)
{
	if (!b || --b->refs)
		return;
	pp_tables_drop_block(u->tables, b->word, b->nr);
	pp_holdings_take(&u->blocks, b->user, (uint64_t)b->nr * PP_MAPPING_WORDS);
	free(b);
}

static void describe_map(const struct pp_map *map, struct pp_mapping *m)
{
	const struct pp_object *o = map->object;
	uint64_t address = 0;
	bool ready = o && o->state == PP_OBJECT_READY;
	bool placed = ready && pp_object_address(o, map->pgoff, &address);

	*m = (struct pp_mapping){ .start = map->start, .end = map->end };
	if (map->kind == PP_MAP_ANON) {
		m->kind = PP_MAPPING_ANON;
	} else if (map->kind == PP_MAP_SPECIAL || (o && o->state == PP_OBJECT_FAILED) ||
		   (ready && (!o->has_table || !placed))) {
		m->kind = PP_MAPPING_FP;
	} else if (ready && o->table >= 0) {
		m->kind = PP_MAPPING_TABLE;
		m->table = (uint32_t)o->table;
		m->bias = map->start - address;
	} else {
		m->kind = PP_MAPPING_PENDING;
	}
}

/* BPF has the process's space. */
static void count_space(struct pp_unwind *u, const struct pp_process *p)
{
	struct installed *in = p->unwind;

	if (in->counted)
		return;
	in->counted = true;
	in->user = p->ruid;
	(void)pp_holdings_add(&u->spaces, in->user, 1);
}

/* It has it no more. */
static void discount_space(struct pp_unwind *u, struct installed *in)
{
	if (in->counted)
		pp_holdings_take(&u->spaces, in->user, 1);
	in->counted = false;
}

static void drop_space(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = p->unwind;

	pp_bpf_drop_space(u->bpf, p->pid);
	discount_space(u, in);
	unref_block(u, in->block);
	in->block = NULL;
	pp_u64map_done(&u->shared); /* it may have been the last to hold one of those */
}

/* Drops the largest block of who is to yield, where that is somebody else. */
static int yield_block(struct pp_unwind *u, uint32_t user, uint32_t words)
{
	uint32_t yields = pp_holdings_yields(&u->blocks, user, words);
	const struct block *largest = NULL;
	struct pp_process *p = NULL;

	while (yields != user && (p = pp_processes_next(u->processes, p))) {
		const struct installed *in = p->unwind;

		if (in && in->block && in->block->user == yields &&
		    (!largest || in->block->nr > largest->nr))
			largest = in->block;
	}
	if (!largest)
		return -EDQUOT;
	while ((p = pp_processes_next(u->processes, p))) {
		const struct installed *in = p->unwind;

		if (in && in->block == largest) {
			drop_space(u, p);
			pp_count(PP_C_spaces_evicted);
		}
	}
	return -EAGAIN;
}

/* The same of spaces: a few at a time, first of processes that no sample was taken of. */
static bool yield_spaces(struct pp_unwind *u, uint32_t user)
{
	uint32_t yields = pp_holdings_yields(&u->spaces, user, 1);
	uint64_t held = pp_holdings_of(&u->spaces, user), dropped = 0, wanted;

	if (yields == user)
		return false;
	wanted = MIN((pp_holdings_of(&u->spaces, yields) - held + 1) / 2, YIELD_SPACES);
	for (int sampled = 0; sampled < 2 && !dropped; sampled++) {
		struct pp_process *p = NULL;

		while (dropped < wanted && (p = pp_processes_next(u->processes, p))) {
			const struct installed *in = p->unwind;

			if (!in || !in->counted || in->user != yields || (p->samples && !sampled))
				continue;
			drop_space(u, p);
			pp_count(PP_C_spaces_evicted);
			dropped++;
		}
	}
	return dropped;
}

/*
 * A generation that nobody has had. When all have been given out, which takes days of nothing but
 * new blocks, it begins anew: without a block that has one from before, and without a rule that was
 * remembered under one. Who is sampled is described again.
 */
static uint32_t new_generation(struct pp_unwind *u)
{
	struct pp_process *p = NULL;

	if (++u->gen)
		return u->gen;
	while ((p = pp_processes_next(u->processes, p))) {
		struct installed *in = p->unwind;

		if (!in)
			continue;
		if (in->block)
			drop_space(u, p);
		free(in->changes);
		in->changes = NULL;
	}
	pp_bpf_forget_rules(u->bpf);
	return ++u->gen;
}

/*
 * A block has a generation of its own, and rules that BPF found by one block are not used under
 * another. What changes the rules of a process's code, what then makes them new, and which test
 * fails where that alone is left out (R: accuracy/test_remapped, G: unit/test_generations):
 *
 *   a file is mapped over another, or where one was unmapped (dlclose, dlopen)
 *	dirty (pp_process_enter)				G a_file_is_mapped_over
 *	the new block's generation				R over, again
 *	until BPF has that block: the stack is cut (changes.h)	R over, again
 *   the same while records are lost, found by a scan
 *	dirty (merge_maps)					G a_scan_finds_others
 *   memory without a file is mapped again, or made writable and executable again (JITs)
 *	dirty (renew_memory)					R memory, G memory_is_told_again
 *   code in it is written over, which nothing tells
 *	BPF keeps no rule of a leaf there (find_rule)		R writes
 *   a fork before the parent's change has come to a new block
 *	stale (pp_unwind_forked)			G a_fork_comes_before_the_block
 *   a mapping's file is identified, loaded, found to have no table
 *	stale (pp_unwind_touch, pp_unwind_loaded)		G a_file_is_identified,
 *			a_table_is_loaded, a_file_turns_out_to_have_none
 *   its table makes way for another, comes when there is room
 *	stale (pp_unwind_evict, pp_unwind_install_waiting)	G a_table_is_evicted, a_table_waits
 *   any of these: the process that a CPU sampled last is looked up again
 *	epoch (pp_bpf_forget_space)				R over, G a_space_is_dropped,
 *			a_space_is_gone_already
 *   an exec; a pid that is used again: before the daemon hears of it
 *	the identity that a CPU compares (enter_space)		R execs, pids
 *   all generations have been given out
 *	new_generation						G generations_begin_anew
 *   a layout's place becomes another's
 *	its id (layouts.h)					G a_layout_s_place_is_given_away
 *
 * What a walk finds wanting is made again after a second whatever it is (pp_unwind_check).
 *
 * No change: munmap, which is not reported (what is known of an address matters again when
 * something is mapped there); a thread's number used again, as nothing is kept by it; a fork, whose
 * child has its parent's memory, and so its block and generation, until one of them changes.
 *
 * Not seen: code moved over other code by mremap, which is not reported, until the next scan; the
 * file of a mapping written in place; a trampoline written over by a JIT's code that has a return
 * address in the same place, where memory is writable and executable at once. From the record on
 * that memory is mapped again until the new block, some ms, such an address has the old rule.
 */
static int make_block(struct pp_unwind *u, const struct pp_process *p, struct block **ret)
{
	size_t n = MIN(pp_process_nr_maps(p), (size_t)PP_MAPPINGS_MAX);
	_cleanup_free_ struct pp_mapping *mappings = calloc(MAX(n, (size_t)1), sizeof(*mappings));
	_cleanup_free_ struct block *b = calloc(1, sizeof(*b));
	int r;

	if (!b || !mappings)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		describe_map(&p->maps->maps[i], &mappings[i]);
	r = pp_tables_put_block(u->tables, mappings, n, &b->word);
	if (r == -ENOSPC)
		r = pp_unwind_evict(u, p->ruid, (uint32_t)(n * PP_MAPPING_WORDS));
	else if (r == -EDQUOT)
		r = yield_block(u, p->ruid, (uint32_t)(n * PP_MAPPING_WORDS));
	if (r < 0)
		return r;
	b->user = p->ruid;
	(void)pp_holdings_add(&u->blocks, b->user, n * PP_MAPPING_WORDS);
	b->refs = 1;
	b->nr = (uint32_t)n;
	b->gen = new_generation(u);
	b->made_ns = pp_now_ns();
	*ret = TAKE_PTR(b);
	return 0;
}

/* The process's block as things are now. */
static int renew_block(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = p->unwind;
	uint64_t key = (uintptr_t)p->maps;
	struct block *b = p->maps->refs > 1 ? pp_u64map_get_ptr(&u->shared, key) : NULL;
	int r;

	if (b) {
		b->refs++;
	} else {
		r = make_block(u, p, &b);
		if (r < 0)
			return r;
		if (p->maps->refs > 1)
			(void)pp_u64map_put_ptr(&u->shared, key, b);
	}
	unref_block(u, in->block);
	in->block = b;
	p->dirty = in->stale = false;
	return 0;
}

/*
 * The identity BPF must find: as exec and fork left it in the map, or from a sample. A record comes
 * a moment before BPF's own tracepoint. Until that has run, what is in the map is the life before,
 * and writing it back would undo what the tracepoint is about to write: -EAGAIN. So it is where the
 * map is ahead of the records: the life in it is this one, or this one has ended. -ESRCH: it is not
 * known.
 */
static int find_identity(struct pp_unwind *u, const struct pp_process *p, uint64_t up_to_ns,
			 struct pp_space *space)
{
	bool known = p->start_ns && p->exec_id != PP_EXEC_ID_UNKNOWN;
	bool there = pp_bpf_get_space(u->bpf, p->pid, space) && space->since_ns;

	if (there && space->since_ns > up_to_ns)
		return -EAGAIN;
	if (there && (space->since_ns >= p->born_ns ||
		      (known && space->start_ns == p->start_ns && space->exec_id == p->exec_id)))
		return 0;
	if (there && up_to_ns < p->born_ns + TRACEPOINT_NS)
		return -EAGAIN;
	if (!known)
		return there ? 0 : -ESRCH;
	space->since_ns = 0;
	space->start_ns = p->start_ns;
	space->exec_id = p->exec_id;
	return 0;
}

/* Without a block that is right, none: it may lead to what is no longer there. */
static void withdraw(struct pp_unwind *u, struct pp_process *p, struct pp_space *space)
{
	struct installed *in = p->unwind;

	if (!in->block || !pp_tables_settling(u->tables))
		return;
	unref_block(u, in->block);
	in->block = NULL;
	space->block = space->nr_mappings = 0;
	(void)pp_bpf_put_space(u->bpf, p->pid, space);
}

static void want_files(struct pp_unwind *u, struct pp_process *p)
{
	const struct installed *in = p->unwind;

	for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
		struct pp_map *map = &p->maps->maps[i];

		/* May answer at once, and that touches the process: it is stale already then. */
		pp_files_want(u->files, p, map);
		if (in->wanted && map->object)
			pp_files_want_load(u->files, map->object);
	}
}

static void sync_process(struct pp_unwind *u, struct pp_process *p, uint64_t up_to_ns)
{
	struct installed *in = p->unwind;
	struct pp_space space = { 0 };
	int r;

	in->queued = false;
	if (!p->alive || !pp_process_nr_maps(p))
		return;
	want_files(u, p);
	r = find_identity(u, p, up_to_ns, &space);
	if (r == -EAGAIN)
		enqueue(u, p);
	if (r < 0)
		return;
	if (p->dirty || in->stale || !in->block)
		r = renew_block(u, p);
	if (r < 0) {
		withdraw(u, p, &space);
		pp_unwind_touch(u, p); /* there may be room next time */
		if (r != -EAGAIN)
			pp_count(PP_C_spaces_refused);
		return;
	}
	space.interp = pp_interps_entry(p);
	space.gen = in->block->gen;
	space.block = in->block->word;
	space.nr_mappings = in->block->nr;
	r = pp_bpf_put_space(u->bpf, p->pid, &space);
	if (r < 0 && yield_spaces(u, p->ruid))
		r = pp_bpf_put_space(u->bpf, p->pid, &space);
	if (r < 0)
		pp_count(PP_C_spaces_refused);
	else
		count_space(u, p);
}

void pp_unwind_sync(struct pp_unwind *u, uint64_t up_to_ns)
{
	uint64_t start_ns = pp_now_ns(), now_ns = start_ns;
	size_t n, i;

	pp_unwind_install_waiting(u);
	/* What syncing touches comes next time. */
	n = u->nr_queue;
	for (i = 0; i < n && now_ns < start_ns + SYNC_NS; i++, now_ns = pp_now_ns()) {
		struct pp_process *p = pp_processes_by_id(u->processes, u->queue[i].process);

		if (p && p->unwind)
			sync_process(u, p, up_to_ns);
	}
	pp_u64map_done(&u->shared);
	u->nr_queue -= i;
	if (u->nr_queue)
		memmove(u->queue, u->queue + i, u->nr_queue * sizeof(*u->queue));
	/* Those still waiting may have blocks that lead to what was dropped since they wait. */
	pp_tables_settle(u->tables, u->nr_queue ? MIN(u->queue[0].since_ns, now_ns) : now_ns);
}

bool pp_unwind_waits(const struct pp_unwind *u)
{
	return u->nr_queue;
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
	if (to->block) {
		to->block->refs++;
		count_space(u, child);
	}
	if (from->changes && (to->changes = malloc(sizeof(*to->changes))))
		*to->changes = *from->changes;
	enqueue(u, child);
}

void pp_unwind_ended(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = p->unwind;
	struct pp_space space;

	if (!in)
		return;
	discount_space(u, in);
	if (!in->block)
		return;
	/* BPF has replaced it at the exec, or removed it when the last thread ended; where threads
	 * go on, it must not lead to what will be another's. */
	if (!p->execed && pp_bpf_get_space(u->bpf, p->pid, &space) && space.gen == in->block->gen &&
	    space.block == in->block->word)
		pp_bpf_drop_space(u->bpf, p->pid);
	pp_bpf_forget_space(u->bpf, p->pid);
	unref_block(u, in->block);
	in->block = NULL;
}

void pp_unwind_gone(struct pp_unwind *u, struct pp_process *p)
{
	struct installed *in = p->unwind;

	if (!in)
		return;
	discount_space(u, in);
	unref_block(u, in->block);
	free(in->changes);
	free(in);
	p->unwind = NULL;
}
