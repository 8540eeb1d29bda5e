/* SPDX-License-Identifier: GPL-2.0-only */
#include "manager.h"

#include "api/api.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "files.h"
#include "kernel.h"
#include "manager_private.h"
#include "proc/reader.h"
#include "pythons.h"
#include "resolve.h"
#include "sessions.h"
#include "trace/bpf.h"
#include "trace/sideband.h"
#include "unwind.h"

#include <signal.h>
#include <string.h>
#include <sys/utsname.h>
#include <systemd/sd-daemon.h>

/* The ring holds what comes between two drains at the highest rate, on every CPU; see
 * drain_interval. */
#define RING_BYTES_PER_CPU (512 * KIB)
#define DRAIN_SLOW_USEC	   (100 * USEC_PER_MSEC) /* up to FAST_FREQUENCY: 50 samples a CPU */
#define DRAIN_FAST_USEC	   (20 * USEC_PER_MSEC)	 /* above: 200 samples a CPU, of up to 2 KB */
#define FAST_FREQUENCY	   500			 /* Hz, of all sets together */
#define LIFE_DELAY_USEC	   (3 * USEC_PER_MSEC) /* an exec's records come in a burst: taken at once */
#define CPUS_NS		   (5 * NSEC_PER_SEC)  /* how soon a CPU that came online is sampled */
#define SCANS_MAX	   16		       /* at a time, so that other requests get through */
#define RESCAN_NS	   (10 * NSEC_PER_SEC) /* of one process whose mappings seem to be others */
#define EARLY_MAX	   (8 * MIB)	       /* samples of the few ms around a pump */
#define PERFMAPS_BYTES	   (128 * MIB)
#define TURN_SLOW_NS	   (50 * NSEC_PER_MSEC) /* the goal: never longer */

/* ---- Hooks: what lower rooms report goes to those above -------------------------------------- */

/*
 * Unwind tables are loaded for the files that samples touch, which costs a new file's first stacks;
 * of Pythons, which are what this is about, for every file they map.
 */
static void want_python(struct pp_manager *m, struct pp_process *p)
{
	struct pp_python *py = p->python;

	if (py && py->is_python)
		pp_unwind_want(m->unwind, p);
}

static void on_fork(void *userdata, struct pp_process *parent, struct pp_process *child)
{
	struct pp_manager *m = userdata;

	pp_unwind_forked(m->unwind, parent, child);
	pp_pythons_forked(m->pythons, parent, child, child->born_ns);
	pp_sessions_forked(m->sessions, parent, child);
}

static void on_exec(void *userdata, struct pp_process *old, struct pp_process *next)
{
	struct pp_manager *m = userdata;

	pp_unwind_ended(m->unwind, old);
	pp_pythons_execed(m->pythons, old, next);
}

static void on_mapping(void *userdata, struct pp_process *p, struct pp_map *map)
{
	struct pp_manager *m = userdata;

	pp_pythons_mapping(m->pythons, p, map);
	if (map->seen_ns != p->scan_started_ns) /* else on_scanned follows */
		pp_unwind_touch(m->unwind, p);
	want_python(m, p);
}

static void on_scanned(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	for (size_t i = 0; i < pp_process_nr_maps(p); i++)
		pp_pythons_mapping(m->pythons, p, &p->maps->maps[i]);
	/* Thousands that sleep need no place in BPF: those that run ask for one. */
	if (p->samples)
		pp_unwind_touch(m->unwind, p);
	want_python(m, p);
}

static void on_process_exit(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	pp_unwind_ended(m->unwind, p);
	pp_pythons_exited(p);
	pp_sessions_exited(m->sessions, p);
	pp_reader_forget(m->reader, p->pid);
}

static void on_process_free(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	pp_unwind_gone(m->unwind, p);
	pp_pythons_gone(m->pythons, p);
}

static void object_ref(void *userdata, void *object)
{
	(void)userdata;
	pp_object_pin(object);
}

static void object_unref(void *userdata, void *object)
{
	(void)userdata;
	pp_object_unpin(object);
}

static void learn_python(struct pp_manager *m, struct pp_process *p, const struct pp_object *o)
{
	if (o->state != PP_OBJECT_READY || !o->info.is_python)
		return;
	pp_pythons_version(m->pythons, p, o->info.python_version);
	want_python(m, p);
}

static void on_object(void *userdata, struct pp_process *p, struct pp_object *o)
{
	struct pp_manager *m = userdata;

	learn_python(m, p, o);
	pp_unwind_touch(m->unwind, p);
}

static void on_loaded(void *userdata, struct pp_object *o, int table_fd)
{
	struct pp_manager *m = userdata;
	struct pp_process *p = NULL;

	pp_unwind_loaded(m->unwind, o, table_fd);
	if (o->state != PP_OBJECT_READY || !o->info.is_python)
		return;
	while ((p = pp_processes_next(m->processes, p)))
		for (size_t i = 0; i < pp_process_nr_maps(p); i++)
			if (p->maps->maps[i].object == o) {
				learn_python(m, p, o);
				break;
			}
}

static void on_object_free(void *userdata, struct pp_object *o)
{
	struct pp_manager *m = userdata;

	pp_unwind_object_free(m->unwind, o);
}

static void ref_process(void *userdata, uint64_t id)
{
	struct pp_manager *m = userdata;
	struct pp_process *p = pp_processes_by_id(m->processes, (uint32_t)id);

	if (p)
		pp_process_ref(p);
}

static void unref_process(void *userdata, uint64_t id)
{
	struct pp_manager *m = userdata;

	pp_process_unref(pp_processes_by_id(m->processes, (uint32_t)id));
}

static void on_swept(void *userdata, struct pp_store *store)
{
	struct pp_manager *m = userdata;

	(void)store;
	pp_files_swept(m->files);
	pp_pythons_swept(m->pythons);
	pp_kernel_swept(m->kernel);
	pp_resolve_swept(m->resolve);
}

/* ---- The pump -------------------------------------------------------------------------------- */

/* What a truncated stack asks for, so that the next one is not. */
static void mend(struct pp_manager *m, struct pp_process *p, const struct pp_sample *s)
{
	const struct pp_map *map;
	uint64_t pc;

	if (!s->nr_user)
		return;
	pc = s->pcs[s->nr_kernel + s->nr_user - 1] & PP_PC_ADDRESS;
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

static void take_sample(struct pp_manager *m, const struct pp_sample *s)
{
	struct pp_process *p;
	uint32_t node;

	p = pp_processes_sample(m->processes, (pid_t)s->tgid, s->start_ns, s->exec_id, s->comm,
				s->time_ns);
	if (!p) {
		pp_sessions_lose(m->sessions, s->set, 1);
		return;
	}
	/* Who asked for a session waits for it: all there is, for whom it samples. */
	if (s->set)
		pp_unwind_want(m->unwind, p);
	mend(m, p, s);
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
	}
	pp_sessions_sample(m->sessions, s, p, node);
}

static void take_life_up_to(struct pp_manager *m, uint64_t time_ns)
{
	while (m->next_life < m->nr_life && m->life[m->next_life].time_ns <= time_ns) {
		const struct pp_life *l = &m->life[m->next_life++];

		if (pp_processes_life(m->processes, l) < 0)
			pp_count(PP_C_sideband_lost);
	}
}

/* A sample taken after the life-cycle records were read may belong to a life not heard of yet. */
static void on_sample(void *userdata, const struct pp_sample *s)
{
	struct pp_manager *m = userdata;
	size_t size = sizeof(*s) + sizeof(s->pcs[0]) * ((size_t)s->nr_kernel + s->nr_user);

	if (s->time_ns > m->up_to_ns) {
		if (m->early.len + size > EARLY_MAX || pp_buf_add(&m->early, s, size) < 0)
			pp_sessions_lose(m->sessions, s->set, 1);
		return;
	}
	take_life_up_to(m, s->time_ns);
	take_sample(m, s);
}

static void take_early(struct pp_manager *m)
{
	_cleanup_buf_ struct pp_buf early = m->early;
	size_t at = 0;

	m->early = (struct pp_buf){ 0 };
	while (at < early.len) {
		const struct pp_sample *s = (const void *)(early.data + at);

		at += sizeof(*s) + sizeof(s->pcs[0]) * ((size_t)s->nr_kernel + s->nr_user);
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
	pp_store_tend(m->store);
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

void pp_manager_pump(struct pp_manager *m)
{
	uint64_t now_ns = pp_now_ns();

	if (pp_sideband_read(m->sideband, &m->life, &m->nr_life) < 0)
		m->nr_life = 0;
	m->next_life = 0;
	m->up_to_ns = now_ns;
	take_early(m);
	if (pp_bpf_drain(m->bpf, on_sample, m) < 0)
		pp_count(PP_C_sample_malformed);
	take_life_up_to(m, UINT64_MAX);
	pp_sessions_book_losses(m->sessions);
	pp_unwind_sync(m->unwind, m->up_to_ns);
	start_scans(m, now_ns);
	pp_files_tick(m->files, now_ns);
	pp_pythons_tick(m->pythons, now_ns);
	pp_kernel_tick(m->kernel, now_ns);
	every_second(m, now_ns);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static uint64_t drain_interval(const struct pp_manager *m)
{
	return pp_sessions_rate(m->sessions) > FAST_FREQUENCY ? DRAIN_FAST_USEC : DRAIN_SLOW_USEC;
}

void pp_manager_rate_changed(struct pp_manager *m)
{
	/* The interval under way may be too long for what comes from now on. */
	(void)sd_event_source_set_time_relative(m->drain_timer, drain_interval(m));
}

static int on_drain_timer(sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
	struct pp_manager *m = userdata;

	pp_manager_pump(m);
	(void)sd_event_source_set_time_relative(s, drain_interval(m));
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Records have begun to come: more will in a moment. */
static int on_life_io(sd_event_source *s, _unused_ int fd, _unused_ uint32_t events, void *userdata)
{
	struct pp_manager *m = userdata;

	(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	(void)sd_event_source_set_time_relative(m->life_timer, LIFE_DELAY_USEC);
	return sd_event_source_set_enabled(m->life_timer, SD_EVENT_ONESHOT);
}

static int on_life_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
	struct pp_manager *m = userdata;

	pp_manager_pump(m);
	return sd_event_source_set_enabled(m->life_io, SD_EVENT_ON);
}

static int on_stop(sd_event_source *s, _unused_ const struct signalfd_siginfo *si,
		   _unused_ void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int add_sources(struct pp_manager *m)
{
	const uint64_t accuracy = USEC_PER_MSEC;
	int r;

	if ((r = sd_event_add_signal(m->event, &m->sigterm, SIGTERM, on_stop, m)) < 0 ||
	    (r = sd_event_add_signal(m->event, &m->sigint, SIGINT, on_stop, m)) < 0 ||
	    (r = sd_event_add_io(m->event, &m->life_io, pp_sideband_fd(m->sideband), EPOLLIN,
				 on_life_io, m)) < 0 ||
	    (r = sd_event_add_time_relative(m->event, &m->life_timer, CLOCK_MONOTONIC, 0, accuracy,
					    on_life_timer, m)) < 0 ||
	    (r = sd_event_source_set_enabled(m->life_timer, SD_EVENT_OFF)) < 0 ||
	    (r = sd_event_add_time_relative(m->event, &m->drain_timer, CLOCK_MONOTONIC,
					    DRAIN_SLOW_USEC, accuracy, on_drain_timer, m)) < 0)
		return r;
	/* Watchdog messages, where systemd asks for them. */
	r = sd_event_set_watchdog(m->event, true);
	return r < 0 ? r : 0;
}

/* sd_event_run() in its parts, so that what a turn does can be timed without the wait. */
int pp_manager_run(struct pp_manager *m)
{
	(void)sd_notify(0, "READY=1");
	while (sd_event_get_state(m->event) != SD_EVENT_FINISHED) {
		uint64_t took_ns;
		int r = sd_event_prepare(m->event);

		if (r == 0)
			r = sd_event_wait(m->event, UINT64_MAX);
		pp_turn_begin(&m->turn);
		if (r > 0)
			r = sd_event_dispatch(m->event);
		if (r < 0)
			return r;
		took_ns = pp_turn_end(&m->turn);
		if (took_ns > TURN_SLOW_NS)
			pp_log(PP_LOG_DEBUG, "a turn took %llu ms",
			       (unsigned long long)(took_ns / NSEC_PER_MSEC));
	}
	(void)sd_notify(0, "STOPPING=1");
	return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int new_kernel_side(struct pp_manager *m, const char **ret_problem)
{
	struct pp_bpf_config config = { .measure = m->config.measure };
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int r;

	config.ring_bytes = (size_t)MAX(cpus, 1L) * RING_BYTES_PER_CPU;
	r = pp_bpf_new(&m->bpf, &config, ret_problem);
	if (r < 0)
		return r;
	r = pp_sideband_new(&m->sideband, pp_bpf_cpus(m->bpf));
	if (r < 0)
		*ret_problem = "perf events are not permitted: run as root, and not in a container "
			       "that forbids perf_event_open";
	m->per_cpu = calloc(pp_bpf_cpus(m->bpf), sizeof(*m->per_cpu));
	return r < 0 ? r : m->per_cpu ? 0 : -ENOMEM;
}

static int new_rooms(struct pp_manager *m)
{
	static const struct pp_processes_hooks processes_hooks = {
		.on_fork = on_fork,
		.on_exec = on_exec,
		.on_mapping = on_mapping,
		.on_scanned = on_scanned,
		.on_exit = on_process_exit,
		.on_free = on_process_free,
		.object_ref = object_ref,
		.object_unref = object_unref,
	};
	static const struct pp_files_hooks files_hooks = { on_object, on_loaded, on_object_free };
	struct pp_processes_config processes_config = { 0 };
	int r;

	if ((r = pp_reader_new(&m->reader, m->event)) < 0 ||
	    (r = pp_processes_new(&m->processes, &processes_config, &processes_hooks, m)) < 0 ||
	    (r = pp_store_new(&m->store)) < 0 ||
	    (r = pp_pythons_new(&m->pythons, m->reader, m->store, PERFMAPS_BYTES)) < 0 ||
	    (r = pp_kernel_new(&m->kernel, m->store)) < 0 ||
	    (r = pp_unwind_new(&m->unwind, m->bpf, m->processes, m->config.tables_bytes)) < 0 ||
	    (r = pp_files_new(&m->files, m->event, m->reader, m->processes, m->store, &files_hooks,
			      m)) < 0)
		return r;
	pp_unwind_set_files(m->unwind, m->files);
	r = pp_resolve_new(&m->resolve, m->store, m->files, m->pythons, m->kernel);
	if (r < 0)
		return r;
	m->holder = (struct pp_holder){ .swept = on_swept, .userdata = m };
	pp_store_hold(m->store, &m->holder);
	return 0;
}

static int start_sampling(struct pp_manager *m, const char **ret_problem)
{
	struct pp_profile_config profile = {
		.window_ns = PP_WINDOW_NS,
		.windows_max = PP_WINDOWS_MAX,
		.entries_max = PP_PROFILE_ENTRIES,
		.ref = ref_process,
		.unref = unref_process,
		.userdata = m,
	};
	int r = pp_event_probe(m->config.event);

	if (r < 0) {
		*ret_problem = m->config.event == PP_EVENT_CYCLES
				       ? "there is no hardware cycle counter here: use --event "
					 "cpu-clock"
				       : "perf events are not permitted here";
		return r;
	}
	return pp_sessions_new(&m->sessions, m->bpf, m->processes, m->store, m->config.event,
			       m->config.frequency, &profile);
}

static int start_api(struct pp_manager *m, const char **ret_problem)
{
	struct pp_api_backend backend;
	int r;

	pp_manager_fill_backend(m, &backend);
	r = pp_api_new(&m->api, m->event, &backend);
	if (r < 0)
		return r;
	r = m->config.socket ? pp_api_listen(m->api, m->config.socket)
			     : pp_api_listen_inherited(m->api);
	if (r == -EADDRINUSE)
		*ret_problem = "another pyprofd answers on this socket";
	else if (r == -EEXIST)
		*ret_problem = "there is a file that is no socket in the socket's place";
	else if (r == -ENOENT || r == -ENOTDIR)
		*ret_problem = "the socket's directory is not there: make it, or name another "
			       "place with --socket";
	else if (r < 0)
		*ret_problem = "cannot listen on the socket";
	return r;
}

/* From the beginning: what is made must be removed again whenever the signal comes. */
static int hold_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	return sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ? -errno : 0;
}

int pp_manager_new(struct pp_manager **ret, const struct pp_manager_config *config,
		   const char **ret_problem)
{
	_cleanup_(pp_manager_freep) struct pp_manager *m = calloc(1, sizeof(*m));
	struct utsname names;
	int r;

	*ret_problem = NULL;
	if (!m)
		return -ENOMEM;
	m->config = *config;
	m->started_ns = m->minute_ns = pp_now_ns();
	if (uname(&names) == 0)
		memcpy(m->kernel_release, names.release,
		       MIN(sizeof(m->kernel_release) - 1, strlen(names.release)));
	if ((r = hold_signals()) < 0 || (r = sd_event_new(&m->event)) < 0)
		return r;
	if ((r = new_kernel_side(m, ret_problem)) < 0 || (r = new_rooms(m)) < 0 ||
	    (r = start_sampling(m, ret_problem)) < 0 || (r = start_api(m, ret_problem)) < 0 ||
	    (r = add_sources(m)) < 0)
		return r;
	/* Who was here before us. Those who come are told by records from here on. */
	(void)pp_processes_list(m->processes, pp_now_ns());
	*ret = TAKE_PTR(m);
	return 0;
}

struct pp_manager *pp_manager_free(struct pp_manager *m)
{
	if (!m)
		return NULL;
	pp_api_free(m->api);
	sd_event_source_unref(m->drain_timer);
	sd_event_source_unref(m->life_io);
	sd_event_source_unref(m->life_timer);
	sd_event_source_unref(m->sigterm);
	sd_event_source_unref(m->sigint);
	/* Children answer what is in flight as they go; profiles give back their processes. */
	pp_files_stop(m->files);
	pp_reader_free(m->reader);
	pp_sessions_free(m->sessions);
	pp_processes_free(m->processes);
	pp_files_free(m->files);
	pp_resolve_free(m->resolve);
	pp_kernel_free(m->kernel);
	pp_pythons_free(m->pythons);
	pp_unwind_free(m->unwind);
	if (m->store)
		pp_store_drop(m->store, &m->holder);
	pp_store_free(m->store);
	pp_sideband_free(m->sideband);
	pp_bpf_free(m->bpf);
	pp_buf_done(&m->early);
	free(m->per_cpu);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
