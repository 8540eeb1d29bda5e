/* SPDX-License-Identifier: GPL-2.0-only */
/* The text of /proc/PID/maps. Pure: bytes in, fields out. */
#pragma once

#include "base/macro.h"

#define PP_MAPS_PATH_MAX 4096 /* the kernel's own limit (PATH_MAX), its terminator included */

/* How a path in maps ends when the file has been unlinked. */
#define PP_DELETED " (deleted)"

struct pp_maps_line {
	uint64_t start, end;
	uint64_t pgoff; /* bytes */
	uint64_t dev;	/* dev_t */
	uint64_t ino;
	bool read, write, exec, shared;
	bool deleted;		     /* the path ended in PP_DELETED, which is cut */
	char path[PP_MAPS_PATH_MAX]; /* "" where there is none; newlines are restored */
	size_t path_len;
};

/*
 * Parses the line at text (up to its newline or len). Returns the bytes it takes, newline included,
 * 0 at the end of the text, or -EBADMSG with *ret_skip set to where the next line begins.
 */
ssize_t pp_maps_parse(struct pp_maps_line *ret, const char *text, size_t len, size_t *ret_skip);

/* Whether the line (without looking at the rest of it) is an executable mapping. */
bool pp_maps_line_is_exec(const char *line, size_t len);
