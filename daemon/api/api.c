/* SPDX-License-Identifier: GPL-2.0-only */
#include "api/internal.h"

#include "ipc/interface.h"
#include <stdio.h>
#include <string.h>

#define ERROR(name) PP_INTERFACE_NAME "." name

static const struct pp_method methods[] = {
	{ "GetStatus", pp_api_get_status, false },
	{ "ListProcesses", pp_api_list_processes, false },
	{ "Diagnose", pp_api_diagnose, false },
	{ "GetProfile", pp_api_get_profile, false },
	{ "StartSession", pp_api_start_session, false },
	{ "ReadSession", pp_api_read_session, false },
	{ "Watch", pp_api_watch, true },
	{ "SetFrequency", pp_api_set_frequency, false },
	{ NULL, NULL, false },
};

static void on_closed(struct pp_connection *c, void *userdata)
{
	pp_sessions_closed(userdata, c);
}

int pp_api_new(struct pp_api **ret, sd_event *event, const struct pp_api_backend *backend)
{
	_cleanup_(pp_api_freep) struct pp_api *api = NULL;
	struct pp_server_config config = {
		.interface = PP_INTERFACE_NAME,
		.description = pp_interface_text,
		.methods = methods,
		.vendor = "pyprof",
		.product = "pyprofd",
		.version = backend->version,
		.url = "",
		.closed = on_closed,
	};
	int r;

	api = calloc(1, sizeof(*api));
	if (!api)
		return -ENOMEM;
	api->event = sd_event_ref(event);
	api->backend = *backend;
	api->policy.group = pp_policy_read_group();
	config.userdata = api;
	r = pp_api_lists_init(api);
	if (r < 0)
		return r;
	r = pp_server_new(&api->server, event, &config);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(api);
	return 0;
}

struct pp_api *pp_api_free(struct pp_api *api)
{
	if (!api)
		return NULL;
	pp_server_free(api->server);
	pp_api_lists_done(api);
	sd_event_unref(api->event);
	free(api);
	return NULL;
}

int pp_api_listen(struct pp_api *api, const char *path)
{
	return pp_server_listen(api->server, path);
}

int pp_api_listen_inherited(struct pp_api *api)
{
	return pp_server_listen_inherited(api->server);
}

struct pp_viewer pp_api_viewer(struct pp_api *api, const struct pp_call *call)
{
	const struct pp_peer *peer = pp_call_peer(call);
	struct pp_viewer v = { .uid = peer->uid };

	/* An operator may turn the sysctl at any time. */
	api->policy.paranoid = pp_policy_read_paranoid();
	v.rank = pp_policy_rank(&api->policy, peer);
	v.kernel = pp_policy_kernel(&api->policy, v.rank);
	return v;
}

bool pp_api_sees(const struct pp_viewer *viewer, const struct pp_process *p)
{
	const struct pp_policy_subject subject = {
		.known = p->has_ids,
		.ruid = p->ruid,
		.euid = p->euid,
		.suid = p->suid,
		.dumpable = p->dumpable,
	};

	return pp_policy_sees(viewer->rank, viewer->uid, &subject);
}

/* ---- Error replies ---- */

int pp_api_not_permitted(struct pp_call *call, const char *reason)
{
	return pp_call_error(call, ERROR("NotPermitted"), json_pack("{s:s}", "reason", reason));
}

int pp_api_no_such_process(struct pp_call *call, pid_t pid)
{
	return pp_call_error(call, ERROR("NoSuchProcess"), json_pack("{s:i}", "pid", (int)pid));
}

int pp_api_no_such_session(struct pp_call *call, int64_t session)
{
	return pp_call_error(call, ERROR("NoSuchSession"),
			     json_pack("{s:I}", "session", (json_int_t)session));
}

int pp_api_too_many(struct pp_call *call, const char *what, unsigned int limit)
{
	return pp_call_error(call, ERROR("TooMany"),
			     json_pack("{s:s, s:i}", "what", what, "limit", (int)limit));
}

int pp_api_failed(struct pp_call *call, const char *what, int r)
{
	char reason[256];

	snprintf(reason, sizeof(reason), "pyprofd could not %s: %s", what, strerror(-r));
	return pp_call_error(call, ERROR("Failed"), json_pack("{s:s}", "reason", reason));
}
