/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sessions: sampling at a rate of the caller's own. A session belongs to the connection that
 * started it and ends with it, so that a client that crashes leaves nothing running; other
 * connections of the same user may read it.
 */
#include "api/internal.h"

#define FREQUENCY_DEFAULT 99 /* prime, so it does not beat with what runs every 10 ms */

struct pp_api_session *pp_session_find(struct pp_api *api, const struct pp_viewer *viewer,
				       int64_t id)
{
	for (struct pp_api_session *s = api->sessions; s; s = s->next)
		if (s->id == id && (s->uid == viewer->uid || viewer->rank == PP_RANK_ROOT))
			return s;
	return NULL;
}

void pp_session_end(struct pp_api *api, struct pp_api_session *session)
{
	struct pp_api_session **at = &api->sessions;

	while (*at != session)
		at = &(*at)->next;
	*at = session->next;
	pp_watches_session_ends(api, session->id);
	api->backend.session_free(api->backend.userdata, session->id);
	pp_scope_done(&session->scope);
	free(session);
}

void pp_sessions_closed(struct pp_api *api, struct pp_connection *c)
{
	for (struct pp_api_session *s = api->sessions, *next; s; s = next) {
		next = s->next;
		if (s->owner == c)
			pp_session_end(api, s);
	}
}

/* Whether one more is too many for this caller, or for all. */
static bool too_many(const struct pp_api *api, const struct pp_viewer *viewer)
{
	unsigned int all = 0, own = 0;

	for (const struct pp_api_session *s = api->sessions; s; s = s->next) {
		all++;
		own += s->uid == viewer->uid;
	}
	return all >= PP_POLICY_SESSIONS || own >= pp_policy_sessions(viewer->rank);
}

static int start(struct pp_api *api, struct pp_call *call, const struct pp_viewer *viewer,
		 unsigned int frequency, struct pp_scope *filter)
{
	const struct pp_api_session_request request = {
		.frequency = frequency,
		.pid = filter->pid,
		.tree = filter->tree,
		.uid = viewer->rank == PP_RANK_OTHER ? viewer->uid : (uid_t)-1,
	};
	_cleanup_free_ struct pp_api_session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = api->backend.session_start(api->backend.userdata, &request, &s->id);
	switch (r) {
	case -EINVAL:
		return pp_call_invalid(call, "frequency");
	case -EBUSY:
		return pp_api_too_many(call, "sampling rates", PP_SETS_MAX);
	case -ESRCH:
		return pp_api_no_such_process(call, filter->pid);
	}
	if (r < 0)
		return pp_api_failed(call, "start sampling", r);
	s->frequency = frequency;
	s->uid = viewer->uid;
	s->owner = pp_call_connection(call);
	s->scope = *filter;
	*filter = (struct pp_scope){ 0 };
	s->next = api->sessions;
	api->sessions = s;
	r = pp_call_reply(call, json_pack("{s:I, s:I}", "session", (json_int_t)s->id, "frequency",
					  (json_int_t)frequency));
	TAKE_PTR(s);
	return r;
}

int pp_api_start_session(struct pp_call *call, json_t *parameters, void *userdata)
{
	struct pp_api *api = userdata;
	struct pp_viewer viewer = pp_api_viewer(api, call);
	_cleanup_scope_ struct pp_scope filter = { 0 };
	int64_t frequency = FREQUENCY_DEFAULT;
	json_t *object = NULL;
	const struct pp_param params[] = {
		{ "frequency", PP_PARAM_INT, .min = 1, .max = PP_POLICY_FREQUENCY_MAX,
		  .target = &frequency },
		{ "filter", PP_PARAM_OBJECT, .target = &object },
	};
	const char *bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	r = pp_scope_parse(&filter, object, &bad);
	if (r < 0)
		return bad ? pp_call_invalid(call, bad) : r;
	if (frequency > pp_policy_frequency(viewer.rank))
		return pp_api_not_permitted(
			call, "sampling at more than 99 Hz takes root or group " PP_POLICY_GROUP
			      ": use sudo, or a lower -F");
	if (too_many(api, &viewer))
		return pp_api_too_many(call, "sessions", pp_policy_sessions(viewer.rank));
	if (pp_api_check_pid(api, call, &viewer, filter.pid))
		return 0;
	return start(api, call, &viewer, (unsigned int)frequency, &filter);
}

int pp_api_read_session(struct pp_call *call, json_t *parameters, void *userdata)
{
	struct pp_api *api = userdata;
	struct pp_viewer viewer = pp_api_viewer(api, call);
	struct pp_ask ask = { .scope.uid = -1 };
	struct pp_api_session *s;
	int64_t id = 0;
	const struct pp_param params[] = {
		{ "session", PP_PARAM_INT, .required = true, .min = INT64_MIN, .max = INT64_MAX,
		  .target = &id },
		{ "stop", PP_PARAM_BOOL, .target = &ask.end },
	};
	const char *bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));

	if (bad)
		return pp_call_invalid(call, bad);
	s = pp_session_find(api, &viewer, id);
	if (!s)
		return pp_api_no_such_session(call, id);
	ask.session = s->id;
	if (ask.end)
		api->backend.session_stop(api->backend.userdata, s->id);
	return pp_api_answer(api, call, &ask);
}

int pp_api_set_frequency(struct pp_call *call, json_t *parameters, void *userdata)
{
	struct pp_api *api = userdata;
	struct pp_viewer viewer = pp_api_viewer(api, call);
	int64_t frequency = 0;
	const struct pp_param params[] = {
		{ "frequency", PP_PARAM_INT, .required = true, .min = 1,
		  .max = PP_POLICY_FREQUENCY_MAX, .target = &frequency },
	};
	const char *bad = pp_params_parse(parameters, params, ARRAY_SIZE(params));
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	if (viewer.rank != PP_RANK_ROOT)
		return pp_api_not_permitted(call,
					    "the service's rate is root's to change: use sudo");
	r = api->backend.set_frequency(api->backend.userdata, (unsigned int)frequency);
	if (r == -EINVAL)
		return pp_call_invalid(call, "frequency");
	if (r < 0)
		return pp_api_failed(call, "change the rate", r);
	return pp_call_reply(call, json_pack("{s:I}", "frequency", (json_int_t)frequency));
}
