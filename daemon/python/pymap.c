/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known rests on one time, read_ns: the start of the latest read that reached the end of
 * the file. Every entry written before it has been seen. need_ns is the latest time that somebody
 * asked about in vain; need_ns >= read_ns makes a read wanted. There is no polling: nobody asks,
 * nothing is read.
 */
#include "python/pymap_private.h"

#include "base/counters.h"

#include <string.h>

/* So many reads that brought nothing while names are missing make the file itself doubtful: it may
 * have been replaced. */
#define EMPTY_READS_MAX 4

/* A map that grew by so much in a minute is worth looking at who makes it grow: an idle one should
 * not cost the space. */
#define WATCH_ENTRIES 60

/* A writer's buffer is looked for in the file this often at most, once it stays empty. */
#define UNFLUSHED_INTERVAL_MAX_NS (1 * NSEC_PER_SEC)

/* ---- What is known ------------------------------------------------------------------------ */

static bool is_full(const struct pp_pymap *p)
{
	struct pp_perfmap_stats stats;

	pp_perfmap_get_stats(p->map, &stats);
	return stats.bytes >= PP_PERFMAP_BYTES_MAX;
}

/* Whether an entry may be in its writer's buffer. */
static bool may_be_flushed(const struct pp_pymap *p)
{
	return p->open && p->dump && !p->final && !is_full(p);
}

/* Whether an entry for a sample of time t that is not there now may still be found. */
static bool may_come(const struct pp_pymap *p, uint64_t t)
{
	if (p->parent)
		return true;
	if (p->open)
		return (p->read_ns <= t && !is_full(p)) || (p->gone && may_be_flushed(p));
	if (!p->tried)
		return true;
	return !p->gone && p->tried_ns <= t && p->try_interval <= PP_PYMAP_PATIENCE_NS;
}

bool pp_pymap_is_settled(const struct pp_pymap *p, uint64_t t)
{
	if (p->dump && !p->gone)
		t += PP_PYMAP_FORK_FLUSH_NS;
	return (!p->wanted && !p->parent) || !may_come(p, t);
}

/* ---- Life ---------------------------------------------------------------------------------- */

int pp_pymap_new(struct pp_pymap **ret, struct pp_perfmaps *all)
{
	_cleanup_free_ struct pp_pymap *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->all = all;
	p->read_interval = PP_PYMAP_INTERVAL_MIN_NS;
	p->try_interval = PP_PYMAP_RETRY_MIN_NS;
	r = pp_perfmap_new(&p->map, all);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

static void unwatch(struct pp_pymap *p)
{
	pp_perfmap_watch(p->map, NULL);
	free(p->growers);
	p->growers = NULL;
}

struct pp_pymap *pp_pymap_free(struct pp_pymap *p)
{
	if (!p)
		return NULL;
	if (p->parent)
		pp_pymap_take_view(p, p->parent);
	pp_pymap_stop_waiting(p);
	pp_pymap_serve_children(p, true);
	unwatch(p);
	pp_jitdump_free(p->dump);
	pp_remaps_done(&p->remaps);
	pp_perfmap_free(p->map);
	free(p);
	return NULL;
}

void pp_pymap_want(struct pp_pymap *p)
{
	p->wanted = true;
}

void pp_pymap_exec(struct pp_pymap *p, struct pp_pymap *next, uint64_t exec_ns)
{
	pp_pymap_exit(p, exec_ns);
	if (p->dump)
		return;
	next->dev = p->dev;
	next->ino = p->ino;
	next->unsure = true; /* what p wrote after that read */
	if (p->fed_ns < exec_ns)
		next->offset = next->line_offset = next->from = p->line_offset;
}

void pp_pymap_seen(struct pp_pymap *p, uint64_t start, uint64_t end)
{
	pp_remaps_seen(&p->remaps, start, end);
}

void pp_pymap_mapped(struct pp_pymap *p, uint64_t start, uint64_t end, uint64_t at_ns)
{
	if (pp_remaps_add(&p->remaps, start, end, at_ns))
		p->generation++;
	/* A file that was not there before will be, for what is going to run. */
	p->next_try_ns = MIN(p->next_try_ns, at_ns + PP_PYMAP_PATIENCE_NS);
	if (!p->open)
		p->try_interval = MIN(p->try_interval, PP_PYMAP_PATIENCE_NS);
}

void pp_pymap_told(struct pp_pymap *p, uint64_t time_ns)
{
	if (p->risen_ns > p->told_ns && p->risen_ns <= time_ns)
		p->progress++;
	p->told_ns = time_ns;
}

bool pp_pymap_rests(const struct pp_pymap *p)
{
	return p->risen_ns <= p->told_ns && !p->parent && !p->waiting;
}

void pp_pymap_look_again(struct pp_pymap *p)
{
	p->tried = false;
	p->next_try_ns = 0;
	p->try_interval = PP_PYMAP_RETRY_MIN_NS;
}

void pp_pymap_exit(struct pp_pymap *p, uint64_t exit_ns)
{
	p->gone = true;
	p->gone_ns = exit_ns;
	p->next_read_ns = 0; /* before the next one writes */
	if (!p->unflushed && !p->waiting)
		return;
	/* What was in the writer's buffer is in the file, or nowhere. */
	p->unflushed = may_be_flushed(p);
	p->progress++;
}

/* ---- What is wanted ------------------------------------------------------------------------ */

static bool wants_read(const struct pp_pymap *p)
{
	return (p->behind || p->need_ns >= p->read_ns || p->unflushed) && !is_full(p);
}

static bool wants_try(const struct pp_pymap *p)
{
	if (!p->tried)
		return true;
	if (p->gone)
		return false;
	if (p->open)
		return p->empty_reads >= EMPTY_READS_MAX && p->need_ns >= p->read_ns;
	return p->need_ns >= p->tried_ns || p->try_interval <= PP_PYMAP_PATIENCE_NS;
}

static bool ask(struct pp_pymap *p, enum pp_pymap_action action, uint64_t from, uint64_t now,
		struct pp_pymap_request *ret)
{
	if (now < from) {
		ret->due_ns = MIN(ret->due_ns, from);
		return false;
	}
	ret->action = p->in_flight = action;
	p->asked_gone = p->gone;
	p->asked_ns = now;
	return true;
}

void pp_pymap_next(struct pp_pymap *p, uint64_t now, struct pp_pymap_request *ret)
{
	*ret = (struct pp_pymap_request){ .due_ns = UINT64_MAX };
	if (p->in_flight != PP_PYMAP_NOTHING || !p->wanted)
		return;
	if (wants_try(p) && ask(p, PP_PYMAP_DO_OPEN, p->next_try_ns, now, ret))
		return;
	if (!p->open || !wants_read(p) || !ask(p, PP_PYMAP_DO_READ, p->next_read_ns, now, ret))
		return;
	ret->offset = p->offset - p->seam.len;
	ret->len = PP_PYMAP_READ_MAX;
}

/* ---- What came of it ----------------------------------------------------------------------- */

/* The next look for the file is later each time. */
static void tried(struct pp_pymap *p, uint64_t now)
{
	p->tried = true;
	p->tried_ns = p->asked_ns;
	p->next_try_ns = now + p->try_interval;
	p->try_interval = MIN(p->try_interval * 2, PP_PYMAP_RETRY_MAX_NS);
	p->in_flight = PP_PYMAP_NOTHING;
	p->progress++;
}

static bool is_foreign(const struct pp_pymap *p)
{
	return p->dump && pp_jitdump_state(p->dump) == PP_JITDUMP_FOREIGN;
}

/* The file is read from an offset on. */
static void begin(struct pp_pymap *p, uint64_t offset)
{
	p->offset = p->line_offset = offset;
	p->seam.len = 0;
	p->grown_ns = 0;
	p->behind = true;
	if (p->dump)
		pp_jitdump_restart(p->dump);
	pp_perfmap_restart(p->map);
}

/* What is fed from here on begins a file of this format. */
static int restart(struct pp_pymap *p, enum pp_pymap_format format)
{
	int r = 0;

	if (format == PP_PYMAP_LINES)
		p->dump = pp_jitdump_free(p->dump);
	else if (!p->dump)
		r = pp_jitdump_new(&p->dump, p->all, p->map);
	if (r < 0)
		return r;
	begin(p, 0);
	return 0;
}

void pp_pymap_doubt(struct pp_pymap *p)
{
	p->unsure = true;
}

int pp_pymap_opened(struct pp_pymap *p, enum pp_pymap_format format, uint64_t dev, uint64_t ino,
		    uint64_t now)
{
	if (dev == p->dev && ino == p->ino && is_foreign(p)) {
		pp_pymap_refused(p, PP_PYMAP_FOREIGN, now);
		return 0;
	}
	if (dev != p->dev || ino != p->ino) {
		int r = restart(p, format);

		if (r < 0)
			return r;
		p->dev = dev;
		p->ino = ino;
		p->from = 0;
		p->shared = false;
		p->try_interval = PP_PYMAP_PATIENCE_NS;
	}
	if (!p->open) {
		p->generation++; /* what was absent may be found */
		p->try_interval = PP_PYMAP_PATIENCE_NS;
	}
	p->behind |= !p->open;
	p->open = true;
	p->reason = PP_PYMAP_OK;
	p->empty_reads = 0;
	tried(p, now);
	return 0;
}

void pp_pymap_share(struct pp_pymap *p)
{
	if (p->shared || pp_perfmap_contest(p->map) < 0)
		return;
	p->shared = true;
	p->outdated = p->in_flight == PP_PYMAP_DO_READ;
	begin(p, p->from);
	p->read_ns = p->next_read_ns = 0;
	p->progress++;
}

void pp_pymap_refused(struct pp_pymap *p, enum pp_pymap_reason why, uint64_t now)
{
	/* A file that is held already stays good: it was only looked whether there is another. */
	if (!p->open)
		p->reason = why;
	p->empty_reads = 0;
	tried(p, now);
	pp_pymap_serve_children(p, false);
}

void pp_pymap_stale(struct pp_pymap *p, uint64_t dev, uint64_t ino, uint64_t size, uint64_t now)
{
	if (!p->open && !p->dump) {
		p->dev = dev;
		p->ino = ino;
		p->from = size;
		begin(p, size);
	}
	pp_pymap_refused(p, PP_PYMAP_STALE, now);
}

void pp_pymap_failed(struct pp_pymap *p, enum pp_pymap_reason why, uint64_t now)
{
	p->open = p->outdated = false;
	pp_pymap_refused(p, why, now);
}

void pp_pymap_busy(struct pp_pymap *p, uint64_t now)
{
	p->in_flight = PP_PYMAP_NOTHING;
	p->next_try_ns = MAX(p->next_try_ns, now + PP_PYMAP_INTERVAL_MIN_NS);
	p->next_read_ns = MAX(p->next_read_ns, now + PP_PYMAP_INTERVAL_MIN_NS);
}

/* Counts what a read brought. What the file held when it was first read, or read again from its
 * beginning, is no growth. */
static void grow(struct pp_pymap *p, uint64_t entries, uint64_t bytes, bool end, uint64_t now)
{
	if (p->grown_ns)
		pp_growth_add(&p->growth, p->grown_ns, now, entries, bytes);
	if (end || p->grown_ns)
		p->grown_ns = now;
}

/* Names are looked at while the map grows, and for nothing else. */
static void watch(struct pp_pymap *p, uint64_t now)
{
	bool grows = p->grown_ns && pp_growth_rate(&p->growth, now).entries >= WATCH_ENTRIES;

	if (grows && !p->growers)
		p->growers = calloc(1, sizeof(*p->growers));
	if (!grows || !p->growers) {
		unwatch(p);
		return;
	}
	pp_growers_turn(p->growers, now);
	pp_perfmap_watch(p->map, p->growers);
}

/* Keeps the end of what was read, and where its last line ends. */
static void remember(struct pp_pymap *p, const uint8_t *data, size_t len)
{
	const uint8_t *newline = memrchr(data, '\n', len);

	if (newline)
		p->line_offset = p->offset + (uint64_t)(newline + 1 - data);
	pp_seam_add(&p->seam, data, len);
	p->offset += len;
}

/* Feeds what was read; whether it reached the file's end. */
static bool feed(struct pp_pymap *p, uint64_t size, const void *data, size_t len, uint64_t now)
{
	struct pp_perfmap_stats before, after;
	uint64_t replaced = pp_perfmap_replaced(p->map);
	bool end;

	watch(p, now);
	pp_perfmap_get_stats(p->map, &before);
	if (p->dump)
		pp_jitdump_feed(p->dump, data, len);
	else
		pp_perfmap_feed(p->map, data, len);
	pp_perfmap_get_stats(p->map, &after);
	remember(p, data, len);
	p->fed_ns = now;
	if (pp_perfmap_replaced(p->map) != replaced)
		p->risen_ns = now;
	end = p->offset >= size;
	grow(p, after.entries - before.entries, len, end, now);
	return end;
}

/* The file is shorter than it was, or was: what it holds is read again, over the names there are.
 */
static void truncated(struct pp_pymap *p)
{
	pp_count(PP_C_perfmaps_truncated);
	(void)restart(p, p->dump ? PP_PYMAP_JITDUMP : PP_PYMAP_LINES);
	p->behind = true;
	/* It is the next image's: a jitdump is begun anew by each. */
	if (p->dump && p->gone)
		p->open = false;
}

/* A read came that brought len bytes, to the end or not. */
static void schedule_read(struct pp_pymap *p, size_t len, bool end, uint64_t now)
{
	uint64_t most = p->dump ? UNFLUSHED_INTERVAL_MAX_NS : PP_PYMAP_INTERVAL_MAX_NS;

	if (len) {
		p->empty_reads = 0;
		p->read_interval = PP_PYMAP_INTERVAL_MIN_NS;
	} else {
		p->empty_reads++;
		p->read_interval = MIN(p->read_interval * 2, most);
	}
	p->next_read_ns = len && !end ? now : p->asked_ns + p->read_interval;
}

void pp_pymap_data(struct pp_pymap *p, uint64_t size, const void *data, size_t len, uint64_t now)
{
	bool end = false;

	p->in_flight = PP_PYMAP_NOTHING;
	if (p->outdated) {
		p->outdated = false;
		p->progress++;
		return;
	}
	if (size < p->offset || !pp_seam_fits(&p->seam, data, len)) {
		truncated(p);
	} else {
		len -= p->seam.len;
		end = feed(p, size, (const uint8_t *)data + p->seam.len, len, now);
	}
	if (is_foreign(p)) {
		pp_pymap_failed(p, PP_PYMAP_FOREIGN, now);
		return;
	}
	/* Where nothing came and nothing was pending, all that is unflushed still is. */
	if (len || !end || p->need_ns >= p->read_ns || p->asked_gone)
		p->progress++;
	p->behind = !end;
	if (len || p->asked_gone)
		p->unflushed = false;
	if (end) {
		p->read_ns = p->asked_ns;
		p->final |= p->asked_gone;
	}
	schedule_read(p, len, end, now);
	pp_pymap_serve_children(p, false);
}

/* ---- Names --------------------------------------------------------------------------------- */

/* Whether what the map says can be believed: it was read to its end once, or cannot be. */
static bool is_known(const struct pp_pymap *p)
{
	if (!p->wanted)
		return false;
	return p->open ? p->read_ns || is_full(p) : p->tried;
}

/* What entry e says about address at time t. ABSENT: nothing. */
static enum pp_pymap_answer judge(const struct pp_pymap *p, uint64_t address, uint64_t t,
				  const struct pp_perfmap_entry *e)
{
	const struct pp_remap *remap = pp_remaps_at(&p->remaps, address, t);
	bool unsure = p->unsure || p->remaps.forgot || (remap && remap->reused);

	if (p->risen_ns > p->told_ns)
		return PP_PYMAP_PENDING;
	if (e->origin == PP_PERFMAP_INHERITED && remap)
		return PP_PYMAP_ABSENT;
	if ((p->gone && !p->dump && p->risen_ns >= p->gone_ns) ||
	    p->risen_ns >= pp_remaps_after(&p->remaps, address, t))
		return PP_PYMAP_AMBIGUOUS;
	if (e->origin != PP_PERFMAP_OWN)
		return p->forked && may_come(p, t) ? PP_PYMAP_PENDING : PP_PYMAP_NAMED;
	if (!unsure || p->read_ns > t)
		return PP_PYMAP_NAMED;
	return may_come(p, t) ? PP_PYMAP_PENDING : PP_PYMAP_ABSENT;
}

enum pp_pymap_answer pp_pymap_lookup(struct pp_pymap *p, uint64_t address, uint64_t time_ns,
				     struct pp_perfmap_entry *ret)
{
	enum pp_pymap_answer answer = PP_PYMAP_ABSENT;

	p->wanted = true;
	if (is_known(p) && pp_perfmap_lookup(p->map, address, ret))
		answer = judge(p, address, time_ns, ret);
	if (answer == PP_PYMAP_NAMED || answer == PP_PYMAP_AMBIGUOUS)
		return answer;
	p->need_ns = MAX(p->need_ns, time_ns);
	if (answer == PP_PYMAP_PENDING) {
		/* It has a name, which is to be confirmed: no reason to read more rarely. */
		p->next_read_ns = MIN(p->next_read_ns, time_ns + PP_PYMAP_INTERVAL_MIN_NS);
		return answer;
	}
	p->unflushed |= may_be_flushed(p);
	if (may_come(p, time_ns))
		return PP_PYMAP_PENDING;
	return may_be_flushed(p) ? PP_PYMAP_UNFLUSHED : PP_PYMAP_ABSENT;
}

uint64_t pp_pymap_generation(const struct pp_pymap *p)
{
	return p->generation + pp_perfmap_replaced(p->map);
}

uint64_t pp_pymap_progress(const struct pp_pymap *p)
{
	return p->progress;
}

/* ---- For people ---------------------------------------------------------------------------- */

enum pp_pymap_state pp_pymap_state(const struct pp_pymap *p)
{
	if (p->gone)
		return PP_PYMAP_GONE;
	if (!p->wanted)
		return PP_PYMAP_IDLE;
	if (p->open)
		return PP_PYMAP_OPEN;
	return p->tried ? PP_PYMAP_REFUSED : PP_PYMAP_WANTED;
}

enum pp_pymap_reason pp_pymap_reason(const struct pp_pymap *p)
{
	return p->reason;
}

bool pp_pymap_holds(const struct pp_pymap *p, uint64_t dev, uint64_t ino)
{
	return p->open && p->dev == dev && p->ino == ino;
}

bool pp_pymap_is_shared(const struct pp_pymap *p)
{
	return p->shared;
}

enum pp_pymap_format pp_pymap_format(const struct pp_pymap *p)
{
	return p->dump ? PP_PYMAP_JITDUMP : PP_PYMAP_LINES;
}

struct pp_perfmap *pp_pymap_map(const struct pp_pymap *p)
{
	return p->map;
}

uint64_t pp_pymap_offset(const struct pp_pymap *p)
{
	return p->offset;
}

struct pp_growth_rate pp_pymap_growth(struct pp_pymap *p, uint64_t now)
{
	return pp_growth_rate(&p->growth, now);
}

struct pp_growth_alarm pp_pymap_alarm(struct pp_pymap *p, uint64_t now)
{
	struct pp_growth_rate rate = pp_growth_rate(&p->growth, now);

	return pp_growers_alarm(p->growers, rate.entries, rate.bytes, now);
}

void pp_pymap_refresh(struct pp_pymap *p, uint64_t now)
{
	p->need_ns = MAX(p->need_ns, now);
}

bool pp_pymap_refreshing(const struct pp_pymap *p, uint64_t since)
{
	return p->wanted && p->open && may_come(p, since);
}
