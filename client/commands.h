/* SPDX-License-Identifier: GPL-2.0-only */
/* The subcommands, one file each, and what they share: global options and the words for errors. */
#pragma once

#include "lib/connection.h"

#include <getopt.h>
#include <stdio.h>

struct pp_global {
	const char *socket; /* --socket, or NULL */
	bool json;
	bool color; /* whether terminal attributes may be used */
};

/* argv[0] is the program, then the subcommand's arguments. They return an exit code. */
int pp_cmd_top(struct pp_global *g, int argc, char **argv);
int pp_cmd_record(struct pp_global *g, int argc, char **argv);
int pp_cmd_report(struct pp_global *g, int argc, char **argv);
int pp_cmd_doctor(struct pp_global *g, int argc, char **argv);
int pp_cmd_ps(struct pp_global *g, int argc, char **argv);
int pp_cmd_enable(struct pp_global *g, int argc, char **argv);
int pp_cmd_disable(struct pp_global *g, int argc, char **argv);
int pp_cmd_status(struct pp_global *g, int argc, char **argv);

/* A line on stderr, as the program. Returns code: `return pp_fail(PP_EXIT_USAGE, "...")`. */
int pp_fail(int code, const char *format, ...) _printf_(2, 3);
/* The same for what is no failure. */
void pp_note(const char *format, ...) _printf_(1, 2);
/* An internal failure, -r being an errno. Returns PP_EXIT_FAILED. */
int pp_fail_errno(int r, const char *doing);

/* Options that may stand before and after the subcommand. */
enum {
	PP_OPT_SOCKET = 0x100,
	PP_OPT_JSON,
	PP_OPT_COLOR,
	/* Of those that select samples by their labels: PP_LABEL_OPTIONS. */
	PP_OPT_UNIT,
	PP_OPT_SLICE,
	PP_OPT_CONTAINER,
	PP_OPT_POD,
	PP_OPT_GIL,
	PP_OPT_GC,
	PP_OPT_THREAD,
	PP_OPT_TASK,
	PP_OPT_OWN, /* the first number for a subcommand's own long options */
};
#define PP_COMMON_OPTIONS                                           \
	{ "socket", required_argument, NULL, PP_OPT_SOCKET },       \
		{ "json", no_argument, NULL, PP_OPT_JSON },         \
		{ "color", required_argument, NULL, PP_OPT_COLOR }, \
	{                                                           \
		"help", no_argument, NULL, 'h'                      \
	}

/*
 * Takes what getopt_long returned and is not the subcommand's own. Returns -1 to go on, or the exit
 * code to end with: --help printed usage, or it was no option.
 */
int pp_common_option(struct pp_global *g, int c, const char *usage);

/* Parse an option's argument. Return 0, or PP_EXIT_USAGE having said why. */
int pp_parse_number(const char *option, const char *arg, int64_t min, int64_t max, int64_t *ret);
/* Seconds with up to three decimals, as milliseconds: above 0, at most max_s seconds. */
int pp_parse_seconds(const char *option, const char *arg, int64_t max_s, int64_t *ret_ms);
int pp_parse_percent(const char *option, const char *arg, double *ret);

/* The end of everything written to stdout. Returns an exit code; a reader that has gone away (`|
 * head`) is told nothing. */
int pp_finish_stdout(void);
/* Writes j to stdout, indented, and frees it. Returns an exit code. */
int pp_print_json(json_t *j);
