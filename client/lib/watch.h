/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Watch stream as a profile of its last seconds. Every reply is a tick; the window is the ticks
 * that reach into it, and its profile is their sum.
 *
 * The stream names frames and nodes by numbers of its own, and gives a frame anew when it has got
 * its name. Nodes of the profile are therefore made when the sum is made, from what is known then.
 */
#pragma once

#include "profile.h"

#include <jansson.h>

/* Nodes of a stream: with more, the caller starts a new stream (pp_watch_full()). */
#define PP_WATCH_NODES_MAX (1U << 20)
#define PP_WATCH_TICKS_MAX 4096

struct pp_watch;

int pp_watch_new(struct pp_watch **ret, uint64_t window_ns);
struct pp_watch *pp_watch_free(struct pp_watch *w);
PP_DEFINE_CLEANUP(struct pp_watch *, pp_watch_free)

/* Takes one reply's parameters. Returns 0, -EBADMSG (refers to what was never sent) or -ENOMEM. */
int pp_watch_feed(struct pp_watch *w, const json_t *parameters);
/* Whether the stream has become too large to go on with. */
bool pp_watch_full(const struct pp_watch *w);

struct pp_watch_figures {
	uint64_t span_ns; /* really covered: less than the window at first */
	uint64_t lost, hidden;
};

/*
 * Makes the window's profile: *ret is the watch's own, changed by the next call. Its frames, nodes
 * and processes keep their indices from call to call.
 */
int pp_watch_profile(struct pp_watch *w, const struct pp_profile **ret,
		     struct pp_watch_figures *figures);
