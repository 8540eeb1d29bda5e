/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader process: one request after the other. It keeps the four capabilities that looking at
 * other processes needs, holds nothing between requests, and may be killed at any time.
 */
#include "proc/reader_wire.h"

#include "base/child.h"
#include "base/fd.h"

#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

struct request {
	struct pp_reader_request head;
	const char *text[PP_READER_TEXTS]; /* each with its NUL; "" where there is none */
	int fd;				   /* or -1 */
};

/* map_files needs CHECKPOINT_RESTORE (before Linux 5.9 SYS_ADMIN), /proc/PID/fd SYS_PTRACE. */
static void drop_capabilities(void)
{
	static const unsigned int kept[] = { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN,
					     CAP_CHECKPOINT_RESTORE };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	uint32_t keep[2] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		keep[kept[i] / 32] |= 1U << (kept[i] % 32);
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		data[i].effective &= keep[i];
		data[i].permitted &= keep[i];
		data[i].inheritable = 0;
	}
	(void)syscall(SYS_capset, &header, data);
}

static int parse_request(struct request *q, const void *data, size_t len)
{
	const char *at = (const char *)data + sizeof(q->head);
	size_t left;

	if (len < sizeof(q->head))
		return -EBADMSG;
	memcpy(&q->head, data, sizeof(q->head));
	left = len - sizeof(q->head);
	if (q->head.op >= PP_READER_OPS || q->head.build_id_len > PP_BUILD_ID_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < PP_READER_TEXTS; i++) {
		size_t n = q->head.text_len[i];

		q->text[i] = "";
		if (!n)
			continue;
		if (n + 1 > left || at[n])
			return -EBADMSG;
		q->text[i] = at;
		at += n + 1;
		left -= n + 1;
	}
	return 0;
}

static void describe(const struct pp_opened *o, struct pp_reader_answer *a)
{
	a->head.start_ticks = o->start_ticks;
	a->head.ppid = o->ppid;
	a->head.nspid = o->nspid;
	memcpy(a->head.uids, o->uids, sizeof(a->head.uids));
	memcpy(a->head.comm, o->comm, sizeof(a->head.comm));
}

static int answer_codes(const struct pp_opened *o, const struct request *q,
			struct pp_reader_answer *a)
{
	_cleanup_free_ struct pp_code_item *items = NULL;
	size_t nr = q->head.text_len[0] / sizeof(*items);

	if (nr > PP_CODE_ITEMS_MAX)
		return -EBADMSG;
	items = calloc(nr + 1, sizeof(*items)); /* aligned, which the text is not */
	if (!items)
		return -ENOMEM;
	memcpy(items, q->text[0], nr * sizeof(*items));
	return pp_reader_do_codes(o, &q->head, items, nr, a);
}

static int answer(struct request *q, struct pp_reader_answer *a)
{
	_cleanup_(pp_reader_close) struct pp_opened o = { .dir = -1 };
	struct pp_target target = { .pid = q->head.pid, .start_ticks = q->head.start_ticks };
	int r;

	if (q->head.op == PP_READER_READ)
		return pp_reader_do_read(&q->head, q->fd, a);
	if (q->head.op == PP_READER_DISCARD) {
		/* Before the answer: where that hangs, it must be this request's fault. The file
		 * itself is let go on the way back from the call. */
		q->fd = pp_close(q->fd);
		return 0;
	}
	r = pp_reader_open(&o, target);
	if (r >= 0)
		describe(&o, a);
	switch (q->head.op) {
	case PP_READER_IDENTIFY: /* these two can do something for one that is gone */
		return pp_reader_do_identify(&o, &q->head, q->text[0], a);
	case PP_READER_DEBUGFILE:
		return pp_reader_do_debugfile(&o, &q->head, q->text[0], q->text[1], a);
	case PP_READER_SCAN:
		return r < 0 ? r : pp_reader_do_scan(&o, a);
	case PP_READER_PERFMAP:
		return r < 0 ? r : pp_reader_do_perfmap(&o, &q->head, a);
	case PP_READER_CODES:
		return r < 0 ? r : answer_codes(&o, q, a);
	case PP_READER_INSPECT:
		return r < 0 ? r : pp_reader_do_inspect(&o, &q->head.inspect, a);
	case PP_READER_EXAMINE:
		return r < 0 ? r : pp_reader_do_examine(&o, &q->head, q->fd, a);
	default:
		return -EBADMSG;
	}
}

static int send_answer(int sock, struct pp_reader_answer *a, int error)
{
	_cleanup_buf_ struct pp_buf message = PP_BUF(PP_CHILD_MESSAGE_MAX);
	int r;

	if (error < 0) {
		a->fd = pp_close(a->fd);
		a->text.len = 0;
		memset(a->head.text_len, 0, sizeof(a->head.text_len));
		a->nr_texts = 0;
	}
	a->head.error = error;
	while (a->nr_texts < PP_READER_TEXTS)
		if (pp_reader_add_text(a, "", 0) < 0)
			return -ENOMEM;
	r = pp_buf_add(&message, &a->head, sizeof(a->head));
	if (r >= 0)
		r = pp_buf_add(&message, a->text.data, a->text.len);
	if (r < 0)
		return r;
	return pp_send_fds(sock, message.data, message.len, &a->fd, a->fd >= 0);
}

int pp_reader_main(int sock)
{
	_cleanup_free_ void *message = malloc(PP_CHILD_MESSAGE_MAX);

	if (!message)
		return 1;
	(void)prctl(PR_SET_NAME, "pyprofd-reader");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	drop_capabilities();
	for (;;) {
		struct pp_reader_answer a = { .fd = -1 };
		struct request q = { .fd = -1 };
		int fds[PP_PASS_FDS_MAX], r;
		size_t nr_fds;
		ssize_t n = pp_recv_fds(sock, message, PP_CHILD_MESSAGE_MAX, fds, &nr_fds);

		if (n <= 0)
			return n < 0;
		if (nr_fds)
			q.fd = TAKE_FD(fds[0]);
		r = parse_request(&q, message, (size_t)n);
		if (r >= 0)
			r = answer(&q, &a);
		r = send_answer(sock, &a, r);
		pp_close(q.fd);
		for (size_t i = 0; i < nr_fds; i++)
			pp_close(fds[i]);
		pp_close(a.fd);
		pp_buf_done(&a.text);
		if (r < 0)
			return 1;
	}
}
