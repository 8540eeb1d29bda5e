/* SPDX-License-Identifier: GPL-2.0-only */
#include "ipc/client.h"

#include "base/clock.h"
#include "ipc/varlink.h"
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define READ_SIZE (64 * KIB)
#define FDS_MAX	  4 /* of replies that arrived together; a reply has one at most */

/* A descriptor belongs to the reply whose first byte came with it. */
struct arrived {
	size_t at; /* offset in `in` */
	int fd;
};

struct pp_client {
	int sock;
	struct pp_buf in;
	size_t scanned; /* bytes of `in` known to hold no zero byte */
	struct arrived fds[FDS_MAX];
	size_t nr_fds;
	bool streaming;
};

void pp_reply_done(struct pp_reply *r)
{
	json_decref(r->message);
	pp_close(r->fd);
	*r = (struct pp_reply)PP_REPLY;
}

int pp_client_new(struct pp_client **ret, const char *path)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (!n || n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, n + 1);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->in.max = PP_VARLINK_REPLY_MAX + READ_SIZE;
	c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->sock < 0)
		return -errno;
	if (connect(c->sock, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret = TAKE_PTR(c);
	return 0;
}

struct pp_client *pp_client_free(struct pp_client *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->nr_fds; i++)
		pp_close(c->fds[i].fd);
	pp_buf_done(&c->in);
	pp_close(c->sock);
	free(c);
	return NULL;
}

int pp_client_fd(const struct pp_client *c)
{
	return c->sock;
}

static int send_all(struct pp_client *c, const struct pp_buf *b)
{
	for (size_t done = 0; done < b->len;) {
		ssize_t n = send(c->sock, b->data + done, b->len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* A service that hung up may have said why: the reply is read all the same. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static int send_call(struct pp_client *c, const char *method, json_t *take_parameters, bool more)
{
	json_auto_t *parameters = take_parameters;
	struct pp_buf call = PP_BUF(PP_VARLINK_CALL_MAX);
	int r;

	if (c->streaming)
		return -EBUSY;
	r = pp_varlink_format_call(&call, method, parameters, more);
	if (r >= 0)
		r = send_all(c, &call);
	pp_buf_done(&call);
	return r;
}

/* Keeps the descriptors of one read, which began at offset `at`. */
static int keep_fds(struct pp_client *c, struct msghdr *msg, size_t at)
{
	int r = msg->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

	for (struct cmsghdr *m = CMSG_FIRSTHDR(msg); m; m = CMSG_NXTHDR(msg, m)) {
		size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[FDS_MAX];

		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(m), sizeof(int) * MIN(n, (size_t)FDS_MAX));
		for (size_t i = 0; i < n; i++) {
			if (n == 1 && c->nr_fds < FDS_MAX) {
				c->fds[c->nr_fds++] = (struct arrived){ at, fds[i] };
				continue;
			}
			pp_close(fds[i]);
			r = -EBADMSG;
		}
	}
	return r;
}

/* The kernel never joins bytes that came with a descriptor to those before them in one read, so the
 * read's first byte is the reply's. */
static int receive(struct pp_client *c)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	int r = pp_buf_reserve(&c->in, READ_SIZE);

	if (r < 0)
		return r == -ENOBUFS ? -EBADMSG : r;
	iov = (struct iovec){ c->in.data + c->in.len, READ_SIZE };
	n = recvmsg(c->sock, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ECONNRESET;
	r = keep_fds(c, &msg, c->in.len);
	if (r < 0)
		return r;
	c->in.len += (size_t)n;
	return 0;
}

/* The descriptor that came with the reply of len bytes at the buffer's start, or -1. */
static int take_fd(struct pp_client *c, size_t len)
{
	size_t kept = 0;
	int fd = -1;

	for (size_t i = 0; i < c->nr_fds; i++) {
		if (c->fds[i].at >= len) {
			c->fds[kept] = c->fds[i];
			c->fds[kept++].at -= len;
		} else if (fd < 0) {
			fd = c->fds[i].fd;
		} else {
			pp_close(c->fds[i].fd);
		}
	}
	c->nr_fds = kept;
	return fd;
}

/* Takes a reply that is here in full. Returns 1, 0 or a negative errno. */
static int take_reply(struct pp_client *c, struct pp_reply *ret)
{
	_cleanup_message_ struct pp_varlink_message m = { 0 };
	const uint8_t *end = NULL;
	size_t len;
	int r;

	if (c->in.len > c->scanned)
		end = memchr(c->in.data + c->scanned, 0, c->in.len - c->scanned);
	if (!end) {
		c->scanned = c->in.len;
		return 0;
	}
	len = (size_t)(end - c->in.data);
	r = pp_varlink_parse_reply(&m, c->in.data, len);
	pp_buf_consume(&c->in, len + 1);
	c->scanned = 0;
	*ret = (struct pp_reply){ .fd = take_fd(c, len + 1) };
	if (r < 0 || (m.continues && !c->streaming)) {
		ret->fd = pp_close(ret->fd);
		return r < 0 ? r : -EBADMSG;
	}
	ret->message = json_incref(m.json);
	ret->parameters = m.parameters;
	ret->error = m.error;
	ret->continues = m.continues;
	if (!m.continues)
		c->streaming = false;
	return 1;
}

/* Waits for a reply. deadline: CLOCK_MONOTONIC, 0 = for ever. Returns 1, 0 (too late), or negative.
 */
static int wait_reply(struct pp_client *c, uint64_t deadline, struct pp_reply *ret)
{
	for (;;) {
		struct pollfd p = { .fd = c->sock, .events = POLLIN };
		int r = take_reply(c, ret), ms = -1;
		uint64_t now;

		if (r)
			return r;
		if (deadline) {
			now = pp_now_ns();
			ms = now < deadline ? (int)((deadline - now) / NSEC_PER_MSEC + 1) : 0;
		}
		r = poll(&p, 1, ms);
		if (r < 0)
			return -errno;
		if (r == 0)
			return 0;
		r = receive(c);
		if (r < 0)
			return r;
	}
}

static uint64_t deadline_in(int timeout_ms)
{
	return timeout_ms < 0 ? 0 : pp_now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

int pp_client_call(struct pp_client *c, const char *method, json_t *parameters, int timeout_ms,
		   struct pp_reply *ret)
{
	uint64_t deadline = deadline_in(timeout_ms);
	int r = send_call(c, method, parameters, false);

	if (r < 0)
		return r;
	do
		r = wait_reply(c, deadline, ret);
	while (r == -EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	return r < 0 ? r : 0;
}

int pp_client_stream(struct pp_client *c, const char *method, json_t *parameters)
{
	int r = send_call(c, method, parameters, true);

	if (r >= 0)
		c->streaming = true;
	return r;
}

int pp_client_next(struct pp_client *c, int timeout_ms, struct pp_reply *ret)
{
	if (!c->streaming)
		return -ENODATA;
	return wait_reply(c, deadline_in(timeout_ms), ret);
}
