/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pump: life-cycle records and samples, merged by time, and what follows from them. A sample is
 * taken only after every record up to its time; one that is newer than the records read waits for
 * the next pump.
 *
 * A record may cost much (a fork, and then one mapping, of a process with thousands of them), and
 * there may be as many as the rings hold. So a pump goes only so far with them; it is *behind*
 * then, and the next one goes on where it stopped, before it reads any more. After a pump to which
 * they were much none are taken for three times as long: so whoever makes records as fast as he can
 * (mappings in a loop, programs that end at once) has a quarter of a CPU of the daemon's at most.
 * Where that does not end the kernel's rings overflow, and what is lost is read from /proc.
 */
#include "manager_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "codes.h"
#include "files.h"
#include "interps.h"
#include "kernel.h"
#include "proc/reader.h"
#include "pythons.h"
#include "resolve.h"
#include "sessions.h"
#include "states.h"
#include "trace/bpf.h"
#include "trace/sideband.h"
#include "unwind.h"

#define CPUS_NS	  (5 * NSEC_PER_SEC)   /* how soon a CPU that came online is sampled */
#define SCANS_MAX 16		       /* at a time, so that other requests get through */
#define RESCAN_NS (10 * NSEC_PER_SEC)  /* of one process whose mappings seem to be others */
#define EARLY_MAX (8 * MIB)	       /* samples of the few ms around a pump */
#define LIFE_NS	  (15 * NSEC_PER_MSEC) /* of a pump, for records */
#define MUCH_NS	  (5 * NSEC_PER_MSEC)  /* then they rest, */
#define REST	  3		       /* times as long */

/* What a truncated stack asks for, so that the next one is not. */
static void mend(struct pp_manager *m, struct pp_process *p, const struct pp_sample *s)
{
	const struct pp_map *map;
	uint64_t pc;

	if (!s->nr_user)
		return;
	pc = pp_sample_user(s)[s->nr_user - 1] & PP_PC_ADDRESS;
	map = pp_process_map_at(p, s->nr_user > 1 ? pc - 1 : pc);
	switch (s->end) {
	case PP_END_NO_SPACE:
		pp_unwind_check(m->unwind, p, s->time_ns);
		break;
	case PP_END_NO_TABLE:
		if (!map || !map->object)
			break;
		pp_files_want_load(m->files, map->object);
		if (((struct pp_object *)map->object)->table >= 0)
			pp_unwind_check(m->unwind, p, s->time_ns);
		break;
	case PP_END_NO_MAPPING:
		/* munmap is not reported, and records may be lost: what is there now? */
		if (map) {
			pp_unwind_check(m->unwind, p, s->time_ns);
		} else if (p->scan_started_ns + RESCAN_NS < s->time_ns) {
			pp_count(PP_C_rescans);
			pp_processes_want_scan(m->processes, p);
		}
		break;
	default:
		break;
	}
}

/* The sample without what the walk went on to by the rules of code that is no longer there. NULL:
 * no memory. */
static const struct pp_sample *without_guesses(struct pp_manager *m, const struct pp_process *p,
					       const struct pp_sample *s)
{
	uint32_t known = pp_unwind_known(p, s), nr_user = known + 1;
	struct pp_sample *cut;
	size_t size;

	/* Where it has ended at such code by itself it says why. */
	if (known == s->nr_user || (nr_user == s->nr_user && !pp_end_complete((enum pp_end)s->end)))
		return s;
	size = pp_sample_bytes(s) - sizeof(s->words[0]) * (s->nr_user - nr_user);
	m->cut.len = 0;
	if (pp_buf_add(&m->cut, s, size) < 0)
		return NULL;
	cut = (void *)m->cut.data;
	cut->nr_user = (uint16_t)nr_user;
	cut->end = PP_END_REMAPPED;
	return cut;
}

static void take_sample(struct pp_manager *m, const struct pp_sample *s)
{
	struct pp_process *p;
	uint32_t node, set = s->set;

	p = pp_processes_sample(m->processes, (pid_t)s->tgid, s->start_ns, s->exec_id, s->comm,
				s->time_ns);
	if (p)
		s = without_guesses(m, p, s);
	if (!p || !s) {
		pp_sessions_lose(m->sessions, set, 1);
		return;
	}
	/* Who asked for a session waits for it: all there is, for whom it samples. */
	if (s->set)
		pp_unwind_want(m->unwind, p);
	mend(m, p, s);
	pp_interps_sampled(m->interps, p, (enum pp_chain_end)s->chain_end, s->time_ns);
	if (pp_resolve_sample(m->resolve, p, s, &node) < 0) {
		pp_sessions_lose(m->sessions, s->set, 1);
		return;
	}
	p->samples++;
	m->samples++;
	m->ends[s->end]++;
	if (pp_end_complete((enum pp_end)s->end)) {
		p->complete++;
		m->complete++;
	} else {
		m->news_ns = s->time_ns;
	}
	pp_sessions_sample(m->sessions, s, p, node, pp_states_attributes(m->store, m->codes, p, s));
}

/* Time is that of the CPU: others may have that for longer than records take, on a busy machine. */
static uint64_t cpu_ns(void)
{
	return pp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void take_life_up_to(struct pp_manager *m, uint64_t time_ns)
{
	uint64_t since_ns = 0, now_ns;

	while (m->next_life < m->nr_life && m->life[m->next_life].time_ns <= time_ns) {
		const struct pp_life *l = &m->life[m->next_life];

		if (m->life_rests || m->life_ns > LIFE_NS) {
			m->up_to_ns = MIN(m->up_to_ns, l->time_ns - 1);
			return;
		}
		if (!since_ns)
			since_ns = cpu_ns();
		m->next_life++;
		if (pp_processes_life(m->processes, l) < 0)
			pp_count(PP_C_sideband_lost);
		now_ns = cpu_ns();
		m->life_ns += now_ns - since_ns;
		since_ns = now_ns;
	}
}

bool pp_manager_is_behind(const struct pp_manager *m)
{
	return m->next_life < m->nr_life;
}

static void keep_early(struct pp_manager *m, const struct pp_sample *s)
{
	size_t size = pp_sample_bytes(s);

	if (m->early.len + size > EARLY_MAX || pp_buf_add(&m->early, s, size) < 0)
		pp_sessions_lose(m->sessions, s->set, 1);
}

/* A sample taken after the life-cycle records were read may belong to a life not heard of yet. */
static void on_sample(void *userdata, const struct pp_sample *s)
{
	struct pp_manager *m = userdata;

	/* What the daemon does on a machine that idles must not keep it awake. */
	m->found |= (pid_t)s->tgid != m->pid;

	if (s->time_ns > m->up_to_ns) {
		keep_early(m, s);
		return;
	}
	take_life_up_to(m, s->time_ns);
	if (s->time_ns > m->up_to_ns)
		keep_early(m, s);
	else
		take_sample(m, s);
}

static void take_early(struct pp_manager *m)
{
	_cleanup_buf_ struct pp_buf early = m->early;
	size_t at = 0;

	m->early = (struct pp_buf){ 0 };
	while (at < early.len) {
		const struct pp_sample *s = (const void *)(early.data + at);

		at += pp_sample_bytes(s);
		on_sample(m, s);
	}
}

struct scan_request {
	struct pp_manager *manager;
	struct pp_process *process;
};

static void start_scans(struct pp_manager *m, uint64_t now_ns);

static void on_scan(void *userdata, int error, const struct pp_scan *scan)
{
	struct scan_request *rq = userdata;
	struct pp_manager *m = rq->manager;

	m->scans--;
	pp_processes_scanned(m->processes, rq->process, error, scan);
	free(rq);
	/* Not only at the next pump: there may be thousands to read. */
	if (!error)
		start_scans(m, m->up_to_ns);
	pp_manager_pump_soon(m);
}

/* now_ns: up to when records have been applied. */
static void start_scans(struct pp_manager *m, uint64_t now_ns)
{
	while (m->scans < SCANS_MAX) {
		struct pp_process *p = pp_processes_take_scan(m->processes, now_ns);
		struct scan_request *rq;
		int r;

		if (!p)
			return;
		rq = malloc(sizeof(*rq));
		if (!rq) {
			pp_processes_scanned(m->processes, p, -ENOMEM, NULL);
			return;
		}
		*rq = (struct scan_request){ m, p };
		m->scans++;
		r = pp_reader_scan(m->reader, pp_process_target(p), on_scan, rq);
		if (r < 0)
			on_scan(rq, r, NULL);
	}
}

/* What is due now and then. */
static void every_second(struct pp_manager *m, uint64_t now_ns)
{
	if (now_ns < m->second_ns + NSEC_PER_SEC)
		return;
	m->second_ns = now_ns;
	pp_profile_advance(pp_sessions_profile(m->sessions), now_ns);
	pp_processes_reap(m->processes, now_ns);
	if (now_ns > m->minute_ns + 60 * NSEC_PER_SEC) {
		m->minute_ns = now_ns;
		pp_pythons_decay(m->pythons);
	}
	if (now_ns < m->cpus_ns + CPUS_NS)
		return;
	m->cpus_ns = now_ns;
	pp_sessions_follow_cpus(m->sessions);
	(void)pp_sideband_follow(m->sideband);
}

static void begin_life(struct pp_manager *m, uint64_t now_ns)
{
	uint64_t since_ns = cpu_ns();

	m->life_ns = 0;
	m->life_rests = now_ns < m->life_after_ns;
	if (m->life_rests)
		return;
	if (!pp_manager_is_behind(m)) {
		m->read_ns = now_ns;
		m->next_life = 0;
		if (pp_sideband_read(m->sideband, &m->life, &m->nr_life) < 0)
			m->nr_life = 0;
	}
	m->life_ns = cpu_ns() - since_ns;
	m->up_to_ns = m->read_ns;
}

static void end_life(struct pp_manager *m)
{
	if (m->life_ns > MUCH_NS)
		m->life_after_ns = pp_now_ns() + REST * m->life_ns;
}

void pp_manager_pump(struct pp_manager *m)
{
	uint64_t now_ns = pp_now_ns();

	begin_life(m, now_ns);
	m->found = false;
	take_early(m);
	if (pp_bpf_drain(m->bpf, on_sample, m) < 0)
		pp_count(PP_C_sample_malformed);
	take_life_up_to(m, UINT64_MAX);
	end_life(m);
	pp_sessions_book_losses(m->sessions);
	pp_codes_tick(m->codes, now_ns); /* first: whoever ends takes its names along */
	pp_unwind_sync(m->unwind, m->up_to_ns);
	start_scans(m, m->up_to_ns);
	pp_files_tick(m->files, now_ns);
	pp_pythons_tick(m->pythons, now_ns);
	pp_kernel_tick(m->kernel, now_ns);
	pp_store_tend(m->store);
	every_second(m, now_ns);
	if (m->nr_life)
		m->news_ns = now_ns;
	if (m->found || m->nr_life)
		pp_manager_stir(m);
}
