/* SPDX-License-Identifier: GPL-2.0-only */
/* The sliding window over a Watch stream. */
#include "watch.h"

#include "base/array.h"

#include <string.h>

/* A node as the stream has it, and as the profile has it if local is of the current generation. */
struct node {
	uint32_t parent; /* index, 0: none */
	uint32_t frame;	 /* index */
	uint32_t local, generation;
};

/* A set of attributes as the stream has it: its task is a frame, which may get its name later. */
struct set {
	struct pp_attributes attributes; /* but the task's */
	uint32_t task;			 /* index of a frame + 1; 0: none */
	uint32_t local, generation;	 /* as a node's */
};

struct count {
	uint32_t process; /* of the profile */
	uint32_t node;	  /* index */
	uint32_t set;	  /* index */
	uint32_t note;	  /* of the profile */
	uint64_t samples, cpu_ns;
};

struct tick {
	uint64_t start_ns, end_ns, lost;
	struct count *counts;
	size_t nr;
};

struct pp_watch {
	struct pp_profile *profile;
	uint64_t window_ns, hidden;
	uint32_t *frames; /* by index: the profile's frame */
	size_t nr_frames, frames_cap;
	struct node *nodes; /* 0 is none */
	size_t nr_nodes, nodes_cap;
	struct set *sets; /* 0 is none */
	size_t nr_sets, sets_cap;
	struct pp_u64map frame_ids, node_ids, set_ids; /* the stream's numbers to indices */
	/* Rises when a frame changes its name: nodes and sets are then made anew. */
	uint32_t generation;
	struct tick *ticks; /* oldest first */
	size_t nr_ticks, ticks_cap;
};

int pp_watch_new(struct pp_watch **ret, uint64_t window_ns)
{
	_cleanup_(pp_watch_freep) struct pp_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->window_ns = window_ns;
	w->generation = 1;
	r = pp_profile_new(&w->profile);
	if (r >= 0)
		r = pp_array_grow(&w->nodes, &w->nodes_cap, 1, sizeof(*w->nodes), 1);
	if (r < 0)
		return r;
	w->nodes[w->nr_nodes++] = (struct node){ 0 };
	r = pp_array_grow(&w->sets, &w->sets_cap, 1, sizeof(*w->sets), 1);
	if (r < 0)
		return r;
	w->sets[w->nr_sets++] = (struct set){ 0 };
	*ret = TAKE_PTR(w);
	return 0;
}

struct pp_watch *pp_watch_free(struct pp_watch *w)
{
	if (!w)
		return NULL;
	pp_profile_free(w->profile);
	for (size_t i = 0; i < w->nr_ticks; i++)
		free(w->ticks[i].counts);
	free(w->ticks);
	free(w->frames);
	free(w->nodes);
	free(w->sets);
	pp_u64map_done(&w->frame_ids);
	pp_u64map_done(&w->node_ids);
	pp_u64map_done(&w->set_ids);
	free(w);
	return NULL;
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

static int text(struct pp_watch *w, const json_t *o, const char *key, uint32_t *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = 0;
	if (!json_is_string(v))
		return 0;
	return pp_profile_add_text(w->profile, json_string_value(v), json_string_length(v), ret);
}

static enum pp_kind kind_of(const json_t *o)
{
	static const char *const kinds[] = { [PP_KIND_NATIVE] = "native",
					     [PP_KIND_PYTHON] = "python",
					     [PP_KIND_KERNEL] = "kernel",
					     [PP_KIND_JIT] = "jit" };
	const char *kind = json_string_value(json_object_get(o, "kind"));

	for (size_t i = 0; kind && i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			return (enum pp_kind)i;
	return PP_KIND_UNKNOWN;
}

static int feed_frame(struct pp_watch *w, const json_t *o)
{
	struct pp_frame frame = { .kind = kind_of(o) };
	uint64_t id = number(o, "id"), line = number(o, "line"), i;
	uint32_t local;
	int r;

	r = text(w, o, "name", &frame.name);
	if (r >= 0)
		r = text(w, o, "file", &frame.file);
	if (r >= 0)
		r = text(w, o, "module", &frame.module);
	if (frame.kind == PP_KIND_PYTHON && line <= INT32_MAX)
		frame.line = (uint32_t)line;
	if (r >= 0)
		r = pp_profile_add_frame(w->profile, &frame, &local);
	if (r < 0)
		return r;
	if (pp_u64map_get(&w->frame_ids, id, &i)) {
		if (w->frames[i] != local)
			w->generation++;
		w->frames[i] = local;
		return 0;
	}
	r = pp_array_grow(&w->frames, &w->frames_cap, w->nr_frames + 1, sizeof(*w->frames),
			  PP_PROFILE_FRAMES_MAX);
	if (r >= 0)
		r = pp_u64map_put(&w->frame_ids, id, w->nr_frames);
	if (r >= 0)
		w->frames[w->nr_frames++] = local;
	return r;
}

static int feed_node(struct pp_watch *w, const json_t *o)
{
	uint64_t id = number(o, "id"), parent = 0, frame, i;
	int r;

	if (number(o, "parent") && !pp_u64map_get(&w->node_ids, number(o, "parent"), &parent))
		return -EBADMSG;
	if (!id || !pp_u64map_get(&w->frame_ids, number(o, "frame"), &frame))
		return -EBADMSG;
	/* A parent is older than its children, so there are no circles. */
	if (pp_u64map_get(&w->node_ids, id, &i))
		return 0;
	r = pp_array_grow(&w->nodes, &w->nodes_cap, w->nr_nodes + 1, sizeof(*w->nodes),
			  PP_PROFILE_NODES_MAX);
	if (r >= 0)
		r = pp_u64map_put(&w->node_ids, id, w->nr_nodes);
	if (r >= 0)
		w->nodes[w->nr_nodes++] =
			(struct node){ .parent = (uint32_t)parent, .frame = (uint32_t)frame };
	return r;
}

static int feed_set(struct pp_watch *w, const json_t *o)
{
	static const enum pp_attribute texts[] = { PP_ATTRIBUTE_GIL, PP_ATTRIBUTE_GC,
						   PP_ATTRIBUTE_THREAD };
	uint64_t id = number(o, "id"), task = number(o, "task"), i;
	struct set set = { 0 };
	int r = 0;

	if (!id || (task && !pp_u64map_get(&w->frame_ids, task, &i)))
		return -EBADMSG;
	if (task)
		set.task = (uint32_t)i + 1;
	for (size_t t = 0; t < ARRAY_SIZE(texts) && r >= 0; t++)
		r = text(w, o, pp_attribute_name(texts[t]), &set.attributes.texts[texts[t]]);
	if (r < 0 || pp_u64map_get(&w->set_ids, id, &i))
		return r;
	r = pp_array_grow(&w->sets, &w->sets_cap, w->nr_sets + 1, sizeof(*w->sets),
			  PP_PROFILE_SETS_MAX);
	if (r >= 0)
		r = pp_u64map_put(&w->set_ids, id, w->nr_sets);
	if (r >= 0)
		w->sets[w->nr_sets++] = set;
	return r;
}

static int feed_process(struct pp_watch *w, const json_t *o)
{
	struct pp_process process = {
		.id = (int64_t)number(o, "id"),
		.pid = (int64_t)number(o, "pid"),
	};
	uint32_t index;
	int r;

	r = text(w, o, "comm", &process.comm);
	if (r >= 0)
		r = text(w, o, "unit", &process.unit);
	if (r >= 0)
		r = text(w, o, "slice", &process.slice);
	if (r >= 0)
		r = text(w, o, "container", &process.container);
	if (r >= 0)
		r = text(w, o, "pod", &process.pod);
	return r < 0 ? r : pp_profile_add_process(w->profile, &process, &index);
}

static int feed_count(struct pp_watch *w, const json_t *o, struct count *c)
{
	const json_t *truncated = json_object_get(o, "truncated");
	struct pp_process unknown = { .id = (int64_t)number(o, "process") };
	uint64_t node = 0, set = 0;
	uint32_t process;
	int r = 0;

	if (number(o, "attributes") && !pp_u64map_get(&w->set_ids, number(o, "attributes"), &set))
		return -EBADMSG;
	if (number(o, "node") && !pp_u64map_get(&w->node_ids, number(o, "node"), &node))
		return -EBADMSG;
	/* A process that was never described still counts. */
	if (!pp_profile_find_process(w->profile, unknown.id, &process))
		r = pp_profile_add_process(w->profile, &unknown, &process);
	if (r < 0)
		return r;
	*c = (struct count){
		.process = process,
		.node = (uint32_t)node,
		.set = (uint32_t)set,
		.samples = number(o, "samples"),
		.cpu_ns = number(o, "cpu_ns"),
	};
	if (json_is_string(truncated))
		r = pp_profile_add_truncated(w->profile, json_string_value(truncated),
					     json_string_length(truncated), &c->note);
	return r;
}

static int feed_list(struct pp_watch *w, const json_t *parameters, const char *key,
		     int (*feed)(struct pp_watch *w, const json_t *o))
{
	const json_t *o;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(parameters, key), i, o)
		if ((r = feed(w, o)) < 0)
			break;
	return r;
}

/* Drops the ticks that end before the window begins. */
static void expire(struct pp_watch *w, uint64_t now_ns)
{
	size_t n = 0;

	while (n < w->nr_ticks && (w->ticks[n].end_ns + w->window_ns <= now_ns ||
				   w->nr_ticks - n > PP_WATCH_TICKS_MAX))
		free(w->ticks[n++].counts);
	w->nr_ticks -= n;
	if (n)
		memmove(w->ticks, w->ticks + n, w->nr_ticks * sizeof(*w->ticks));
}

static int feed_tick(struct pp_watch *w, const json_t *parameters)
{
	const json_t *counts = json_object_get(parameters, "counts"), *o;
	_cleanup_free_ struct count *list = NULL;
	size_t i;
	int r;

	list = calloc(json_array_size(counts) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	json_array_foreach (counts, i, o) {
		r = feed_count(w, o, &list[i]);
		if (r < 0)
			return r;
	}
	r = pp_array_grow(&w->ticks, &w->ticks_cap, w->nr_ticks + 1, sizeof(*w->ticks),
			  PP_WATCH_TICKS_MAX + 1);
	if (r < 0)
		return r;
	w->ticks[w->nr_ticks++] = (struct tick){
		.start_ns = number(parameters, "start_ns"),
		.end_ns = number(parameters, "end_ns"),
		.lost = number(parameters, "lost"),
		.counts = TAKE_PTR(list),
		.nr = json_array_size(counts),
	};
	expire(w, number(parameters, "end_ns"));
	return 0;
}

int pp_watch_feed(struct pp_watch *w, const json_t *parameters)
{
	int r;

	r = feed_list(w, parameters, "frames", feed_frame);
	if (r >= 0)
		r = feed_list(w, parameters, "nodes", feed_node);
	if (r >= 0)
		r = feed_list(w, parameters, "attributes", feed_set);
	if (r >= 0)
		r = feed_list(w, parameters, "processes", feed_process);
	w->hidden = number(parameters, "hidden");
	return r < 0 ? r : feed_tick(w, parameters);
}

bool pp_watch_full(const struct pp_watch *w)
{
	return w->nr_nodes >= PP_WATCH_NODES_MAX || w->profile->nr_nodes >= PP_WATCH_NODES_MAX;
}

/* The profile's node for a node of the stream: its callers' first, from the root down. */
static int resolve(struct pp_watch *w, uint32_t n, uint32_t *ret)
{
	_cleanup_free_ uint32_t *path = NULL;
	size_t nr = 0, cap = 0;
	uint32_t local = 0;
	int r;

	for (; n; n = w->nodes[n].parent) {
		if (w->nodes[n].generation == w->generation) {
			local = w->nodes[n].local;
			break;
		}
		r = pp_array_grow(&path, &cap, nr + 1, sizeof(*path), PP_PROFILE_NODES_MAX);
		if (r < 0)
			return r;
		path[nr++] = n;
	}
	while (nr--) {
		struct node *node = &w->nodes[path[nr]];

		r = pp_profile_add_node(w->profile, local, w->frames[node->frame], &local);
		if (r < 0)
			return r;
		node->local = local;
		node->generation = w->generation;
	}
	*ret = local;
	return 0;
}

/* The profile's attributes for a set of the stream. */
static int resolve_set(struct pp_watch *w, uint32_t index, uint32_t *ret)
{
	struct set *set = &w->sets[index];
	struct pp_attributes a = set->attributes;
	int r = 0;

	if (set->generation != w->generation) {
		if (set->task)
			a.texts[PP_ATTRIBUTE_TASK] =
				w->profile->frames[w->frames[set->task - 1]].name;
		r = pp_profile_add_attributes(w->profile, &a, &set->local);
		set->generation = w->generation;
	}
	*ret = set->local;
	return r;
}

int pp_watch_profile(struct pp_watch *w, const struct pp_profile **ret,
		     struct pp_watch_figures *figures)
{
	*figures = (struct pp_watch_figures){ .hidden = w->hidden };
	pp_profile_clear_entries(w->profile);
	for (size_t i = 0; i < w->nr_ticks; i++) {
		const struct tick *t = &w->ticks[i];

		if (t->end_ns > t->start_ns)
			figures->span_ns += t->end_ns - t->start_ns;
		figures->lost += t->lost;
		for (size_t k = 0; k < t->nr; k++) {
			const struct count *c = &t->counts[k];
			struct pp_entry e = { .process = c->process,
					      .note = c->note,
					      .samples = c->samples,
					      .cpu_ns = c->cpu_ns };
			int r;

			r = resolve(w, c->node, &e.node);
			if (r >= 0)
				r = resolve_set(w, c->set, &e.attributes);
			if (r >= 0)
				r = pp_profile_add_entry(w->profile, &e);
			if (r < 0)
				return r;
		}
	}
	*ret = w->profile;
	return 0;
}
