/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table itself: lives by pid and by id, their number and memory, birth, end and burial. What
 * moves it is in lives.c (records, samples) and merge.c (scans).
 *
 * Lives of one pid form a chain, newest first in by_pid, because a sample may be looked at after
 * the record of the exec or exit that came after it. One that has ended stays while somebody holds
 * a reference (a window that mentions it) and for a grace period. Under pressure the grace period
 * is not kept: the dead go before the living are refused. Then the living of the user who holds
 * most go, so that nobody's processes, or their mappings, keep others' out; see base/holdings.h.
 */
#include "proc/table.h"

#include "base/clock.h"
#include "base/counters.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

#define CHECK_EVERY_NS (2 * NSEC_PER_SEC) /* of lives that may have ended unseen */
/* /proc is read again at most so often. Where records are lost all the time that takes ever longer:
 * what samples show to be wrong is read at once anyway. */
#define LIST_EVERY_NS  (1 * NSEC_PER_SEC)
#define LIST_RARELY_NS (16 * NSEC_PER_SEC)
#define GONE_AFTER_NS  (2 * NSEC_PER_SEC)  /* not in /proc, and no record of its exit came */
#define ASK_EVERY_NS   (10 * NSEC_PER_SEC) /* whether one without its main thread is there */
#define FORGET_AT_ONCE 64		   /* of a user's, as it takes a look at every process */
#define USER_UNKNOWN   UINT32_MAX	   /* on whose account those are whose user is not known */

int pp_processes_new(struct pp_processes **ret, const struct pp_processes_config *config,
		     const struct pp_processes_hooks *hooks, void *userdata)
{
	struct pp_processes *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (config)
		t->config = *config;
	t->config.processes_max = t->config.processes_max ?: PP_PROCESSES_MAX;
	t->config.bytes_max = t->config.bytes_max ?: PP_PROCESSES_BYTES_MAX;
	t->config.grace_ns = t->config.grace_ns ?: PP_GRACE_NS;
	if (hooks)
		t->hooks = *hooks;
	t->userdata = userdata;
	t->held_last = &t->held_first;
	t->atoms.held = &t->held;
	t->list_every_ns = LIST_EVERY_NS;
	*ret = t;
	return 0;
}

static void unlink_life(struct pp_process *p)
{
	struct pp_processes *t = p->table;

	*(p->older ? &p->older->newer : &t->oldest) = p->newer;
	*(p->newer ? &p->newer->older : &t->newest) = p->older;
	if (p->prev_life)
		p->prev_life->next_life = p->next_life;
	if (p->next_life)
		p->next_life->prev_life = p->prev_life;
	else if (p->prev_life)
		(void)pp_u64map_put_ptr(&t->by_pid, (uint64_t)p->pid, p->prev_life);
	else
		pp_u64map_del(&t->by_pid, (uint64_t)p->pid);
	pp_u64map_del(&t->by_id, p->id);
}

/* p is in neither the scan nor the idle list any more. */
static void bury(struct pp_process *p)
{
	struct pp_processes *t = p->table;
	struct pp_atom *atoms[] = { p->cmdline, p->exe, p->unit, p->slice, p->container, p->pod };

	unlink_life(p);
	if (t->hooks.on_free)
		t->hooks.on_free(t->userdata, p);
	pp_maps_unref(t, p->maps);
	for (size_t i = 0; i < ARRAY_SIZE(atoms); i++)
		pp_atom_unref(&t->atoms, atoms[i]);
	t->bytes -= sizeof(*p);
	pp_holdings_take(&t->held, p->account, sizeof(*p));
	t->count--;
	free(p);
}

struct pp_processes *pp_processes_free(struct pp_processes *t)
{
	if (!t)
		return NULL;
	pp_table_drop_held(t);
	while (t->oldest)
		bury(t->oldest);
	pp_u64map_done(&t->by_pid);
	pp_u64map_done(&t->by_id);
	pp_atoms_done(&t->atoms);
	pp_holdings_done(&t->held);
	free(t);
	return NULL;
}

/* ---- The dead -------------------------------------------------------------------------------- */

void pp_table_queue_idle(struct pp_process *p)
{
	struct pp_processes *t = p->table;

	if (p->idle)
		return;
	p->idle = true;
	p->idle_next = NULL;
	*(t->idle_last ? &t->idle_last->idle_next : &t->idle_first) = p;
	t->idle_last = p;
}

static struct pp_process *take_idle(struct pp_processes *t)
{
	struct pp_process *p = t->idle_first;

	t->idle_first = p->idle_next;
	if (!t->idle_first)
		t->idle_last = NULL;
	p->idle = false;
	return p;
}

/* Frees the dead that wait for it, oldest first, those that ended before `until`. */
static void bury_idle(struct pp_processes *t, uint64_t until)
{
	while (t->idle_first && t->idle_first->exit_ns <= until) {
		struct pp_process *p = take_idle(t);

		/* Somebody has taken a reference, or it lives after all: not idle. Or a scan list
		 * still leads here, then the scan's end does it. */
		if (p->refs || p->alive)
			continue;
		if (p->scan_queued) {
			p->scan_wanted = false;
			pp_table_queue_idle(p);
			return;
		}
		bury(p);
	}
}

/* As if it had ended; a sample or a record of it makes it a new one, where there is room. */
static void forget(struct pp_process *p)
{
	if (p->alive) {
		pp_count(PP_C_processes_forgotten);
		pp_table_exit(p, pp_now_ns());
	}
	p->maps = pp_maps_unref(p->table, p->maps);
}

static bool forget_mappings(struct pp_processes *t, uint32_t user, const struct pp_maps *kept)
{
	const struct pp_maps *largest = NULL;

	for (const struct pp_process *p = t->oldest; p; p = p->newer)
		if (p->maps && p->maps != kept && p->maps->user == user &&
		    (!largest || p->maps->cap > largest->cap))
			largest = p->maps;
	for (struct pp_process *p = t->oldest; largest && p; p = p->newer)
		if (p->maps == largest)
			forget(p);
	return largest;
}

static bool forget_processes(struct pp_processes *t, uint32_t user, const struct pp_maps *kept)
{
	unsigned int n = 0;

	for (struct pp_process *p = t->oldest; p && n < FORGET_AT_ONCE; p = p->newer)
		if (p->alive && p->account == user && (!kept || p->maps != kept)) {
			forget(p);
			n++;
		}
	bury_idle(t, UINT64_MAX);
	return n;
}

bool pp_table_has_room(struct pp_processes *t, uint32_t user, size_t more,
		       const struct pp_maps *kept)
{
	if (pp_processes_bytes(t) + more <= t->config.bytes_max)
		return true;
	bury_idle(t, UINT64_MAX);
	while (pp_processes_bytes(t) + more > t->config.bytes_max) {
		uint32_t yields = pp_holdings_yields(&t->held, user, more);

		if (yields == user ||
		    (!forget_mappings(t, yields, kept) && !forget_processes(t, yields, kept)))
			return false;
	}
	return true;
}

void pp_table_charge(struct pp_process *p, uint32_t user)
{
	struct pp_processes *t = p->table;

	if (p->account == user)
		return;
	pp_holdings_take(&t->held, p->account, sizeof(*p));
	p->account = user;
	(void)pp_holdings_add(&t->held, user, sizeof(*p));
}

/* ---- Birth and end --------------------------------------------------------------------------- */

static int index_life(struct pp_process *p)
{
	struct pp_processes *t = p->table;
	int r = pp_u64map_put_ptr(&t->by_id, p->id, p);

	if (r < 0)
		return r;
	p->prev_life = pp_u64map_get_ptr(&t->by_pid, (uint64_t)p->pid);
	r = pp_u64map_put_ptr(&t->by_pid, (uint64_t)p->pid, p);
	if (r < 0) {
		pp_u64map_del(&t->by_id, p->id);
		return r;
	}
	if (p->prev_life)
		p->prev_life->next_life = p;
	p->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = p;
	t->newest = p;
	return 0;
}

struct pp_process *pp_table_add(struct pp_processes *t, pid_t pid, const struct pp_process *before,
				uint64_t now_ns)
{
	uint32_t user = before ? before->account : USER_UNKNOWN;
	struct pp_process *p;

	if (t->count >= t->config.processes_max)
		bury_idle(t, UINT64_MAX);
	if (pid <= 0 || t->count >= t->config.processes_max ||
	    !pp_table_has_room(t, user, sizeof(*p), before ? before->maps : NULL) ||
	    !(p = calloc(1, sizeof(*p)))) {
		pp_count(PP_C_processes_refused);
		return NULL;
	}
	*p = (struct pp_process){ .id = t->last_id + 1,
				  .table = t,
				  .pid = pid,
				  .start_ticks = PP_TICKS_UNKNOWN,
				  .exec_id = PP_EXEC_ID_UNKNOWN,
				  .born_ns = now_ns,
				  .account = user,
				  .alive = true };
	if (index_life(p) < 0) {
		free(p);
		pp_count(PP_C_processes_refused);
		return NULL;
	}
	t->last_id++;
	t->count++;
	t->bytes += sizeof(*p);
	(void)pp_holdings_add(&t->held, user, sizeof(*p));
	return p;
}

void pp_table_end(struct pp_process *p, uint64_t time_ns)
{
	p->alive = false;
	p->exit_ns = time_ns;
	p->scan_wanted = false;
	if (!p->refs)
		pp_table_queue_idle(p);
}

void pp_table_exit(struct pp_process *p, uint64_t time_ns)
{
	struct pp_processes *t = p->table;

	pp_table_end(p, time_ns);
	if (t->hooks.on_exit)
		t->hooks.on_exit(t->userdata, p);
}

/* ---- Look-ups -------------------------------------------------------------------------------- */

struct pp_process *pp_table_life_at(const struct pp_processes *t, pid_t pid, uint64_t time_ns)
{
	struct pp_process *p = pp_u64map_get_ptr(&t->by_pid, (uint64_t)pid);

	while (p && p->born_ns > time_ns && p->prev_life)
		p = p->prev_life;
	return p;
}

struct pp_process *pp_processes_by_pid(const struct pp_processes *t, pid_t pid)
{
	struct pp_process *p = pp_u64map_get_ptr(&t->by_pid, (uint64_t)pid);

	return p && p->alive ? p : NULL;
}

struct pp_process *pp_processes_by_id(const struct pp_processes *t, uint32_t id)
{
	return pp_u64map_get_ptr(&t->by_id, id);
}

struct pp_process *pp_processes_next(const struct pp_processes *t, const struct pp_process *p)
{
	return p ? p->newer : t->oldest;
}

struct pp_atoms *pp_processes_atoms(struct pp_processes *t)
{
	return &t->atoms;
}

size_t pp_processes_count(const struct pp_processes *t)
{
	return t->count;
}

size_t pp_processes_bytes(const struct pp_processes *t)
{
	return t->bytes + t->atoms.bytes;
}

/* ---- /proc ----------------------------------------------------------------------------------- */

static void list_pid(struct pp_processes *t, pid_t pid, uint64_t now_ns)
{
	struct pp_process *p = pp_processes_by_pid(t, pid);

	if (!p) {
		p = pp_table_add(t, pid, NULL, now_ns);
		if (!p)
			return;
		if (t->hooks.on_new)
			t->hooks.on_new(t->userdata, p);
	}
	p->gone_ns = 0;
	pp_processes_want_scan(t, p);
}

int pp_processes_list(struct pp_processes *t, uint64_t now_ns)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return -errno;
	t->listed_ns = now_ns;
	/* One that is not listed now, and no exit comes for it, has ended without our knowing. */
	for (struct pp_process *p = t->oldest; p; p = p->newer)
		if (p->alive && !p->gone_ns)
			p->gone_ns = now_ns;
	while ((entry = readdir(dir))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (isdigit((unsigned char)entry->d_name[0]) && !*end)
			list_pid(t, (pid_t)pid, now_ns);
	}
	closedir(dir);
	return 0;
}

void pp_table_recover(struct pp_processes *t, uint64_t now_ns)
{
	t->lost = true;
	if (t->listed_ns && now_ns - t->listed_ns < t->list_every_ns)
		return; /* pp_processes_reap does it */
	t->lost = false;
	if (t->listed_ns && now_ns - t->listed_ns < 2 * t->list_every_ns)
		t->list_every_ns = MIN(2 * t->list_every_ns, LIST_RARELY_NS);
	else
		t->list_every_ns = LIST_EVERY_NS;
	for (struct pp_process *p = t->oldest, *next; p; p = next) {
		next = p->newer;
		if (!p->alive)
			continue;
		p->maps_known = false;
		p->nr_threads = 0;
		/* The pid may be another's by now, and nothing would tell. */
		if (p->start_ticks == PP_TICKS_UNKNOWN)
			pp_table_exit(p, now_ns);
	}
	(void)pp_processes_list(t, now_ns);
}

static void check_living(struct pp_processes *t, uint64_t now_ns)
{
	for (struct pp_process *p = t->oldest, *next; p; p = next) {
		next = p->newer;
		if (!p->alive)
			continue;
		if (p->gone_ns && now_ns - p->gone_ns > GONE_AFTER_NS)
			pp_table_exit(p, now_ns);
		else if (p->leader_gone && now_ns - p->scan_started_ns > ASK_EVERY_NS)
			pp_processes_want_scan(t, p);
	}
}

void pp_processes_reap(struct pp_processes *t, uint64_t now_ns)
{
	if (t->lost)
		pp_table_recover(t, now_ns);
	if (now_ns - t->checked_ns >= CHECK_EVERY_NS) {
		t->checked_ns = now_ns;
		check_living(t, now_ns);
	}
	if (now_ns > t->config.grace_ns)
		bury_idle(t, now_ns - t->config.grace_ns);
}
