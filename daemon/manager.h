/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The daemon: owns every object, and the one loop they live in.
 *
 * A *pump* brings the picture up to date: side-band records and samples are merged by time, so a
 * sample meets its process as it was when it was taken; then BPF is told what changed, and the
 * child processes are asked what is not known. A pump is started by a timer (samples wait for it)
 * and by life-cycle records (which do not: a new arena or mapping should be known before the next
 * sample).
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"
#include "trace/events.h"

#include <systemd/sd-event.h>

struct pp_manager;
struct pp_api_backend;

struct pp_manager_config {
	const char *socket; /* NULL: the one systemd passed */
	const char *state_dir;
	unsigned int frequency;
	enum pp_event event;
	size_t tables_bytes; /* budget of the unwind store */
	bool measure;
	enum pp_records_mode records;
};

#define PP_DEFAULT_FREQUENCY	19 /* Hz; prime, so that it beats with no other timer */
#define PP_DEFAULT_TABLES_BYTES (32 * MIB)

/* On failure what to say is in *ret_problem, static text, or NULL where the errno says it all. */
int pp_manager_new(struct pp_manager **ret, const struct pp_manager_config *config,
		   const char **ret_problem);
struct pp_manager *pp_manager_free(struct pp_manager *m);
PP_DEFINE_CLEANUP(struct pp_manager *, pp_manager_free)

/* Runs until SIGTERM or SIGINT. */
int pp_manager_run(struct pp_manager *m);
