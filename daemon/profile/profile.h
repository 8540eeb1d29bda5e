/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A profile: stacks with weights, over windows of time. The always-on profile is a ring of 10 s
 * windows; a session's is one window that stays open. Times are CLOCK_MONOTONIC nanoseconds unless
 * a name says wall.
 *
 * A profile keeps the lives it mentions known: `ref` is called when a window first mentions one,
 * `unref` when that window goes (so once per window and life).
 */
#pragma once

#include "counts.h"
#include "store.h"

#define PP_WINDOW_NS   (10 * NSEC_PER_SEC)
#define PP_WINDOWS_MAX 60 /* closed ones: ten minutes */
#define PP_PROFILE_ENTRIES \
	(1U << 20) /* of a whole profile: 24 MiB, what a window never comes near */

struct pp_profile_config {
	uint64_t window_ns;   /* 0: one window that stays open (a session) */
	uint32_t windows_max; /* closed windows that are kept */
	uint32_t entries_max; /* over all windows; full: the oldest window goes, the open one
				 refuses */
	/* May be NULL, both or none. */
	void (*ref)(void *userdata, uint64_t process);
	void (*unref)(void *userdata, uint64_t process);
	void *userdata;
};

struct pp_window {
	uint64_t start_ns, end_ns; /* end: of an open window, the latest time it has heard of */
	int64_t wall_offset_ns;	   /* add to a monotonic time for nanoseconds since the epoch */
	struct pp_counts counts;
	uint64_t *processes; /* the lives it mentions */
	uint32_t nr_processes, processes_cap;
	uint64_t samples, complete, cpu_ns;
	uint64_t lost; /* samples taken but not counted here, however they got lost */
};

/* Hears of every sample that is counted; the caller's memory, until it is dropped or the profile
 * goes. */
struct pp_tap {
	void (*sample)(void *userdata, uint32_t process, uint32_t node, uint32_t attributes,
		       enum pp_end end, uint64_t cpu_ns);
	void (*lost)(void *userdata, uint64_t n);
	void (*gone)(void *userdata); /* the profile is being freed */
	void *userdata;
	struct pp_tap *next; /* private */
};

struct pp_profile;

/* start_ns: now. The store must outlive the profile. */
int pp_profile_new(struct pp_profile **ret, struct pp_store *store, uint64_t start_ns,
		   const struct pp_profile_config *config);
struct pp_profile *pp_profile_free(struct pp_profile *p);
PP_DEFINE_CLEANUP(struct pp_profile *, pp_profile_free)

/* Counts one sample, of a stack and with attributes of the store's, that stands for cpu_ns of CPU
 * time. Rotates windows as time_ns asks; a sample
 * that is older than the open window counts there too. Returns 0, or -ENOSPC, -ENOMEM: the sample
 * was counted as lost instead. */
int pp_profile_add(struct pp_profile *p, uint64_t time_ns, uint32_t process, uint32_t node,
		   uint32_t attributes, enum pp_end end, uint64_t cpu_ns);
/* n samples were lost before they could be added. */
void pp_profile_lost(struct pp_profile *p, uint64_t n);
/* Time passes without samples, too: rotates and expires windows. */
void pp_profile_advance(struct pp_profile *p, uint64_t now_ns);

/* Windows, oldest first; the last is the open one. i < pp_profile_windows(). */
size_t pp_profile_windows(const struct pp_profile *p);
const struct pp_window *pp_profile_window(const struct pp_profile *p, size_t i);
void pp_profile_tap(struct pp_profile *p, struct pp_tap *tap);
void pp_profile_untap(struct pp_profile *p, struct pp_tap *tap);

struct pp_store *pp_profile_store(const struct pp_profile *p);
size_t pp_profile_bytes(const struct pp_profile *p); /* without the store's */
