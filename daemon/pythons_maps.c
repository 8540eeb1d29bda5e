/* SPDX-License-Identifier: GPL-2.0-only */
/* Perf maps: what their state machines (python/pymap.h) want is asked of the reader. */
#include "pythons_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "proc/reader.h"

#include <string.h>
#include <time.h>

/* How long after a process's end its map is kept for samples that come late. */
#define AFTERLIFE_NS (5 * NSEC_PER_SEC)
/* All are looked at so often, should anything have come of one that rests. */
#define LOOK_NS (1 * NSEC_PER_SEC)

/* A request to the reader. The process is referenced; its python lives as long. */
struct request {
	struct pp_pythons *pythons;
	struct pp_process *process;
};

static struct request *request_new(struct pp_pythons *ps, struct pp_process *p)
{
	struct request *rq = malloc(sizeof(*rq));

	if (!rq)
		return NULL;
	*rq = (struct request){ ps, pp_process_ref(p) };
	return rq;
}

static void request_free(struct request *rq)
{
	pp_process_unref(rq->process);
	free(rq);
}

static enum pp_pymap_reason reason_of(int error)
{
	switch (error) {
	case -ENOENT:
	case -ESRCH:
		return PP_PYMAP_MISSING;
	case -EACCES:
	case -EPERM:
		return PP_PYMAP_DENIED;
	case -ETIMEDOUT:
	case -EBUSY:
		return PP_PYMAP_STUCK;
	default:
		return PP_PYMAP_ERROR;
	}
}

static enum pp_pymap_reason reason_of_answer(enum pp_perfmap_answer a)
{
	switch (a) {
	case PP_PERFMAP_MISSING:
		return PP_PYMAP_MISSING;
	case PP_PERFMAP_NOT_REGULAR:
	case PP_PERFMAP_SYMLINK:
		return PP_PYMAP_NOT_REGULAR;
	case PP_PERFMAP_FOREIGN:
		return PP_PYMAP_OWNER;
	case PP_PERFMAP_LINKS:
		return PP_PYMAP_LINKS;
	case PP_PERFMAP_UNREADABLE:
		return PP_PYMAP_DENIED;
	case PP_PERFMAP_DUMP_REFUSED:
		return PP_PYMAP_DUMP;
	default:
		return PP_PYMAP_ERROR;
	}
}

/* It is tried again and again, and counted once. That there is none is no refusal. */
static void refuse_map(struct pp_python *py, enum pp_pymap_reason why, uint64_t now_ns)
{
	pp_pymap_refused(py->pymap, why, now_ns);
	if (why == PP_PYMAP_MISSING || py->refused)
		return;
	py->refused = true;
	pp_count(PP_C_perfmaps_refused);
}

/* Containers may share a /tmp and have the same pid inside: then their maps are one file. Two lives
 * of one pid may have the same file, too, one after the other: that is no sharing. */
static void find_sharers(struct pp_pythons *ps, struct pp_python *py, const struct pp_file_key *key)
{
	pp_list_each (struct pp_python, other, &ps->all, all) {
		if (!other->pymap || other->process->pid == py->process->pid ||
		    !pp_pymap_holds(other->pymap, key->dev, key->ino))
			continue;
		pp_pymap_share(other->pymap);
		pp_pythons_wake(ps, other);
		pp_pymap_share(py->pymap);
	}
}

/* CLOCK_REALTIME of now less age_ns, an age of now by another clock. */
static int64_t real_time(uint64_t age_ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec - (int64_t)age_ns;
}

/* Whether a file was last written before the process, or the program it runs, began. The kernel's
 * times of files lag behind a little, and never run ahead. */
static bool is_leftover(const struct pp_process *p, const struct pp_file_key *key)
{
	uint64_t start_ns = p->start_ns;
	struct timespec boot;

	if (!start_ns && p->start_ticks != PP_TICKS_UNKNOWN)
		start_ns = p->start_ticks * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
	if (p->exec_gen || !start_ns)
		return key->ctime_ns < real_time(pp_now_ns() - p->born_ns);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return key->ctime_ns <
	       real_time((uint64_t)boot.tv_sec * NSEC_PER_SEC + (uint64_t)boot.tv_nsec - start_ns);
}

static void on_perfmap(void *userdata, int error, const struct pp_perfmap_found *found, int *fd)
{
	struct request *rq = userdata;
	struct pp_python *py = rq->process->python;
	uint64_t now_ns = pp_now_ns();
	int r;

	py->asking = false;
	pp_pythons_wake(rq->pythons, py);
	if (error) {
		refuse_map(py, reason_of(error), now_ns);
	} else if (*fd < 0) {
		py->was_missing |= found->answer == PP_PERFMAP_MISSING;
		refuse_map(py, reason_of_answer(found->answer), now_ns);
	} else if (found->answer == PP_PERFMAP_PATH && is_leftover(py->process, &found->key)) {
		py->was_missing = true;
		pp_pymap_stale(py->pymap, found->key.dev, found->key.ino, found->key.size, now_ns);
	} else {
		if (!py->was_missing)
			pp_pymap_doubt(py->pymap);
		py->was_missing = false;
		pp_close(py->fd);
		py->fd = TAKE_FD(*fd);
		free(py->path);
		py->path = strdup(found->path);
		r = pp_pymap_opened(py->pymap,
				    found->answer == PP_PERFMAP_DUMP ? PP_PYMAP_JITDUMP
								     : PP_PYMAP_LINES,
				    found->key.dev, found->key.ino, now_ns);
		if (r < 0)
			refuse_map(py, PP_PYMAP_ERROR, now_ns);
		find_sharers(rq->pythons, py, &found->key);
	}
	pp_pythons_settle(rq->pythons, py);
	pp_pythons_serve(rq->pythons, py, now_ns);
	request_free(rq);
}

static void on_data(void *userdata, int error, uint64_t size, const void *data, size_t len)
{
	struct request *rq = userdata;
	struct pp_python *py = rq->process->python;
	uint64_t now_ns = pp_now_ns();

	py->asking = false;
	pp_pythons_wake(rq->pythons, py);
	if (error)
		pp_pymap_failed(py->pymap, reason_of(error), now_ns);
	else
		pp_pymap_data(py->pymap, size, data, len, now_ns);
	pp_pythons_settle(rq->pythons, py);
	pp_pythons_serve(rq->pythons, py, now_ns);
	request_free(rq);
}

/* The process has ended and every name is known that will be: windows name it for ten minutes yet,
 * and that must not cost a descriptor and its whole map. */
static void let_go(struct pp_python *py)
{
	struct pp_perfmap_stats stats;

	pp_perfmap_get_stats(pp_pymap_map(py->pymap), &stats);
	py->map_entries = stats.entries;
	py->map_full = stats.full;
	py->map_state = pp_pymap_state(py->pymap);
	py->map_reason = pp_pymap_reason(py->pymap);
	py->pymap = pp_pymap_free(py->pymap);
	py->fd = pp_close(py->fd);
	py->over = true;
}

/* Does what the map wants now. */
void pp_pythons_serve(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns)
{
	struct pp_target target = pp_process_target(py->process);
	struct pp_pymap_request want;
	struct request *rq;
	int r;

	pp_pymap_next(py->pymap, now_ns, &want);
	py->due_ns = want.action == PP_PYMAP_NOTHING ? want.due_ns : now_ns;
	if (want.action == PP_PYMAP_NOTHING)
		return;
	rq = request_new(ps, py->process);
	if (!rq)
		r = -ENOMEM;
	else if (want.action == PP_PYMAP_DO_OPEN)
		r = pp_reader_perfmap(ps->reader, target, py->jitdump, on_perfmap, rq);
	else
		r = pp_reader_read(ps->reader, target, py->fd, want.offset, want.len, on_data, rq);
	if (r >= 0) {
		py->asking = true;
		return;
	}
	if (rq)
		request_free(rq);
	if (r != -EBUSY)
		pp_pymap_busy(py->pymap, now_ns);
	else if (want.action == PP_PYMAP_DO_OPEN)
		pp_pymap_refused(py->pymap, reason_of(r), now_ns);
	else
		pp_pymap_failed(py->pymap, reason_of(r), now_ns);
	pp_pythons_settle(ps, py);
}

static bool is_over(const struct pp_python *py, uint64_t now_ns)
{
	struct pp_pymap_request want;

	if (py->process->alive || py->asking || py->pcs.nr_pending ||
	    py->process->exit_ns + AFTERLIFE_NS > now_ns)
		return false;
	/* What it would do at any time from now on: nothing. */
	pp_pymap_next(py->pymap, 0, &want);
	return want.action == PP_PYMAP_NOTHING && want.due_ns == UINT64_MAX;
}

/* Trampolines without a map: why, is looked at without being asked, and `pyprofctl ps` says it. */
static void look_why(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns)
{
	if (!py->exam.done_ns && py->coverage.unnamed &&
	    pp_pymap_state(py->pymap) == PP_PYMAP_REFUSED)
		pp_pythons_examine(ps, py, now_ns);
}

/* Whether time does nothing for it until something is asked or heard of it. */
static bool rests(const struct pp_python *py)
{
	if (py->exam.wanted || py->exam.reading)
		return false;
	return !py->pymap || (py->process->alive && !py->asking && !py->pcs.nr_pending &&
			      py->due_ns == UINT64_MAX && pp_pymap_rests(py->pymap));
}

static void look_at(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns)
{
	if (py->pymap) {
		pp_pymap_told(py->pymap, now_ns);
		pp_pythons_settle(ps, py);
		pp_pythons_serve(ps, py, now_ns);
		look_why(ps, py, now_ns);
		if (is_over(py, now_ns))
			let_go(py);
	}
	(void)pp_python_look_on(ps, py);
	if (rests(py))
		pp_list_leave(&py->busy);
	else
		pp_pythons_wake(ps, py);
}

void pp_pythons_tick(struct pp_pythons *ps, uint64_t now_ns)
{
	struct pp_links *l = ps->busy.after, *last = ps->busy.before;
	bool more = l != &ps->busy;

	if (now_ns >= ps->look_ns) {
		ps->look_ns = now_ns + LOOK_NS;
		pp_list_each (struct pp_python, py, &ps->all, all)
			look_at(ps, py, now_ns);
		return;
	}
	/* Who wakes another meanwhile puts it behind the last: for the next time. */
	while (more) {
		struct pp_python *py = container_of(l, struct pp_python, busy);

		more = l != last;
		l = l->after;
		look_at(ps, py, now_ns);
	}
}
