/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the API needs from the daemon, as callbacks that the manager fills in: so the API is built
 * and tested without BPF. Called from the event loop only; none may block. Every callback is
 * required. Pointers that they hand out are good until the next turn of the loop unless said
 * otherwise.
 */
#pragma once

#include "base/macro.h"
#include <sys/types.h>

struct pp_process; /* proc/process.h */
struct pp_profile; /* profile/profile.h */

/* A named figure, for the lists in GetStatus. */
struct pp_api_counter {
	const char *name;
	uint64_t value;
	const char *text; /* "" if the name says it */
};

/* Sampling of one CPU since the start: expected = runs + skipped, runs = seen + every loss. */
struct pp_api_cpu {
	unsigned int cpu;
	uint64_t expected, runs, sent, skipped;
};

/* GetStatus's figures that only the manager has. Arrays and strings are the backend's own. The api
 * adds every counter of base/counters.h itself. */
struct pp_api_status {
	uint64_t uptime_ns;
	const char *event; /* "cpu-clock", "cycles" */
	unsigned int frequency, cpus;
	uint64_t samples, complete, lost;
	unsigned int sessions;
	uint64_t bpf_bytes;
	uint64_t bpf_usec; /* CPU time of the BPF programs, 0 where not measured */
	uint64_t longest_turn_usec;
	const char *kernel;	     /* release */
	const char *const *features; /* names, nr_features of them */
	size_t nr_features;
	const struct pp_api_counter *truncated; /* stacks that did not reach the root, by reason */
	size_t nr_truncated;
	const struct pp_api_cpu *per_cpu;
	size_t nr_per_cpu;
	const struct pp_api_counter *counters; /* further than base/counters.h */
	size_t nr_counters;
};

/* What is known of a process as a Python. Strings are the backend's, NULL where there is nothing
 * to say. */
struct pp_api_python {
	bool is_python;
	char version[32];	 /* "3.13.1", "" if unknown */
	const char *trampolines; /* as python/remedy.h has them */
	const char *named_by;	 /* as python/coverage.h has it */
	const char *map_path;
	uint64_t map_entries;
	uint64_t frames, named; /* of its sampled Python frames; frames = 0: no coverage figure */
	const char *problem;	/* what keeps its functions from being named */
	const char *remedy;	/* the one-line remedy */
	bool all_named;		/* nothing keeps its functions from being named, as far as seen */
};

/* What a close look at a Python tells beyond that. Strings as above. */
struct pp_api_diagnosis {
	const char *interpreter; /* the file that holds the interpreter */
	const char *unwalked; /* why its own frames are not walked; NULL: they are, or not known */
	uint8_t build_id[32];
	size_t build_id_len;
	double frame_pointers;	/* of its code, how much keeps them; -1: not known */
	const char *stub;	/* form of its trampolines: "sub", "push"; NULL: not known */
	bool endbr;		/* with stub: they begin with endbr64 */
	const char *map_state;	/* "idle", "wanted", "open", "refused", "gone" */
	const char *map_reason; /* why it is refused, or in part; NULL: it is not */
	int64_t map_bytes;	/* -1: not known */
	double map_live;	/* share of its names in code that is mapped now; -1: not known */
	uint64_t unnamed, bare; /* Python frames without names: with a stub, and without */
	uint64_t growth_entries, growth_bytes; /* of the last minute */
	/* A name that keeps being added; name NULL: there is none. */
	struct {
		const char *name, *file;
		size_t name_len, file_len;
		uint64_t entries, bytes; /* of the last minute */
		bool severe;
	} alarm;
};

/*
 * A session to start. The caller's right to it has been checked. Its profile holds the samples of
 * pid (and descendants) only: the api does not select by pid again.
 */
struct pp_api_session_request {
	unsigned int frequency; /* Hz */
	pid_t pid;		/* 0: every process */
	bool tree;		/* with pid: its descendants too, later ones as well */
	/* (uid_t)-1, or only this uid's processes are wanted: a hint for filtering early, the api
	 * filters again when reading. */
	uid_t uid;
};

struct pp_api_backend {
	void *userdata;
	const char *version; /* the daemon's */

	void (*status)(void *userdata, struct pp_api_status *ret);

	/* Every process known, living or mentioned by a window. Stops when fn returns false. */
	void (*each_process)(void *userdata, bool (*fn)(const struct pp_process *p, void *arg),
			     void *arg);
	/* NULL if the id is not known (any more). */
	const struct pp_process *(*process)(void *userdata, uint32_t id);
	/* *ret is zeroed before the call. */
	void (*python)(void *userdata, const struct pp_process *p, struct pp_api_python *ret);

	/* The always-on profile. Losses are in its windows (pp_profile_lost). */
	struct pp_profile *(*profile)(void *userdata);

	/*
	 * Starts a session and returns its id in *ret (never 0, never reused). -EINVAL: a rate that
	 * is not possible, -EBUSY: every sampling set is taken by other rates, -ESRCH.
	 */
	int (*session_start)(void *userdata, const struct pp_api_session_request *request,
			     uint32_t *ret);
	/* Its accumulated profile, NULL if there is no such session. */
	struct pp_profile *(*session_profile)(void *userdata, uint32_t session);
	/* Takes no more samples; what it has stays readable. */
	void (*session_stop)(void *userdata, uint32_t session);
	/* Forgets it. Stops it where that has not been done. */
	void (*session_free)(void *userdata, uint32_t session);

	/* Brings samples still in the ring into the profiles, as far as that takes no waiting:
	 * called before a profile is read. */
	void (*drain)(void *userdata);
	/*
	 * How much is still missing of what was sampled before time_ns (CLOCK_MONOTONIC): samples
	 * that wait for life-cycle records, names being looked up. 0: nothing. An answer with a
	 * profile waits for that, two seconds at most.
	 */
	uint64_t (*pending)(void *userdata, uint64_t time_ns);

	/* The always-on rate. -EINVAL: not possible. */
	int (*set_frequency)(void *userdata, unsigned int hz);

	/* Has a Python looked at closely; p is living and one. */
	void (*examine)(void *userdata, const struct pp_process *p);
	/* How many looks are not done. They end by themselves, within seconds. */
	size_t (*examining)(void *userdata);
	/* What is known by now. *ret is zeroed before the call. */
	void (*diagnosis)(void *userdata, const struct pp_process *p, struct pp_api_diagnosis *ret);
};
