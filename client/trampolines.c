/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of this machine's Pythons in a sentence. */
#include "trampolines.h"

#include <string.h>

void pp_pythons_count(const json_t *processes, int64_t pid, struct pp_pythons *ret)
{
	const json_t *p;
	size_t i;

	*ret = (struct pp_pythons){ .one = pid != 0 };
	json_array_foreach (processes, i, p) {
		const char *by = json_string_value(json_object_get(p, "named_by"));
		const json_t *coverage = json_object_get(p, "coverage");

		if (pid && json_integer_value(json_object_get(p, "pid")) != pid)
			continue;
		if (!json_is_true(json_object_get(p, "alive")) ||
		    !json_is_string(json_object_get(p, "python")))
			continue;
		ret->running++;
		if (by && strcmp(by, "none") != 0)
			ret->named++;
		else if (json_is_number(coverage) && json_number_value(coverage) == 0)
			ret->nameless++;
	}
}

const char *pp_pythons_banner(const struct pp_pythons *p)
{
	if (p->named || (p->running && !p->nameless) || (p->one && !p->running))
		return NULL;
	if (p->one)
		return "The functions of this Python have no names: `pyprofctl ps` says why. "
		       "Trampolines would give them some: start it with PYTHONPERFSUPPORT=1 or "
		       "-X perf (Python 3.12 or later).";
	if (!p->running)
		return "No Python is running that you may see: what follows is native code and the "
		       "kernel.";
	return "No Python here can be named: `pyprofctl ps` says why. Trampolines would give them "
	       "names: start them with PYTHONPERFSUPPORT=1 or -X perf (Python 3.12 or later).";
}

const char *pp_pythons_banner_short(const struct pp_pythons *p)
{
	if (!pp_pythons_banner(p))
		return NULL;
	return p->running ? "No names: run python3 -X perf (3.12+)" : "No Python is running.";
}
