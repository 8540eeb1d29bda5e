/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: the text of /proc/PID/cgroup. What comes out must fit, and be what may be shown
 * to anybody: pieces of the input, without its separators and control bytes.
 */
#include "fuzz.h"
#include "proc/cgroup.h"

#include <string.h>

static void check(const char *field, size_t max)
{
	size_t len = strnlen(field, max);

	if (len == max)
		__builtin_trap();
	for (size_t i = 0; i < len; i++)
		if (field[i] == '/' || field[i] == '\n')
			__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pp_cgroup cgroup, again;

	memset(&cgroup, 0xff, sizeof(cgroup));
	pp_cgroup_parse(&cgroup, (const char *)data, size);
	check(cgroup.unit, sizeof(cgroup.unit));
	check(cgroup.slice, sizeof(cgroup.slice));
	check(cgroup.container, sizeof(cgroup.container));
	check(cgroup.pod, sizeof(cgroup.pod));
	/* Whatever the struct held before. */
	memset(&again, 0, sizeof(again));
	pp_cgroup_parse(&again, (const char *)data, size);
	if (strcmp(cgroup.unit, again.unit) != 0 || strcmp(cgroup.slice, again.slice) != 0 ||
	    strcmp(cgroup.container, again.container) != 0 || strcmp(cgroup.pod, again.pod) != 0)
		__builtin_trap();
	return 0;
}
