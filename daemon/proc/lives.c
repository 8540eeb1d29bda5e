/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What moves the table: life-cycle records, in the order of their time, and samples, whose identity
 * is checked against it.
 *
 * A record older than the life it would apply to is left out: that life was found in /proc after
 * the record was written, and its scan shows what the record says.
 *
 * Identities. A start time never changes and grows from life to life of a pid. The task's count of
 * execs is inherited by fork and rises by one at each exec, a moment after the record of that exec
 * is written; so for that moment a sample's count is one behind.
 */
#include "proc/table.h"

#include "base/counters.h"
#include "proc/maps.h"
#include "proc/reader.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A main thread's last samples come after its exit record; those later than this are other
 * threads', which it has left behind. */
#define EXIT_SLACK_NS (1 * NSEC_PER_SEC)

/* Some of what a scan says changes without a record: the control group, the users, the command
 * line, what was unmapped. A scan takes the reader 0.4 ms. */
#define SCAN_AGE_NS (60 * NSEC_PER_SEC)

#define USER_TOP (1ULL << 56) /* above any architecture's user addresses; PP_PC_SHIFT's limit */

static void set_comm(struct pp_process *p, const char *comm)
{
	snprintf(p->comm, sizeof(p->comm), "%.*s", (int)sizeof(p->comm) - 1, comm);
}

/* ---- Records --------------------------------------------------------------------------------- */

/* What a child has of its parent, and a program of the one before it in the same process. */
static void inherit_group(struct pp_process *from, struct pp_process *to)
{
	to->unit = pp_atom_ref(from->unit);
	to->slice = pp_atom_ref(from->slice);
	to->container = pp_atom_ref(from->container);
	to->pod = pp_atom_ref(from->pod);
	to->kernel_thread = from->kernel_thread;
}

static int apply_fork(struct pp_processes *t, const struct pp_life *life)
{
	struct pp_process *parent = pp_table_life_at(t, life->ppid, life->time_ns);
	struct pp_process *old = pp_table_life_at(t, life->pid, life->time_ns), *child;

	if (life->pid == life->ppid) { /* a thread */
		if (old && old->alive && old->nr_threads && old->born_ns <= life->time_ns)
			old->nr_threads++;
		return 0;
	}
	if (old && old->born_ns > life->time_ns)
		return 0;
	if (old && old->alive)
		pp_table_exit(old, life->time_ns);
	child = pp_table_add(t, life->pid, parent, life->time_ns);
	if (!child)
		return 0;
	/* One that has ended may have made room for the child. */
	parent = pp_table_life_at(t, life->ppid, life->time_ns);
	child->ppid = life->ppid;
	child->nr_threads = 1;
	if (!parent || parent->born_ns > life->time_ns) {
		if (t->hooks.on_new)
			t->hooks.on_new(t->userdata, child);
		return 0;
	}
	inherit_group(parent, child);
	memcpy(child->comm, parent->comm, sizeof(child->comm));
	child->cmdline = pp_atom_ref(parent->cmdline);
	child->exe = pp_atom_ref(parent->exe);
	child->exec_id = parent->exec_id;
	child->nspid = parent->nspid == parent->pid ? child->pid : 0;
	child->has_ids = parent->has_ids;
	child->ruid = parent->ruid;
	child->euid = parent->euid;
	child->suid = parent->suid;
	child->fsuid = parent->fsuid;
	child->dumpable = parent->dumpable;
	child->maps_known = parent->maps_known;
	pp_process_share_maps(parent, child);
	if (t->hooks.on_fork)
		t->hooks.on_fork(t->userdata, parent, child);
	return 0;
}

/* The life that follows old in its pid by an exec. Its ids are not known again, for the program may
 * be set to another user's; but an exec leaves the real one alone. */
static struct pp_process *follow(struct pp_process *old, uint64_t time_ns)
{
	struct pp_processes *t = old->table;
	struct pp_process *next = pp_table_add(t, old->pid, old, time_ns);

	if (!next) { /* refused: the old program's names must not be given to the new one */
		pp_table_exit(old, time_ns);
		return NULL;
	}
	next->ppid = old->ppid;
	next->nspid = old->nspid;
	next->ruid = old->ruid;
	next->start_ns = old->start_ns;
	next->start_ticks = old->start_ticks;
	next->exec_gen = old->exec_gen + 1;
	inherit_group(old, next);
	old->execed = true;
	pp_table_end(old, time_ns);
	return next;
}

static int apply_exec(struct pp_processes *t, const struct pp_life *life)
{
	struct pp_process *old = pp_table_life_at(t, life->pid, life->time_ns), *next;

	if (old && old->born_ns > life->time_ns)
		return 0;
	next = old && old->alive ? follow(old, life->time_ns)
				 : pp_table_add(t, life->pid, NULL, life->time_ns);
	if (!next)
		return 0;
	set_comm(next, life->comm);
	next->comm_ns = life->time_ns;
	next->nr_threads = 1;
	next->maps_known = true;
	if (next->prev_life && next->prev_life == old && old->execed) {
		if (old->exec_id != PP_EXEC_ID_UNKNOWN)
			next->exec_id = old->exec_id + 1;
		if (t->hooks.on_exec)
			t->hooks.on_exec(t->userdata, old, next);
	} else if (t->hooks.on_new) {
		t->hooks.on_new(t->userdata, next);
	}
	return 0;
}

static int apply_exit(struct pp_processes *t, const struct pp_life *life)
{
	struct pp_process *p = pp_table_life_at(t, life->pid, life->time_ns);

	if (!p || !p->alive || p->born_ns > life->time_ns)
		return 0;
	if (life->tid == life->pid)
		p->leader_gone = true;
	if (p->nr_threads)
		p->nr_threads--;
	else if (!p->leader_gone || life->tid != life->pid)
		return 0;
	if (!p->nr_threads)
		pp_table_exit(p, life->time_ns);
	return 0;
}

static int apply_comm(struct pp_processes *t, const struct pp_life *life)
{
	struct pp_process *p = pp_table_life_at(t, life->pid, life->time_ns);

	if (p && p->alive && p->born_ns <= life->time_ns && life->tid == life->pid) {
		set_comm(p, life->comm);
		p->comm_ns = life->time_ns;
	}
	return 0;
}

/* A process goes on after its main thread has ended; where its threads were not counted from the
 * beginning, what they do tells. */
static void revive(struct pp_process *p)
{
	p->alive = true;
	p->leader_gone = true;
	p->exit_ns = 0;
	p->nr_threads = 0;
}

static int apply_mmap(struct pp_processes *t, const struct pp_life *life)
{
	struct pp_process *p = pp_table_life_at(t, life->pid, life->time_ns);
	const char *path = life->path ?: "";
	size_t len = strlen(path), suffix = strlen(PP_DELETED);
	struct pp_map map = { .start = life->start,
			      .pgoff = life->pgoff,
			      .ino = life->ino,
			      .dev = makedev(life->dev_major, life->dev_minor),
			      .seen_ns = life->time_ns },
		      *entry;
	int r;

	if (__builtin_add_overflow(life->start, life->len, &map.end) || !life->len ||
	    map.end > USER_TOP) {
		pp_count(PP_C_mappings_malformed);
		return 0;
	}
	if (p && p->born_ns > life->time_ns)
		return 0;
	if (p && !p->alive && !p->execed && p->leader_gone)
		revive(p);
	if (!p || !p->alive) { /* its fork was lost */
		p = pp_table_add(t, life->pid, p, life->time_ns);
		if (!p)
			return 0;
		if (t->hooks.on_new)
			t->hooks.on_new(t->userdata, p);
	}
	map.kind = pp_map_kind_of(path, life->ino);
	if (map.kind == PP_MAP_ANON) {
		map.pgoff = map.ino = map.dev = 0;
		if (path[0] != '[')
			len = 0; /* "//anon", as maps would have it */
	}
	if (len > suffix && !memcmp(path + len - suffix, PP_DELETED, suffix))
		len -= suffix;
	map.path = pp_atoms_get(&t->atoms, p->account, path, len);
	if (!map.path)
		return -ENOMEM;
	if (map.kind == PP_MAP_ANON && t->hooks.on_memory)
		t->hooks.on_memory(t->userdata, p, &map);
	r = pp_process_enter(p, &map, &entry);
	if (entry && t->hooks.on_mapping)
		t->hooks.on_mapping(t->userdata, p, entry);
	return r == -ENOSPC ? 0 : r;
}

int pp_processes_life(struct pp_processes *t, const struct pp_life *life)
{
	switch (life->kind) {
	case PP_LIFE_EXEC:
		return apply_exec(t, life);
	case PP_LIFE_COMM:
		return apply_comm(t, life);
	case PP_LIFE_FORK:
		return apply_fork(t, life);
	case PP_LIFE_EXIT:
		return apply_exit(t, life);
	case PP_LIFE_MMAP:
		return apply_mmap(t, life);
	case PP_LIFE_LOST:
		pp_table_recover(t, life->time_ns);
		return 0;
	}
	return -EINVAL;
}

/* ---- Samples --------------------------------------------------------------------------------- */

enum fit {
	FIT_YES,
	FIT_OLDER,  /* the sample is of an earlier life than this */
	FIT_NEWER,  /* of a later process: the end of this one was not told */
	FIT_EXECED, /* of a later program in this process: its exec was not told */
};

static enum fit compare(const struct pp_process *p, uint64_t start_ns, uint32_t exec_id)
{
	if (p->start_ns && p->start_ns != start_ns)
		return start_ns < p->start_ns ? FIT_OLDER : FIT_NEWER;
	if (!p->start_ns && p->start_ticks != PP_TICKS_UNKNOWN) {
		uint64_t ticks = pp_start_ticks(start_ns);

		if (ticks != p->start_ticks)
			return ticks < p->start_ticks ? FIT_OLDER : FIT_NEWER;
	}
	if (p->exec_id == PP_EXEC_ID_UNKNOWN || p->exec_id == exec_id)
		return FIT_YES;
	return exec_id < p->exec_id ? FIT_OLDER : FIT_EXECED;
}

/* Replaces old, which is another life than the sample's, by one of which nothing is known. */
static struct pp_process *supplant(struct pp_processes *t, struct pp_process *old, pid_t pid,
				   enum fit fit, uint64_t time_ns)
{
	struct pp_process *p;

	if (!old || !old->alive || fit != FIT_EXECED) {
		if (old && old->alive)
			pp_table_exit(old, time_ns);
		p = pp_table_add(t, pid, NULL, time_ns);
		if (p && t->hooks.on_new)
			t->hooks.on_new(t->userdata, p);
		return p;
	}
	p = follow(old, time_ns);
	if (p && t->hooks.on_exec)
		t->hooks.on_exec(t->userdata, old, p);
	return p;
}

static struct pp_process *find_life(struct pp_processes *t, pid_t pid, uint64_t start_ns,
				    uint32_t exec_id, uint64_t time_ns)
{
	struct pp_process *p = pp_table_life_at(t, pid, time_ns);
	enum fit fit;

	if (!p)
		return supplant(t, NULL, pid, FIT_NEWER, time_ns);
	fit = compare(p, start_ns, exec_id);
	while (fit == FIT_OLDER && p->prev_life) {
		p = p->prev_life;
		fit = compare(p, start_ns, exec_id);
	}
	while ((fit == FIT_NEWER || fit == FIT_EXECED) && p->next_life) {
		p = p->next_life;
		fit = compare(p, start_ns, exec_id);
	}
	if (fit == FIT_YES)
		return p;
	if (fit == FIT_OLDER) { /* buried already */
		pp_count(PP_C_processes_late);
		return NULL;
	}
	pp_count(PP_C_processes_mismatched);
	return supplant(t, p, pid, fit, time_ns);
}

struct pp_process *pp_processes_sample(struct pp_processes *t, pid_t pid, uint64_t start_ns,
				       uint32_t exec_id, const char *comm, uint64_t time_ns)
{
	struct pp_process *p = find_life(t, pid, start_ns, exec_id, time_ns);

	if (!p)
		return NULL;
	if (!p->start_ns) {
		p->start_ns = start_ns;
		p->start_ticks = pp_start_ticks(start_ns);
	}
	if (p->exec_id == PP_EXEC_ID_UNKNOWN)
		p->exec_id = exec_id;
	if (!p->comm[0])
		set_comm(p, comm);
	if (!p->alive && !p->execed && !p->next_life && time_ns > p->exit_ns + EXIT_SLACK_NS)
		revive(p);
	if (p->alive) {
		p->gone_ns = 0;
		if (!p->scanned || !p->maps_known || time_ns > p->scan_started_ns + SCAN_AGE_NS)
			pp_table_want_scan_first(p);
	}
	return p;
}
