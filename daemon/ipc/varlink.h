/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Varlink codec and the state of one conversation, without any I/O: bytes go in, calls come
 * out; replies go in, bytes come out. It knows no methods.
 *
 * As strict as sd-varlink: a message is one JSON object of valid UTF-8 with known top-level members
 * only, none twice, followed by one zero byte; `parameters` is absent, null or an object. Whatever
 * breaks the framing or these rules ends the conversation (-EBADMSG), for nothing after it can be
 * trusted; what is well-formed but unknown gets an error reply.
 */
#pragma once

#include "base/buf.h"
#include <jansson.h>

#define PP_VARLINK_CALL_MAX  (1 * MIB)	/* our largest call is a few hundred bytes */
#define PP_VARLINK_REPLY_MAX (16 * MIB) /* what sd-varlink's clients accept */
#define PP_VARLINK_QUEUE_MAX 64		/* messages waiting to leave: a pipelining caller waits */
#define PP_VARLINK_DEPTH_MAX 32		/* nesting; ours have 4 levels, and the parser recurses */

#define PP_VARLINK_SERVICE "org.varlink.service"

/* ---- Messages ---- */

struct pp_varlink_message {
	json_t *json;		    /* owns the rest */
	const char *method;	    /* a call's: "interface.Method" */
	const char *error;	    /* a reply's, NULL for success */
	json_t *parameters;	    /* always an object */
	bool more, oneway, upgrade; /* of a call */
	bool continues;		    /* of a reply */
};

void pp_varlink_message_done(struct pp_varlink_message *m);
#define _cleanup_message_ _cleanup_(pp_varlink_message_done)

/* Parse a message of len bytes, without its zero byte. Return 0 or -EBADMSG or -ENOMEM. */
int pp_varlink_parse_call(struct pp_varlink_message *ret, const void *data, size_t len);
int pp_varlink_parse_reply(struct pp_varlink_message *ret, const void *data, size_t len);

/* The length of the interface part of a method's or error's name; 0 if it is not `a.b.Name`. */
size_t pp_varlink_interface_len(const char *name);

/* Append a message with its zero byte. parameters are borrowed, NULL is none. -ENOBUFS where the
 * buffer's limit does not hold it; nothing is appended then. */
int pp_varlink_format_call(struct pp_buf *out, const char *method, json_t *parameters, bool more);
int pp_varlink_format_reply(struct pp_buf *out, const char *error, json_t *parameters,
			    bool continues);

/* The same with a success's parameters as text, a JSON object's. */
int pp_varlink_format_text(struct pp_buf *out, const struct pp_buf *parameters);

/* A JSON string of bytes that may be anything: escaped as base/text.h does. NULL on -ENOMEM. */
json_t *pp_json_text(const char *text, size_t len);

/* ---- A conversation, the service's side ---- */

/* A message on its way out; its descriptor goes with the first byte. */
struct pp_varlink_out {
	struct pp_varlink_out *next;
	struct pp_buf bytes;
	size_t sent;
	int fd; /* -1: none */
};

struct pp_varlink {
	struct pp_buf in;
	size_t taken;	/* bytes of `in` that calls already handed out took */
	size_t scanned; /* bytes of `in` behind those known to hold no zero byte */
	struct pp_varlink_out *out, **out_tail;
	size_t nr_out, out_bytes;
	bool busy;   /* a call waits for its final reply */
	bool more;   /* that call may get more than one reply */
	bool silent; /* that call gets none (oneway) */
	bool broken; /* the caller broke the rules: nothing is read any more */
};

void pp_varlink_init(struct pp_varlink *v);
void pp_varlink_done(struct pp_varlink *v);

/* Adds received bytes. Returns 0 or -EBADMSG (a message over the limit) or -ENOMEM. */
int pp_varlink_feed(struct pp_varlink *v, const void *data, size_t len);

/*
 * Takes the next call. Returns 1 with *ret filled (the caller's to release), 0 where there is none
 * yet, or where the conversation is busy with an earlier one or waits for its output to be taken
 * away, or a negative errno. The call must get a final reply before the next is handed out.
 */
int pp_varlink_next(struct pp_varlink *v, struct pp_varlink_message *ret);

/* Whether a message has begun but not ended. */
bool pp_varlink_partial(const struct pp_varlink *v);

/*
 * Queues a reply to the current call; a oneway call's is dropped. error NULL is success.
 * continues: not the last, -EPROTO unless the call has `more`. fd is taken over, also on failure.
 * -EMSGSIZE: over PP_VARLINK_REPLY_MAX.
 */
int pp_varlink_reply(struct pp_varlink *v, const char *error, json_t *parameters, bool continues,
		     int fd);

/* The final reply, its parameters a JSON object's text. As above. */
int pp_varlink_reply_text(struct pp_varlink *v, const struct pp_buf *parameters);

/* The message to send next, NULL if none; n bytes of it have been sent. */
static inline struct pp_varlink_out *pp_varlink_pending(struct pp_varlink *v)
{
	return v->out;
}
void pp_varlink_sent(struct pp_varlink *v, size_t n);
