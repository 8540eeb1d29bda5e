/* SPDX-License-Identifier: GPL-2.0-only */
/* The manager's answers to the API: see api/backend.h. */
#include "manager_private.h"

#include "base/clock.h"
#include "codes.h"
#include "files.h"
#include "kernel.h"
#include "pythons.h"
#include "sessions.h"
#include "trace/bpf.h"
#include "trace/tables.h"
#include "unwind.h"

#include <string.h>
#include <unistd.h>

static void fill_truncated(struct pp_manager *m, struct pp_api_status *ret)
{
	size_t n = 0;

	for (int end = 0; end < PP_END_MAX; end++) {
		if (pp_end_complete((enum pp_end)end))
			continue;
		m->truncated[n++] =
			(struct pp_api_counter){ pp_end_text((enum pp_end)end), m->ends[end], "" };
	}
	ret->truncated = m->truncated;
	ret->nr_truncated = n;
}

static void fill_cpus(struct pp_manager *m, struct pp_api_status *ret)
{
	size_t n = 0;

	for (unsigned int cpu = 0; cpu < pp_bpf_cpus(m->bpf); cpu++) {
		struct pp_api_cpu c = {
			.cpu = cpu,
			.runs = pp_bpf_count(m->bpf, cpu, 0, PP_COUNT_RUNS),
			.sent = pp_bpf_count(m->bpf, cpu, 0, PP_COUNT_SENT),
		};

		c.expected = pp_sessions_expected(m->sessions, cpu);
		/* The two are not read at one instant: a run may be ahead of its event's count. */
		c.expected = MAX(c.expected, c.runs);
		c.skipped = c.expected - c.runs;
		if (c.expected)
			m->per_cpu[n++] = c;
	}
	ret->per_cpu = m->per_cpu;
	ret->nr_per_cpu = n;
}

static uint64_t sum(const struct pp_manager *m, enum pp_count what)
{
	uint64_t n = 0;

	for (unsigned int set = 0; set < PP_SETS_MAX; set++)
		n += pp_bpf_counts(m->bpf, set, what);
	return n;
}

static void fill_counters(struct pp_manager *m, struct pp_api_status *ret)
{
	struct pp_tables_usage u;
	size_t n = 0;

	pp_tables_usage(pp_unwind_tables(m->unwind), &u);
	m->counters[n++] = (struct pp_api_counter){ "bpf_runs", sum(m, PP_COUNT_RUNS),
						    "runs of the sampling programs, all sets" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_sent", sum(m, PP_COUNT_SENT),
						    "samples handed to the ring" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_bytes", pp_bpf_drained_bytes(m->bpf),
						    "bytes of samples read from the ring" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_compared", pp_bpf_compared(m->bpf),
						    "samples compared (with --records check)" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_filtered", sum(m, PP_COUNT_FILTERED),
						    "runs in processes that no session wanted" };
	m->counters[n++] =
		(struct pp_api_counter){ "bpf_idle", sum(m, PP_COUNT_IDLE), "runs on an idle CPU" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_nested", sum(m, PP_COUNT_NESTED),
						    "lost: interrupted another walk" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_ring_full", sum(m, PP_COUNT_RING_FULL),
						    "lost: the ring was full" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_tail_call", sum(m, PP_COUNT_TAIL_CALL),
						    "lost: the walk could not go on" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_frames", sum(m, PP_COUNT_FRAMES),
						    "user frames walked (with --measure)" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_walk_ns", sum(m, PP_COUNT_WALK_NS),
						    "ns in the sampling programs (with "
						    "--measure)" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_chain_ns", sum(m, PP_COUNT_CHAIN_NS),
						    "of these, in interpreters' frames" };
	m->counters[n++] = (struct pp_api_counter){ "bpf_python_frames", sum(m, PP_COUNT_PYFRAMES),
						    "interpreters' frames walked (with "
						    "--measure)" };
	m->counters[n++] =
		(struct pp_api_counter){ "unwind_tables", u.tables, "unwind tables loaded" };
	m->counters[n++] = (struct pp_api_counter){ "unwind_made", pp_files_tables(m->files).made,
						    "unwind tables made from files" };
	m->counters[n++] =
		(struct pp_api_counter){ "unwind_cached", pp_files_tables(m->files).cached,
					 "unwind tables kept since an earlier start" };
	m->counters[n++] = (struct pp_api_counter){ "unwind_bytes", u.bytes_used,
						    "bytes of unwind tables and mappings" };
	m->counters[n++] =
		(struct pp_api_counter){ "unwind_budget", u.budget, "bytes they may take" };
	m->counters[n++] =
		(struct pp_api_counter){ "unwind_rules", u.rules, "distinct unwind rules" };
	m->counters[n++] = (struct pp_api_counter){ "frames", pp_frames_count(m->store->frames),
						    "frames interned" };
	m->counters[n++] = (struct pp_api_counter){ "stacks", pp_stacks_count(m->store->stacks),
						    "nodes of the tree of stacks" };
	ret->counters = m->counters;
	ret->nr_counters = n;
}

static void get_status(void *userdata, struct pp_api_status *ret)
{
	struct pp_manager *m = userdata;
	size_t n = 0;

	*ret = (struct pp_api_status){
		.uptime_ns = pp_now_ns() - m->started_ns,
		.event = pp_event_name(m->config.event),
		.frequency = pp_sessions_frequency(m->sessions),
		.samples = m->samples,
		.complete = m->complete,
		.lost = pp_sessions_lost(m->sessions, 0),
		.sessions = (unsigned int)pp_sessions_count(m->sessions),
		.bpf_bytes = pp_bpf_bytes(m->bpf),
		.bpf_usec = sum(m, PP_COUNT_WALK_NS) / NSEC_PER_USEC,
		.longest_turn_usec = m->turn.longest_ns / NSEC_PER_USEC,
		.kernel = m->kernel_release,
	};
	fill_truncated(m, ret);
	fill_cpus(m, ret);
	fill_counters(m, ret);
	ret->cpus = pp_sessions_cpus(m->sessions);
	m->features[n++] = "tail calls";
	if (pp_event_probe(PP_EVENT_CYCLES) == 0)
		m->features[n++] = "cycles";
	ret->features = m->features;
	ret->nr_features = n;
}

static void each_process(void *userdata, bool (*fn)(const struct pp_process *p, void *arg),
			 void *arg)
{
	struct pp_manager *m = userdata;
	struct pp_process *p = NULL;

	while ((p = pp_processes_next(m->processes, p)))
		if (!fn(p, arg))
			return;
}

static const struct pp_process *get_process(void *userdata, uint32_t id)
{
	struct pp_manager *m = userdata;

	return pp_processes_by_id(m->processes, id);
}

static struct pp_profile *get_profile(void *userdata)
{
	struct pp_manager *m = userdata;

	return pp_sessions_profile(m->sessions);
}

static int session_start(void *userdata, const struct pp_api_session_request *request,
			 uint32_t *ret)
{
	struct pp_session_config config = { request->frequency, request->pid, request->tree };
	struct pp_manager *m = userdata;
	struct pp_process *p;
	int r;

	pp_manager_pump(m); /* the caller may have forked a moment ago */
	r = pp_sessions_start(m->sessions, &config, ret);
	pp_manager_rate_changed(m);
	p = request->pid ? pp_processes_by_pid(m->processes, request->pid) : NULL;
	if (r >= 0 && p)
		pp_unwind_want(m->unwind, p);
	return r;
}

static struct pp_profile *session_profile(void *userdata, uint32_t session)
{
	struct pp_manager *m = userdata;

	return pp_sessions_session_profile(m->sessions, session);
}

static void session_stop(void *userdata, uint32_t session)
{
	struct pp_manager *m = userdata;

	pp_manager_pump(m); /* what was sampled until now counts */
	pp_sessions_stop(m->sessions, session);
}

static void session_free(void *userdata, uint32_t session)
{
	struct pp_manager *m = userdata;

	pp_sessions_drop(m->sessions, session);
}

static void drain(void *userdata)
{
	pp_manager_pump(userdata);
}

uint64_t pp_manager_pending(const struct pp_manager *m, uint64_t time_ns)
{
	return pp_files_pending(m->files, time_ns) + pp_pythons_pending(m->pythons, time_ns) +
	       pp_codes_pending(m->codes, time_ns) + pp_kernel_pending(m->kernel, time_ns) +
	       (m->up_to_ns < time_ns ? 1 : 0);
}

static uint64_t pending(void *userdata, uint64_t time_ns)
{
	return pp_manager_pending(userdata, time_ns);
}

static int set_frequency(void *userdata, unsigned int hz)
{
	struct pp_manager *m = userdata;

	int r;

	pp_manager_pump(m); /* what was sampled until now weighs what it did */
	r = pp_sessions_set_frequency(m->sessions, hz);
	pp_manager_rate_changed(m);
	return r;
}

void pp_manager_fill_backend(struct pp_manager *m, struct pp_api_backend *b)
{
	*b = (struct pp_api_backend){
		.userdata = m,
		.version = PP_VERSION,
		.status = get_status,
		.each_process = each_process,
		.process = get_process,
		.profile = get_profile,
		.session_start = session_start,
		.session_profile = session_profile,
		.session_stop = session_stop,
		.session_free = session_free,
		.drain = drain,
		.pending = pending,
		.set_frequency = set_frequency,
	};
	pp_manager_fill_diagnosis(b);
}
