/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Diagnose: what is known of Pythons, after they were looked at closely. The looks are the reader's
 * and may take a moment; what one has not told in two seconds is left out of the answer. There may
 * be thousands of Pythons: asking for the looks, and telling what they told, is spread over turns
 * of the loop as a list of processes is.
 */
#include "api/internal.h"

#include "base/clock.h"
#include "ipc/varlink.h"

#include <string.h>

#define WAIT_NSEC_MAX (2 * NSEC_PER_SEC)
#define POLL_USEC     (10 * USEC_PER_MSEC)

/* A call that waits for the looks. */
struct diagnosing {
	struct pp_api *api;
	struct pp_call *call;
	pid_t pid; /* 0: all */
	uint64_t asked_ns;
	sd_event_source *timer;
};

static struct diagnosing *diagnosing_free(struct diagnosing *d)
{
	if (!d)
		return NULL;
	sd_event_source_disable_unref(d->timer);
	free(d);
	return NULL;
}
PP_DEFINE_CLEANUP(struct diagnosing *, diagnosing_free)

static void on_gone(struct pp_call *call _unused_, void *data)
{
	diagnosing_free(data);
}

static int set(json_t *o, const char *key, const char *text, size_t len)
{
	return text ? json_object_set_new(o, key, pp_json_text(text, len)) : 0;
}

static int set_share(json_t *o, const char *key, double share)
{
	return share < 0 ? 0 : json_object_set_new(o, key, json_real(share));
}

static int set_build_id(json_t *o, const struct pp_api_diagnosis *x)
{
	char hex[2 * sizeof(x->build_id) + 1] = "";

	for (size_t i = 0; i < x->build_id_len; i++)
		snprintf(hex + 2 * i, 3, "%02x", x->build_id[i]);
	return *hex ? json_object_set_new(o, "build_id", json_string(hex)) : 0;
}

static int set_alarm(json_t *o, const struct pp_api_diagnosis *x)
{
	json_t *alarm;
	int r;

	if (!x->alarm.name)
		return 0;
	alarm = json_pack("{s:I, s:I, s:b}", "entries", (json_int_t)x->alarm.entries, "bytes",
			  (json_int_t)x->alarm.bytes, "severe", (int)x->alarm.severe);
	r = set(alarm, "name", x->alarm.name, x->alarm.name_len);
	r |= set(alarm, "file", x->alarm.file, x->alarm.file_len);
	return json_object_set_new(o, "alarm", alarm) | r;
}

/* What is known of a Python; nothing of another process. */
static int diagnosis_json(struct pp_api *api, const struct pp_process *p, json_t **ret)
{
	struct pp_api_diagnosis x = { 0 };
	struct pp_api_python py = { 0 };
	json_t *process;
	json_auto_t *o = NULL;
	int r;

	api->backend.python(api->backend.userdata, p, &py);
	if (!py.is_python)
		return 0;
	api->backend.diagnosis(api->backend.userdata, p, &x);
	r = pp_api_process(api, p, &process);
	if (r < 0)
		return r;
	o = json_pack("{s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:s}", "process", process, "named",
		      (int)py.all_named, "frames", (json_int_t)py.frames, "frames_unnamed",
		      (json_int_t)x.unnamed, "frames_bare", (json_int_t)x.bare, "growth_entries",
		      (json_int_t)x.growth_entries, "growth_bytes", (json_int_t)x.growth_bytes,
		      "map_state", x.map_state ?: "idle");
	if (!o)
		return -ENOMEM;
	r = set(o, "interpreter", x.interpreter, x.interpreter ? strlen(x.interpreter) : 0);
	r |= set(o, "unwalked", x.unwalked, x.unwalked ? strlen(x.unwalked) : 0);
	r |= set_build_id(o, &x);
	r |= set_share(o, "frame_pointers", x.frame_pointers);
	if (x.stub) {
		r |= json_object_set_new(o, "stub", json_string(x.stub));
		r |= json_object_set_new(o, "endbr", json_boolean(x.endbr));
	}
	r |= set(o, "map_reason", x.map_reason, x.map_reason ? strlen(x.map_reason) : 0);
	if (x.map_bytes >= 0)
		r |= json_object_set_new(o, "map_bytes", json_integer(x.map_bytes));
	r |= set_share(o, "map_live", x.map_live);
	r |= set_alarm(o, &x);
	if (r)
		return -ENOMEM;
	*ret = TAKE_PTR(o);
	return 0;
}

static int ask_for_look(struct pp_api *api, const struct pp_process *p, json_t **ret _unused_)
{
	struct pp_api_python py = { 0 };

	api->backend.python(api->backend.userdata, p, &py);
	if (py.is_python)
		api->backend.examine(api->backend.userdata, p);
	return 0;
}

static const struct pp_api_list_kind told = {
	.member = "pythons",
	.doing = "look at the Pythons",
	.alive = true,
	.describe = diagnosis_json,
};

static int on_timer(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
	struct diagnosing *d = userdata;
	const struct pp_api_backend *b = &d->api->backend;
	struct pp_call *call = d->call;
	uint64_t now = 0;
	int r;

	if (b->examining(b->userdata) && pp_now_ns() - d->asked_ns < WAIT_NSEC_MAX) {
		(void)sd_event_now(d->api->event, CLOCK_MONOTONIC, &now);
		(void)sd_event_source_set_time(source, now + POLL_USEC);
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
		return 0;
	}
	pp_call_on_gone(call, NULL, NULL);
	r = pp_api_list(d->api, call, &told, d->pid);
	diagnosing_free(d);
	if (r < 0)
		(void)pp_api_failed(call, told.doing, r);
	return 0;
}

/* All looks are asked for. */
static int await(struct pp_api *api, struct pp_call *call, pid_t pid)
{
	_cleanup_(diagnosing_freep) struct diagnosing *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct diagnosing){ .api = api, .call = call, .pid = pid, .asked_ns = pp_now_ns() };
	r = sd_event_add_time(api->event, &d->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer,
			      d);
	if (r < 0)
		return r;
	pp_call_on_gone(call, on_gone, TAKE_PTR(d));
	return 0;
}

int pp_api_diagnose(struct pp_call *call, json_t *parameters, void *userdata)
{
	static const struct pp_api_list_kind looks = {
		.member = "pythons",
		.doing = "look at the Pythons",
		.alive = true,
		.describe = ask_for_look,
		.then = await,
	};
	struct pp_api *api = userdata;
	struct pp_viewer viewer;
	int64_t pid = 0;
	const struct pp_param params[] = {
		{ "pid", PP_PARAM_INT, .min = 1, .max = INT32_MAX, .target = &pid },
	};
	const char *bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	viewer = pp_api_viewer(api, call);
	if (pp_api_check_pid(api, call, &viewer, (pid_t)pid))
		return 0;
	api->backend.drain(api->backend.userdata);
	r = pp_api_list(api, call, &looks, (pid_t)pid);
	return r < 0 ? pp_api_failed(call, looks.doing, r) : r;
}
