/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One child, one request in flight, the others wait in a list.
 *
 * A child ends in one of two ways. It dies by itself: the socket reports its end, and the request
 * it had fails. Or it misses a deadline: it is killed, and the next one starts without waiting for
 * it to be gone, because a task in uninterruptible sleep takes SIGKILL only when its system call
 * returns, which may be never. Such a *leaving* child keeps a pidfd in the loop that says when it
 * can be reaped. Only those that have not died ABANDONED_AFTER_NS after their SIGKILL count against
 * abandoned_max: any other is gone within microseconds.
 *
 * Callbacks may call pp_child_call; they must not call pp_child_free.
 *
 * A child that has nothing to do for idle_ms is ended: it holds nothing, and most machines have
 * nothing new to look at for hours.
 *
 * A child that dies young, again and again, is started again only after a pause that doubles, so a
 * bug in it costs a process now and then and not a CPU.
 */
#include "base/child.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/shares.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#define ABANDONED_AFTER_NS   (100 * NSEC_PER_MSEC)
#define DEATHS_WITHOUT_PAUSE 2 /* in a row, before the first pause */
#define PAUSE_FIRST_NS	     (250 * NSEC_PER_MSEC)
#define PAUSE_LONGEST_NS     (30 * NSEC_PER_SEC)
#define LAST_WAIT_MS	     20 /* for a killed child at pp_child_free */
#define TIMER_ACCURACY_USEC  (5 * USEC_PER_MSEC)

struct request {
	struct request *next;
	uint32_t owner;
	pp_child_reply_fn reply;
	void *userdata;
	int fds[PP_PASS_FDS_MAX];
	size_t nr_fds;
	size_t len;
	uint8_t data[];
};

/* A child that was killed and has not been reaped. */
struct leaving {
	struct leaving *next;
	struct pp_child *owner;
	sd_event_source *source; /* of the pidfd, which it owns */
	int pidfd;
	uint32_t on_account; /* whose request it had */
	uint64_t killed_ns;
};

struct pp_child {
	struct pp_child_config config;
	char *role;
	sd_event *event;
	sd_event_source *timer;

	/* The running child; sock < 0: none. */
	int sock, pidfd;
	pid_t pid;
	sd_event_source *io;

	struct request *flight; /* handed to the child */
	uint64_t flight_ns;	/* when */
	struct request *first, **last;
	size_t waiting;
	struct pp_shares shares;

	struct leaving *leaving;
	unsigned int deaths;	/* in a row, without a reply */
	uint64_t not_before_ns; /* no new child earlier */
	bool freeing;
	uint8_t *message; /* PP_CHILD_MESSAGE_MAX bytes: the reply being received */
};

static int pump(struct pp_child *c);

/* ---- Requests -------------------------------------------------------------------------------- */

static void close_fds(struct request *q)
{
	while (q->nr_fds)
		pp_close(q->fds[--q->nr_fds]);
}

static void request_free(struct request *q)
{
	close_fds(q);
	free(q);
}

static int request_new(struct request **ret, const void *data, size_t len, const int *fds,
		       size_t nr_fds)
{
	struct request *q = calloc(1, sizeof(*q) + len);

	if (!q)
		return -ENOMEM;
	q->len = len;
	if (len)
		memcpy(q->data, data, len);
	for (; q->nr_fds < nr_fds; q->nr_fds++) {
		q->fds[q->nr_fds] = fcntl(fds[q->nr_fds], F_DUPFD_CLOEXEC, 0);
		if (q->fds[q->nr_fds] < 0) {
			int r = -errno;

			request_free(q);
			return r;
		}
	}
	*ret = q;
	return 0;
}

static void request_finish(struct request *q, int error, const void *data, size_t len, int *fds,
			   size_t nr_fds)
{
	q->reply(q->userdata, error, data, len, fds, nr_fds);
	request_free(q);
}

/* What the child was never handed is given back. */
static void request_fail(struct request *q, int error)
{
	request_finish(q, error, NULL, 0, q->fds, q->nr_fds);
}

static struct request *take(struct pp_child *c, struct request **at)
{
	struct request *q = *at;

	if (!q)
		return NULL;
	*at = q->next;
	if (!*at)
		c->last = at;
	c->waiting--;
	return q;
}

static struct request *take_first(struct pp_child *c)
{
	return take(c, &c->first);
}

/* Where the request is linked whose owner has had least; of several the first. */
static struct request **choose(struct pp_child *c, uint64_t now_ns)
{
	struct request **best = &c->first;
	uint64_t least = UINT64_MAX;

	for (struct request **at = &c->first; *at && least; at = &(*at)->next) {
		uint64_t owed = pp_shares_owed(&c->shares, (*at)->owner, now_ns);

		if (owed >= least)
			continue;
		best = at;
		least = owed;
	}
	return best;
}

/* The request in flight has its answer, or will have none. */
static struct request *land(struct pp_child *c)
{
	struct request *q = TAKE_PTR(c->flight);
	uint64_t now_ns = pp_now_ns();

	if (q)
		pp_shares_charge(&c->shares, q->owner, now_ns - c->flight_ns, now_ns);
	return q;
}

/* ---- Leaving children ------------------------------------------------------------------------ */

static void leaving_free(struct leaving *l)
{
	struct leaving **at = &l->owner->leaving;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	sd_event_source_disable_unref(l->source);
	pp_close(l->pidfd);
	free(l);
}

static int on_leaving(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct leaving *l = userdata;
	struct pp_child *c = l->owner;

	(void)s;
	(void)revents;
	if (pp_reap(fd)) {
		leaving_free(l);
		(void)pump(c);
	}
	return 0;
}

static unsigned int nr_abandoned(const struct pp_child *c)
{
	uint64_t now = pp_now_ns();
	unsigned int n = 0;

	for (const struct leaving *l = c->leaving; l; l = l->next)
		n += now - l->killed_ns >= ABANDONED_AFTER_NS;
	return n;
}

/* One of his that has just been killed counts as well: more of them are not tried until it is
 * gone. */
bool pp_child_is_barred(const struct pp_child *c, uint32_t owner)
{
	unsigned int n = 0;

	for (const struct leaving *l = c->leaving; l && owner; l = l->next)
		n += l->on_account == owner;
	return c->config.abandoned_owner_max && n >= c->config.abandoned_owner_max;
}

static bool too_many_abandoned(const struct pp_child *c)
{
	return c->leaving && nr_abandoned(c) >= MAX(c->config.abandoned_max, 1U);
}

/* Ends the running child and forgets it; it is reaped now or when its pidfd says so. */
static void dismiss(struct pp_child *c)
{
	_cleanup_close_ int pidfd = TAKE_FD(c->pidfd);
	struct leaving *l;

	c->io = sd_event_source_disable_unref(c->io);
	c->sock = pp_close(c->sock);
	if (pidfd < 0)
		return;
	(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	if (pp_reap(pidfd))
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		return; /* a zombie until the daemon ends; nothing better without memory */
	*l = (struct leaving){ .next = c->leaving,
			       .owner = c,
			       .pidfd = TAKE_FD(pidfd),
			       .on_account = c->flight ? c->flight->owner : 0,
			       .killed_ns = pp_now_ns() };
	c->leaving = l;
	if (sd_event_add_io(c->event, &l->source, l->pidfd, EPOLLIN, on_leaving, l) < 0)
		leaving_free(l);
}

/* ---- Start and end --------------------------------------------------------------------------- */

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata);

static int spawn(struct pp_child *c)
{
	int r;

	r = pp_spawn_child(c->role, &c->sock, &c->pidfd, &c->pid);
	if (r < 0)
		return r;
	r = sd_event_add_io(c->event, &c->io, c->sock, EPOLLIN, on_io, c);
	if (r < 0)
		dismiss(c);
	return r;
}

static void note_death(struct pp_child *c)
{
	unsigned int over;

	if (++c->deaths <= DEATHS_WITHOUT_PAUSE)
		return;
	over = MIN(c->deaths - DEATHS_WITHOUT_PAUSE - 1, 16U);
	c->not_before_ns = pp_now_ns() + MIN(PAUSE_FIRST_NS << over, PAUSE_LONGEST_NS);
}

/* ---- The flow -------------------------------------------------------------------------------- */

static void set_timer(struct pp_child *c, uint64_t at_ns)
{
	(void)sd_event_source_set_time(c->timer, at_ns / NSEC_PER_USEC + 1);
	(void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* Hands q to the child. A child that ended while it had nothing to do is noticed here. */
static int hand_over(struct pp_child *c, struct request *q)
{
	int r = -EPIPE;

	for (int attempt = 0; attempt < 2; attempt++) {
		if (c->sock < 0) {
			r = spawn(c);
			if (r < 0)
				return r;
		}
		r = pp_send_fds(c->sock, q->data, q->len, q->fds, q->nr_fds);
		if (r >= 0)
			return 0;
		dismiss(c);
	}
	return r;
}

/*
 * Moves on: the first request goes to the child, or the timer is set to when that may be possible.
 * Returns a negative errno where a child could not be started.
 */
static int pump(struct pp_child *c)
{
	uint64_t now = pp_now_ns();
	struct request **next;
	int r;

	if (c->flight || c->freeing)
		return 0;
	if (!c->first && c->sock >= 0 && c->config.idle_ms) {
		set_timer(c, now + c->config.idle_ms * NSEC_PER_MSEC);
		return 0;
	}
	if (!c->first)
		return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	if (c->sock < 0 && now < c->not_before_ns) {
		set_timer(c, c->not_before_ns);
		return 0;
	}
	if (c->sock < 0 && too_many_abandoned(c)) {
		/* Requests accepted before this was known wait one more deadline, then fail. */
		set_timer(c, now + c->config.deadline_ms * NSEC_PER_MSEC);
		return 0;
	}
	next = choose(c, now);
	if (pp_child_is_barred(c, (*next)->owner)) {
		/* Not from within a call: the timer has it answered. */
		set_timer(c, now);
		return 0;
	}
	r = hand_over(c, *next);
	if (r < 0) {
		note_death(c);
		c->not_before_ns = MAX(c->not_before_ns, now + PAUSE_FIRST_NS);
		set_timer(c, c->not_before_ns);
		return r;
	}
	c->flight = take(c, next);
	c->flight_ns = now;
	close_fds(c->flight);
	set_timer(c, now + c->config.deadline_ms * NSEC_PER_MSEC);
	return 0;
}

static void fail_flight(struct pp_child *c, int error)
{
	struct request *q = land(c);

	if (q)
		request_fail(q, error);
}

/* Owners made children hang while more of their requests waited. */
static void fail_barred(struct pp_child *c)
{
	struct request **at = &c->first;

	while (*at) {
		if (!pp_child_is_barred(c, (*at)->owner)) {
			at = &(*at)->next;
			continue;
		}
		request_fail(take(c, at), -EBUSY);
		at = &c->first; /* the callback may have added some, or taken */
	}
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct pp_child *c = userdata;

	(void)s;
	(void)usec;
	if (c->flight) {
		/* It may be this loop that was late, not the child. */
		if (poll(&(struct pollfd){ .fd = c->sock, .events = POLLIN }, 1, 0) > 0)
			return 0;
		dismiss(c);
		fail_flight(c, -ETIMEDOUT);
		(void)pump(c);
		return 0;
	}
	if (!c->first && c->sock >= 0) { /* it is idle */
		dismiss(c);
		return 0;
	}
	if (c->sock < 0 && too_many_abandoned(c)) {
		size_t n = c->waiting; /* not those that the callbacks add */

		while (n-- && c->first)
			request_fail(take_first(c), -EPIPE);
		return 0;
	}
	fail_barred(c);
	/* A child that cannot be started at all: one request pays for each attempt. */
	if (pump(c) < 0 && c->first)
		request_fail(take_first(c), -EPIPE);
	return 0;
}

static void on_end(struct pp_child *c)
{
	dismiss(c);
	note_death(c);
	fail_flight(c, -EPIPE);
	(void)pump(c);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct pp_child *c = userdata;
	int fds[PP_PASS_FDS_MAX];
	size_t nr_fds;
	ssize_t n;

	(void)s;
	(void)revents;
	n = pp_recv_fds(fd, c->message, PP_CHILD_MESSAGE_MAX, fds, &nr_fds);
	if (n == -EAGAIN)
		return 0;
	if (n > 0 && c->flight) {
		struct request *q = land(c);

		c->deaths = 0;
		request_finish(q, 0, c->message, (size_t)n, fds, nr_fds);
	}
	for (size_t i = 0; i < nr_fds; i++)
		pp_close(fds[i]);
	if (n > 0)
		(void)pump(c);
	else
		on_end(c); /* gone, or it does not keep to the protocol */
	return 0;
}

/* ---- Interface ------------------------------------------------------------------------------- */

int pp_child_new(struct pp_child **ret, sd_event *event, const struct pp_child_config *config)
{
	_cleanup_(pp_child_freep) struct pp_child *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->sock = c->pidfd = -1;
	c->last = &c->first;
	c->event = sd_event_ref(event);
	c->role = strdup(config->role);
	c->message = malloc(PP_CHILD_MESSAGE_MAX);
	if (!c->role || !c->message)
		return -ENOMEM;
	r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, TIMER_ACCURACY_USEC,
			      on_timer, c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

/* For the child just killed, in general: leave no zombie to whoever comes next. A pidfd may be
 * readable a moment before waitid() finds the child. */
static void last_wait(int pidfd)
{
	uint64_t end = pp_now_ns() + LAST_WAIT_MS * NSEC_PER_MSEC;

	do
		(void)poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, LAST_WAIT_MS);
	while (!pp_reap(pidfd) && pp_now_ns() < end);
}

struct pp_child *pp_child_free(struct pp_child *c)
{
	struct request *q;

	if (!c)
		return NULL;
	c->freeing = true;
	dismiss(c);
	if (c->leaving)
		last_wait(c->leaving->pidfd);
	fail_flight(c, -ECANCELED);
	while ((q = take_first(c)))
		request_fail(q, -ECANCELED);
	while (c->leaving) {
		(void)pp_reap(c->leaving->pidfd);
		leaving_free(c->leaving);
	}
	sd_event_source_disable_unref(c->timer);
	sd_event_unref(c->event);
	pp_shares_done(&c->shares);
	free(c->role);
	free(c->message);
	free(c);
	return NULL;
}

static size_t waiting_of(const struct pp_child *c, uint32_t owner)
{
	size_t n = 0;

	for (const struct request *q = c->first; q; q = q->next)
		n += q->owner == owner;
	return n;
}

int pp_child_call(struct pp_child *c, uint32_t owner, const void *data, size_t len, const int *fds,
		  size_t nr_fds, pp_child_reply_fn reply, void *userdata)
{
	struct request *q = NULL;
	int r;

	if (!len || len > PP_CHILD_MESSAGE_MAX || nr_fds > PP_PASS_FDS_MAX)
		return -EMSGSIZE;
	if (c->freeing)
		return -ESHUTDOWN;
	if (pp_child_is_barred(c, owner))
		return -EBUSY;
	if (c->waiting >= c->config.queue_max ||
	    (owner && c->config.queue_owner_max &&
	     waiting_of(c, owner) >= c->config.queue_owner_max))
		return -ENOBUFS;
	if (c->sock < 0 && too_many_abandoned(c))
		return -EAGAIN;
	r = request_new(&q, data, len, fds, nr_fds);
	if (r < 0)
		return r;
	q->owner = owner;
	q->reply = reply;
	q->userdata = userdata;
	*c->last = q;
	c->last = &q->next;
	c->waiting++;
	(void)pump(c);
	return 0;
}

size_t pp_child_pending(const struct pp_child *c)
{
	return c->waiting + !!c->flight;
}

uint64_t pp_child_queued_ns(const struct pp_child *c)
{
	char path[48], text[128], *queued;
	uint64_t ns = 0;
	FILE *file;

	if (c->sock < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", c->pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	/* Time run, time queued, how often. */
	if (fgets(text, sizeof(text), file) && (queued = strchr(text, ' ')))
		ns = strtoull(queued, NULL, 10);
	fclose(file);
	return ns;
}
