/* SPDX-License-Identifier: GPL-2.0-only */
#include "manager.h"

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "codes.h"
#include "elf/tablecache.h"
#include "files.h"
#include "interps.h"
#include "ipc/server.h"
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
#define RING_BYTES_PER_CPU (256 * KIB)
#define DRAIN_CALM_USEC	   (250 * USEC_PER_MSEC) /* up to CALM_FREQUENCY: 25 samples a CPU */
#define DRAIN_SLOW_USEC	   (100 * USEC_PER_MSEC) /* up to FAST_FREQUENCY: 50 samples a CPU */
#define DRAIN_FAST_USEC	   (10 * USEC_PER_MSEC)	 /* above: 100 samples a CPU, of up to 2 KB */
#define CALM_FREQUENCY	   100			 /* Hz, of all sets together */
#define FAST_FREQUENCY	   500
#define CALM_NS		   (1 * NSEC_PER_SEC)  /* without anything new */
#define QUIET_DRAINS	   3		       /* in a row that found nothing: it may sleep */
#define DRAIN_IDLE_USEC	   (1 * USEC_PER_SEC)  /* what is due by time is due every second */
#define STARTING_NS	   (2 * NSEC_PER_SEC)  /* first samples say what to load: no waiting */
#define LIFE_DELAY_USEC	   (3 * USEC_PER_MSEC) /* an exec is a burst of records */
#define PERFMAPS_BYTES	   (128 * MIB)
#define TURN_SLOW_NS	   (50 * NSEC_PER_MSEC)	 /* the goal: never longer */
#define CALLERS_WAIT_NS	   (250 * NSEC_PER_MSEC) /* then they come before samples, once */
#define REST_USEC	   (50 * USEC_PER_MSEC)	 /* for that, at most */

/* ---- The loop -------------------------------------------------------------------------------- */

/*
 * The rings are drained by time, as a wake-up costs more than a walk: often enough that they hold
 * what comes meanwhile, and that what a new process needs is there soon; else rarely, as most of
 * what a sample costs is to find cold memory that the next one finds warm. Whoever asks for samples
 * has the ring drained at once. Where nothing comes, on a machine that idles, the loop sleeps until
 * the kernel wakes it for the next sample, or for a second: then there are windows to be closed.
 */
static uint64_t drain_interval(const struct pp_manager *m)
{
	unsigned int rate = pp_sessions_rate(m->sessions);
	uint64_t now_ns = pp_now_ns();

	if (rate > FAST_FREQUENCY || now_ns < m->started_ns + STARTING_NS)
		return DRAIN_FAST_USEC;
	return rate > CALM_FREQUENCY || now_ns < m->news_ns + CALM_NS ? DRAIN_SLOW_USEC
								      : DRAIN_CALM_USEC;
}

/* From now on, not from when this turn began: however long a pump takes, there is time for others
 * before the next. */
static void set_time(sd_event_source *s, uint64_t usec)
{
	(void)sd_event_source_set_time(s, pp_now_ns() / NSEC_PER_USEC + usec);
}

/* For a pump soon, but not before it takes records. */
static void set_life_timer(struct pp_manager *m)
{
	uint64_t now_ns = pp_now_ns(), rest_ns = m->life_after_ns - MIN(m->life_after_ns, now_ns);

	set_time(m->life_timer, MAX(LIFE_DELAY_USEC, rest_ns / NSEC_PER_USEC + 1));
}

/* Whether there is nothing to be done before something happens. */
static bool may_sleep(const struct pp_manager *m)
{
	return m->quiet >= QUIET_DRAINS && !pp_manager_pending(m, m->up_to_ns) &&
	       !pp_unwind_waits(m->unwind);
}

static void set_drain_timer(struct pp_manager *m)
{
	m->asleep = may_sleep(m);
	set_time(m->drain_timer, m->asleep ? DRAIN_IDLE_USEC : drain_interval(m));
	if (!m->asleep)
		return;
	pp_bpf_sleep(m->bpf);
	(void)sd_event_source_set_enabled(m->ring_io, SD_EVENT_ONESHOT);
}

void pp_manager_stir(struct pp_manager *m)
{
	m->quiet = 0;
	if (!m->asleep)
		return;
	m->asleep = false;
	(void)sd_event_source_set_enabled(m->ring_io, SD_EVENT_OFF);
	set_time(m->drain_timer, drain_interval(m));
}

/* A sample came while the loop slept: more will, until the next drain. */
static int on_ring_io(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t events,
		      void *userdata)
{
	pp_manager_stir(userdata);
	return 0;
}

void pp_manager_rate_changed(struct pp_manager *m)
{
	/* The interval under way may be too long for what comes from now on. */
	set_time(m->drain_timer, drain_interval(m));
}

/*
 * Callers come after all that has to do with sampling. Where that does not end, as what happens on
 * the machine is more than there is CPU for, they would never come. So a source of their priority
 * says when they have had their turn; if that was long ago, the pump rests until it was, for a
 * moment at most: children's answers come before callers, too.
 */
static int on_callers(_unused_ sd_event_source *s, void *userdata)
{
	struct pp_manager *m = userdata;

	m->callers_ns = pp_now_ns();
	m->callers_asked_ns = 0;
	if (!m->resting)
		return 0;
	m->resting = false;
	set_time(m->drain_timer, LIFE_DELAY_USEC);
	return sd_event_source_set_enabled(m->life_io, SD_EVENT_ON);
}

/* After a pump: whether it rests. */
static bool rest(struct pp_manager *m)
{
	uint64_t now_ns = pp_now_ns();

	/* That they are asked is a turn of the loop more: not after every pump. */
	if (!m->callers_asked_ns && now_ns > m->callers_ns + CALLERS_WAIT_NS / 2) {
		m->callers_asked_ns = now_ns;
		(void)sd_event_source_set_enabled(m->callers, SD_EVENT_ONESHOT);
	}
	m->resting = m->callers_asked_ns && now_ns > m->callers_asked_ns + CALLERS_WAIT_NS / 2;
	if (!m->resting)
		return false;
	set_time(m->drain_timer, REST_USEC);
	(void)sd_event_source_set_enabled(m->drain_timer, SD_EVENT_ONESHOT);
	(void)sd_event_source_set_enabled(m->life_timer, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(m->life_io, SD_EVENT_OFF);
	return true;
}

static int on_drain_timer(sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
	struct pp_manager *m = userdata;
	bool rested = m->resting;

	m->quiet++;
	pp_manager_pump(m);
	if (rest(m))
		return 0;
	if (rested)
		(void)sd_event_source_set_enabled(m->life_io, SD_EVENT_ON);
	if (pp_manager_is_behind(m))
		pp_manager_pump_soon(m);
	set_drain_timer(m);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* Records have begun to come: more will in a moment. */
static int on_life_io(sd_event_source *s, _unused_ int fd, _unused_ uint32_t events, void *userdata)
{
	struct pp_manager *m = userdata;

	(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	set_life_timer(m);
	return sd_event_source_set_enabled(m->life_timer, SD_EVENT_ONESHOT);
}

void pp_manager_pump_soon(struct pp_manager *m)
{
	int enabled;

	if (!m->life_timer || m->resting ||
	    sd_event_source_get_enabled(m->life_timer, &enabled) < 0 || enabled != SD_EVENT_OFF)
		return;
	set_life_timer(m);
	(void)sd_event_source_set_enabled(m->life_timer, SD_EVENT_ONESHOT);
}

static int on_life_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
	struct pp_manager *m = userdata;

	pp_manager_pump(m);
	if (rest(m))
		return 0;
	if (pp_manager_is_behind(m))
		pp_manager_pump_soon(m);
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
	    (r = sd_event_add_io(m->event, &m->ring_io, pp_bpf_ring_fd(m->bpf), EPOLLIN, on_ring_io,
				 m)) < 0 ||
	    (r = sd_event_source_set_enabled(m->ring_io, SD_EVENT_OFF)) < 0 ||
	    (r = sd_event_add_time_relative(m->event, &m->life_timer, CLOCK_MONOTONIC, 0, accuracy,
					    on_life_timer, m)) < 0 ||
	    (r = sd_event_source_set_enabled(m->life_timer, SD_EVENT_OFF)) < 0 ||
	    (r = sd_event_add_time_relative(m->event, &m->drain_timer, CLOCK_MONOTONIC,
					    DRAIN_FAST_USEC, accuracy, on_drain_timer, m)) < 0 ||
	    (r = sd_event_add_defer(m->event, &m->callers, on_callers, m)) < 0 ||
	    (r = sd_event_source_set_priority(m->callers, PP_CALLER_PRIORITY)) < 0)
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
	struct pp_bpf_config config = { .measure = m->config.measure,
					.records = m->config.records };
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

/* Without it the daemon starts slower, and that is all. */
static int new_cache(struct pp_manager *m)
{
	int dir = pp_tablecache_open_dir(m->config.state_dir), r;

	if (dir < 0) {
		pp_log_errno(PP_LOG_WARNING, dir, "unwind tables are not kept in %s/tables",
			     m->config.state_dir);
		return 0;
	}
	r = pp_tablecache_new(&m->cache, m->event, dir);
	if (r < 0)
		pp_close(dir);
	return r;
}

static int new_rooms(struct pp_manager *m)
{
	struct pp_processes_config processes_config = { 0 };
	int r;

	if ((r = pp_reader_new(&m->reader, m->event)) < 0 ||
	    (r = pp_processes_new(&m->processes, &processes_config, &pp_manager_processes_hooks,
				  m)) < 0 ||
	    (r = pp_store_new(&m->store)) < 0 ||
	    (r = pp_pythons_new(&m->pythons, m->reader, m->store, PERFMAPS_BYTES)) < 0 ||
	    (r = pp_codes_new(&m->codes, m->reader, m->store, &pp_manager_codes_hooks, m)) < 0 ||
	    (r = pp_kernel_new(&m->kernel, m->store, m->bpf)) < 0 ||
	    (r = pp_interps_new(&m->interps, m->event, m->bpf, m->reader, &pp_manager_interps_hooks,
				m)) < 0 ||
	    (r = pp_unwind_new(&m->unwind, m->bpf, m->processes, m->config.tables_bytes)) < 0 ||
	    (r = new_cache(m)) < 0 ||
	    (r = pp_files_new(&m->files, m->event, m->reader, m->processes, m->store, m->cache,
			      &pp_manager_files_hooks, m)) < 0)
		return r;
	pp_unwind_set_files(m->unwind, m->files);
	r = pp_resolve_new(&m->resolve, m->store, m->files, m->pythons, m->codes, m->kernel);
	if (r < 0)
		return r;
	m->holder = (struct pp_holder){ .swept = pp_manager_swept, .userdata = m };
	pp_store_hold(m->store, &m->holder);
	return 0;
}

static int start_sampling(struct pp_manager *m, const char **ret_problem)
{
	struct pp_profile_config profile = {
		.window_ns = PP_WINDOW_NS,
		.windows_max = PP_WINDOWS_MAX,
		.entries_max = PP_PROFILE_ENTRIES,
		.ref = pp_manager_ref_process,
		.unref = pp_manager_unref_process,
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
	m->pid = getpid();
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
	sd_event_source_disable_unref(m->callers);
	sd_event_source_unref(m->life_io);
	sd_event_source_disable_unref(m->ring_io);
	m->life_timer = sd_event_source_unref(m->life_timer);
	sd_event_source_unref(m->sigterm);
	sd_event_source_unref(m->sigint);
	/* Children answer what is in flight as they go; profiles give back their processes. */
	pp_files_stop(m->files);
	pp_tablecache_free(m->cache);
	pp_reader_free(m->reader);
	pp_sessions_free(m->sessions);
	pp_processes_free(m->processes);
	pp_files_free(m->files);
	pp_resolve_free(m->resolve);
	pp_kernel_free(m->kernel);
	pp_pythons_free(m->pythons);
	pp_codes_free(m->codes);
	pp_interps_free(m->interps);
	pp_unwind_free(m->unwind);
	if (m->store)
		pp_store_drop(m->store, &m->holder);
	pp_store_free(m->store);
	pp_sideband_free(m->sideband);
	pp_bpf_free(m->bpf);
	pp_buf_done(&m->early);
	pp_buf_done(&m->cut);
	free(m->per_cpu);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
