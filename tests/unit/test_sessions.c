/* SPDX-License-Identifier: GPL-2.0-only */
/* Sampling sets and sessions: who shares what, whose samples go where, and that no session changes
 * what the windows hold. */
#include "base/clock.h"
#include "base/counters.h"
#include "profile/store.h"
#include "sessions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "fake_bpf.h"
#include "fake_events.h"

#define SERVICE 19

/* ---- Events without a kernel ----------------------------------------------------------------- */

static int nr_events;

int pp_events_new(struct pp_events **ret, _unused_ struct pp_bpf *bpf, unsigned int set,
		  _unused_ enum pp_event event, unsigned int frequency)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	**ret = (struct pp_events){ set, frequency };
	nr_events++;
	return 0;
}

struct pp_events *pp_events_free(struct pp_events *e)
{
	nr_events -= !!e;
	free(e);
	return NULL;
}

uint64_t pp_events_expected(const struct pp_events *e, unsigned int cpu)
{
	return e->frequency * (cpu + 1);
}

/* ---- Fixture --------------------------------------------------------------------------------- */

static struct pp_sessions *sessions;
static struct pp_processes *processes;
static struct pp_store *store;

static void on_fork(_unused_ void *userdata, struct pp_process *parent, struct pp_process *child)
{
	if (sessions)
		pp_sessions_forked(sessions, parent, child);
}

static void on_exit_of(_unused_ void *userdata, struct pp_process *p)
{
	if (sessions)
		pp_sessions_exited(sessions, p);
}

static int start(_unused_ void **state)
{
	static const struct pp_processes_hooks hooks = { .on_fork = on_fork,
							 .on_exit = on_exit_of };
	const struct pp_profile_config profile = {
		.window_ns = NSEC_PER_SEC,
		.windows_max = 10,
		.entries_max = 1000,
	};

	memset(&fake, 0, sizeof(fake));
	assert_int_equal(pp_processes_new(&processes, NULL, &hooks, NULL), 0);
	assert_int_equal(pp_store_new(&store), 0);
	return pp_sessions_new(&sessions, NULL, processes, store, PP_EVENT_CPU_CLOCK, SERVICE,
			       &profile);
}

static int stop(_unused_ void **state)
{
	sessions = pp_sessions_free(sessions);
	processes = pp_processes_free(processes);
	store = pp_store_free(store);
	assert_int_equal(nr_events, 0);
	return 0;
}

static void process(pid_t pid, pid_t parent)
{
	const struct pp_life life = {
		.kind = PP_LIFE_FORK, .pid = pid, .tid = pid, .ppid = parent, .time_ns = pp_now_ns()
	};

	assert_int_equal(pp_processes_life(processes, &life), 0);
}

static void end(pid_t pid)
{
	const struct pp_life life = {
		.kind = PP_LIFE_EXIT, .pid = pid, .tid = pid, .time_ns = pp_now_ns()
	};

	assert_int_equal(pp_processes_life(processes, &life), 0);
}

static int begin(unsigned int frequency, pid_t pid, bool tree, uint32_t *ret)
{
	const struct pp_session_config config = { frequency, pid, tree };

	return pp_sessions_start(sessions, &config, ret);
}

static uint32_t session(unsigned int frequency, pid_t pid, bool tree)
{
	uint32_t id = 0;

	assert_int_equal(begin(frequency, pid, tree, &id), 0);
	return id;
}

static void sample(unsigned int set, pid_t pid)
{
	const struct pp_sample s = { .time_ns = pp_now_ns(),
				     .tgid = (uint32_t)pid,
				     .set = (uint8_t)set,
				     .end = PP_END_ROOT };
	struct pp_process *p = pp_processes_by_pid(processes, pid);

	assert_non_null(p);
	pp_sessions_sample(sessions, &s, p, 0, 0);
}

static uint64_t held_by(const struct pp_profile *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < pp_profile_windows(p); i++)
		n += pp_profile_window(p, i)->samples;
	return n;
}

static uint64_t in_session(uint32_t id)
{
	return held_by(pp_sessions_session_profile(sessions, id));
}

static uint64_t in_windows(void)
{
	return held_by(pp_sessions_profile(sessions));
}

static bool sampled(unsigned int set, pid_t pid)
{
	const struct pp_filter_entry *e = fake_filter(pid, false);

	return e && e->sets & 1U << set;
}

/* The set that samples at a rate; that it is one of those in use is looked at by the events. */
static unsigned int set_with(pid_t pid)
{
	for (unsigned int set = 1; set < PP_SETS_MAX; set++)
		if (fake.sets[set] == PP_FILTER_PIDS && sampled(set, pid))
			return set;
	fail_msg("no set samples %d", pid);
	return 0;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void rates_share_sets(_unused_ void **state)
{
	uint32_t id, ids[4];

	process(10, 1);
	process(11, 1);
	assert_int_equal(fake.sets[0], PP_FILTER_ALL);
	session(SERVICE, 10, false);
	assert_int_equal(nr_events, 1); /* it listens in */
	ids[0] = session(97, 10, false);
	ids[1] = session(97, 11, false);
	assert_int_equal(nr_events, 2);
	assert_int_equal(set_with(10), set_with(11));
	ids[2] = session(199, 0, false);
	ids[3] = session(499, 10, true);
	assert_int_equal(nr_events, PP_SETS_MAX);
	assert_int_equal(pp_sessions_rate(sessions), SERVICE + 97 + 199 + 499);
	assert_int_equal(begin(997, 10, false, &id), -EBUSY);
	assert_int_equal(begin(0, 10, false, &id), -EINVAL);
	assert_int_equal(begin(PP_FREQUENCY_MAX + 1, 10, false, &id), -EINVAL);
	assert_int_equal(pp_sessions_count(sessions), 5);
	/* A set ends with its last session. */
	pp_sessions_stop(sessions, ids[2]);
	assert_int_equal(nr_events, PP_SETS_MAX - 1);
	session(997, 0, false);
	pp_sessions_drop(sessions, ids[0]);
	assert_int_equal(nr_events, PP_SETS_MAX);
	assert_false(sampled(set_with(11), 10));
	pp_sessions_drop(sessions, ids[1]);
	assert_int_equal(nr_events, PP_SETS_MAX - 1);
}

static void a_session_leaves_the_windows_alone(_unused_ void **state)
{
	uint32_t own, listener, all;
	unsigned int set;

	process(10, 1);
	process(11, 1);
	own = session(499, 10, false);
	listener = session(SERVICE, 10, false);
	all = session(SERVICE, 0, false);
	set = set_with(10);
	for (int i = 0; i < 50; i++)
		sample(set, 10);
	for (int i = 0; i < 3; i++) {
		sample(0, 10);
		sample(0, 11);
	}
	assert_int_equal(in_windows(), 6);
	assert_int_equal(in_session(own), 50);
	assert_int_equal(in_session(listener), 3);
	assert_int_equal(in_session(all), 6);
	assert_int_equal(fake.sets[0], PP_FILTER_ALL);
	pp_sessions_stop(sessions, listener);
	sample(0, 10);
	assert_int_equal(in_session(listener), 3);
	assert_int_equal(in_windows(), 7);
	/* What still comes of a set that was closed belongs to nobody. */
	pp_sessions_stop(sessions, own);
	sample(set, 10);
	assert_int_equal(in_session(own), 50);
	assert_int_equal(in_windows(), 7);
	pp_sessions_drop(sessions, own);
	assert_null(pp_sessions_session_profile(sessions, own));
}

static void trees_are_followed(_unused_ void **state)
{
	uint32_t tree, alone;
	unsigned int set;

	process(10, 1);
	process(20, 10);
	process(30, 20);
	process(11, 1);
	tree = session(499, 10, true);
	alone = session(499, 20, false);
	set = set_with(10);
	assert_true(sampled(set, 20));
	assert_true(sampled(set, 30));
	assert_false(sampled(set, 11));
	assert_true(fake_filter(30, false)->tree & 1U << set);
	process(40, 30);
	sample(set, 40);
	sample(set, 20);
	assert_int_equal(in_session(tree), 2);
	assert_int_equal(in_session(alone), 1);
	/* Another process under a pid of before is not meant. */
	end(20);
	process(20, 1);
	sample(set, 20);
	assert_int_equal(in_session(tree), 2);
	assert_int_equal(in_session(alone), 1);
	/* Whose parent has gone is still of the tree. */
	end(30);
	sample(set, 40);
	assert_int_equal(in_session(tree), 3);
}

static void a_new_rate_moves_the_listeners(_unused_ void **state)
{
	uint64_t cut = pp_counters[PP_C_sessions_cut], before;
	uint32_t listener, other;
	unsigned int set;

	process(10, 1);
	process(11, 1);
	listener = session(SERVICE, 10, false);
	sample(0, 10);
	before = pp_sessions_expected(sessions, 1);
	assert_int_equal(pp_sessions_set_frequency(sessions, 97), 0);
	assert_int_equal(pp_sessions_frequency(sessions), 97);
	assert_int_equal(pp_sessions_expected(sessions, 1), before + 2 * 97);
	set = set_with(10);
	sample(0, 10);
	assert_int_equal(in_session(listener), 1);
	sample(set, 10);
	assert_int_equal(in_session(listener), 2);
	assert_int_equal(in_windows(), 2);
	/* Without a free set it ends, and that is told. */
	session(199, 10, false);
	session(499, 10, false);
	other = session(97, 11, false);
	assert_int_equal(pp_counters[PP_C_sessions_cut], cut);
	assert_int_equal(pp_sessions_set_frequency(sessions, 997), 0);
	assert_int_equal(pp_counters[PP_C_sessions_cut], cut + 1);
	sample(0, 11);
	assert_int_equal(in_session(other), 0);
	assert_int_equal(in_windows(), 3);
}

static void losses_are_booked_once(_unused_ void **state)
{
	uint32_t id, late;
	unsigned int set;

	process(10, 1);
	id = session(499, 10, false);
	set = set_with(10);
	fake.counts[set][PP_COUNT_RING_FULL] = 5;
	fake.counts[set][PP_COUNT_NESTED] = 2;
	fake.counts[0][PP_COUNT_TAIL_CALL] = 1;
	pp_sessions_book_losses(sessions);
	pp_sessions_book_losses(sessions);
	assert_int_equal(pp_sessions_lost(sessions, id), 7);
	assert_int_equal(pp_sessions_lost(sessions, 0), 1);
	pp_sessions_lose(sessions, set, 3);
	assert_int_equal(pp_sessions_lost(sessions, id), 10);
	/* A set that is opened again begins with what was lost before. */
	pp_sessions_drop(sessions, id);
	late = session(99, 10, false);
	assert_int_equal(set_with(10), set);
	pp_sessions_book_losses(sessions);
	assert_int_equal(pp_sessions_lost(sessions, late), 0);
}

static void sessions_are_bounded(_unused_ void **state)
{
	uint32_t id, last = 0;

	for (int i = 0; i < PP_SESSIONS_MAX; i++)
		last = session(SERVICE, 0, false);
	assert_int_equal(begin(SERVICE, 0, false, &id), -EBUSY);
	pp_sessions_drop(sessions, last);
	assert_int_equal(begin(SERVICE, 0, false, &id), 0);
	assert_int_not_equal(id, last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rates_share_sets, start, stop),
		cmocka_unit_test_setup_teardown(a_session_leaves_the_windows_alone, start, stop),
		cmocka_unit_test_setup_teardown(trees_are_followed, start, stop),
		cmocka_unit_test_setup_teardown(a_new_rate_moves_the_listeners, start, stop),
		cmocka_unit_test_setup_teardown(losses_are_booked_once, start, stop),
		cmocka_unit_test_setup_teardown(sessions_are_bounded, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
