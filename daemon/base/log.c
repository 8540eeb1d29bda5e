/* SPDX-License-Identifier: GPL-2.0-only */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES                                                            \
	1024 /* longer lines are cut: a name from a target must not flood the log \
	      */

static enum pp_log_level max_level = PP_LOG_INFO;

void pp_log_set_level(enum pp_log_level level)
{
	max_level = level;
}

/* A line may quote names that a process chose, so control bytes never reach a terminal raw. */
static void defuse(char *line)
{
	for (unsigned char *p = (unsigned char *)line; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void emit(enum pp_log_level level, const char *line, const char *error)
{
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s%s%s\n", (int)level, line, error ? ": " : "", error ?: "");
	else
		fprintf(stderr, "pyprofd: %s%s%s\n", line, error ? ": " : "", error ?: "");
}

void pp_log(enum pp_log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	defuse(line);
	emit(level, line, NULL);
}

int pp_log_errno(enum pp_log_level level, int r, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (level > max_level)
		return r;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	defuse(line);
	emit(level, line, strerror(r < 0 ? -r : r));
	return r;
}
