/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers with a profile, in two steps. First they wait: samples taken a moment ago may still want
 * life-cycle records, and names are being looked up. The wait is for what was sampled before the
 * question, and two seconds at most; frames that have no name then are shown as module and offset.
 * Then a forked child selects and writes (profile/export.h), and its file goes out with the reply.
 */
#include "api/internal.h"

#include "base/clock.h"
#include "ipc/account.h"
#include "profile/export.h"

#define WAIT_NSEC_MAX  (2 * NSEC_PER_SEC)  /* for names */
#define QUEUE_NSEC_MAX (30 * NSEC_PER_SEC) /* for other exports, which are killed after 20 s */
#define POLL_USEC      (10 * USEC_PER_MSEC)
#define PPROF_BYTES_MAX                                                           \
	(32 * MIB) /* fits the smallest account twice; 1.4 MB is a busy machine's \
		    */

struct pp_api_answer {
	struct pp_api_answer *next, **at;
	struct pp_api *api;
	struct pp_call *call;
	struct pp_viewer viewer;
	struct pp_ask ask;
	uint64_t asked_ns;
	unsigned int frequency; /* of what is exported */
	sd_event_source *timer;
	struct pp_export *export; /* NULL: still waiting */
};

static struct pp_api_answer *answer_free(struct pp_api_answer *a)
{
	if (!a)
		return NULL;
	if (a->at) {
		*a->at = a->next;
		if (a->next)
			a->next->at = a->at;
	}
	pp_export_free(a->export);
	sd_event_source_disable_unref(a->timer);
	pp_scope_done(&a->ask.scope);
	free(a);
	return NULL;
}
PP_DEFINE_CLEANUP(struct pp_api_answer *, answer_free)

static void on_gone(struct pp_call *call _unused_, void *data)
{
	answer_free(data);
}

/* The call is about to be answered: hands it out, and frees the rest. */
static struct pp_call *finish(struct pp_api_answer *a)
{
	struct pp_call *call = a->call;

	pp_call_on_gone(call, NULL, NULL);
	answer_free(a);
	return call;
}

static void facts(void *userdata, uint64_t process, struct pp_process_facts *ret)
{
	struct pp_api *api = userdata;
	const struct pp_process *p = api->backend.process(api->backend.userdata, (uint32_t)process);

	if (!p)
		return;
	ret->pid = p->pid;
	ret->comm = p->comm;
	ret->unit = p->unit ? p->unit->text : NULL;
	ret->slice = p->slice ? p->slice->text : NULL;
	ret->container = p->container ? p->container->text : NULL;
	ret->pod = p->pod ? p->pod->text : NULL;
}

static json_t *info_json(const struct pp_profile_info *i, unsigned int frequency, size_t bytes)
{
	return json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}}",
			 "profile", "start_ns", (json_int_t)i->start_wall_ns, "end_ns",
			 (json_int_t)i->end_wall_ns, "samples", (json_int_t)i->samples, "complete",
			 (json_int_t)i->complete, "lost", (json_int_t)i->lost, "cpu_ns",
			 (json_int_t)i->cpu_ns, "python_frames", (json_int_t)i->python_frames,
			 "python_named", (json_int_t)i->python_named, "frequency",
			 (json_int_t)frequency, "processes", (json_int_t)i->processes, "hidden",
			 (json_int_t)i->hidden, "bytes", (json_int_t)bytes);
}

/* Returns whether the profile went out. */
static bool reply_profile(struct pp_call *call, const struct pp_profile_info *info,
			  unsigned int frequency, int fd, size_t bytes)
{
	json_t *json = info_json(info, frequency, bytes);
	int r;

	if (!json) {
		pp_close(fd);
		(void)pp_api_failed(call, "write the profile", -ENOMEM);
		return false;
	}
	r = pp_call_reply_fd(call, json, fd);
	if (r == -EDQUOT)
		(void)pp_api_too_many(call, "bytes of profiles held open", PP_ACCOUNT_HELD);
	return r == 0;
}

static void on_exported(void *userdata, int error, const struct pp_profile_info *info, int fd,
			size_t bytes)
{
	struct pp_api_answer *a = userdata;
	unsigned int frequency = a->frequency;
	struct pp_viewer viewer = a->viewer;
	uint32_t session = a->ask.session;
	struct pp_api_session *ends;
	struct pp_api *api = a->api;
	bool end = a->ask.end;
	struct pp_call *call = finish(a);

	if (error < 0) {
		(void)pp_api_failed(call, "write the profile", error);
		return;
	}
	/* Only now: an answer that fails must not cost the caller the samples. */
	if (!reply_profile(call, info, frequency, fd, bytes) || !end)
		return;
	ends = pp_session_find(api, &viewer, session);
	if (ends)
		pp_session_end(api, ends);
}

/* One user without privilege gets one export at a time: there are not many. */
static bool must_queue(const struct pp_api_answer *answer)
{
	if (answer->viewer.rank != PP_RANK_OTHER)
		return false;
	for (const struct pp_api_answer *a = answer->api->answers; a; a = a->next)
		if (a->export && a->viewer.uid == answer->viewer.uid)
			return true;
	return false;
}

/* What is asked about; NULL: its session is gone. */
static struct pp_profile *find_profile(struct pp_api_answer *a, struct pp_choice *choice)
{
	const struct pp_api_backend *b = &a->api->backend;
	struct pp_api_status status = { 0 };
	struct pp_api_session *s;

	if (!a->ask.session) {
		b->status(b->userdata, &status);
		a->frequency = status.frequency;
		return b->profile(b->userdata);
	}
	s = pp_session_find(a->api, &a->viewer, a->ask.session);
	if (!s)
		return NULL;
	choice->first = &s->scope;
	choice->any_pid = true;
	a->frequency = s->frequency;
	return b->session_profile(b->userdata, s->id);
}

/* Returns 0, -ENOENT (the session is gone), -EBUSY (try again), or another negative errno. */
static int start_export(struct pp_api_answer *a)
{
	struct pp_choice choice = { .api = a->api, .viewer = a->viewer, .second = &a->ask.scope };
	const struct pp_query query = { .since_ns = a->ask.since_ns,
					.want = pp_choice_want,
					.fits = pp_choice_fits,
					.userdata = &choice,
					.kernel = a->viewer.kernel };
	struct pp_pprof_options options = { .facts = facts,
					    .userdata = a->api,
					    .version = a->api->backend.version };
	struct pp_profile *profile = find_profile(a, &choice);
	int r;

	if (!profile)
		return -ENOENT;
	if (must_queue(a))
		return -EBUSY;
	options.frequency = a->frequency;
	pp_choice_begin(&choice);
	r = pp_export_new(&a->export, a->api->event, profile, &query, &options, PPROF_BYTES_MAX,
			  on_exported, a);
	pp_choice_end(&choice);
	return r;
}

static bool still_waits(const struct pp_api_answer *a, uint64_t waited_ns)
{
	const struct pp_api_backend *b = &a->api->backend;

	return waited_ns < WAIT_NSEC_MAX && b->pending(b->userdata, a->asked_ns);
}

/* Takes the next step, or answers that there is none. */
static void step(struct pp_api_answer *a)
{
	uint64_t waited = pp_now_ns() - a->asked_ns, now = 0;
	uint32_t session = a->ask.session;
	int r = -EBUSY;

	if (!still_waits(a, waited))
		r = start_export(a);
	if (r >= 0)
		return;
	if (r == -EBUSY && waited < QUEUE_NSEC_MAX) {
		sd_event_now(a->api->event, CLOCK_MONOTONIC, &now);
		sd_event_source_set_time(a->timer, now + POLL_USEC);
		sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
	} else if (r == -EBUSY) {
		(void)pp_api_too_many(finish(a), "profiles", PP_EXPORTS_MAX);
	} else if (r == -ENOENT) {
		(void)pp_api_no_such_session(finish(a), session);
	} else {
		(void)pp_api_failed(finish(a), "write the profile", r);
	}
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	step(userdata);
	return 0;
}

int pp_api_answer(struct pp_api *api, struct pp_call *call, struct pp_ask *ask)
{
	_cleanup_(answer_freep) struct pp_api_answer *a = calloc(1, sizeof(*a));
	int r;

	if (!a) {
		pp_scope_done(&ask->scope);
		return -ENOMEM;
	}
	a->api = api;
	a->call = call;
	a->viewer = pp_api_viewer(api, call);
	a->ask = *ask;
	a->asked_ns = pp_now_ns();
	r = sd_event_add_time(api->event, &a->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer,
			      a);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	a->next = api->answers;
	if (a->next)
		a->next->at = &a->next;
	a->at = &api->answers;
	api->answers = a;
	pp_call_on_gone(call, on_gone, a);
	api->backend.drain(api->backend.userdata);
	step(TAKE_PTR(a));
	return 0;
}

int pp_api_get_profile(struct pp_call *call, json_t *parameters, void *userdata)
{
	struct pp_api *api = userdata;
	struct pp_viewer viewer = pp_api_viewer(api, call);
	struct pp_ask ask = { 0 };
	json_t *filter = NULL;
	int64_t since_ms = -1;
	const struct pp_param params[] = {
		{ "since_ms", PP_PARAM_INT, .min = 0, .max = INT32_MAX, .target = &since_ms },
		{ "filter", PP_PARAM_OBJECT, .target = &filter },
	};
	const char *bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));
	uint64_t now = pp_now_ns(), span = (uint64_t)since_ms * NSEC_PER_MSEC;
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	r = pp_scope_parse(&ask.scope, filter, &bad);
	if (r < 0)
		return bad ? pp_call_invalid(call, bad) : r;
	if (since_ms >= 0)
		ask.since_ns = span < now ? now - span : 1;
	if (pp_api_check_pid(api, call, &viewer, ask.scope.pid)) {
		pp_scope_done(&ask.scope);
		return 0;
	}
	return pp_api_answer(api, call, &ask);
}
