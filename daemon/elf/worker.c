/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * There is one worker, and whoever maps a file makes it work. A file can be made that takes it as
 * long as it is allowed to take, or that crashes it, and another one after that. So users are kept
 * apart: what the worker does for one is his *debt*, which time pays off. Of the calls that wait,
 * the next is that of the user who owes least; and one who owes too much is turned away until it
 * is paid. The others wait for no more than what is under way.
 */
#include "elf/worker_private.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/u64map.h"

#include <fcntl.h>
#include <string.h>

/* By the clock on the wall, which a busy machine stretches; see PP_WORKER_CPU_NS. */
#define DEADLINE_MS    5000
#define QUEUE_MAX      256
#define USER_QUEUE_MAX 64 /* of those, one user's */
/* Workers stuck in the kernel, over a file whose FUSE server does not answer: all, and one user's.
 */
#define ABANDONED_MAX	   32
#define ABANDONED_USER_MAX 2

/*
 * A second of the worker is five of debt, so that one user has a fifth of it in the long run. What
 * may be owed is what a program of a thousand large files needs at its start.
 */
#define DEBT_FACTOR 5
#define DEBT_MAX_NS (30 * NSEC_PER_SEC)
#define DEATH_NS    (2 * NSEC_PER_SEC) /* a worker's end costs everybody a new one, and pauses */
#define DEBTORS_MAX 4096	       /* then all are forgiven: a brake, not a record */

struct pp_worker {
	struct pp_child *child;
	struct pp_worker_call *first, **last; /* waiting; one more is with the child */
	size_t waiting;
	bool busy, freeing;
	struct pp_u64map debts; /* uid -> when it is paid off, CLOCK_MONOTONIC */
};

static void hand_over(struct pp_worker *w);

int pp_worker_new(struct pp_worker **ret, sd_event *event)
{
	static const struct pp_child_config config = {
		.role = "worker",
		.deadline_ms = DEADLINE_MS,
		.idle_ms = PP_CHILD_IDLE_MS,
		.queue_max = 1,
		.abandoned_max = ABANDONED_MAX,
		.abandoned_owner_max = ABANDONED_USER_MAX,
	};
	_cleanup_(pp_worker_freep) struct pp_worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->last = &w->first;
	w->debts.max = DEBTORS_MAX;
	r = pp_child_new(&w->child, event, &config);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(w);
	return 0;
}

/* ---- Debts ----------------------------------------------------------------------------------- */

static uint64_t debt_of(const struct pp_worker *w, uid_t uid, uint64_t now_ns)
{
	uint64_t paid_ns;

	return uid && pp_u64map_get(&w->debts, uid, &paid_ns) && paid_ns > now_ns ? paid_ns - now_ns
										  : 0;
}

/* That a busy machine gave the worker no CPU is nobody's debt; that a file did not come is. */
static void charge(struct pp_worker *w, const struct pp_worker_call *call, bool died)
{
	uint64_t now_ns = pp_now_ns(), used_ns = now_ns - call->since_ns;
	uint64_t queued_ns = pp_child_queued_ns(w->child), debt_ns;

	if (died)
		used_ns += DEATH_NS;
	else if (queued_ns > call->queued_ns)
		used_ns -= MIN(used_ns, queued_ns - call->queued_ns);
	debt_ns = debt_of(w, call->uid, now_ns) + used_ns * DEBT_FACTOR;

	if (call->uid && pp_u64map_put(&w->debts, call->uid, now_ns + debt_ns) == -ENOSPC)
		pp_u64map_clear(&w->debts);
}

bool pp_worker_owes(const struct pp_worker *w, uid_t uid)
{
	return debt_of(w, uid, pp_now_ns()) > DEBT_MAX_NS || pp_child_is_barred(w->child, uid);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void call_free(struct pp_worker_call *call)
{
	pp_close(call->fds[0]);
	pp_close(call->fds[1]);
	free(call);
}

static void fail(struct pp_worker_call *call, int error)
{
	if (error == -EPROTO)
		pp_count(PP_C_worker_refused);
	else if (error == -EPIPE || error == -ETIMEDOUT)
		pp_count(PP_C_worker_failed);
	else if (error == -EBUSY) /* while it waited, its user's others hung */
		error = -EAGAIN;
	if (call->request.kind == PP_WIRE_LOAD)
		call->loaded(call->userdata, error, NULL, -1);
	else
		call->named(call->userdata, error, NULL, 0);
	call_free(call);
}

static int finish(struct pp_worker_call *call, const void *data, size_t len, int *fds,
		  size_t nr_fds)
{
	struct pp_elf_info info;
	int r;

	if (call->request.kind == PP_WIRE_NAMES)
		return pp_worker_check_names(call, data, len, fds, nr_fds);
	r = pp_worker_check_loaded(data, len, fds, nr_fds, &info);
	if (r < 0)
		return r;
	pp_count_add(PP_C_unwind_entries_bad, info.bad_entries);
	call->loaded(call->userdata, 0, &info, nr_fds ? TAKE_FD(fds[0]) : -1);
	return 0;
}

static void on_reply(void *userdata, int error, const void *data, size_t len, int *fds,
		     size_t nr_fds)
{
	struct pp_worker_call *call = userdata;
	struct pp_worker *w = call->worker;

	w->busy = false;
	charge(w, call, error == -EPIPE || error == -ETIMEDOUT);
	if (error == 0)
		error = finish(call, data, len, fds, nr_fds);
	if (error < 0)
		fail(call, error);
	else
		call_free(call);
	hand_over(w);
}

/* Where the waiting call is linked whose user owes least; of several the first. */
static struct pp_worker_call **choose(struct pp_worker *w)
{
	struct pp_worker_call **best = NULL;
	uint64_t now_ns = pp_now_ns(), least = 0;

	for (struct pp_worker_call **at = &w->first; *at; at = &(*at)->next) {
		uint64_t debt = debt_of(w, (*at)->uid, now_ns);

		if (best && debt >= least)
			continue;
		best = at;
		least = debt;
	}
	return best;
}

static struct pp_worker_call *take(struct pp_worker *w, struct pp_worker_call **at)
{
	struct pp_worker_call *call = *at;

	*at = call->next;
	if (!*at)
		w->last = at;
	w->waiting--;
	return call;
}

static int give_to_child(struct pp_worker *w, struct pp_worker_call *call)
{
	size_t len = sizeof(call->request) + call->nr_addresses * sizeof(uint64_t);
	int r;

	call->since_ns = pp_now_ns();
	call->queued_ns = pp_child_queued_ns(w->child);
	r = pp_child_call(w->child, call->uid, &call->request, len, call->fds,
			  call->fds[1] >= 0 ? 2 : 1, on_reply, call);
	w->busy = r >= 0;
	return r;
}

static void hand_over(struct pp_worker *w)
{
	while (!w->busy && !w->freeing && w->first) {
		struct pp_worker_call *call = take(w, choose(w));
		int r = give_to_child(w, call);

		if (r < 0)
			fail(call, r);
	}
}

/* Takes the call in any case; it is freed where it is refused. */
static int submit(struct pp_worker *w, struct pp_worker_call *call)
{
	size_t own = 0;
	int r = 0;

	for (const struct pp_worker_call *c = w->first; c; c = c->next)
		own += c->uid == call->uid;
	if (w->waiting >= QUEUE_MAX)
		r = -ENOBUFS;
	else if (pp_worker_owes(w, call->uid) || (call->uid && own >= USER_QUEUE_MAX))
		r = -EBUSY;
	else if (!w->busy)
		r = give_to_child(w, call);
	else {
		*w->last = call;
		w->last = &call->next;
		w->waiting++;
	}
	if (r < 0)
		call_free(call);
	return r;
}

static int call_new(struct pp_worker_call **ret, struct pp_worker *w, uid_t uid, int fd,
		    int second_fd, size_t nr_addresses)
{
	struct pp_worker_call *call = calloc(1, sizeof(*call) + nr_addresses * sizeof(uint64_t));

	if (!call)
		return -ENOMEM;
	call->worker = w;
	call->uid = uid;
	call->nr_addresses = nr_addresses;
	call->fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	call->fds[1] =
		second_fd < 0 || call->fds[0] < 0 ? -1 : fcntl(second_fd, F_DUPFD_CLOEXEC, 0);
	if (call->fds[0] < 0 || (second_fd >= 0 && call->fds[1] < 0)) {
		int r = -errno;

		call_free(call);
		return r;
	}
	*ret = call;
	return 0;
}

int pp_worker_load(struct pp_worker *w, uid_t uid, int fd, const struct pp_file_key *key,
		   int cached_fd, pp_elf_loaded_fn loaded, void *userdata)
{
	struct pp_worker_call *call;
	int r = call_new(&call, w, uid, fd, cached_fd, 0);

	if (r < 0)
		return r;
	call->loaded = loaded;
	call->userdata = userdata;
	call->request.kind = PP_WIRE_LOAD;
	call->request.key = *key;
	return submit(w, call);
}

int pp_worker_names(struct pp_worker *w, uid_t uid, int fd, const struct pp_file_key *key,
		    int debug_fd, const uint64_t *addresses, size_t n, pp_elf_names_fn named,
		    void *userdata)
{
	struct pp_worker_call *call;
	int r;

	if (!n || n > PP_WORKER_ADDRESSES_MAX)
		return -EINVAL;
	r = call_new(&call, w, uid, fd, debug_fd, n);
	if (r < 0)
		return r;
	call->named = named;
	call->userdata = userdata;
	call->request.kind = PP_WIRE_NAMES;
	call->request.key = *key;
	call->request.nr_addresses = (uint32_t)n;
	memcpy(call->request.addresses, addresses, n * sizeof(*addresses));
	return submit(w, call);
}

struct pp_worker *pp_worker_free(struct pp_worker *w)
{
	if (!w)
		return NULL;
	w->freeing = true;
	pp_child_free(w->child);
	while (w->first)
		fail(take(w, &w->first), -ECANCELED);
	pp_u64map_done(&w->debts);
	free(w);
	return NULL;
}
