/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A blocking Varlink client over a Unix socket: one call at a time, or one stream. What the service
 * sends is checked as strictly as what it receives.
 */
#pragma once

#include "base/macro.h"
#include <jansson.h>

struct pp_client;

/*
 * One reply. `error` is NULL for success, else the qualified name of the error, whose details are
 * in `parameters` (always an object). `fd` is the descriptor that came along, or -1.
 */
struct pp_reply {
	json_t *message; /* owns what parameters and error point into */
	json_t *parameters;
	const char *error;
	bool continues; /* more replies to this call follow */
	int fd;
};

#define PP_REPLY         \
	{                \
		.fd = -1 \
	}

void pp_reply_done(struct pp_reply *r);
#define _cleanup_reply_ _cleanup_(pp_reply_done)

/* Connects to the socket at path. Errors are connect(2)'s; -ENAMETOOLONG for an impossible path. */
int pp_client_new(struct pp_client **ret, const char *path);
struct pp_client *pp_client_free(struct pp_client *c);
PP_DEFINE_CLEANUP(struct pp_client *, pp_client_free)

/*
 * Sends one call and waits for its reply. Takes over the reference to parameters (may be NULL).
 * timeout_ms < 0 waits for ever. Returns 0 with *ret filled, also where the service answered with
 * an error; or a negative errno: -ETIMEDOUT, -EBUSY (a stream is running), -ECONNRESET (the service
 * closed the connection), -EBADMSG (not Varlink, or a reply that is not due).
 */
int pp_client_call(struct pp_client *c, const char *method, json_t *parameters, int timeout_ms,
		   struct pp_reply *ret);

/*
 * Starts a stream: sends the call with `more`. Its replies are taken with pp_client_next() until
 * one without `continues`. A stream is cancelled by freeing the client.
 */
int pp_client_stream(struct pp_client *c, const char *method, json_t *parameters);

/*
 * The stream's next reply. Returns 1 with *ret filled, 0 where none came within timeout_ms (0: only
 * looks, < 0: waits for ever), or a negative errno as above; -ENODATA where no stream is running.
 * For an event loop: poll pp_client_fd() for reading, then call with timeout 0 until it returns 0.
 * A signal ends the wait with -EINTR.
 */
int pp_client_next(struct pp_client *c, int timeout_ms, struct pp_reply *ret);

int pp_client_fd(const struct pp_client *c);
