/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists of processes. A machine may have ten thousand, and describing them all takes longer than
 * the loop may be away from its samples. So a list is written as text, some processes a turn, and
 * goes out when it is whole. One list is in the making at a time: a list in the making is up to 16
 * MiB that no account knows of yet.
 */
#include "api/internal.h"

#include "base/counters.h"
#include "ipc/varlink.h"

#define PROCESSES_PER_TURN 128 /* about a millisecond */

/* What stands around the processes: their member's name, the count of the hidden, brackets. */
#define FRAME_BYTES 256

struct pp_api_list {
	struct pp_api_list *next;
	struct pp_api *api;
	struct pp_call *call;
	const struct pp_api_list_kind *kind;
	struct pp_viewer viewer;
	pid_t pid;     /* 0: all */
	uint32_t *ids; /* of the processes when the list was begun */
	size_t nr, cap, at;
	struct pp_buf text; /* the reply's parameters so far */
	size_t nr_written;
	unsigned int hidden, cut;
	bool full;
	int error;
};

static struct pp_api_list *list_free(struct pp_api_list *l)
{
	if (!l)
		return NULL;
	for (struct pp_api_list **at = &l->api->lists; *at; at = &(*at)->next) {
		if (*at != l)
			continue;
		*at = l->next;
		break;
	}
	pp_buf_done(&l->text);
	free(l->ids);
	free(l);
	return NULL;
}

static void on_gone(struct pp_call *call _unused_, void *data)
{
	list_free(data);
}

static bool note_id(const struct pp_process *p, void *arg)
{
	struct pp_api_list *l = arg;

	if (l->pid && p->pid != l->pid)
		return true;
	if (l->nr == l->cap) {
		size_t cap = MAX(l->cap * 2, (size_t)1024);
		uint32_t *ids = reallocarray(l->ids, cap, sizeof(*ids));

		if (!ids) {
			l->error = -ENOMEM;
			return false;
		}
		l->ids = ids;
		l->cap = cap;
	}
	l->ids[l->nr++] = p->id;
	return true;
}

static int dump(const char *data, size_t len, void *arg)
{
	return pp_buf_add(arg, data, len) < 0 ? -1 : 0;
}

/* Adds an element; when the list is as long as a reply may be, it is counted instead. */
static void add(struct pp_api_list *l, const json_t *json)
{
	size_t before = l->text.len;

	if (!l->full && (!l->nr_written || pp_buf_add(&l->text, ",", 1) == 0) &&
	    json_dump_callback(json, dump, &l->text, JSON_COMPACT) == 0) {
		l->nr_written++;
		return;
	}
	if (!l->full)
		l->text.len = before;
	l->full = true;
	l->cut++;
}

static void look_at(struct pp_api_list *l, const struct pp_process *p)
{
	json_auto_t *json = NULL;

	if (l->kind->alive && !p->alive)
		return;
	if (!pp_api_sees(&l->viewer, p)) {
		l->hidden += p->alive;
		return;
	}
	l->error = l->kind->describe(l->api, p, &json);
	if (json)
		add(l, json);
}

/* The next few processes; those that have ended for good meanwhile are left out. */
static void write_some(struct pp_api_list *l)
{
	size_t end = MIN(l->at + PROCESSES_PER_TURN, l->nr);

	for (; l->at < end && l->error >= 0; l->at++) {
		const struct pp_process *p =
			l->api->backend.process(l->api->backend.userdata, l->ids[l->at]);

		if (p)
			look_at(l, p);
	}
}

static void answer(struct pp_api_list *l)
{
	_cleanup_buf_ struct pp_buf text = l->text;
	const struct pp_api_list_kind *kind = l->kind;
	struct pp_call *call = l->call;
	struct pp_api *api = l->api;
	pid_t pid = l->pid;
	int r = l->error;

	l->text = (struct pp_buf){ 0 };
	text.max = PP_VARLINK_REPLY_MAX;
	if (r >= 0)
		r = pp_buf_printf(&text, "],\"hidden\":%u}", l->hidden);
	pp_count_add(PP_C_processes_unlisted, l->cut);
	pp_call_on_gone(call, NULL, NULL);
	list_free(l);
	if (r >= 0 && kind->then)
		r = kind->then(api, call, pid);
	else if (r >= 0)
		r = pp_call_reply_text(call, &text);
	if (r < 0)
		(void)pp_api_failed(call, kind->doing, r);
}

static int on_turn(sd_event_source *source, void *userdata)
{
	struct pp_api *api = userdata;
	struct pp_api_list *l = api->lists;

	if (l) {
		write_some(l);
		if (l->error < 0 || l->at == l->nr)
			answer(l);
	}
	return sd_event_source_set_enabled(source, api->lists ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

int pp_api_lists_init(struct pp_api *api)
{
	int r = sd_event_add_defer(api->event, &api->list_turn, on_turn, api);

	if (r >= 0)
		r = sd_event_source_set_priority(api->list_turn, PP_CALLER_PRIORITY);
	return r < 0 ? r : sd_event_source_set_enabled(api->list_turn, SD_EVENT_OFF);
}

void pp_api_lists_done(struct pp_api *api)
{
	while (api->lists)
		list_free(api->lists);
	api->list_turn = sd_event_source_disable_unref(api->list_turn);
}

int pp_api_list(struct pp_api *api, struct pp_call *call, const struct pp_api_list_kind *kind,
		pid_t pid)
{
	struct pp_api_list *l = calloc(1, sizeof(*l)), **at = &api->lists;
	int r;

	if (!l)
		return -ENOMEM;
	l->api = api;
	l->call = call;
	l->kind = kind;
	l->pid = pid;
	l->viewer = pp_api_viewer(api, call);
	l->text.max = PP_VARLINK_REPLY_MAX - FRAME_BYTES;
	api->backend.each_process(api->backend.userdata, note_id, l);
	r = l->error < 0 ? l->error : pp_buf_printf(&l->text, "{\"%s\":[", kind->member);
	if (r < 0) {
		list_free(l);
		return r;
	}
	while (*at)
		at = &(*at)->next;
	*at = l;
	pp_call_on_gone(call, on_gone, l);
	return sd_event_source_set_enabled(api->list_turn, SD_EVENT_ONESHOT);
}

int pp_api_list_processes(struct pp_call *call, json_t *parameters, void *userdata)
{
	static const struct pp_api_list_kind processes = {
		.member = "processes",
		.doing = "list the processes",
		.describe = pp_api_process,
	};
	const char *bad = pp_params_parse(parameters, NULL, 0);
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	r = pp_api_list(userdata, call, &processes, 0);
	return r < 0 ? pp_api_failed(call, processes.doing, r) : r;
}
