/* SPDX-License-Identifier: GPL-2.0-only */
/* The server's inside: shared by server.c, connection.c, call.c and service.c, and by no one else.
 */
#pragma once

#include "ipc/account.h"
#include "ipc/held.h"
#include "ipc/server.h"
#include "ipc/varlink.h"

struct pp_call {
	bool active; /* a method has it and has not given its final reply */
	bool stream; /* counted as a stream of the account */
	void (*gone)(struct pp_call *c, void *data);
	void *gone_data;
};

struct pp_connection {
	struct pp_connection *next, *prev;
	struct pp_server *server;
	int fd;
	sd_event_source *io;
	sd_event_source *again; /* more calls are waiting, or the connection is to be closed */
	sd_event_source *timer;
	struct pp_varlink varlink;
	struct pp_peer peer;
	gid_t *groups; /* what peer.groups points to */
	struct pp_account *account;
	size_t charged;	       /* of account->queued */
	struct pp_call call;   /* at most one at a time */
	uint64_t partial_usec; /* since when half a message is here; 0: there is none */
	uint64_t head_usec;    /* since when the first reply waits to leave; 0: there is none */
	bool eof, closing;
	void *slot;
};

struct pp_listener {
	int fd;
	sd_event_source *source;
	char *path; /* to remove at the end; NULL: not ours */
	uint64_t dev, ino;
};

#define PP_LISTENERS_MAX 4 /* one path and what a socket unit would pass */

struct pp_server {
	sd_event *event;
	struct pp_server_config config;
	struct pp_listener listeners[PP_LISTENERS_MAX];
	size_t nr_listeners;
	int spare_fd; /* given up for a moment to turn a caller away when there are no others */
	struct pp_accounts accounts;
	struct pp_held *held;
	struct pp_connection *connections;
	size_t nr_connections;
};

/* Takes over fd on success. -EUSERS: over a limit. */
int pp_connection_new(struct pp_server *s, int fd);
struct pp_connection *pp_connection_free(struct pp_connection *c);
/* Closes at the next turn of the loop, never under a method's feet. */
void pp_connection_close(struct pp_connection *c);
/* Sends what can be sent and sets up what to wait for. */
void pp_connection_flush(struct pp_connection *c);

/* Hands a call to its method, or answers it. */
void pp_call_dispatch(struct pp_connection *c, const struct pp_varlink_message *m);
/* Ends the call of a connection that ends. */
void pp_call_cancel(struct pp_call *call);

/* A call to org.varlink.service, and its errors; key NULL: without a parameter. */
int pp_service_call(struct pp_call *call, const struct pp_varlink_message *m);
int pp_service_error(struct pp_call *call, const char *name, const char *key, const char *value);

static inline struct pp_connection *pp_call_owner(struct pp_call *c)
{
	return container_of(c, struct pp_connection, call);
}
