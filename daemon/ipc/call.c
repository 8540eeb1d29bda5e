/* SPDX-License-Identifier: GPL-2.0-only */
/* A call on its way to a method, and the replies on their way back. */
#include "ipc/connection.h"

#include "base/counters.h"
#include <stdio.h>
#include <string.h>

const struct pp_peer *pp_call_peer(const struct pp_call *c)
{
	return &pp_call_connection(c)->peer;
}

struct pp_connection *pp_call_connection(const struct pp_call *c)
{
	return pp_call_owner((struct pp_call *)c);
}

bool pp_call_backlog(const struct pp_call *c)
{
	return pp_call_connection(c)->varlink.out;
}

void **pp_connection_slot(struct pp_connection *c)
{
	return &c->slot;
}

void pp_call_on_gone(struct pp_call *c, void (*gone)(struct pp_call *c, void *data), void *data)
{
	c->gone = gone;
	c->gone_data = data;
}

static void end(struct pp_call *c)
{
	if (c->stream)
		pp_call_owner(c)->account->streams--;
	*c = (struct pp_call){ 0 };
}

void pp_call_cancel(struct pp_call *c)
{
	struct pp_call ended = *c;

	if (!c->active)
		return;
	if (c->gone)
		c->gone(c, ended.gone_data);
	end(c);
}

/* What follows a reply whose queueing returned r. */
static int replied(struct pp_call *c, int r, bool continues)
{
	struct pp_connection *connection = pp_call_owner(c);

	if (r == -EMSGSIZE)
		pp_count(PP_C_replies_oversized);
	if (!continues)
		end(c);
	if (r < 0) {
		pp_connection_close(connection);
		return r;
	}
	pp_connection_flush(connection);
	/* The caller's next call, if it came with this one, is waiting for its turn; or it has
	 * stopped sending, and this was what it still wanted to hear. */
	if (!continues && !connection->closing &&
	    (connection->eof || connection->varlink.in.len > connection->varlink.taken))
		sd_event_source_set_enabled(connection->again, SD_EVENT_ONESHOT);
	return 0;
}

static int reply(struct pp_call *c, const char *error, json_t *take_parameters, bool continues,
		 int take_fd)
{
	json_auto_t *parameters = take_parameters;
	struct pp_connection *connection = pp_call_owner(c);
	int r;

	r = connection->closing ? -ECONNRESET : 0;
	if (r < 0)
		pp_close(take_fd);
	else
		r = pp_varlink_reply(&connection->varlink, error, parameters, continues, take_fd);
	return replied(c, r, continues);
}

int pp_call_reply_text(struct pp_call *c, const struct pp_buf *parameters)
{
	struct pp_connection *connection = pp_call_owner(c);
	int r = connection->closing ? -ECONNRESET
				    : pp_varlink_reply_text(&connection->varlink, parameters);

	return replied(c, r, false);
}

int pp_call_reply(struct pp_call *c, json_t *parameters)
{
	return reply(c, NULL, parameters, false, -1);
}

int pp_call_reply_fd(struct pp_call *c, json_t *take_parameters, int take_fd)
{
	json_auto_t *parameters = take_parameters;
	struct pp_connection *connection = pp_call_owner(c);
	int fd = -1;

	if (take_fd >= 0) {
		fd = pp_held_lend(connection->server->held, connection->account, take_fd);
		if (fd < 0) {
			if (fd == -EDQUOT)
				pp_count(PP_C_replies_over_quota);
			return fd;
		}
	}
	return reply(c, NULL, json_incref(parameters), false, fd);
}

int pp_call_continue(struct pp_call *c, json_t *parameters)
{
	return reply(c, NULL, parameters, true, -1);
}

int pp_call_error(struct pp_call *c, const char *name, json_t *parameters)
{
	return reply(c, name, parameters, false, -1);
}

int pp_call_invalid(struct pp_call *c, const char *parameter)
{
	return pp_service_error(c, "InvalidParameter", "parameter", parameter);
}

int pp_service_error(struct pp_call *call, const char *name, const char *key, const char *value)
{
	char full[sizeof(PP_VARLINK_SERVICE) + 32];
	json_t *parameters = NULL;

	snprintf(full, sizeof(full), "%s.%s", PP_VARLINK_SERVICE, name);
	if (key) {
		parameters = json_pack("{s:s}", key, value);
		if (!parameters) {
			pp_connection_close(pp_call_owner(call));
			return -ENOMEM;
		}
	}
	return pp_call_error(call, full, parameters);
}

static const struct pp_method *find(const struct pp_server *s, const char *name)
{
	for (const struct pp_method *m = s->config.methods; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

static int too_many_streams(struct pp_call *call, size_t limit)
{
	char name[256];
	json_t *parameters = json_pack("{s:s, s:I}", "what", "streams", "limit", (json_int_t)limit);

	pp_count(PP_C_callers_refused);
	snprintf(name, sizeof(name), "%s.TooMany", pp_call_owner(call)->server->config.interface);
	return pp_call_error(call, name, parameters);
}

static int call_method(struct pp_call *call, const struct pp_method *method, json_t *parameters)
{
	struct pp_connection *c = pp_call_owner(call);
	size_t limit = pp_account_limit(c->account, PP_ACCOUNT_STREAMS);

	if (method->stream) {
		if (!c->varlink.more)
			return pp_service_error(call, "ExpectedMore", NULL, NULL);
		if (c->account->streams >= limit)
			return too_many_streams(call, limit);
		call->stream = true;
		c->account->streams++;
	}
	return method->run(call, parameters, c->server->config.userdata);
}

static int dispatch(struct pp_connection *c, const struct pp_varlink_message *m)
{
	const char *interface = c->server->config.interface;
	size_t len = pp_varlink_interface_len(m->method);
	const struct pp_method *method;
	char *name;
	int r;

	if (!len)
		return pp_call_invalid(&c->call, "method");
	if (m->upgrade)
		return pp_service_error(&c->call, "MethodNotImplemented", "method", m->method);
	if (len == strlen(PP_VARLINK_SERVICE) && memcmp(m->method, PP_VARLINK_SERVICE, len) == 0)
		return pp_service_call(&c->call, m);
	if (len != strlen(interface) || memcmp(m->method, interface, len) != 0) {
		name = strndup(m->method, len);
		if (!name)
			return -ENOMEM;
		r = pp_service_error(&c->call, "InterfaceNotFound", "interface", name);
		free(name);
		return r;
	}
	method = find(c->server, m->method + len + 1);
	if (!method)
		return pp_service_error(&c->call, "MethodNotFound", "method", m->method);
	return call_method(&c->call, method, m->parameters);
}

void pp_call_dispatch(struct pp_connection *c, const struct pp_varlink_message *m)
{
	int r;

	c->call = (struct pp_call){ .active = true };
	r = dispatch(c, m);
	if (r >= 0 || c->closing || !c->call.active)
		return;
	if (r == -EACCES || r == -EPERM)
		(void)pp_service_error(&c->call, "PermissionDenied", NULL, NULL);
	else
		pp_connection_close(c);
}
