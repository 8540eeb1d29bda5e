/* SPDX-License-Identifier: GPL-2.0-only */
/* The event loop of top. */
#include "live.h"

#include "base/clock.h"
#include "lib/watch.h"
#include "screen.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

/* Twice a second: often enough to look alive, slow enough to read. */
#define TICK_MS 500
/* Which Pythons there are changes slowly. */
#define FACTS_MS 3000

struct state {
	const struct pp_live *live;
	struct pp_watch *watch;
	struct pp_top top;
	struct pp_page page;
	struct pp_page_facts facts;
	struct pp_reply processes; /* what facts.processes points into */
	uint64_t facts_due_ns;
	bool asked, facts_lost; /* for them: an answer is due; there will be none any more */
	bool fresh;		/* a tick has come since the last update */
};

static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

static void state_done(struct state *s)
{
	pp_watch_free(s->watch);
	pp_top_done(&s->top);
	pp_page_done(&s->page);
	pp_reply_done(&s->processes);
}

/*
 * Asks for the processes now and then, and takes the answer when it is there: a daemon that is busy
 * must not make the screen stand still. Without the facts the picture is poorer, not wrong.
 */
static void ask_facts(struct state *s)
{
	if (s->facts_lost || s->asked || pp_now_ns() < s->facts_due_ns)
		return;
	s->asked = pp_client_stream(s->live->facts, PP_INTERFACE ".ListProcesses", NULL) >= 0;
	s->facts_lost = !s->asked;
}

static void take_facts(struct state *s)
{
	struct pp_reply reply = PP_REPLY;
	int r;

	if (!s->asked)
		return;
	r = pp_client_next(s->live->facts, 0, &reply);
	if (r == 0 || r == -EINTR)
		return;
	s->asked = false;
	s->facts_due_ns = pp_now_ns() + FACTS_MS * NSEC_PER_MSEC;
	s->facts_lost = r < 0 || reply.error || reply.continues;
	if (s->facts_lost) {
		pp_reply_done(&reply);
		return;
	}
	pp_reply_done(&s->processes);
	s->processes = reply;
	s->facts.processes = json_object_get(reply.parameters, "processes");
	pp_pythons_count(s->facts.processes, s->live->pid, &s->facts.pythons);
}

static int start_stream(struct state *s)
{
	return pp_client_stream(s->live->stream, PP_INTERFACE ".Watch",
				json_pack("{s:I, s:i}", "session", (json_int_t)s->live->session,
					  "interval_ms", TICK_MS));
}

/* Takes what the stream has. Returns 0, a negative errno, or 1: *failed is the service's refusal.
 */
static int take_ticks(struct state *s, struct pp_reply *failed)
{
	for (;;) {
		struct pp_reply reply = PP_REPLY;
		int r;

		r = pp_client_next(s->live->stream, 0, &reply);
		if (r <= 0)
			return r == -EINTR ? 0 : r;
		if (reply.error) {
			*failed = reply;
			return 1;
		}
		r = pp_watch_feed(s->watch, reply.parameters);
		pp_reply_done(&reply);
		if (r < 0)
			return r;
		s->fresh = true;
	}
}

static int update(struct state *s, bool rebuild)
{
	const struct pp_profile *p = s->top.profile;
	struct pp_watch_figures figures;
	int width, height, r = 0;

	if (s->fresh && !s->top.paused) {
		r = pp_watch_profile(s->watch, &p, &figures);
		if (r < 0)
			return r;
		s->facts.span_ns = figures.span_ns;
		s->facts.lost = figures.lost;
		s->facts.hidden = figures.hidden;
		s->fresh = false;
		rebuild = true;
	}
	if (rebuild && p)
		r = pp_top_update(&s->top, p);
	if (r < 0)
		return r;
	pp_screen_size(&width, &height);
	r = pp_page_make(&s->page, &s->top, &s->facts, width, height);
	if (r >= 0)
		pp_screen_paint(&s->page);
	return r;
}

/* Returns as take_ticks(). */
static int loop(struct state *s, struct pp_reply *failed)
{
	bool rebuild = true;
	int r;

	while (!s->top.quit && !ended) {
		struct pollfd fds[] = {
			{ .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = pp_client_fd(s->live->stream), .events = POLLIN },
			{ .fd = -1, .events = POLLIN },
		};
		unsigned int key;

		r = update(s, rebuild);
		if (r < 0)
			return r;
		rebuild = false;
		ask_facts(s);
		fds[2].fd = s->asked ? pp_client_fd(s->live->facts) : -1;
		if (poll(fds, ARRAY_SIZE(fds), FACTS_MS) < 0 && errno != EINTR)
			return -errno;
		while (!s->top.quit && pp_screen_key(&key))
			rebuild |= pp_top_key(&s->top, key);
		/* The terminal is gone. */
		if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return 0;
		take_facts(s);
		r = take_ticks(s, failed);
		if (r)
			return r;
		if (pp_watch_full(s->watch))
			return -ENOSPC;
	}
	return 0;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = end };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static int explain(int r, const struct pp_reply *failed)
{
	char text[512];
	int code;

	if (r == 0)
		return PP_EXIT_DONE;
	if (r == -ENOMEM || r == -ENOSPC)
		return pp_fail_errno(r, "top");
	code = pp_connection_explain(r > 0 ? failed : NULL, r, text, sizeof(text));
	return pp_fail(code, "%s", text);
}

int pp_live_run(const struct pp_live *l, bool color)
{
	_cleanup_(state_done) struct state s = {
		.live = l,
		.processes = PP_REPLY,
		.facts = { .frequency = l->frequency },
	};
	_cleanup_reply_ struct pp_reply failed = PP_REPLY;
	int r;

	pp_top_init(&s.top);
	s.top.view = l->view;
	if (l->by < PP_ATTRIBUTES)
		pp_top_group(&s.top, l->by);
	r = pp_watch_new(&s.watch, (uint64_t)l->window_ms * NSEC_PER_MSEC);
	if (r >= 0)
		r = start_stream(&s);
	if (r < 0)
		return explain(r, NULL);
	if (pp_screen_open(color) < 0)
		return pp_fail(PP_EXIT_FAILED,
			       "this terminal (TERM=%s) cannot show a live page; "
			       "`pyprofctl top --once` prints one",
			       getenv("TERM") ?: "");
	catch_signals();
	r = loop(&s, &failed);
	pp_screen_close();
	return explain(r, &failed);
}
