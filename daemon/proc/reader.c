/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The daemon's side of the reader: encodes calls, checks replies, remembers who made it hang.
 */
#include "proc/reader_wire.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/fd.h"

#include <string.h>
#include <sys/mman.h>

#define DEADLINE_MS    1000
#define QUEUE_MAX      256   /* more waiting would be answered too late to be of use */
#define QUEUE_USER_MAX 128   /* of these, one user's */
#define STUCK_MAX      65536 /* targets remembered; above a machine's usual number of processes */
/* Readers stuck in the kernel beyond SIGKILL, all at once and one user's: a request that a FUSE
 * server has taken is waited for as long as that lives, whatever signal comes. */
#define ABANDONED_MAX	   64
#define ABANDONED_USER_MAX 2

/*
 * A process that hangs costs the reader a deadline, and a user can have any number of them. Each
 * puts its user in debt for DEBT_NS, which time pays off; above DEBT_MAX_NS nothing is read for
 * them. So one user can take the reader three times in a row, and 5% of its time in the long run.
 */
#define DEBT_NS	    (20 * NSEC_PER_SEC)
#define DEBT_MAX_NS (50 * NSEC_PER_SEC)
#define DEBTORS_MAX 4096 /* then all are forgiven: the table is a brake, not a record */

#define DISCARDS_AT_ONCE 8 /* with the child: other requests get through */

/* An envelope to close. */
struct discard {
	struct discard *next;
	struct pp_reader *reader;
	uid_t uid;
	int fd; /* -1: the child has it, or its queue */
};

struct pp_reader {
	struct pp_child *child;
	struct pp_u64map stuck;	  /* pid → start ticks */
	struct pp_u64map debts;	  /* uid → when it is paid off, CLOCK_MONOTONIC */
	struct discard *discards; /* not with the child */
	unsigned int nr_discarding;
};

struct call {
	struct pp_reader *reader;
	struct pp_target target;
	enum pp_reader_op op;
	union {
		pp_reader_scan_fn scan;
		pp_reader_identify_fn identify;
		pp_reader_perfmap_fn perfmap;
		pp_reader_read_fn read;
		pp_reader_debugfile_fn debugfile;
		pp_reader_codes_fn codes;
		pp_reader_inspect_fn inspect;
		pp_reader_examine_fn examine;
	} fn;
	void *userdata;
};

/* ---- Replies --------------------------------------------------------------------------------- */

struct reply {
	struct pp_reader_reply head;
	const char *text[PP_READER_TEXTS];
};

static int parse_reply(struct reply *r, const void *data, size_t len)
{
	const char *at = (const char *)data + sizeof(r->head);
	size_t left;

	if (len < sizeof(r->head))
		return -EBADMSG;
	memcpy(&r->head, data, sizeof(r->head));
	left = len - sizeof(r->head);
	for (size_t i = 0; i < PP_READER_TEXTS; i++) {
		size_t n = r->head.text_len[i];

		if (n >= left || at[n])
			return -EBADMSG;
		r->text[i] = at;
		at += n + 1;
		left -= n + 1;
	}
	if (r->head.error > 0)
		return -EBADMSG;
	r->head.comm[sizeof(r->head.comm) - 1] = '\0';
	return left ? -EBADMSG : r->head.error;
}

/* Many mappings come in a memory file; its seals say that nobody changes it under our eyes. */
static int map_text(int fd, const char **ret, size_t *ret_len)
{
	int64_t size = pp_memfd_check_sealed(fd);
	void *p;

	if (size <= 0 || size > (int64_t)PP_SCAN_MAPS_MAX)
		return -EBADMSG;
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	*ret_len = (size_t)size;
	return 0;
}

static void finish_scan(struct call *c, int error, const struct reply *r, int *fd)
{
	const struct pp_reader_reply *h = &r->head;
	struct pp_scan scan = { 0 };
	const char *mapped = NULL;

	if (error >= 0) {
		scan = (struct pp_scan){ .start_ticks = h->start_ticks,
					 .ppid = h->ppid,
					 .nspid = h->nspid,
					 .ruid = h->uids[0],
					 .euid = h->uids[1],
					 .suid = h->uids[2],
					 .fsuid = h->uids[3],
					 .dumpable = h->dumpable,
					 .kernel_thread = h->kernel_thread,
					 .cmdline = r->text[PP_SCAN_CMDLINE],
					 .exe = r->text[PP_SCAN_EXE],
					 .cgroup = r->text[PP_SCAN_CGROUP],
					 .maps = r->text[PP_SCAN_MAPS],
					 .maps_len = h->text_len[PP_SCAN_MAPS],
					 .maps_cut = h->maps_cut };
		memcpy(scan.comm, h->comm, sizeof(scan.comm));
		if (*fd >= 0)
			error = map_text(*fd, &mapped, &scan.maps_len);
		if (mapped)
			scan.maps = mapped;
	}
	c->fn.scan(c->userdata, error, error < 0 ? NULL : &scan);
	if (mapped)
		(void)munmap((void *)mapped, scan.maps_len);
}

static void finish_identify(struct call *c, int error, const struct reply *r, int *fd)
{
	struct pp_identity id = { .key = r->head.key, .mtime_ns = r->head.mtime_ns };

	c->fn.identify(c->userdata, error, error < 0 ? NULL : &id, fd);
}

static void finish_perfmap(struct call *c, int error, const struct reply *r, int *fd)
{
	struct pp_perfmap_found found = { .answer = r->head.answer,
					  .start_ticks = r->head.start_ticks,
					  .nspid = r->head.nspid,
					  .euid = r->head.uids[1],
					  .key = r->head.key,
					  .path = r->text[0] };

	if (error >= 0 && found.answer >= PP_PERFMAP_ANSWERS)
		error = -EBADMSG;
	if (error >= 0 && (found.answer <= PP_PERFMAP_PATH) != (*fd >= 0))
		error = -EBADMSG;
	c->fn.perfmap(c->userdata, error, error < 0 ? NULL : &found, fd);
}

/* Takes the next record of CODES' reply, *left bytes at *at. Returns whether it holds up. */
static bool next_info(struct pp_code_info *ret, const char **at, size_t *left)
{
	struct pp_code_record r;

	if (*left < sizeof(r))
		return false;
	memcpy(&r, *at, sizeof(r));
	*at += sizeof(r);
	*left -= sizeof(r);
	if (r.error >= PP_CODE_ERRORS || r.name_len > *left || r.file_len > *left - r.name_len)
		return false;
	*ret = (struct pp_code_info){ .error = (enum pp_code_error)r.error,
				      .number = r.number,
				      .print = r.print,
				      .line = r.line,
				      .first_line = r.first_line,
				      .name = *at,
				      .name_len = r.name_len,
				      .file = *at + r.name_len,
				      .file_len = r.file_len };
	*at += r.name_len + r.file_len;
	*left -= r.name_len + r.file_len;
	return true;
}

static void finish_codes(struct call *c, int error, const struct reply *r)
{
	_cleanup_free_ struct pp_code_info *infos = NULL;
	struct pp_code_answer answer = { .next_code = r->head.next_code };
	const char *at = r->text[0];
	size_t left = r->head.text_len[0];

	if (error >= 0) {
		infos = calloc(PP_CODE_ITEMS_MAX, sizeof(*infos));
		error = infos ? 0 : -ENOMEM;
	}
	while (error >= 0 && left)
		if (answer.nr == PP_CODE_ITEMS_MAX || !next_info(&infos[answer.nr++], &at, &left))
			error = -EBADMSG;
	answer.infos = infos;
	c->fn.codes(c->userdata, error, error < 0 ? NULL : &answer);
}

static void finish_inspect(struct call *c, int error, const struct reply *r)
{
	struct pp_inspected found;

	if (error >= 0 && r->head.text_len[0] != sizeof(found))
		error = -EBADMSG;
	if (error >= 0) {
		memcpy(&found, r->text[0], sizeof(found));
		if ((unsigned int)found.answer >= PP_INSPECT_ANSWERS)
			error = -EBADMSG;
	}
	c->fn.inspect(c->userdata, error, error < 0 ? NULL : &found);
}

static void finish_examine(struct call *c, int error, const struct reply *r)
{
	struct pp_examined e = {
		.tmp = r->head.answer < PP_TMP_MAX ? r->head.answer : PP_TMP_UNKNOWN,
		.map_bytes = (int64_t)r->head.size,
		.code = (const uint8_t *)r->text[0],
		.code_len = MIN(r->head.text_len[0], (uint32_t)PP_CODE_MAX),
	};

	c->fn.examine(c->userdata, error, error < 0 ? NULL : &e);
}

static void charge_stuck(struct pp_reader *r, uid_t uid)
{
	uint64_t paid_ns = 0;

	pp_count(PP_C_reader_stuck);
	if (!uid)
		return;
	(void)pp_u64map_get(&r->debts, uid, &paid_ns);
	paid_ns = MAX(paid_ns, pp_now_ns()) + DEBT_NS;
	if (pp_u64map_put(&r->debts, uid, paid_ns) == -ENOSPC)
		pp_u64map_clear(&r->debts);
}

static void remember_stuck(struct pp_reader *r, struct pp_target target)
{
	(void)pp_u64map_put(&r->stuck, (uint64_t)target.pid, target.start_ticks);
	charge_stuck(r, target.uid);
}

static void on_reply(void *userdata, int error, const void *data, size_t len, int *fds,
		     size_t nr_fds)
{
	struct call *c = userdata;
	struct reply r = { 0 };
	int none = -1, *fd = nr_fds ? &fds[0] : &none;

	if (error == -ETIMEDOUT)
		remember_stuck(c->reader, c->target);
	else if (error == -EBUSY)
		pp_count(PP_C_reader_refused);
	else if (error == -EPIPE)
		pp_count(PP_C_reader_died);
	else if (error >= 0)
		error = parse_reply(&r, data, len);
	switch (c->op) {
	case PP_READER_SCAN:
		finish_scan(c, error, &r, fd);
		break;
	case PP_READER_IDENTIFY:
		finish_identify(c, error, &r, fd);
		break;
	case PP_READER_PERFMAP:
		finish_perfmap(c, error, &r, fd);
		break;
	case PP_READER_READ:
		c->fn.read(c->userdata, error, r.head.size, r.text[0], r.head.text_len[0]);
		break;
	case PP_READER_CODES:
		finish_codes(c, error, &r);
		break;
	case PP_READER_INSPECT:
		finish_inspect(c, error, &r);
		break;
	case PP_READER_EXAMINE:
		finish_examine(c, error, &r);
		break;
	default:
		c->fn.debugfile(c->userdata, error < 0 || *fd >= 0 ? error : -EBADMSG, fd);
	}
	free(c);
}

static bool is_in_debt(const struct pp_reader *r, uid_t uid)
{
	uint64_t paid_ns;

	return uid && pp_u64map_get(&r->debts, uid, &paid_ns) &&
	       paid_ns > pp_now_ns() + DEBT_MAX_NS;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

struct text {
	const void *data;
	size_t len;
};

static struct text text_of(const char *s)
{
	return s ? (struct text){ s, strlen(s) } : (struct text){ 0 };
}

static int send_call(const struct call *call, struct pp_reader_request *q, const struct text *texts,
		     size_t nr_texts, int fd)
{
	_cleanup_buf_ struct pp_buf message = PP_BUF(PP_CHILD_MESSAGE_MAX);
	struct pp_reader *r = call->reader;
	struct call *c;
	int e;

	if (call->target.pid <= 0)
		return -EINVAL;
	if (pp_reader_is_stuck(r, call->target))
		return -EBUSY;
	if (is_in_debt(r, call->target.uid)) {
		pp_count(PP_C_reader_refused);
		return -EBUSY;
	}
	q->op = call->op;
	q->pid = call->target.pid;
	q->start_ticks = call->target.start_ticks;
	q->uid = call->target.uid;
	for (size_t i = 0; i < nr_texts; i++)
		q->text_len[i] = (uint32_t)texts[i].len;
	e = pp_buf_add(&message, q, sizeof(*q));
	for (size_t i = 0; i < nr_texts && e >= 0; i++) {
		if (!texts[i].len)
			continue;
		e = pp_buf_add(&message, texts[i].data, texts[i].len);
		if (e >= 0)
			e = pp_buf_add(&message, "", 1);
	}
	if (e < 0)
		return e;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = *call;
	e = pp_child_call(r->child, call->target.uid, message.data, message.len, &fd, fd >= 0,
			  on_reply, c);
	if (e < 0) {
		free(c);
		pp_count(PP_C_reader_refused);
	}
	return e;
}

int pp_reader_scan(struct pp_reader *r, struct pp_target target, pp_reader_scan_fn fn,
		   void *userdata)
{
	struct call c = { r, target, PP_READER_SCAN, { .scan = fn }, userdata };

	return send_call(&c, &(struct pp_reader_request){ 0 }, NULL, 0, -1);
}

int pp_reader_identify(struct pp_reader *r, struct pp_target target, const struct pp_map *map,
		       bool want_fd, pp_reader_identify_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_IDENTIFY, { .identify = fn }, userdata };
	struct pp_reader_request q = { .start = map->start,
				       .end = map->end,
				       .dev = map->dev,
				       .ino = map->ino,
				       .want_fd = want_fd };
	struct text path = text_of(map->path ? map->path->text : NULL);

	return send_call(&c, &q, &path, 1, -1);
}

int pp_reader_perfmap(struct pp_reader *r, struct pp_target target, bool jitdump,
		      pp_reader_perfmap_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_PERFMAP, { .perfmap = fn }, userdata };
	struct pp_reader_request q = { .want_fd = jitdump };

	return send_call(&c, &q, NULL, 0, -1);
}

int pp_reader_read(struct pp_reader *r, struct pp_target target, int fd, uint64_t offset,
		   size_t len, pp_reader_read_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_READ, { .read = fn }, userdata };
	struct pp_reader_request q = { .offset = offset, .len = MIN(len, (size_t)PP_READ_MAX) };

	return send_call(&c, &q, NULL, 0, fd);
}

int pp_reader_inspect(struct pp_reader *r, struct pp_target target, const struct pp_inspect *what,
		      pp_reader_inspect_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_INSPECT, { .inspect = fn }, userdata };

	return send_call(&c, &(struct pp_reader_request){ .inspect = *what }, NULL, 0, -1);
}

int pp_reader_examine(struct pp_reader *r, struct pp_target target, uint64_t code, size_t len,
		      int map_fd, pp_reader_examine_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_EXAMINE, { .examine = fn }, userdata };
	struct pp_reader_request q = { .offset = code, .len = MIN(len, (size_t)PP_CODE_MAX) };

	return send_call(&c, &q, NULL, 0, map_fd);
}

int pp_reader_debugfile(struct pp_reader *r, struct pp_target target,
			const struct pp_debugfile *what, pp_reader_debugfile_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_DEBUGFILE, { .debugfile = fn }, userdata };
	struct pp_reader_request q = { .build_id_len = (uint32_t)what->build_id_len };
	struct text texts[] = { text_of(what->debuglink), text_of(what->directory) };

	if (what->build_id_len > PP_BUILD_ID_MAX)
		return -EINVAL;
	memcpy(q.build_id, what->build_id, what->build_id_len);
	return send_call(&c, &q, texts, ARRAY_SIZE(texts), -1);
}

int pp_reader_codes(struct pp_reader *r, struct pp_target target,
		    const struct pp_code_runtime *runtime, const struct pp_code_item *items,
		    size_t nr, pp_reader_codes_fn fn, void *userdata)
{
	struct call c = { r, target, PP_READER_CODES, { .codes = fn }, userdata };
	struct pp_reader_request q = { .runtime = *runtime };
	struct text text = { items, nr * sizeof(*items) };

	if (!nr || nr > PP_CODE_ITEMS_MAX)
		return -EINVAL;
	return send_call(&c, &q, &text, 1, -1);
}

/* ---- Envelopes ------------------------------------------------------------------------------- */

static void send_discards(struct pp_reader *r);

/* Whatever became of the child, what it was handed is closed as it ends. */
static void on_discarded(void *userdata, int error, _unused_ const void *data, _unused_ size_t len,
			 int *fds, size_t nr_fds)
{
	struct discard *d = userdata;
	struct pp_reader *r = d->reader;

	r->nr_discarding--;
	if (error == -ETIMEDOUT)
		charge_stuck(r, d->uid);
	if (error < 0 && nr_fds) {
		d->fd = TAKE_FD(fds[0]);
		d->next = r->discards;
		r->discards = d;
		return;
	}
	free(d);
	if (!error)
		send_discards(r);
}

/* Those of users who are not served now are left for later. */
static void send_discards(struct pp_reader *r)
{
	struct pp_reader_request q = { .op = PP_READER_DISCARD };
	struct discard **at = &r->discards;

	while (*at && r->nr_discarding < DISCARDS_AT_ONCE) {
		struct discard *d = *at;

		*at = d->next;
		if (pp_child_call(r->child, d->uid, &q, sizeof(q), &d->fd, 1, on_discarded, d) <
		    0) {
			*at = d;
			at = &d->next;
			continue;
		}
		r->nr_discarding++;
		d->fd = pp_close(d->fd); /* not the last: the request has one */
	}
}

void pp_reader_discard(struct pp_reader *r, uid_t uid, int envelope)
{
	struct discard *d = envelope < 0 ? NULL : malloc(sizeof(*d));

	if (!d)
		return; /* without memory it stays open */
	*d = (struct discard){ r->discards, r, uid, envelope };
	r->discards = d;
	send_discards(r);
}

void pp_reader_tend(struct pp_reader *r)
{
	send_discards(r);
}

/* ---- The reader ------------------------------------------------------------------------------ */

int pp_reader_new(struct pp_reader **ret, sd_event *event)
{
	_cleanup_(pp_reader_freep) struct pp_reader *r = calloc(1, sizeof(*r));
	static const struct pp_child_config config = { .role = "reader",
						       .deadline_ms = DEADLINE_MS,
						       .idle_ms = PP_CHILD_IDLE_MS,
						       .queue_max = QUEUE_MAX,
						       .abandoned_max = ABANDONED_MAX,
						       .queue_owner_max = QUEUE_USER_MAX,
						       .abandoned_owner_max = ABANDONED_USER_MAX };
	int e;

	if (!r)
		return -ENOMEM;
	r->stuck.max = STUCK_MAX;
	r->debts.max = DEBTORS_MAX;
	e = pp_child_new(&r->child, event, &config);
	if (e < 0)
		return e;
	*ret = TAKE_PTR(r);
	return 0;
}

struct pp_reader *pp_reader_free(struct pp_reader *r)
{
	if (!r)
		return NULL;
	pp_child_free(r->child);
	while (r->discards) {
		struct discard *d = r->discards;

		r->discards = d->next;
		free(d);
	}
	pp_u64map_done(&r->stuck);
	pp_u64map_done(&r->debts);
	free(r);
	return NULL;
}

bool pp_reader_is_stuck(const struct pp_reader *r, struct pp_target target)
{
	uint64_t ticks;

	if (!pp_u64map_get(&r->stuck, (uint64_t)target.pid, &ticks))
		return false;
	return ticks == target.start_ticks || ticks == PP_TICKS_UNKNOWN ||
	       target.start_ticks == PP_TICKS_UNKNOWN;
}

void pp_reader_forget(struct pp_reader *r, pid_t pid)
{
	pp_u64map_del(&r->stuck, (uint64_t)pid);
}
