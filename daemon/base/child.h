/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A helper process of the daemon: what may hang (reading another process's files) or crash (parsing
 * them) happens there. The daemon re-executes itself as `pyprofd --child ROLE`, with one end of a
 * SOCK_SEQPACKET pair as descriptor PP_CHILD_SOCKET; a request is one message, its reply one
 * message, each with up to PP_PASS_FDS_MAX descriptors. The child answers one at a time: those of
 * one owner in order, and of several owners' the next is that of the one who has had least.
 *
 * A request that misses the deadline costs the child its life: it is killed, and one that a stuck
 * system call keeps from dying is abandoned (at most abandoned_max of them; then calls fail with
 * -EAGAIN). Requests queued behind it go to its successor. An owner whose requests have done that
 * abandoned_owner_max times is not served until one of those children has gone.
 */
#pragma once

#include "macro.h"
#include <systemd/sd-event.h>

#define PP_CHILD_SOCKET 3
/* What idle_ms is for children that are wanted when something new appears on the machine: starting
 * one takes some ms, keeping it some MiB. */
#define PP_CHILD_IDLE_MS 10000
/* A request or reply; more travels in a memfd. Two names of 64 KiB fit, and it is well below what a
 * socket takes at once (net.core.wmem_default, 208 KiB). */
#define PP_CHILD_MESSAGE_MAX (160 * KIB)

struct pp_child;

struct pp_child_config {
	const char *role;	  /* "reader", "worker": argv, process name, log lines */
	unsigned int deadline_ms; /* per request, from when the child is handed it */
	unsigned int queue_max;	  /* requests waiting; one more is refused with -ENOBUFS */
	unsigned int abandoned_max;
	/* One that had nothing to do for so long is ended, and started again by the next request;
	 * 0: never. */
	unsigned int idle_ms;
	/* Of these, one owner's; 0: no limit. Owner 0 (root, or nobody knows whose) has none. */
	unsigned int queue_owner_max, abandoned_owner_max;
};

/*
 * Called exactly once for each accepted request. error: 0, -ETIMEDOUT (deadline), -EPIPE (the child
 * died on it), -EBUSY (its owner is not served), -ECANCELED (pp_child_free). The callee takes a
 * descriptor by setting its slot to -1; those left are closed. With an error they are the request's
 * own, where the child was never handed it: from then on they are no longer held here.
 */
typedef void (*pp_child_reply_fn)(void *userdata, int error, const void *data, size_t len, int *fds,
				  size_t nr_fds);

int pp_child_new(struct pp_child **ret, sd_event *event, const struct pp_child_config *config);
struct pp_child *pp_child_free(struct pp_child *c);
PP_DEFINE_CLEANUP(struct pp_child *, pp_child_free)

/* Queues a request; data and fds are copied (fds duplicated). owner: the user for whom it is.
 * Returns 0 or a negative errno, in which case reply is never called: -EBUSY where the owner is not
 * served. */
int pp_child_call(struct pp_child *c, uint32_t owner, const void *data, size_t len, const int *fds,
		  size_t nr_fds, pp_child_reply_fn reply, void *userdata);

/* Whether this owner is not served now. */
bool pp_child_is_barred(const struct pp_child *c, uint32_t owner);
/* Requests waiting or in flight. */
size_t pp_child_pending(const struct pp_child *c);
/* For how long the running child was ready and had to wait for a CPU, so far; 0: not known. */
uint64_t pp_child_queued_ns(const struct pp_child *c);
