/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows follow one another without gaps; an empty one costs its header. Only the open window has
 * an index and a set of the lives it mentions; closing it leaves exact arrays.
 */
#include "profile.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/u64map.h"
#include "end.h"
#include "ids.h"

/* Entries marked in one go, each with its stack at the most. */
#define MARK_ENTRIES 256

struct pp_profile {
	struct pp_profile_config config;
	struct pp_store *store;
	struct pp_holder holder;
	struct pp_tap *taps;
	struct pp_window **windows; /* config.windows_max + 1; the last is open */
	size_t nr_windows;
	size_t nr_entries;	    /* over all windows */
	struct pp_u64map mentioned; /* by the open window */
};

static struct pp_window *open_window(struct pp_profile *p)
{
	return p->windows[p->nr_windows - 1];
}

static int64_t wall_offset(void)
{
	return (int64_t)(pp_wall_ns() - pp_now_ns());
}

static struct pp_window *window_new(uint64_t start_ns)
{
	struct pp_window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->start_ns = w->end_ns = start_ns;
	w->wall_offset_ns = wall_offset();
	return w;
}

static struct pp_window *window_free(struct pp_profile *p, struct pp_window *w)
{
	p->nr_entries -= w->counts.nr;
	if (p->config.unref)
		for (size_t i = 0; i < w->nr_processes; i++)
			p->config.unref(p->config.userdata, w->processes[i]);
	pp_counts_done(&w->counts);
	free(w->processes);
	free(w);
	return NULL;
}

/* Windows are known by their start, as the oldest may expire meanwhile; their entries never move.
 */
static bool mark(void *userdata, struct pp_store *store, struct pp_mark *at)
{
	const struct pp_profile *p = userdata;
	const struct pp_counts *c;
	size_t i = 0, end;

	while (i < p->nr_windows && p->windows[i]->start_ns < at->window)
		i++;
	if (i == p->nr_windows)
		return false;
	if (p->windows[i]->start_ns > at->window)
		*at = (struct pp_mark){ .window = p->windows[i]->start_ns };
	c = &p->windows[i]->counts;
	end = MIN(at->entry + MARK_ENTRIES, (uint64_t)c->nr);
	for (; at->entry < end; at->entry++) {
		pp_stacks_mark(store->stacks, c->entries[at->entry].node);
		pp_stacks_mark(store->stacks, c->entries[at->entry].attributes);
	}
	if (at->entry < c->nr)
		return true;
	*at = (struct pp_mark){ .window = at->window + 1 };
	return i + 1 < p->nr_windows;
}

int pp_profile_new(struct pp_profile **ret, struct pp_store *store, uint64_t start_ns,
		   const struct pp_profile_config *config)
{
	struct pp_profile *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->config = *config;
	if (!p->config.window_ns)
		p->config.windows_max = 0;
	p->store = store;
	p->windows = calloc((size_t)p->config.windows_max + 1, sizeof(*p->windows));
	if (!p->windows) {
		free(p);
		return -ENOMEM;
	}
	p->windows[0] = window_new(start_ns);
	if (!p->windows[0]) {
		free(p->windows);
		free(p);
		return -ENOMEM;
	}
	p->nr_windows = 1;
	p->holder = (struct pp_holder){ .mark = mark, .userdata = p };
	pp_store_hold(store, &p->holder);
	*ret = p;
	return 0;
}

struct pp_profile *pp_profile_free(struct pp_profile *p)
{
	struct pp_tap *tap;

	if (!p)
		return NULL;
	while ((tap = p->taps)) {
		p->taps = tap->next;
		tap->gone(tap->userdata);
	}
	pp_store_drop(p->store, &p->holder);
	for (size_t i = 0; i < p->nr_windows; i++)
		window_free(p, p->windows[i]);
	pp_u64map_done(&p->mentioned);
	free(p->windows);
	free(p);
	return NULL;
}

static void close_window(struct pp_profile *p)
{
	struct pp_window *w = open_window(p);

	w->end_ns = w->start_ns + p->config.window_ns;
	pp_counts_close(&w->counts);
	pp_array_trim((void **)&w->processes, sizeof(*w->processes), &w->processes_cap,
		      w->nr_processes);
	pp_u64map_clear(&p->mentioned);
}

static void expire_oldest(struct pp_profile *p)
{
	window_free(p, p->windows[0]);
	p->nr_windows--;
	for (size_t i = 0; i < p->nr_windows; i++)
		p->windows[i] = p->windows[i + 1];
}

static void rotate(struct pp_profile *p, uint64_t now_ns)
{
	uint64_t window_ns = p->config.window_ns, horizon, gap;
	struct pp_window *next;

	if (!window_ns)
		return;
	while (now_ns >= open_window(p)->start_ns + window_ns) {
		/* After a long silence nothing that is held reaches back far enough: skip what
		 * would be made only to expire. */
		horizon = (p->config.windows_max + 1) * window_ns;
		gap = now_ns - open_window(p)->start_ns;
		gap = gap > horizon ? (gap - horizon) / window_ns : 0;
		next = window_new(open_window(p)->start_ns + (gap + 1) * window_ns);
		if (!next) {
			pp_count(PP_C_windows_late);
			return;
		}
		close_window(p);
		if (p->nr_windows > p->config.windows_max)
			expire_oldest(p);
		p->windows[p->nr_windows++] = next;
	}
}

void pp_profile_advance(struct pp_profile *p, uint64_t now_ns)
{
	struct pp_window *w;

	rotate(p, now_ns);
	w = open_window(p);
	w->end_ns = MAX(w->end_ns, now_ns);
}

void pp_profile_lost(struct pp_profile *p, uint64_t n)
{
	open_window(p)->lost += n;
	for (struct pp_tap *tap = p->taps; tap; tap = tap->next)
		tap->lost(tap->userdata, n);
}

/* Has the open window hold the life known. */
static int mention(struct pp_profile *p, uint64_t process)
{
	struct pp_window *w = open_window(p);
	uint64_t unused;
	int r;

	if (pp_u64map_get(&p->mentioned, process, &unused))
		return 0;
	r = pp_array_reserve((void **)&w->processes, sizeof(*w->processes), &w->processes_cap,
			     w->nr_processes);
	if (r < 0)
		return r;
	r = pp_u64map_put(&p->mentioned, process, 1);
	if (r < 0)
		return r;
	w->processes[w->nr_processes++] = process;
	if (p->config.ref)
		p->config.ref(p->config.userdata, process);
	return 0;
}

/* When the profile is full, the present matters more than the past. */
static int count(struct pp_profile *p, uint32_t process, uint32_t node, uint32_t attributes,
		 enum pp_end end, uint64_t cpu_ns)
{
	struct pp_counts *c = &open_window(p)->counts;
	int r;

	for (;;) {
		size_t room = p->config.entries_max - p->nr_entries;

		r = pp_counts_add(c, process, node, attributes, end, cpu_ns, c->nr + room);
		if (r != -ENOSPC || p->nr_windows == 1)
			return r;
		pp_count(PP_C_windows_expired_early);
		expire_oldest(p);
	}
}

int pp_profile_add(struct pp_profile *p, uint64_t time_ns, uint32_t process, uint32_t node,
		   uint32_t attributes, enum pp_end end, uint64_t cpu_ns)
{
	struct pp_window *w;
	int r;

	pp_profile_advance(p, time_ns);
	w = open_window(p);
	r = mention(p, process);
	if (r >= 0)
		r = count(p, process, node, attributes, end, cpu_ns);
	if (r < 0) {
		pp_count(PP_C_profile_refused);
		pp_profile_lost(p, 1);
		return r;
	}
	p->nr_entries += (size_t)r;
	w->samples++;
	w->complete += pp_end_complete(end);
	w->cpu_ns += cpu_ns;
	for (struct pp_tap *tap = p->taps; tap; tap = tap->next)
		tap->sample(tap->userdata, process, node, attributes, end, cpu_ns);
	return 0;
}

size_t pp_profile_windows(const struct pp_profile *p)
{
	return p->nr_windows;
}

const struct pp_window *pp_profile_window(const struct pp_profile *p, size_t i)
{
	return p->windows[i];
}

void pp_profile_tap(struct pp_profile *p, struct pp_tap *tap)
{
	tap->next = p->taps;
	p->taps = tap;
}

void pp_profile_untap(struct pp_profile *p, struct pp_tap *tap)
{
	for (struct pp_tap **at = &p->taps; *at; at = &(*at)->next) {
		if (*at != tap)
			continue;
		*at = tap->next;
		tap->next = NULL;
		return;
	}
}

struct pp_store *pp_profile_store(const struct pp_profile *p)
{
	return p->store;
}

size_t pp_profile_bytes(const struct pp_profile *p)
{
	size_t bytes = sizeof(*p) + p->mentioned.cap * (sizeof(struct pp_u64map_slot) + 1) +
		       ((size_t)p->config.windows_max + 1) * sizeof(*p->windows);

	for (size_t i = 0; i < p->nr_windows; i++)
		bytes += sizeof(struct pp_window) + pp_counts_bytes(&p->windows[i]->counts) +
			 p->windows[i]->processes_cap * sizeof(uint64_t);
	return bytes;
}
