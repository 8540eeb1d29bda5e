/* SPDX-License-Identifier: GPL-2.0-only */
/* Fuzz target: the texts of /proc/PID/maps and /proc/PID/cgroup. */
#include "fuzz.h"
#include "proc/cgroup.h"
#include "proc/maps.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pp_maps_line line;
	struct pp_cgroup cgroup;
	size_t at = 0, skip;

	while (at < size) {
		ssize_t n = pp_maps_parse(&line, (const char *)data + at, size - at, &skip);

		(void)pp_maps_line_is_exec((const char *)data + at, size - at);
		if (!skip || (n > 0 && (size_t)n != skip))
			__builtin_trap();
		if (n > 0 && (line.start >= line.end || strlen(line.path) != line.path_len))
			__builtin_trap();
		at += skip;
	}
	pp_cgroup_parse(&cgroup, (const char *)data, size);
	if (strnlen(cgroup.unit, sizeof(cgroup.unit)) == sizeof(cgroup.unit) ||
	    strnlen(cgroup.container, sizeof(cgroup.container)) == sizeof(cgroup.container))
		__builtin_trap();
	return 0;
}
