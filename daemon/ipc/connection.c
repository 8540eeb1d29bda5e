/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One caller's connection: bytes in and out, and how long it may take.
 *
 * While a call is being answered nothing is read, so what a caller has in flight is bounded by the
 * socket's buffer; a caller that hangs up is noticed all the same (EPOLLHUP needs no asking). Half
 * a message and an unread reply each have a deadline, from their first byte and not from the last
 * progress, so that a trickle of bytes does not hold memory for ever. An idle connection may stay:
 * it costs a slot of its uid's account.
 */
#include "ipc/connection.h"

#include "base/counters.h"
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_SIZE	 (64 * KIB)
#define CALLS_PER_TURN	 16		     /* of one connection; then the others get theirs */
#define PARTIAL_USEC_MAX (10 * USEC_PER_SEC) /* a whole message is one write for every client */
#define REPLY_USEC_MAX	 (30 * USEC_PER_SEC) /* 16 MiB through a slow relay */
#define TIMER_ACCURACY	 (100 * USEC_PER_MSEC)

static uint64_t now_usec(const struct pp_connection *c)
{
	uint64_t now;

	sd_event_now(c->server->event, CLOCK_MONOTONIC, &now);
	return now;
}

static void update_account(struct pp_connection *c)
{
	struct pp_account *a = c->account;

	a->queued = a->queued - c->charged + c->varlink.out_bytes;
	c->charged = c->varlink.out_bytes;
	if (a->queued <= pp_account_limit(a, PP_ACCOUNT_QUEUED) || c->closing)
		return;
	pp_count(PP_C_callers_cut);
	pp_connection_close(c);
}

static void update_timer(struct pp_connection *c)
{
	uint64_t deadline = UINT64_MAX, now = now_usec(c);

	if (!pp_varlink_partial(&c->varlink))
		c->partial_usec = 0;
	else if (!c->partial_usec)
		c->partial_usec = now;
	if (!c->varlink.out)
		c->head_usec = 0;
	else if (!c->head_usec)
		c->head_usec = now;
	if (c->partial_usec)
		deadline = c->partial_usec + PARTIAL_USEC_MAX;
	if (c->head_usec)
		deadline = MIN(deadline, c->head_usec + REPLY_USEC_MAX);
	if (deadline != UINT64_MAX)
		sd_event_source_set_time(c->timer, deadline);
	sd_event_source_set_enabled(c->timer,
				    deadline != UINT64_MAX ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void update(struct pp_connection *c)
{
	struct pp_varlink *v = &c->varlink;
	uint32_t events = 0;

	update_account(c);
	if (c->closing)
		return;
	if (!c->eof && !v->busy && v->nr_out < PP_VARLINK_QUEUE_MAX)
		events |= EPOLLIN;
	if (v->out)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(c->io, events);
	update_timer(c);
}

void pp_connection_close(struct pp_connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(c->again, SD_EVENT_ONESHOT);
}

static ssize_t send_message(int sock, const struct pp_varlink_out *o)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { o->bytes.data + o->sent, o->bytes.len - o->sent };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (o->fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &o->fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_out(struct pp_connection *c)
{
	struct pp_varlink_out *o;

	while ((o = pp_varlink_pending(&c->varlink))) {
		size_t left = o->bytes.len - o->sent;
		ssize_t n = send_message(c->fd, o);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return -errno;
		pp_varlink_sent(&c->varlink, (size_t)n);
		if ((size_t)n < left)
			return 0;
		c->head_usec = 0;
	}
	return 0;
}

void pp_connection_flush(struct pp_connection *c)
{
	if (c->closing)
		return;
	if (send_out(c) < 0)
		pp_connection_close(c);
	update(c);
}

/* Runs calls that are here, a few at a time. */
static void run(struct pp_connection *c)
{
	for (unsigned int i = 0; i < CALLS_PER_TURN && !c->closing; i++) {
		_cleanup_message_ struct pp_varlink_message m = { 0 };
		int r = pp_varlink_next(&c->varlink, &m);

		if (r < 0) {
			pp_count(PP_C_calls_malformed);
			pp_connection_close(c);
			return;
		}
		if (r == 0) {
			if (c->eof && !c->varlink.busy && !c->varlink.out)
				pp_connection_close(c);
			return;
		}
		pp_call_dispatch(c, &m);
	}
	if (!c->closing)
		sd_event_source_set_enabled(c->again, SD_EVENT_ONESHOT);
}

static void receive(struct pp_connection *c)
{
	static uint8_t bytes[READ_SIZE]; /* one loop, one reader */
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	int r = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0)
		c->eof = true;
	if (n > 0)
		r = pp_varlink_feed(&c->varlink, bytes, (size_t)n);
	if (r == -EBADMSG)
		pp_count(PP_C_calls_malformed);
	if (n < 0 || r < 0)
		pp_connection_close(c);
}

static int on_io(sd_event_source *source, int fd _unused_, uint32_t revents, void *userdata)
{
	struct pp_connection *c = userdata;
	uint32_t asked = 0;

	sd_event_source_get_io_events(source, &asked);
	if (revents & EPOLLOUT)
		pp_connection_flush(c);
	if ((revents & asked & EPOLLIN) && !c->closing)
		receive(c);
	else if (revents & (EPOLLHUP | EPOLLERR))
		pp_connection_close(c);
	if (!c->closing)
		run(c);
	if (!c->closing)
		update(c);
	return 0;
}

static int on_again(sd_event_source *source _unused_, void *userdata)
{
	struct pp_connection *c = userdata;

	if (c->closing) {
		pp_connection_free(c);
		return 0;
	}
	run(c);
	if (!c->closing)
		update(c);
	return 0;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	pp_count(PP_C_callers_cut);
	pp_connection_close(userdata);
	return 0;
}

static int read_peer(struct pp_connection *c)
{
	struct ucred ucred;
	socklen_t len = sizeof(ucred);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) < 0)
		return -errno;
	c->peer = (struct pp_peer){ .pid = ucred.pid, .uid = ucred.uid, .gid = ucred.gid };
	len = 0;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) < 0 && errno != ERANGE)
		return errno == ENODATA ? 0 : -errno;
	if (!len)
		return 0;
	c->groups = malloc(len); /* NGROUPS_MAX gids at most */
	if (!c->groups)
		return -ENOMEM;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) < 0)
		return -errno;
	c->peer.groups = c->groups;
	c->peer.nr_groups = len / sizeof(gid_t);
	return 0;
}

static int add_sources(struct pp_connection *c)
{
	sd_event *event = c->server->event;
	int r;

	r = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_io, c);
	if (r >= 0)
		r = sd_event_source_set_priority(c->io, PP_CALLER_PRIORITY);
	if (r >= 0)
		r = sd_event_add_defer(event, &c->again, on_again, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->again, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(c->again, PP_CALLER_PRIORITY);
	if (r >= 0)
		r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, TIMER_ACCURACY,
				      on_timer, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	return r;
}

static int set_up(struct pp_connection *c)
{
	struct pp_server *s = c->server;
	int r = read_peer(c);

	if (r < 0)
		return r;
	c->account = pp_accounts_get(&s->accounts, c->peer.uid);
	if (!c->account)
		return -ENOMEM;
	if (s->nr_connections >= PP_CONNECTIONS_MAX ||
	    c->account->connections >= pp_account_limit(c->account, PP_ACCOUNT_CONNECTIONS))
		return -EUSERS;
	return add_sources(c);
}

static void release(struct pp_connection *c)
{
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->again);
	sd_event_source_disable_unref(c->timer);
	pp_varlink_done(&c->varlink);
	pp_accounts_put(&c->server->accounts, c->account);
	free(c->groups);
	free(c);
}

int pp_connection_new(struct pp_server *s, int fd)
{
	struct pp_connection *c;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->server = s;
	c->fd = fd;
	pp_varlink_init(&c->varlink);
	r = set_up(c);
	if (r < 0) {
		release(c);
		return r;
	}
	c->account->connections++;
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->nr_connections++;
	return 0;
}

struct pp_connection *pp_connection_free(struct pp_connection *c)
{
	struct pp_server *s;

	if (!c)
		return NULL;
	s = c->server;
	c->closing = true;
	pp_call_cancel(&c->call);
	if (s->config.closed)
		s->config.closed(c, s->config.userdata);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->nr_connections--;
	c->account->connections--;
	c->account->queued -= c->charged;
	pp_close(c->fd);
	release(c);
	return NULL;
}
