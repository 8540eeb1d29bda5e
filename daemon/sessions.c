/* SPDX-License-Identifier: GPL-2.0-only */
#include "sessions.h"

#include "base/clock.h"
#include "base/counters.h"
#include "trace/bpf.h"

#define SESSION_PIDS_MAX 65536 /* descendants that a tree session follows */

struct session {
	uint32_t id;
	unsigned int set;
	bool stopped;
	struct pp_session_config config;
	struct pp_u64map pids; /* with a pid: who is sampled */
	struct pp_profile *profile;
	uint64_t lost;
	struct session *next;
};

struct set {
	struct pp_events *events; /* NULL: free */
	uint64_t lost_seen;	  /* by BPF, booked so far */
};

struct pp_sessions {
	struct pp_bpf *bpf;
	struct pp_processes *processes;
	struct pp_store *store;
	enum pp_event event;
	struct pp_profile *profile;
	struct pp_profile_config session_profile;
	uint64_t lost; /* by set 0 */
	/* Expected firings of set 0's events before its rate last changed. */
	uint64_t *expected_before;
	struct set sets[PP_SETS_MAX];
	struct session *sessions;
	size_t nr;
	uint32_t last_id;
};

static uint64_t lost_by_bpf(const struct pp_sessions *ss, unsigned int set)
{
	return pp_bpf_counts(ss->bpf, set, PP_COUNT_RING_FULL) +
	       pp_bpf_counts(ss->bpf, set, PP_COUNT_NESTED) +
	       pp_bpf_counts(ss->bpf, set, PP_COUNT_TAIL_CALL);
}

static int open_set(struct pp_sessions *ss, unsigned int set, unsigned int frequency)
{
	ss->sets[set].lost_seen = lost_by_bpf(ss, set);
	return pp_events_new(&ss->sets[set].events, ss->bpf, set, ss->event, frequency);
}

int pp_sessions_new(struct pp_sessions **ret, struct pp_bpf *bpf, struct pp_processes *processes,
		    struct pp_store *store, enum pp_event event, unsigned int frequency,
		    const struct pp_profile_config *profile)
{
	_cleanup_(pp_sessions_freep) struct pp_sessions *ss = calloc(1, sizeof(*ss));
	int r;

	if (!ss)
		return -ENOMEM;
	ss->bpf = bpf;
	ss->processes = processes;
	ss->store = store;
	ss->event = event;
	ss->session_profile = *profile;
	ss->session_profile.window_ns = 0;
	ss->expected_before = calloc(pp_bpf_cpus(bpf), sizeof(*ss->expected_before));
	if (!ss->expected_before)
		return -ENOMEM;
	r = pp_profile_new(&ss->profile, store, pp_now_ns(), profile);
	if (r < 0)
		return r;
	pp_bpf_set_filter(bpf, 0, PP_FILTER_ALL);
	r = open_set(ss, 0, frequency);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ss);
	return 0;
}

static void session_free(struct session *s)
{
	pp_profile_free(s->profile);
	pp_u64map_done(&s->pids);
	free(s);
}

struct pp_sessions *pp_sessions_free(struct pp_sessions *ss)
{
	if (!ss)
		return NULL;
	for (struct session *s = ss->sessions, *next; s; s = next) {
		next = s->next;
		session_free(s);
	}
	for (unsigned int i = 0; i < PP_SETS_MAX; i++)
		pp_events_free(ss->sets[i].events);
	pp_profile_free(ss->profile);
	free(ss->expected_before);
	free(ss);
	return NULL;
}

struct pp_profile *pp_sessions_profile(struct pp_sessions *ss)
{
	return ss->profile;
}

unsigned int pp_sessions_frequency(const struct pp_sessions *ss)
{
	return pp_events_frequency(ss->sets[0].events);
}

unsigned int pp_sessions_rate(const struct pp_sessions *ss)
{
	unsigned int rate = 0;

	for (unsigned int i = 0; i < PP_SETS_MAX; i++)
		if (ss->sets[i].events)
			rate += pp_events_frequency(ss->sets[i].events);
	return rate;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

/* Tells BPF what a set samples, from the sessions that use it; closes one that nobody uses. */
static void refresh_set(struct pp_sessions *ss, unsigned int set)
{
	bool used = false, everything = false;

	if (set == 0)
		return;
	for (const struct session *s = ss->sessions; s; s = s->next) {
		if (s->set != set || s->stopped)
			continue;
		used = true;
		everything |= !s->config.pid;
	}
	if (used) {
		pp_bpf_set_filter(ss->bpf, set, everything ? PP_FILTER_ALL : PP_FILTER_PIDS);
		return;
	}
	pp_bpf_set_filter(ss->bpf, set, PP_FILTER_OFF);
	pp_bpf_filter_clear(ss->bpf, set);
	ss->sets[set].events = pp_events_free(ss->sets[set].events);
}

/* The set with this rate, or a free one; the caller opens that. */
static int find_set(const struct pp_sessions *ss, unsigned int frequency)
{
	int free_set = -EBUSY;

	for (int i = PP_SETS_MAX - 1; i >= 0; i--) {
		if (!ss->sets[i].events)
			free_set = i;
		else if (pp_events_frequency(ss->sets[i].events) == frequency)
			return i;
	}
	return free_set;
}

static int join_set(struct pp_sessions *ss, struct session *s)
{
	int set = find_set(ss, s->config.frequency), r;
	uint64_t pid, unused;
	size_t i = 0;

	if (set < 0)
		return set;
	s->set = (unsigned int)set; /* whoever fails leaves it again */
	/* Processes are entered before the events run: nothing of theirs is missed. */
	while (set && pp_u64map_next(&s->pids, &i, &pid, &unused)) {
		r = pp_bpf_filter_add(ss->bpf, (unsigned int)set, (pid_t)pid, s->config.tree);
		if (r < 0)
			return r;
	}
	refresh_set(ss, s->set);
	return ss->sets[set].events ? 0 : open_set(ss, s->set, s->config.frequency);
}

/* ---- Sessions -------------------------------------------------------------------------------- */

static struct session *find(const struct pp_sessions *ss, uint32_t id)
{
	struct session *s = ss->sessions;

	while (s && s->id != id)
		s = s->next;
	return s;
}

/* The processes that there are of the tree; later ones come through pp_sessions_forked. */
static int enter_tree(struct pp_sessions *ss, struct session *s)
{
	bool added = true;

	while (added) {
		struct pp_process *p = NULL;

		added = false;
		while ((p = pp_processes_next(ss->processes, p))) {
			uint64_t unused;

			if (!p->alive || !pp_u64map_get(&s->pids, (uint64_t)p->ppid, &unused) ||
			    pp_u64map_get(&s->pids, (uint64_t)p->pid, &unused))
				continue;
			if (pp_u64map_put(&s->pids, (uint64_t)p->pid, 1) < 0)
				return -EBUSY;
			added = true;
		}
	}
	return 0;
}

/* Takes from the set's filter the processes that only this session wanted. */
static void leave_filter(struct pp_sessions *ss, const struct session *leaving)
{
	uint64_t pid, unused;
	size_t i = 0;

	while (leaving->set && pp_u64map_next(&leaving->pids, &i, &pid, &unused)) {
		const struct session *s = ss->sessions;

		while (s && (s->stopped || s->set != leaving->set ||
			     !pp_u64map_get(&s->pids, pid, &unused)))
			s = s->next;
		if (!s)
			pp_bpf_filter_remove(ss->bpf, leaving->set, (pid_t)pid);
	}
}

static void unlink_session(struct pp_sessions *ss, struct session *s)
{
	struct session **at = &ss->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	ss->nr--;
}

int pp_sessions_start(struct pp_sessions *ss, const struct pp_session_config *config,
		      uint32_t *ret_id)
{
	struct session *s;
	int r;

	if (!config->frequency || config->frequency > PP_FREQUENCY_MAX)
		return -EINVAL;
	if (ss->nr >= PP_SESSIONS_MAX)
		return -EBUSY;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = ++ss->last_id;
	s->config = *config;
	s->pids.max = SESSION_PIDS_MAX;
	s->next = ss->sessions;
	ss->sessions = s;
	ss->nr++;
	r = pp_profile_new(&s->profile, ss->store, pp_now_ns(), &ss->session_profile);
	if (r >= 0 && config->pid)
		r = pp_u64map_put(&s->pids, (uint64_t)config->pid, 1);
	if (r >= 0 && config->pid && config->tree)
		r = enter_tree(ss, s);
	if (r >= 0)
		r = join_set(ss, s);
	if (r < 0) {
		unlink_session(ss, s);
		leave_filter(ss, s);
		refresh_set(ss, s->set);
		session_free(s);
		return r == -E2BIG ? -EBUSY : r; /* the filter is full */
	}
	*ret_id = s->id;
	return 0;
}

struct pp_profile *pp_sessions_session_profile(struct pp_sessions *ss, uint32_t id)
{
	struct session *s = find(ss, id);

	return s ? s->profile : NULL;
}

void pp_sessions_stop(struct pp_sessions *ss, uint32_t id)
{
	struct session *s = find(ss, id);

	if (!s || s->stopped)
		return;
	s->stopped = true;
	leave_filter(ss, s);
	refresh_set(ss, s->set);
}

void pp_sessions_drop(struct pp_sessions *ss, uint32_t id)
{
	struct session *s = find(ss, id);

	if (!s)
		return;
	pp_sessions_stop(ss, id);
	unlink_session(ss, s);
	session_free(s);
}

size_t pp_sessions_count(const struct pp_sessions *ss)
{
	return ss->nr;
}

int pp_sessions_set_frequency(struct pp_sessions *ss, unsigned int hz)
{
	struct pp_events *events;
	int r;

	if (hz == pp_sessions_frequency(ss))
		return 0;
	r = pp_events_new(&events, ss->bpf, 0, ss->event, hz);
	if (r < 0)
		return r;
	for (unsigned int cpu = 0; cpu < pp_bpf_cpus(ss->bpf); cpu++)
		ss->expected_before[cpu] += pp_events_expected(ss->sets[0].events, cpu);
	pp_events_free(ss->sets[0].events);
	ss->sets[0].events = events;
	/* Sessions that listened in keep the rate they asked for. */
	for (struct session *s = ss->sessions; s; s = s->next)
		if (s->set == 0 && !s->stopped && join_set(ss, s) < 0) {
			pp_count(PP_C_sessions_cut);
			s->stopped = true;
			leave_filter(ss, s);
			refresh_set(ss, s->set);
		}
	return 0;
}

/* ---- Samples --------------------------------------------------------------------------------- */

static bool wants(const struct session *s, const struct pp_sample *sample)
{
	uint64_t unused;

	if (s->stopped || s->set != sample->set)
		return false;
	return !s->config.pid || pp_u64map_get(&s->pids, sample->tgid, &unused);
}

void pp_sessions_sample(struct pp_sessions *ss, const struct pp_sample *s,
			const struct pp_process *p, uint32_t node, uint32_t attributes)
{
	const struct pp_events *events = ss->sets[s->set].events;
	uint64_t ns;

	if (!events)
		return; /* the set was closed after this sample */
	ns = pp_events_period_ns(events);
	if (s->set == 0)
		(void)pp_profile_add(ss->profile, s->time_ns, p->id, node, attributes,
				     (enum pp_end)s->end, ns);
	for (struct session *i = ss->sessions; i; i = i->next)
		if (wants(i, s))
			(void)pp_profile_add(i->profile, s->time_ns, p->id, node, attributes,
					     (enum pp_end)s->end, ns);
}

void pp_sessions_lose(struct pp_sessions *ss, unsigned int set, uint64_t n)
{
	if (set == 0) {
		ss->lost += n;
		pp_profile_lost(ss->profile, n);
	}
	for (struct session *s = ss->sessions; s; s = s->next)
		if (s->set == set && !s->stopped) {
			s->lost += n;
			pp_profile_lost(s->profile, n);
		}
}

void pp_sessions_book_losses(struct pp_sessions *ss)
{
	for (unsigned int set = 0; set < PP_SETS_MAX; set++) {
		uint64_t lost;

		if (!ss->sets[set].events)
			continue;
		lost = lost_by_bpf(ss, set);
		if (lost != ss->sets[set].lost_seen)
			pp_sessions_lose(ss, set, lost - ss->sets[set].lost_seen);
		ss->sets[set].lost_seen = lost;
	}
}

uint64_t pp_sessions_lost(const struct pp_sessions *ss, uint32_t id)
{
	const struct session *s = find(ss, id);

	return id ? s ? s->lost : 0 : ss->lost;
}

void pp_sessions_forked(struct pp_sessions *ss, const struct pp_process *parent,
			const struct pp_process *child)
{
	uint64_t unused;

	/* BPF's own filter has inherited already, unless the fork came just before the session. */
	for (struct session *s = ss->sessions; s; s = s->next) {
		if (!s->config.tree || s->stopped ||
		    !pp_u64map_get(&s->pids, (uint64_t)parent->pid, &unused))
			continue;
		if (pp_u64map_put(&s->pids, (uint64_t)child->pid, 1) < 0 ||
		    (s->set && pp_bpf_filter_add(ss->bpf, s->set, child->pid, true) < 0))
			pp_count(PP_C_sessions_children);
	}
}

void pp_sessions_exited(struct pp_sessions *ss, const struct pp_process *p)
{
	for (struct session *s = ss->sessions; s; s = s->next)
		if (pp_u64map_del(&s->pids, (uint64_t)p->pid) && s->set && !s->stopped)
			pp_bpf_filter_remove(ss->bpf, s->set, p->pid);
}

void pp_sessions_follow_cpus(struct pp_sessions *ss)
{
	for (unsigned int set = 0; set < PP_SETS_MAX; set++)
		if (ss->sets[set].events)
			(void)pp_events_follow(ss->sets[set].events);
}

unsigned int pp_sessions_cpus(const struct pp_sessions *ss)
{
	return pp_events_cpus(ss->sets[0].events);
}

uint64_t pp_sessions_expected(const struct pp_sessions *ss, unsigned int cpu)
{
	return ss->expected_before[cpu] + pp_events_expected(ss->sets[0].events, cpu);
}
