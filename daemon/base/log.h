/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log lines on stderr, one per call, with a journald level prefix where stderr is the journal.
 * Only the top of a call chain logs; what it calls returns an errno.
 */
#pragma once

#include "macro.h"

enum pp_log_level {
	PP_LOG_ERROR = 3,
	PP_LOG_WARNING = 4,
	PP_LOG_NOTICE = 5,
	PP_LOG_INFO = 6,
	PP_LOG_DEBUG = 7,
};

/* Lines above this level are dropped; PP_LOG_INFO unless set. */
void pp_log_set_level(enum pp_log_level level);
void pp_log(enum pp_log_level level, const char *format, ...) _printf_(2, 3);

/* Logs FORMAT with the text of errno value -r appended, and returns r. */
int pp_log_errno(enum pp_log_level level, int r, const char *format, ...) _printf_(3, 4);
