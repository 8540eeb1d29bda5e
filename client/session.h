/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Getting profiles from the daemon. What returns int here returns an exit code: 0, or another
 * having said on stderr what is wrong.
 */
#pragma once

#include "commands.h"
#include "lib/profile.h"

/* The rate of a session where none is asked for: prime, so that it does not beat with timers. */
#define PP_FREQUENCY_DEFAULT 99
/* The same for who looks on: 2500 samples in the five seconds of a page put a share of 60% within
 * 3% nearly always, 500 do not. Only root and group pyprof get it. */
#define PP_FREQUENCY_LIVE 499
#define PP_FREQUENCY_MAX  9999
/* Spans longer than this are what the always-on windows and a file are for. */
#define PP_SECONDS_MAX 86400

struct pp_filter {
	int64_t pid; /* 0: every process */
	bool tree;
	const char *command, *unit, *slice, *container, *pod; /* NULL: any */
	int64_t uid;					      /* -1: any */
	bool python;
	const char *attributes[PP_ATTRIBUTES]; /* NULL: any */
};

#define PP_FILTER         \
	{                 \
		.uid = -1 \
	}

/* Options that filter by labels, of a process or a sample, with their lines of usage. */
#define PP_LABEL_OPTIONS                                                    \
	{ "unit", required_argument, NULL, PP_OPT_UNIT },                   \
		{ "slice", required_argument, NULL, PP_OPT_SLICE },         \
		{ "container", required_argument, NULL, PP_OPT_CONTAINER }, \
		{ "pod", required_argument, NULL, PP_OPT_POD },             \
		{ "gil", required_argument, NULL, PP_OPT_GIL },             \
		{ "gc", no_argument, NULL, PP_OPT_GC },                     \
		{ "thread", required_argument, NULL, PP_OPT_THREAD },       \
	{                                                                   \
		"task", required_argument, NULL, PP_OPT_TASK                \
	}
#define PP_LABEL_USAGE                                                                             \
	"      --unit UNIT, --slice SLICE   of systemd; --container ID, --pod UID: only what is\n" \
	"                        in there\n"                                                       \
	"      --gil STATE, --gc, --thread NAME, --task NAME   only threads that have the GIL\n"   \
	"                        (held), wait for it (waiting) or run without (released); that\n"  \
	"                        collect garbage; of this name; that run this asyncio task\n"
/* Takes one of them, given as getopt_long returned it. Whether it was one. */
bool pp_filter_option(struct pp_filter *f, int c);
/* Whether it selects processes by their labels; whether it selects samples. */
bool pp_filter_has_label(const struct pp_filter *f);
bool pp_filter_has_attribute(const struct pp_filter *f);
/* Whether what was given can be; else says so. Returns an exit code. */
int pp_filter_check(const struct pp_filter *f);

/* The interface's ProfileInfo. */
struct pp_figures {
	int64_t start_ns, end_ns;
	int64_t samples, complete, lost, cpu_ns;
	int64_t python_frames, python_named;
	int64_t frequency, processes, hidden;
};

struct pp_capture {
	struct pp_figures figures;
	struct pp_buf pprof; /* as the daemon made it: gzip'd */
};

void pp_capture_done(struct pp_capture *c);
#define _cleanup_capture_ _cleanup_(pp_capture_done)

/* Connects; says so where the daemon's version is another than ours. */
int pp_session_connect(struct pp_client **ret, const struct pp_global *g);
/* For --version: ours and the daemon's, whatever its state. */
int pp_session_print_versions(const struct pp_global *g);

/* NULL where there is no memory. */
json_t *pp_filter_json(const struct pp_filter *f);
/* Starts sampling. Says so where the rate is not the one asked for. */
int pp_session_start(struct pp_client *c, const struct pp_filter *f, unsigned int frequency,
		     int64_t *ret_session, unsigned int *ret_frequency);
/* The same at PP_FREQUENCY_LIVE, or PP_FREQUENCY_DEFAULT where that is too much for the caller. */
int pp_session_start_live(struct pp_client *c, const struct pp_filter *f, int64_t *ret_session,
			  unsigned int *ret_frequency);
/* Ends it and takes what it has. */
int pp_session_stop(struct pp_client *c, int64_t session, struct pp_capture *ret);
/* What the always-on set holds; since_ms < 0: all of it. */
int pp_session_held(struct pp_client *c, const struct pp_filter *f, int64_t since_ms,
		    struct pp_capture *ret);

/* Unpacks a capture's pprof. */
int pp_capture_profile(const struct pp_capture *c, struct pp_profile **ret);
json_t *pp_figures_json(const struct pp_figures *f);
/* "4950 samples, 99.98% complete, 0 lost" */
int pp_figures_text(const struct pp_figures *f, char *text, size_t size);
/* Says how many processes the caller does not see, if any. */
void pp_figures_note_hidden(const struct pp_figures *f);
/* Nothing was sampled: says what may be the reason. Returns PP_EXIT_NO_SAMPLES. */
int pp_session_no_samples(const struct pp_figures *f, const struct pp_filter *filter);
