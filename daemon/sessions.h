/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sampling sets and sessions. Set 0 is the service's own, always on, and feeds the windows. A
 * session that asks for the same rate listens in on it; one that asks for another gets a set of
 * perf events of its own, shared by all that ask for that rate, of which there are three. So
 * nobody's session changes what the windows contain.
 */
#pragma once

#include "proc/processes.h"
#include "profile/profile.h"
#include "trace/events.h"

struct pp_bpf;
struct pp_sessions;

#define PP_SESSIONS_MAX 64 /* all callers together */

struct pp_session_config {
	unsigned int frequency;
	pid_t pid; /* 0: every process */
	bool tree;
};

int pp_sessions_new(struct pp_sessions **ret, struct pp_bpf *bpf, struct pp_processes *processes,
		    struct pp_store *store, enum pp_event event, unsigned int frequency,
		    const struct pp_profile_config *profile);
struct pp_sessions *pp_sessions_free(struct pp_sessions *ss);
PP_DEFINE_CLEANUP(struct pp_sessions *, pp_sessions_free)

/* The service's own. */
struct pp_profile *pp_sessions_profile(struct pp_sessions *ss);
unsigned int pp_sessions_frequency(const struct pp_sessions *ss);
/* Sessions that listen in on the service's samples keep the rate they asked for, in a set of their
 * own; where none is free they end, and are counted. */
int pp_sessions_set_frequency(struct pp_sessions *ss, unsigned int hz);
/* Samples a second and CPU, of all sets together. */
unsigned int pp_sessions_rate(const struct pp_sessions *ss);

/* -EINVAL: an impossible rate; -EBUSY: no set or session is free, or the tree is too large. */
int pp_sessions_start(struct pp_sessions *ss, const struct pp_session_config *config,
		      uint32_t *ret_id);
struct pp_profile *pp_sessions_session_profile(struct pp_sessions *ss, uint32_t id);
void pp_sessions_stop(struct pp_sessions *ss, uint32_t id);
void pp_sessions_drop(struct pp_sessions *ss, uint32_t id);
size_t pp_sessions_count(const struct pp_sessions *ss);

/* Counts a sample where it belongs. */
void pp_sessions_sample(struct pp_sessions *ss, const struct pp_sample *s,
			const struct pp_process *p, uint32_t node, uint32_t attributes);
/* Sampled, but not to be had: its set's listeners lost it. */
void pp_sessions_lose(struct pp_sessions *ss, unsigned int set, uint64_t n);
/* Books what BPF lost since the last call. */
void pp_sessions_book_losses(struct pp_sessions *ss);
/* Lost since the start by the service's set (id 0) or since its start by the session's. */
uint64_t pp_sessions_lost(const struct pp_sessions *ss, uint32_t id);

/* Hooks of proc/processes.h. */
void pp_sessions_forked(struct pp_sessions *ss, const struct pp_process *parent,
			const struct pp_process *child);
void pp_sessions_exited(struct pp_sessions *ss, const struct pp_process *p);
/* CPUs that came and went. */
void pp_sessions_follow_cpus(struct pp_sessions *ss);
/* How many CPUs the service's events are on now. */
unsigned int pp_sessions_cpus(const struct pp_sessions *ss);

/* Firings that should have been, by the service's events; see events.h. */
uint64_t pp_sessions_expected(const struct pp_sessions *ss, unsigned int cpu);
