/* SPDX-License-Identifier: GPL-2.0-only */
#include "lib/connection.h"

#include "base/text.h"
#include <stdio.h>
#include <string.h>

/* Any answer comes within this: the service waits for names no longer than two seconds, and a
 * machine that is busy to the brim still gets to it. */
#define CALL_TIMEOUT_MS 30000

#define SERVICE_ERROR "org.varlink.service."

const char *pp_connection_path(const char *option)
{
	const char *environment = getenv(PP_SOCKET_ENVIRONMENT);

	if (option)
		return option;
	return environment && *environment ? environment : PP_SOCKET_DEFAULT;
}

/* A text of the service's, fit for a terminal whatever is in it. */
static void put_text(struct pp_buf *b, const char *text)
{
	(void)pp_text_escape(b, text, strlen(text), NULL);
}

static const char *string_of(const json_t *parameters, const char *key)
{
	return json_string_value(json_object_get(parameters, key)) ?: "?";
}

static long long integer_of(const json_t *parameters, const char *key)
{
	return json_integer_value(json_object_get(parameters, key));
}

/* The interface's own errors. */
static enum pp_exit explain_own(const char *name, const json_t *p, struct pp_buf *b)
{
	bool denied = strcmp(name, "NotPermitted") == 0;

	if (denied || strcmp(name, "Failed") == 0) {
		put_text(b, string_of(p, "reason"));
		return denied ? PP_EXIT_NOT_PERMITTED : PP_EXIT_FAILED;
	}
	if (strcmp(name, "NoSuchProcess") == 0) {
		(void)pp_buf_printf(b,
				    "there is no process %lld: it has ended, or it never was; "
				    "`pyprofctl ps --all` lists those that run",
				    integer_of(p, "pid"));
		return PP_EXIT_NO_PROCESS;
	}
	if (strcmp(name, "NoSuchSession") == 0) {
		(void)pp_buf_printf(b,
				    "the sampling session %lld is gone: pyprofd was restarted, or "
				    "its connection ended; start the command again",
				    integer_of(p, "session"));
		return PP_EXIT_FAILED;
	}
	if (strcmp(name, "TooMany") == 0) {
		(void)pp_buf_printf(b, "too many ");
		put_text(b, string_of(p, "what"));
		(void)pp_buf_printf(b,
				    " at once (%lld is the limit): stop another pyprofctl of "
				    "yours, then try again",
				    integer_of(p, "limit"));
		return PP_EXIT_FAILED;
	}
	(void)pp_buf_printf(b, "pyprofd refuses with ");
	put_text(b, name);
	return PP_EXIT_FAILED;
}

static enum pp_exit explain_service(const char *name, const json_t *p, struct pp_buf *b)
{
	if (strcmp(name, "PermissionDenied") == 0) {
		(void)pp_buf_printf(b, "you may not do this: use sudo, or become a member of group "
				       "pyprof");
		return PP_EXIT_NOT_PERMITTED;
	}
	if (strcmp(name, "InvalidParameter") == 0) {
		(void)pp_buf_printf(b, "pyprofd does not accept the value of `");
		put_text(b, string_of(p, "parameter"));
		(void)pp_buf_printf(b, "`; if the value is right, pyprofctl and pyprofd are of "
				       "different versions: see `pyprofctl --version`");
		return PP_EXIT_FAILED;
	}
	(void)pp_buf_printf(b, "pyprofd does not know this call (");
	put_text(b, name);
	(void)pp_buf_printf(b, "): pyprofctl and pyprofd are of different versions; update the "
			       "older one and restart pyprofd");
	return PP_EXIT_FAILED;
}

static enum pp_exit explain_errno(int r, struct pp_buf *b)
{
	switch (r) {
	case -ETIMEDOUT:
		(void)pp_buf_printf(b,
				    "pyprofd did not answer within %d seconds: see its log "
				    "(journalctl -u pyprofd), or restart it",
				    CALL_TIMEOUT_MS / 1000);
		return PP_EXIT_UNREACHABLE;
	case -ECONNRESET:
	case -EPIPE:
		(void)pp_buf_printf(b, "pyprofd closed the connection: it was stopped, or it cut "
				       "us off for being too slow; see its log (journalctl -u "
				       "pyprofd) and try again");
		return PP_EXIT_UNREACHABLE;
	case -EBADMSG:
		(void)pp_buf_printf(b, "what answers on the socket does not speak as pyprofd does: "
				       "check --socket and " PP_SOCKET_ENVIRONMENT);
		return PP_EXIT_UNREACHABLE;
	default:
		(void)pp_buf_printf(b, "talking to pyprofd failed: %s", strerror(-r));
		return PP_EXIT_FAILED;
	}
}

enum pp_exit pp_connection_explain(const struct pp_reply *reply, int r, char *text, size_t size)
{
	struct pp_buf b = { 0 };
	enum pp_exit code;

	if (!reply)
		code = explain_errno(r, &b);
	else if (strncmp(reply->error, SERVICE_ERROR, strlen(SERVICE_ERROR)) == 0)
		code = explain_service(reply->error + strlen(SERVICE_ERROR), reply->parameters, &b);
	else if (strncmp(reply->error, PP_INTERFACE ".", strlen(PP_INTERFACE) + 1) == 0)
		code = explain_own(reply->error + strlen(PP_INTERFACE) + 1, reply->parameters, &b);
	else
		code = explain_errno(-EBADMSG, &b);
	snprintf(text, size, "%.*s", (int)b.len, b.data ? (const char *)b.data : "");
	pp_buf_done(&b);
	return code;
}

static int explain_connect(const char *path, int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
		fprintf(stderr,
			"pyprofctl: pyprofd is not running: there is no socket at %s. Start it "
			"with `sudo systemctl start pyprofd.socket` or `sudo pyprofd`, or say "
			"where it is with --socket or " PP_SOCKET_ENVIRONMENT ".\n",
			path);
		return PP_EXIT_UNREACHABLE;
	case -ECONNREFUSED:
		fprintf(stderr,
			"pyprofctl: pyprofd is not running any more: nobody answers at %s. Start "
			"it with `sudo systemctl restart pyprofd` or `sudo pyprofd`.\n",
			path);
		return PP_EXIT_UNREACHABLE;
	case -EACCES:
	case -EPERM:
		fprintf(stderr,
			"pyprofctl: you may not reach %s: its directory or its mode does not let "
			"you in. Use sudo, or another socket with --socket.\n",
			path);
		return PP_EXIT_NOT_PERMITTED;
	default:
		fprintf(stderr,
			"pyprofctl: cannot connect to pyprofd at %s: %s. Check --socket "
			"and " PP_SOCKET_ENVIRONMENT ".\n",
			path, strerror(-r));
		return PP_EXIT_UNREACHABLE;
	}
}

int pp_connection_open(struct pp_client **ret, const char *option)
{
	const char *path = pp_connection_path(option);
	int r = pp_client_new(ret, path);

	return r < 0 ? explain_connect(path, r) : 0;
}

static int fail(const struct pp_reply *reply, int r)
{
	char text[1024];
	int code = pp_connection_explain(reply, r, text, sizeof(text));

	fprintf(stderr, "pyprofctl: %s.\n", text);
	return code;
}

int pp_connection_call(struct pp_client *c, const char *method, json_t *parameters,
		       struct pp_reply *ret)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	char name[sizeof(PP_INTERFACE) + 64];
	int r;

	snprintf(name, sizeof(name), "%s.%s", PP_INTERFACE, method);
	r = pp_client_call(c, name, parameters, CALL_TIMEOUT_MS, &reply);
	if (r < 0)
		return fail(NULL, r);
	if (reply.error)
		return fail(&reply, 0);
	*ret = reply;
	reply = (struct pp_reply)PP_REPLY;
	return 0;
}

int pp_connection_stream(struct pp_client *c, const char *method, json_t *parameters)
{
	char name[sizeof(PP_INTERFACE) + 64];
	int r;

	snprintf(name, sizeof(name), "%s.%s", PP_INTERFACE, method);
	r = pp_client_stream(c, name, parameters);
	return r < 0 ? fail(NULL, r) : 0;
}

int pp_connection_next(struct pp_client *c, int timeout_ms, struct pp_reply *ret, bool *ret_got)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	int r = pp_client_next(c, timeout_ms, &reply);

	*ret_got = false;
	if (r < 0 && r != -EINTR)
		return fail(NULL, r);
	if (r <= 0)
		return 0;
	if (reply.error)
		return fail(&reply, 0);
	*ret = reply;
	reply = (struct pp_reply)PP_REPLY;
	*ret_got = true;
	return 0;
}
