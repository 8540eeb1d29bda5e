/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A delta listens to its profile and counts on its own between takes, by the store's numbers. A
 * take translates them: `nodes` and `frames` hold the stream's number for each of the store's that
 * was told. (A set of attributes is a node of the store's, too.) When the store collects, the dead
 * ones' entries are forgotten, since their numbers may come back with another meaning; the stream's
 * own numbers just go on.
 */
#include "delta.h"

#include "base/counters.h"
#include "base/u64map.h"
#include "ids.h"

/* A told frame without its name. */
struct unnamed {
	uint32_t frame, id; /* the store's, the stream's */
	bool noted;	    /* as it was told */
};

/* By the store's numbers: the stream's number, 0: not told. */
struct told {
	uint32_t *ids;
	uint32_t cap;
};

struct pp_delta {
	struct pp_profile *profile; /* NULL: gone */
	struct pp_tap tap;
	struct pp_holder holder;
	uint64_t start_wall_ns;
	struct pp_counts counts;
	uint64_t lost;
	struct told nodes, frames;
	uint32_t last_node, last_frame;
	struct unnamed *unnamed;
	uint32_t nr_unnamed, unnamed_cap;
	struct pp_u64map seen; /* processes of earlier takes */

	/* What a take gives out. */
	struct pp_delta_frame *out_frames;
	struct pp_delta_node *out_nodes;
	struct pp_delta_attributes *out_attributes;
	struct pp_delta_count *out_counts;
	struct pp_delta_process *out_processes;
	uint32_t nr_frames, nr_nodes, nr_attributes, nr_counts, nr_processes;
	uint32_t frames_cap, nodes_cap, attributes_cap, counts_cap, processes_cap;
};

/* Remembering which processes were told only saves telling them again: over this, start afresh. */
#define SEEN_MAX (1U << 14)

/* One turn of translation. */
struct take {
	struct pp_delta *d;
	struct pp_store *store;
	const struct pp_query *query;
	struct pp_u64map verdicts; /* process → enum pp_want */
	uint64_t hidden;
};

/* Appends one element; the arrays are the delta's own. */
#define PUSH(d, what, ...)                                                                     \
	({                                                                                     \
		int _r = pp_array_reserve((void **)&(d)->out_##what, sizeof(*(d)->out_##what), \
					  &(d)->what##_cap, (d)->nr_##what);                   \
		if (_r >= 0)                                                                   \
			(d)->out_##what[(d)->nr_##what++] =                                    \
				(__typeof__(*(d)->out_##what))__VA_ARGS__;                     \
		_r;                                                                            \
	})

static uint64_t to_wall(const struct pp_profile *p, uint64_t ns)
{
	const struct pp_window *open = pp_profile_window(p, pp_profile_windows(p) - 1);

	return ns + (uint64_t)open->wall_offset_ns;
}

static void on_sample(void *userdata, uint32_t process, uint32_t node, uint32_t attributes,
		      enum pp_end end, uint64_t cpu_ns)
{
	struct pp_delta *d = userdata;

	if (pp_counts_add(&d->counts, process, node, attributes, end, cpu_ns,
			  PP_DELTA_ENTRIES_MAX) >= 0)
		return;
	d->lost++;
	pp_count(PP_C_delta_refused);
}

static void on_lost(void *userdata, uint64_t n)
{
	struct pp_delta *d = userdata;

	d->lost += n;
}

static void on_gone(void *userdata)
{
	struct pp_delta *d = userdata;

	pp_store_drop(pp_profile_store(d->profile), &d->holder);
	d->profile = NULL;
}

/* In one go: a delta is short, and is emptied all the time. */
static bool mark(void *userdata, struct pp_store *store, struct pp_mark *at _unused_)
{
	const struct pp_delta *d = userdata;

	for (uint32_t i = 0; i < d->counts.nr; i++) {
		pp_stacks_mark(store->stacks, d->counts.entries[i].node);
		pp_stacks_mark(store->stacks, d->counts.entries[i].attributes);
	}
	for (uint32_t i = 0; i < d->nr_unnamed; i++)
		pp_frames_mark(store->frames, d->unnamed[i].frame);
	for (uint32_t i = 0; i < d->nr_frames; i++)
		pp_frames_mark(store->frames, d->out_frames[i].frame);
	return false;
}

static void swept(void *userdata, struct pp_store *store)
{
	struct pp_delta *d = userdata;

	for (uint32_t i = 0; i < d->nodes.cap; i++)
		if (d->nodes.ids[i] && !pp_stacks_is_live(store->stacks, i))
			d->nodes.ids[i] = 0;
	for (uint32_t i = 0; i < d->frames.cap; i++)
		if (d->frames.ids[i] && !pp_frames_is_live(store->frames, i))
			d->frames.ids[i] = 0;
	/* They are swept last. */
	for (uint32_t i = 0; i < d->nr_attributes; i++)
		pp_strings_mark(store->strings, d->out_attributes[i].thread);
}

int pp_delta_new(struct pp_delta **ret, struct pp_profile *profile, uint64_t now_ns)
{
	struct pp_delta *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->profile = profile;
	d->start_wall_ns = to_wall(profile, now_ns);
	d->seen.max = SEEN_MAX;
	d->tap = (struct pp_tap){ on_sample, on_lost, on_gone, d, NULL };
	d->holder = (struct pp_holder){ mark, swept, d, NULL };
	pp_profile_tap(profile, &d->tap);
	pp_store_hold(pp_profile_store(profile), &d->holder);
	*ret = d;
	return 0;
}

struct pp_delta *pp_delta_free(struct pp_delta *d)
{
	if (!d)
		return NULL;
	if (d->profile) {
		pp_profile_untap(d->profile, &d->tap);
		pp_store_drop(pp_profile_store(d->profile), &d->holder);
	}
	pp_counts_done(&d->counts);
	free(d->nodes.ids);
	free(d->frames.ids);
	free(d->unnamed);
	pp_u64map_done(&d->seen);
	free(d->out_frames);
	free(d->out_nodes);
	free(d->out_attributes);
	free(d->out_counts);
	free(d->out_processes);
	free(d);
	return NULL;
}

static int told_reserve(struct told *t, uint32_t id)
{
	uint32_t before = t->cap;
	int r = pp_array_reserve((void **)&t->ids, sizeof(*t->ids), &t->cap, id);

	for (uint32_t i = before; r >= 0 && i < t->cap; i++)
		t->ids[i] = 0;
	return r;
}

/* The stream's number of a frame as the caller may see it, told now if need be. */
static int tell_frame(struct take *t, uint32_t frame, uint32_t *ret)
{
	struct pp_delta *d = t->d;
	int r;

	r = told_reserve(&d->frames, frame);
	if (r < 0)
		return r;
	*ret = d->frames.ids[frame];
	if (*ret)
		return 0;
	if (d->last_frame == UINT32_MAX)
		return -ENOSPC;
	if (pp_frames_is_pending(t->store->frames, frame)) {
		r = pp_array_reserve((void **)&d->unnamed, sizeof(*d->unnamed), &d->unnamed_cap,
				     d->nr_unnamed);
		if (r < 0)
			return r;
		d->unnamed[d->nr_unnamed++] =
			(struct unnamed){ frame, d->last_frame + 1,
					  pp_frames_describe(t->store->frames, frame)->file };
	}
	*ret = d->frames.ids[frame] = ++d->last_frame;
	return PUSH(d, frames, { .id = *ret, .frame = frame });
}

/* Frames that have got their names since they were told. */
static int retell_frames(struct take *t)
{
	struct pp_delta *d = t->d;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->nr_unnamed; i++) {
		struct unnamed u = d->unnamed[i];
		int r;

		if (pp_frames_is_pending(t->store->frames, u.frame)) {
			bool noted = pp_frames_describe(t->store->frames, u.frame)->file;

			if (noted && !u.noted) {
				r = PUSH(d, frames, { .id = u.id, .frame = u.frame });
				if (r < 0)
					return r;
				u.noted = true;
			}
			d->unnamed[kept++] = u;
			continue;
		}
		u.frame = pp_frame_shown(t->store, u.frame, t->query->kernel);
		r = PUSH(d, frames, { .id = u.id, .frame = u.frame });
		if (r < 0)
			return r;
	}
	d->nr_unnamed = kept;
	return 0;
}

static bool is_kernel(struct take *t, uint32_t node)
{
	uint32_t frame = pp_stacks_node(t->store->stacks, node).frame;

	return node && pp_frames_describe(t->store->frames, frame)->kind == PP_KIND_KERNEL;
}

/* The stream's number of a node whose parent has the number `parent`. */
static int tell_node(struct take *t, uint32_t node, uint32_t parent, uint32_t *ret)
{
	struct pp_node n = pp_stacks_node(t->store->stacks, node);
	struct pp_delta *d = t->d;
	uint32_t frame;
	int r;

	if (pp_frames_final(t->store->frames, n.frame) == PP_FRAME_SHIM && parent) {
		*ret = d->nodes.ids[node] = parent;
		return 0;
	}
	if (t->query->kernel == PP_KERNEL_HIDDEN && is_kernel(t, node) && is_kernel(t, n.parent)) {
		*ret = d->nodes.ids[node] = parent;
		return 0;
	}
	r = tell_frame(t, pp_frame_shown(t->store, n.frame, t->query->kernel), &frame);
	if (r < 0)
		return r;
	if (d->last_node == UINT32_MAX)
		return -ENOSPC;
	*ret = d->nodes.ids[node] = ++d->last_node;
	return PUSH(d, nodes, { .id = *ret, .parent = parent, .frame = frame });
}

static int tell_stack(struct take *t, uint32_t node, uint32_t *ret)
{
	uint32_t path[PP_STACK_FRAMES_MAX], number = 0;
	size_t nr = 0;
	int r;

	/* Parents are not always below their children: room for every node there is. */
	r = told_reserve(&t->d->nodes, pp_stacks_bound(t->store->stacks));
	for (uint32_t n = node; n && r >= 0; n = pp_stacks_node(t->store->stacks, n).parent) {
		number = t->d->nodes.ids[n];
		if (number)
			break;
		if (nr == ARRAY_SIZE(path))
			return -ENOSPC;
		path[nr++] = n;
	}
	while (nr-- && r >= 0)
		r = tell_node(t, path[nr], number, &number);
	*ret = number;
	return r;
}

/* The stream's number of a set of attributes. */
static int tell_attributes(struct take *t, uint32_t attributes, const struct pp_attributes *a,
			   uint32_t *ret)
{
	struct pp_delta *d = t->d;
	uint32_t task = 0;
	int r;

	r = told_reserve(&d->nodes, pp_stacks_bound(t->store->stacks));
	if (r < 0)
		return r;
	*ret = d->nodes.ids[attributes];
	if (*ret || attributes == PP_ATTRIBUTES_NONE)
		return 0;
	if (a->task != PP_FRAME_UNKNOWN)
		r = tell_frame(t, a->task, &task);
	if (r < 0)
		return r;
	if (d->last_node == UINT32_MAX)
		return -ENOSPC;
	*ret = d->nodes.ids[attributes] = ++d->last_node;
	return PUSH(d, attributes,
		    { .id = *ret, .gil = a->gil, .gc = a->gc, .thread = a->thread, .task = task });
}

static int tell_process(struct take *t, uint64_t process)
{
	struct pp_delta *d = t->d;
	uint64_t unused;
	bool first = !pp_u64map_get(&d->seen, process, &unused);
	int r = 0;

	if (first) {
		r = pp_u64map_put(&d->seen, process, 1);
		if (r == -ENOSPC) {
			pp_u64map_clear(&d->seen);
			r = pp_u64map_put(&d->seen, process, 1);
		}
	}
	return r < 0 ? r : PUSH(d, processes, { .id = process, .first = first });
}

static int verdict(struct take *t, uint64_t process, enum pp_want *ret)
{
	uint64_t known;
	int r;

	if (pp_u64map_get(&t->verdicts, process, &known)) {
		*ret = (enum pp_want)known;
		return 0;
	}
	*ret = t->query->want ? t->query->want(t->query->userdata, process) : PP_WANT_YES;
	r = pp_u64map_put(&t->verdicts, process, *ret);
	if (r < 0)
		return r;
	t->hidden += *ret == PP_WANT_HIDDEN;
	return *ret == PP_WANT_YES ? tell_process(t, process) : 0;
}

static int tell_entry(struct take *t, const struct pp_entry *e)
{
	struct pp_attributes a = pp_attributes_read(t->store, t->store->stacks, e->attributes);
	uint32_t node, attributes;
	enum pp_want want;
	int r;

	r = verdict(t, e->process, &want);
	if (r < 0 || want != PP_WANT_YES)
		return r;
	if (t->query->fits && !t->query->fits(t->query->userdata, t->store, &a))
		return 0;
	r = tell_attributes(t, e->attributes, &a, &attributes);
	if (r >= 0)
		r = tell_stack(t, e->node, &node);
	if (r < 0)
		return r;
	return PUSH(t->d, counts,
		    { .process = e->process,
		      .node = node,
		      .attributes = attributes,
		      .end = e->end,
		      .samples = e->samples,
		      .cpu_ns = e->cpu_ns });
}

static void take_done(struct take *t)
{
	pp_u64map_done(&t->verdicts);
}

static int translate(struct pp_delta *d, const struct pp_query *query, uint64_t *ret_hidden)
{
	_cleanup_(take_done) struct take t = { .d = d, .query = query };
	int r;

	t.store = pp_profile_store(d->profile);
	r = retell_frames(&t);
	for (uint32_t i = 0; i < d->counts.nr && r >= 0; i++)
		r = tell_entry(&t, &d->counts.entries[i]);
	*ret_hidden = t.hidden;
	return r;
}

int pp_delta_take(struct pp_delta *d, uint64_t now_ns, const struct pp_query *query,
		  struct pp_delta_take *ret)
{
	uint64_t end_wall_ns = d->start_wall_ns, hidden = 0;
	int r;

	d->nr_frames = d->nr_nodes = d->nr_attributes = 0;
	d->nr_counts = d->nr_processes = 0;
	if (d->profile) {
		r = translate(d, query, &hidden);
		if (r < 0)
			return r;
		end_wall_ns = to_wall(d->profile, now_ns);
	}
	*ret = (struct pp_delta_take){
		.start_wall_ns = d->start_wall_ns,
		.end_wall_ns = end_wall_ns,
		.frames = d->out_frames,
		.nodes = d->out_nodes,
		.attributes = d->out_attributes,
		.counts = d->out_counts,
		.processes = d->out_processes,
		.nr_frames = d->nr_frames,
		.nr_nodes = d->nr_nodes,
		.nr_attributes = d->nr_attributes,
		.nr_counts = d->nr_counts,
		.nr_processes = d->nr_processes,
		.lost = d->lost,
		.hidden = hidden,
	};
	pp_counts_clear(&d->counts);
	d->lost = 0;
	d->start_wall_ns = end_wall_ns;
	return 0;
}
