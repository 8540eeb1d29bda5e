/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pyprofctl's way to the daemon: which socket, and what to tell a person when it does not work. A
 * failure is a sentence with cause and remedy on stderr and an exit code that scripts can rely on.
 */
#pragma once

#include "ipc/client.h"

#define PP_SOCKET_DEFAULT     "/run/pyprof/io.pyprof.Profiler"
#define PP_SOCKET_ENVIRONMENT "PYPROF_SOCKET"
#define PP_INTERFACE	      "io.pyprof.Profiler"

enum pp_exit {
	PP_EXIT_DONE = 0,
	PP_EXIT_FAILED = 1,
	PP_EXIT_USAGE = 2,
	PP_EXIT_UNREACHABLE = 3,
	PP_EXIT_NOT_PERMITTED = 4,
	PP_EXIT_NO_PROCESS = 5,
	PP_EXIT_NO_SAMPLES = 6,
	PP_EXIT_UNNAMED = 7, /* `doctor`: not every Python is named */
};

/* The socket's path: the option's if given, else $PYPROF_SOCKET, else the system's. */
const char *pp_connection_path(const char *option);

/*
 * All return 0, or an exit code after having said on stderr what is wrong and what to do about it.
 * option: the value of --socket, or NULL. method is without the interface. Parameters are taken
 * over, NULL is none. A reply that is an error of the service is such a failure.
 */
int pp_connection_open(struct pp_client **ret, const char *option);
int pp_connection_call(struct pp_client *c, const char *method, json_t *parameters,
		       struct pp_reply *ret);
int pp_connection_stream(struct pp_client *c, const char *method, json_t *parameters);
/* The stream's next reply: *ret_got says whether one came within timeout_ms (-EINTR counts as
 * none). */
int pp_connection_next(struct pp_client *c, int timeout_ms, struct pp_reply *ret, bool *ret_got);

/* The sentence and exit code for a reply's error, or for a negative errno r of ipc/client.h where
 * reply is NULL. text: where the sentence goes, cut to fit. */
enum pp_exit pp_connection_explain(const struct pp_reply *reply, int r, char *text, size_t size);
