/* SPDX-License-Identifier: GPL-2.0-only */
/* What manager.c (its life and the loop), pump.c, hooks.c (what its rooms report) and backend.c
 * (its answers to the API) share. */
#pragma once

#include "api/backend.h"
#include "base/buf.h"
#include "files.h"
#include "interps.h"
#include "manager.h"
#include "proc/processes.h"
#include "profile/end.h"
#include "profile/store.h"
#include "turn.h"

struct pp_api;
struct pp_bpf;
struct pp_codes;
struct pp_kernel;
struct pp_pythons;
struct pp_reader;
struct pp_resolve;
struct pp_sessions;
struct pp_sideband;
struct pp_tablecache;
struct pp_unwind;

struct pp_manager {
	struct pp_manager_config config;
	sd_event *event;
	sd_event_source *drain_timer, *life_io, *life_timer, *sigterm, *sigint, *callers,
		*ring_io; /* off, but while there is nothing to drain */

	/* From the kernel up. */
	struct pp_bpf *bpf;
	struct pp_sideband *sideband;
	struct pp_reader *reader;
	struct pp_processes *processes;
	struct pp_store *store;
	struct pp_unwind *unwind;
	struct pp_tablecache *cache; /* NULL: tables are not kept */
	struct pp_files *files;
	struct pp_interps *interps;
	struct pp_codes *codes;
	struct pp_pythons *pythons;
	struct pp_kernel *kernel;
	struct pp_resolve *resolve;
	struct pp_sessions *sessions;
	struct pp_api *api;
	struct pp_holder holder;

	/* The pump in progress. */
	const struct pp_life *life;
	size_t nr_life, next_life;
	uint64_t read_ns;	/* when they were read */
	bool life_rests;	/* none are taken in this pump */
	uint64_t life_ns;	/* spent on them in this pump */
	uint64_t life_after_ns; /* none are taken before */
	uint64_t up_to_ns;
	struct pp_buf early; /* samples newer than the life-cycle records read so far */
	struct pp_buf cut;   /* a sample without frames that are guesses */
	size_t scans;	     /* with the reader */

	uint64_t started_ns, second_ns, minute_ns, cpus_ns;
	uint64_t callers_ns;	   /* when callers last had their turn */
	uint64_t callers_asked_ns; /* since when the next is due, or 0 */
	bool resting;		   /* the pump waits until they have */
	unsigned int quiet;	   /* drains in a row that found nothing */
	bool asleep;		   /* until the ring or a second wakes the loop */
	bool found;		   /* a sample of another process, in the pump in progress */
	uint64_t news_ns;	   /* when a record, or a stack that lacks something, last came */
	pid_t pid;
	uint64_t samples, complete;
	struct pp_turn turn;
	uint64_t ends[PP_END_MAX];

	/* What the last status call handed out. */
	struct pp_api_counter truncated[PP_END_MAX];
	struct pp_api_counter counters[24];
	struct pp_api_cpu *per_cpu;
	const char *features[8];
	/* What the last look at a Python handed out. */
	char growth_text[512];
	char kernel_release[65];
};

/* hooks.c; userdata is the manager. */
extern const struct pp_processes_hooks pp_manager_processes_hooks;
extern const struct pp_files_hooks pp_manager_files_hooks;
extern const struct pp_interps_hooks pp_manager_interps_hooks;
extern const struct pp_codes_hooks pp_manager_codes_hooks;
void pp_manager_ref_process(void *userdata, uint64_t id);
void pp_manager_unref_process(void *userdata, uint64_t id);
void pp_manager_swept(void *userdata, struct pp_store *store);

void pp_manager_pump(struct pp_manager *m);
/* Samples up to time_ns, or names of theirs, are still to come. */
uint64_t pp_manager_pending(const struct pp_manager *m, uint64_t time_ns);
/* The pump found something: the loop is not to sleep. */
void pp_manager_stir(struct pp_manager *m);
/* Records have been read that are not applied yet. */
bool pp_manager_is_behind(const struct pp_manager *m);
/* Something came that stacks wait for: not only with the next drain. */
void pp_manager_pump_soon(struct pp_manager *m);
/* Sets were opened or closed, or changed their rate. */
void pp_manager_rate_changed(struct pp_manager *m);
void pp_manager_fill_backend(struct pp_manager *m, struct pp_api_backend *b);
/* diagnosis.c: the part of it that is about Pythons. */
void pp_manager_fill_diagnosis(struct pp_api_backend *b);
