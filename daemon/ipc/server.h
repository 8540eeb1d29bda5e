/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Varlink service on a Unix socket, run by an sd-event loop. It knows no methods: they are a
 * table handed in at creation; org.varlink.service is built in.
 *
 * A method answers at once or later: it gets a pp_call, which lives until its final reply
 * (pp_call_reply, pp_call_error) or until the connection ends, whichever is first. Where the caller
 * goes away first the call's `gone` callback runs, once, and the call must not be used again.
 *
 * Callers are strangers: each uid has a limit on connections, streams and bytes in flight; one that
 * does not read its replies or stops in the middle of a message is cut off. None of this blocks.
 */
#pragma once

#include "base/buf.h"
#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

/* Behind everything that has to do with sampling: callers wait, samples do not. */
#define PP_CALLER_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct pp_server;
struct pp_connection;
struct pp_call;

/* Who is on the other end, as the kernel said at connect time. */
struct pp_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary */
	size_t nr_groups;
};

/*
 * Runs a call. parameters is an object, borrowed for the time of the callback. Return 0 after
 * having replied or kept the call for later; a negative errno has the server answer with a general
 * error (-EACCES, -EPERM: PermissionDenied; else the connection is closed).
 */
typedef int (*pp_method_fn)(struct pp_call *call, json_t *parameters, void *userdata);

struct pp_method {
	const char *name; /* without the interface */
	pp_method_fn run;
	bool stream; /* only with `more`; without it the caller gets ExpectedMore */
};

struct pp_server_config {
	const char *interface;			      /* the interface's name */
	const char *description;		      /* its text */
	const struct pp_method *methods;	      /* ends with a NULL name */
	const char *vendor, *product, *version, *url; /* for GetInfo */
	void *userdata;				      /* handed to methods and to closed */
	/* A connection ended, its calls are gone already; may be NULL. */
	void (*closed)(struct pp_connection *c, void *userdata);
};

/* All strings and tables of config must outlive the server. */
int pp_server_new(struct pp_server **ret, sd_event *event, const struct pp_server_config *config);
/* Closes every connection (calls' gone and config->closed run) and removes a socket file that
 * pp_server_listen() made. */
struct pp_server *pp_server_free(struct pp_server *s);
PP_DEFINE_CLEANUP(struct pp_server *, pp_server_free)

/*
 * Listens at path, mode 0666: who may see what is decided by call, not by file mode. A socket that
 * nobody listens on any more is replaced; one that answers is -EADDRINUSE; anything else at the
 * path is -EEXIST.
 */
int pp_server_listen(struct pp_server *s, const char *path);

/* Takes over the sockets that systemd passed (LISTEN_FDS). Returns how many; a descriptor that is
 * not a listening Unix stream socket is -EINVAL. */
int pp_server_listen_inherited(struct pp_server *s);

size_t pp_server_connections(const struct pp_server *s);

/* ---- A call, as its method sees it ---- */

const struct pp_peer *pp_call_peer(const struct pp_call *c);
struct pp_connection *pp_call_connection(const struct pp_call *c);

/* Set before returning from the method where the reply comes later. */
void pp_call_on_gone(struct pp_call *c, void (*gone)(struct pp_call *c, void *data), void *data);

/*
 * Replies. All take over the references to parameters (NULL: empty) and the descriptor (-1: none),
 * also on failure. The final ones end the call: do not use it after; nothing need be done on a
 * negative return, the connection is then being closed. fd must be a sealed memory file; its size
 * counts against the caller's bytes for as long as the caller holds it (-EDQUOT: over the limit;
 * the call then still lives and can be answered with an error).
 */
int pp_call_reply(struct pp_call *c, json_t *parameters);
/* parameters: a JSON object's text, borrowed. */
int pp_call_reply_text(struct pp_call *c, const struct pp_buf *parameters);
int pp_call_reply_fd(struct pp_call *c, json_t *parameters, int fd);
int pp_call_continue(struct pp_call *c, json_t *parameters);
int pp_call_error(struct pp_call *c, const char *name, json_t *parameters);
/* org.varlink.service.InvalidParameter(parameter) */
int pp_call_invalid(struct pp_call *c, const char *parameter);

/* Whether the previous reply of the stream has not left yet: a stream then skips a turn instead of
 * queueing. */
bool pp_call_backlog(const struct pp_call *c);

/* A slot on the connection for the method's room; what it owns is released in config->closed. */
void **pp_connection_slot(struct pp_connection *c);
