/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Watch: a stream of deltas. Where the caller has not taken the last one yet, a turn is left out
 * and the counts stay for the next, so a slow reader costs no memory and its sum stays right.
 *
 * Names may be long and stacks deep, so one delta may be more than a message, or a turn of the
 * loop, should hold. It goes out in parts then: frames, then nodes, and what refers to them, the
 * counts, last. Parts before the last cover no time.
 */
#include "api/internal.h"

#include "base/clock.h"
#include "base/text.h"
#include "ipc/varlink.h"
#include "profile/delta.h"
#include "profile/end.h"

#define INTERVAL_MS_MIN	    50 /* a screen that is redrawn more often only flickers */
#define INTERVAL_MS_MAX	    60000
#define INTERVAL_MS_DEFAULT 1000

/* Of one part: bytes of its frames' texts (one frame more may begin), some 10 ms of work; nodes. */
#define PART_TEXT_BYTES (512 * KIB)
#define PART_NODES	16384U
/* To the next part, or to the next look whether the caller has taken the last one. */
#define PART_USEC (5 * USEC_PER_MSEC)

struct pp_api_watch {
	struct pp_api_watch *next, **at;
	struct pp_api *api;
	struct pp_call *call;
	sd_event_source *timer;
	struct pp_delta *delta;
	struct pp_delta_take take; /* being sent: so far, so many frames and nodes */
	size_t frames_sent, nodes_sent;
	bool sending;
	struct pp_viewer viewer;
	struct pp_scope scope;
	uint32_t session;		   /* 0: the always-on profile */
	uint64_t interval_usec, next_usec; /* next_usec: of the next delta */
};

static struct pp_api_watch *watch_free(struct pp_api_watch *w)
{
	if (!w)
		return NULL;
	if (w->at) {
		*w->at = w->next;
		if (w->next)
			w->next->at = w->at;
	}
	sd_event_source_disable_unref(w->timer);
	pp_delta_free(w->delta);
	pp_scope_done(&w->scope);
	free(w);
	return NULL;
}
PP_DEFINE_CLEANUP(struct pp_api_watch *, watch_free)

static int frames_json(struct pp_api_watch *w, struct pp_store *store, json_t *array)
{
	const struct pp_delta_take *t = &w->take;
	struct pp_frame_text text = { 0 };
	size_t bytes = 0;
	int r = 0;

	for (; w->frames_sent < t->nr_frames && bytes < PART_TEXT_BYTES && r == 0;
	     w->frames_sent++) {
		size_t i = w->frames_sent;
		const struct pp_frame f = *pp_frames_describe(store->frames, t->frames[i].frame);
		json_t *o;

		r = pp_frame_text(&text, store, t->frames[i].frame);
		if (r < 0)
			break;
		bytes += text.name.len + text.file.len + text.module.len;
		o = json_pack("{s:I, s:s, s:s, s:s, s:s}", "id", (json_int_t)t->frames[i].id,
			      "kind", pp_kind_text(f.kind), "name", text.name.data, "file",
			      text.file.data, "module", text.module.data);
		if (o && f.name && f.line)
			r = json_object_set_new(o, "line", json_integer(f.line));
		r |= json_array_append_new(array, o);
	}
	pp_frame_text_done(&text);
	return r ? -ENOMEM : 0;
}

static int nodes_json(struct pp_api_watch *w, json_t *array)
{
	size_t end = MIN(w->take.nr_nodes, w->nodes_sent + PART_NODES);
	int r = 0;

	for (; w->nodes_sent < end; w->nodes_sent++) {
		const struct pp_delta_node *n = &w->take.nodes[w->nodes_sent];

		r |= json_array_append_new(
			array, json_pack("{s:I, s:I, s:I}", "id", (json_int_t)n->id, "parent",
					 (json_int_t)n->parent, "frame", (json_int_t)n->frame));
	}
	return r ? -ENOMEM : 0;
}

static int attributes_json(struct pp_store *store, const struct pp_delta_take *t, json_t *array)
{
	_cleanup_buf_ struct pp_buf thread = PP_BUF(0);
	int r = 0;

	for (size_t i = 0; i < t->nr_attributes && r >= 0; i++) {
		const struct pp_delta_attributes *a = &t->attributes[i];
		const char *gil = pp_gil_text((enum pp_gil)a->gil);
		const char *gc = pp_gc_text((enum pp_gc)a->gc);
		const char *name;
		size_t len;
		json_t *o;

		name = pp_strings_text(store->strings, a->thread, &len);
		thread.len = 0;
		r = pp_text_escape(&thread, name, len, NULL);
		if (r < 0)
			break;
		o = json_pack("{s:I}", "id", (json_int_t)a->id);
		if (gil)
			r |= json_object_set_new(o, "gil", json_string(gil));
		if (gc)
			r |= json_object_set_new(o, "gc", json_string(gc));
		if (len)
			r |= json_object_set_new(o, "thread",
						 json_stringn((char *)thread.data, thread.len));
		if (a->task)
			r |= json_object_set_new(o, "task", json_integer(a->task));
		r |= json_array_append_new(array, o);
	}
	return r ? -ENOMEM : 0;
}

static int counts_json(const struct pp_delta_take *t, json_t *array)
{
	int r = 0;

	for (size_t i = 0; i < t->nr_counts; i++) {
		const struct pp_delta_count *n = &t->counts[i];
		json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "process", (json_int_t)n->process,
				      "node", (json_int_t)n->node, "samples",
				      (json_int_t)n->samples, "cpu_ns", (json_int_t)n->cpu_ns);

		if (n->attributes)
			r |= json_object_set_new(o, "attributes", json_integer(n->attributes));
		if (!pp_end_complete(n->end))
			r |= json_object_set_new(o, "truncated", json_string(pp_end_text(n->end)));
		r |= json_array_append_new(array, o);
	}
	return r ? -ENOMEM : 0;
}

static int processes_json(const struct pp_api_watch *w, const struct pp_delta_take *t,
			  json_t *array)
{
	struct pp_api *api = w->api;

	for (size_t i = 0; i < t->nr_processes; i++) {
		uint32_t id = (uint32_t)t->processes[i].id;
		const struct pp_process *p = api->backend.process(api->backend.userdata, id);
		json_t *json;

		if (!t->processes[i].first || !p)
			continue;
		if (pp_api_process(api, p, &json) < 0 || json_array_append_new(array, json) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The next part of the take in hand. */
static int part_json(struct pp_api_watch *w, struct pp_store *store, json_t **ret)
{
	json_auto_t *frames = json_array(), *nodes = json_array(), *counts = json_array();
	json_auto_t *attributes = json_array(), *processes = json_array();
	const struct pp_delta_take *t = &w->take;
	bool first = !w->frames_sent && !w->nodes_sent;
	int r;

	/* Who they are may be forgotten by the next turn. */
	r = first ? processes_json(w, t, processes) : 0;
	if (r == 0)
		r = frames_json(w, store, frames);
	if (r == 0 && w->frames_sent == t->nr_frames)
		r = nodes_json(w, nodes);
	w->sending = w->frames_sent < t->nr_frames || w->nodes_sent < t->nr_nodes;
	if (r == 0 && !w->sending)
		r = attributes_json(store, t, attributes);
	if (r == 0 && !w->sending)
		r = counts_json(t, counts);
	if (r < 0)
		return r;
	*ret = json_pack("{s:I, s:I, s:O, s:O, s:O, s:O, s:O, s:I, s:I}", "start_ns",
			 (json_int_t)t->start_wall_ns, "end_ns",
			 (json_int_t)(w->sending ? t->start_wall_ns : t->end_wall_ns), "frames",
			 frames, "nodes", nodes, "attributes", attributes, "counts", counts,
			 "processes", processes, "lost", (json_int_t)(w->sending ? 0 : t->lost),
			 "hidden", (json_int_t)t->hidden);
	return *ret ? 0 : -ENOMEM;
}

/* What to look at now; NULL: the session is gone. */
static struct pp_profile *find_profile(struct pp_api_watch *w, struct pp_choice *choice)
{
	const struct pp_api_backend *b = &w->api->backend;
	struct pp_api_session *s;

	if (!w->session)
		return b->profile(b->userdata);
	s = pp_session_find(w->api, &w->viewer, w->session);
	if (!s)
		return NULL;
	choice->first = &s->scope;
	choice->any_pid = true;
	return b->session_profile(b->userdata, s->id);
}

/* Takes what was counted since the last time. */
static int take(struct pp_api_watch *w, struct pp_choice *choice)
{
	struct pp_query query = { .want = pp_choice_want,
				  .fits = pp_choice_fits,
				  .userdata = choice,
				  .kernel = w->viewer.kernel };
	int r;

	pp_choice_begin(choice);
	r = pp_delta_take(w->delta, pp_now_ns(), &query, &w->take);
	pp_choice_end(choice);
	w->frames_sent = w->nodes_sent = 0;
	return r;
}

/* Sends one delta, or the next part of one. Returns a negative errno where the stream cannot go on.
 */
static int send_delta(struct pp_api_watch *w)
{
	struct pp_choice choice = { .api = w->api, .viewer = w->viewer, .second = &w->scope };
	struct pp_profile *profile;
	json_t *json = NULL;
	int r;

	if (!w->sending)
		w->api->backend.drain(w->api->backend.userdata);
	profile = find_profile(w, &choice);
	if (!profile)
		return -ENOENT;
	r = w->sending ? 0 : take(w, &choice);
	if (r == 0)
		r = part_json(w, pp_profile_store(profile), &json);
	return r < 0 ? r : pp_call_continue(w->call, json);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct pp_api_watch *w = userdata;
	struct pp_call *call = w->call;
	uint64_t now = usec;
	int64_t session = w->session;
	int r = 0;

	if (!pp_call_backlog(call))
		r = send_delta(w);
	if (r >= 0) {
		/* Turns that a busy machine made us miss are not made up for. */
		sd_event_now(w->api->event, CLOCK_MONOTONIC, &now);
		if (!w->sending)
			w->next_usec = MAX(w->next_usec + w->interval_usec, now);
		sd_event_source_set_time(source, w->sending ? now + PART_USEC : w->next_usec);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	pp_call_on_gone(call, NULL, NULL);
	watch_free(w);
	if (r == -ENOENT)
		(void)pp_api_no_such_session(call, session);
	else
		(void)pp_api_failed(call, "go on with the stream", r);
	return 0;
}

static void on_gone(struct pp_call *call _unused_, void *data)
{
	watch_free(data);
}

void pp_watches_session_ends(struct pp_api *api, uint32_t session)
{
	for (struct pp_api_watch *w = api->watches, *next; w; w = next) {
		struct pp_call *call = w->call;

		next = w->next;
		if (w->session != session)
			continue;
		pp_call_on_gone(call, NULL, NULL);
		watch_free(w);
		(void)pp_api_no_such_session(call, session);
	}
}

static int start(struct pp_api_watch *w, struct pp_profile *profile)
{
	struct pp_api *api = w->api;
	uint64_t now;
	int r;

	r = pp_delta_new(&w->delta, profile, pp_now_ns());
	if (r < 0)
		return r;
	sd_event_now(api->event, CLOCK_MONOTONIC, &now);
	w->next_usec = now + w->interval_usec;
	r = sd_event_add_time(api->event, &w->timer, CLOCK_MONOTONIC, w->next_usec, USEC_PER_MSEC,
			      on_timer, w);
	if (r < 0)
		return r;
	w->next = api->watches;
	if (w->next)
		w->next->at = &w->next;
	w->at = &api->watches;
	api->watches = w;
	pp_call_on_gone(w->call, on_gone, w);
	return 0;
}

int pp_api_watch(struct pp_call *call, json_t *parameters, void *userdata)
{
	struct pp_api *api = userdata;
	_cleanup_(watch_freep) struct pp_api_watch *w = calloc(1, sizeof(*w));
	int64_t session = 0, interval_ms = INTERVAL_MS_DEFAULT;
	struct pp_choice unused = { 0 };
	struct pp_profile *profile;
	json_t *filter = NULL;
	const struct pp_param params[] = {
		{ "session", PP_PARAM_INT, .min = 1, .max = UINT32_MAX, .target = &session },
		{ "interval_ms", PP_PARAM_INT, .min = INTERVAL_MS_MIN, .max = INTERVAL_MS_MAX,
		  .target = &interval_ms },
		{ "filter", PP_PARAM_OBJECT, .target = &filter },
	};
	const char *bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	if (!w)
		return -ENOMEM;
	r = pp_scope_parse(&w->scope, filter, &bad);
	if (r < 0)
		return bad ? pp_call_invalid(call, bad) : r;
	w->api = api;
	w->call = call;
	w->viewer = pp_api_viewer(api, call);
	w->session = (uint32_t)session;
	w->interval_usec = (uint64_t)interval_ms * USEC_PER_MSEC;
	if (pp_api_check_pid(api, call, &w->viewer, w->scope.pid))
		return 0;
	profile = find_profile(w, &unused);
	if (!profile)
		return pp_api_no_such_session(call, session);
	r = start(w, profile);
	if (r < 0)
		return pp_api_failed(call, "start the stream", r);
	TAKE_PTR(w);
	return 0;
}
