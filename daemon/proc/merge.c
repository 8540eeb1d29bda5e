/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Scans: which processes to read, and what to make of the answers.
 *
 * An answer shows a process as it was at some moment between the request and now, and records of
 * that time may still wait in the kernel. So an answer is held until the table has caught up with
 * the moment it came. If the process has begun another program by then, the answer is thrown away,
 * for nobody can say which of the two it shows. Otherwise it replaces the mappings, and those that
 * records have told since the request are laid over it.
 */
#include "proc/table.h"

#include "base/clock.h"
#include "base/counters.h"
#include "proc/cgroup.h"
#include "proc/maps.h"
#include "proc/reader.h"

#include <string.h>

#define TRIES_MAX 3 /* requests that fail for reasons of our own */

struct pp_held_scan {
	struct pp_held_scan *next;
	struct pp_process *process; /* referenced */
	uint64_t came_ns;
	struct pp_scan scan; /* its pointers go into text */
	char text[];
};

/* ---- The line -------------------------------------------------------------------------------- */

static void leave_line(struct pp_process *p)
{
	struct pp_processes *t = p->table;

	if (t->scan_waited_last == p)
		t->scan_waited_last = p->scan_prev;
	*(p->scan_prev ? &p->scan_prev->scan_next : &t->scan_first) = p->scan_next;
	*(p->scan_next ? &p->scan_next->scan_prev : &t->scan_last) = p->scan_prev;
	p->scan_queued = p->scan_waited = false;
}

/* after: whom it stands behind; NULL: it is the first. */
static void enter_line(struct pp_process *p, struct pp_process *after)
{
	struct pp_processes *t = p->table;

	p->scan_prev = after;
	p->scan_next = after ? after->scan_next : t->scan_first;
	*(after ? &after->scan_next : &t->scan_first) = p;
	*(p->scan_next ? &p->scan_next->scan_prev : &t->scan_last) = p;
	p->scan_queued = true;
}

/* Whether it is to be in line. */
static bool want_scan(struct pp_process *p)
{
	if (!p->alive || p->scanning || p->scan_tries >= TRIES_MAX)
		return false;
	p->scan_wanted = true;
	return true;
}

void pp_processes_want_scan(struct pp_processes *t, struct pp_process *p)
{
	if (want_scan(p) && !p->scan_queued)
		enter_line(p, t->scan_last);
}

void pp_table_want_scan_first(struct pp_process *p)
{
	struct pp_processes *t = p->table;

	if (!want_scan(p) || p->scan_waited)
		return;
	if (p->scan_queued)
		leave_line(p);
	enter_line(p, t->scan_waited_last);
	p->scan_waited = true;
	t->scan_waited_last = p;
}

static struct pp_process *take_first(struct pp_processes *t)
{
	struct pp_process *p = t->scan_first;

	if (p)
		leave_line(p);
	return p;
}

static void end_scan(struct pp_process *p)
{
	p->scanning = false;
	pp_process_unref(p);
}

/* ---- Facts ----------------------------------------------------------------------------------- */

static void set_atom(struct pp_process *p, struct pp_atom **at, const char *text)
{
	struct pp_processes *t = p->table;
	struct pp_atom *old = *at;

	*at = *text ? pp_atoms_get(&t->atoms, p->account, text, strlen(text)) : NULL;
	pp_atom_unref(&t->atoms, old);
}

static void merge_facts(struct pp_process *p, const struct pp_scan *scan)
{
	struct pp_cgroup cgroup;

	p->start_ticks = scan->start_ticks;
	p->ppid = scan->ppid;
	p->nspid = scan->nspid;
	p->ruid = scan->ruid;
	p->euid = scan->euid;
	p->suid = scan->suid;
	p->fsuid = scan->fsuid;
	p->has_ids = true;
	pp_table_charge(p, p->ruid);
	p->dumpable = scan->dumpable;
	p->kernel_thread = scan->kernel_thread;
	if (p->comm_ns < p->scan_started_ns)
		memcpy(p->comm, scan->comm, sizeof(p->comm));
	set_atom(p, &p->cmdline, scan->cmdline);
	set_atom(p, &p->exe, scan->exe);
	pp_cgroup_parse(&cgroup, scan->cgroup, strlen(scan->cgroup));
	set_atom(p, &p->unit, cgroup.unit);
	set_atom(p, &p->slice, cgroup.slice);
	set_atom(p, &p->container, cgroup.container);
	set_atom(p, &p->pod, cgroup.pod);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 1;

	for (const char *at = text; (at = memchr(at, '\n', len - (size_t)(at - text))); at++)
		n++;
	return n;
}

/* The object known for the same mapping before the scan. */
static void *known_object(const struct pp_maps *old, const struct pp_map *map)
{
	size_t i = pp_maps_search(old, map->start);

	return old && i < old->len && pp_map_same(&old->maps[i], map) ? old->maps[i].object : NULL;
}

static int append_line(struct pp_processes *t, struct pp_maps *maps, const struct pp_maps *old,
		       const struct pp_maps_line *l, uint64_t seen_ns)
{
	uint64_t last = maps->len ? maps->maps[maps->len - 1].end : 0;
	struct pp_map map = { .start = l->start,
			      .end = l->end,
			      .pgoff = l->pgoff,
			      .dev = l->dev,
			      .ino = l->ino,
			      .seen_ns = seen_ns,
			      .kind = pp_map_kind_of(l->path, l->ino) };

	if (l->start >> 63) /* [vsyscall], in the kernel's half */
		return 0;
	if (l->start < last || maps->len == maps->cap) {
		pp_count(PP_C_mappings_malformed);
		return 0;
	}
	if (map.kind == PP_MAP_ANON)
		map.pgoff = map.ino = map.dev = 0;
	map.path = pp_atoms_get(&t->atoms, maps->user, l->path, l->path_len);
	if (!map.path)
		return -ENOMEM;
	map.object = known_object(old, &map);
	if (map.object && t->hooks.object_ref)
		t->hooks.object_ref(t->userdata, map.object);
	maps->maps[maps->len++] = map;
	return 0;
}

/* The scan's mappings as an array. NULL: no memory. */
static struct pp_maps *read_maps(struct pp_process *p, const struct pp_scan *scan)
{
	struct pp_maps *maps = pp_maps_new(p, count_lines(scan->maps, scan->maps_len));
	struct pp_maps_line *line = malloc(sizeof(*line));
	size_t at = 0, skip = 0;
	int r = maps && line ? 0 : -ENOMEM;

	for (; r >= 0 && at < scan->maps_len; at += skip) {
		if (pp_maps_parse(line, scan->maps + at, scan->maps_len - at, &skip) <= 0)
			pp_count(PP_C_mappings_malformed);
		else if (line->exec)
			r = append_line(p->table, maps, p->maps, line, p->scan_started_ns);
	}
	free(line);
	return r < 0 ? pp_maps_unref(p->table, maps) : maps;
}

/* What records have told since the scan was asked for. */
static void overlay(struct pp_process *p, const struct pp_maps *old)
{
	for (uint32_t i = 0; old && i < old->len; i++) {
		struct pp_map map = old->maps[i], *entry;

		if (map.seen_ns < p->scan_started_ns)
			continue;
		pp_map_ref(p->table, &map);
		(void)pp_process_enter(p, &map, &entry);
	}
}

static bool is_in(const struct pp_maps *old, const struct pp_map *map)
{
	size_t i = pp_maps_search(old, map->start);

	return old && i < old->len && pp_map_same(&old->maps[i], map);
}

static void merge_maps(struct pp_process *p, const struct pp_scan *scan)
{
	struct pp_processes *t = p->table;
	struct pp_maps *old = p->maps, *maps;
	bool changed;

	pp_count_add(PP_C_mappings_cut, scan->maps_cut);
	p->maps_known = true;
	/* A main thread that has ended, or is about to, shows none. */
	if (!scan->maps_len)
		return;
	maps = read_maps(p, scan);
	if (!maps) {
		pp_count(PP_C_mappings_cut);
		return;
	}
	p->maps = maps;
	overlay(p, old);
	changed = !old || old->len != p->maps->len;
	for (uint32_t i = 0; i < p->maps->len; i++) {
		struct pp_map *map = &p->maps->maps[i];

		if (is_in(old, map))
			continue;
		changed = true;
		if (t->hooks.on_mapping)
			t->hooks.on_mapping(t->userdata, p, map);
	}
	if (changed)
		p->dirty = true;
	pp_maps_unref(t, old);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void merge(struct pp_process *p, const struct pp_scan *scan)
{
	struct pp_processes *t = p->table;

	if (p->execed)
		return;
	if (p->start_ticks != PP_TICKS_UNKNOWN && p->start_ticks != scan->start_ticks)
		return; /* asked before the start was known: it is another process */
	p->scanned = true;
	p->scan_tries = 0;
	merge_facts(p, scan);
	merge_maps(p, scan);
	if (t->hooks.on_scanned)
		t->hooks.on_scanned(t->userdata, p);
}

static void merge_held(struct pp_processes *t, uint64_t up_to_ns)
{
	while (t->held_first && t->held_first->came_ns <= up_to_ns) {
		struct pp_held_scan *h = t->held_first;

		t->held_first = h->next;
		if (!t->held_first)
			t->held_last = &t->held_first;
		merge(h->process, &h->scan);
		end_scan(h->process);
		free(h);
	}
}

void pp_table_drop_held(struct pp_processes *t)
{
	struct pp_held_scan *h;

	while ((h = t->held_first)) {
		t->held_first = h->next;
		end_scan(h->process);
		free(h);
	}
	t->held_last = &t->held_first;
}

struct pp_process *pp_processes_take_scan(struct pp_processes *t, uint64_t now_ns)
{
	struct pp_process *p;

	merge_held(t, now_ns);
	while ((p = take_first(t))) {
		if (!p->scan_wanted)
			continue;
		p->scan_wanted = false;
		p->scanning = true;
		p->scan_started_ns = now_ns;
		return pp_process_ref(p);
	}
	return NULL;
}

static const char *keep(char **at, const char *text, size_t len)
{
	char *kept = *at;

	memcpy(kept, text, len);
	kept[len] = '\0';
	*at += len + 1;
	return kept;
}

static bool hold(struct pp_process *p, const struct pp_scan *scan)
{
	size_t cmdline = strlen(scan->cmdline), exe = strlen(scan->exe),
	       cgroup = strlen(scan->cgroup);
	struct pp_held_scan *h =
		malloc(sizeof(*h) + cmdline + exe + cgroup + scan->maps_len + 4 /* NULs */);
	char *at;

	if (!h)
		return false;
	at = h->text;
	h->next = NULL;
	h->process = p;
	h->came_ns = pp_now_ns();
	h->scan = *scan;
	h->scan.cmdline = keep(&at, scan->cmdline, cmdline);
	h->scan.exe = keep(&at, scan->exe, exe);
	h->scan.cgroup = keep(&at, scan->cgroup, cgroup);
	h->scan.maps = keep(&at, scan->maps, scan->maps_len);
	*p->table->held_last = h;
	p->table->held_last = &h->next;
	return true;
}

void pp_processes_scanned(struct pp_processes *t, struct pp_process *p, int error,
			  const struct pp_scan *scan)
{
	if (error >= 0 && hold(p, scan))
		return; /* and the reference */
	switch (error) {
	case -ESRCH:
		/* Its exit is on its way, or was lost: see pp_processes_reap. */
		if (p->alive && !p->gone_ns)
			p->gone_ns = pp_now_ns();
		p->scan_tries = TRIES_MAX;
		break;
	case -EBUSY:
	case -ETIMEDOUT: /* it does not answer, and will not be asked again */
		p->scan_tries = TRIES_MAX;
		break;
	default:
		if (++p->scan_tries >= TRIES_MAX)
			pp_count(PP_C_scans_refused);
	}
	end_scan(p);
	if (error != -ESRCH)
		pp_processes_want_scan(t, p);
}
