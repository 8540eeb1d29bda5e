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
		const char *on = json_string_value(json_object_get(p, "trampolines"));

		if (pid && json_integer_value(json_object_get(p, "pid")) != pid)
			continue;
		if (!json_is_true(json_object_get(p, "alive")) ||
		    !json_is_string(json_object_get(p, "python")))
			continue;
		ret->running++;
		ret->trampolines += on && strcmp(on, "off") != 0 && strcmp(on, "unknown") != 0;
	}
}

const char *pp_pythons_banner(const struct pp_pythons *p)
{
	if (p->trampolines || (p->one && !p->running))
		return NULL;
	if (p->one)
		return "This Python has no trampolines, so its functions have no names: start it "
		       "with PYTHONPERFSUPPORT=1 or -X perf (Python 3.12 or later), or call "
		       "sys.activate_stack_trampoline(\"perf\") in it. `pyprofctl ps` says more.";
	if (!p->running)
		return "No Python is running that you may see: what follows is native code and the "
		       "kernel.";
	return "No Python here has trampolines, so Python functions have no names: start it with "
	       "PYTHONPERFSUPPORT=1 or -X perf (Python 3.12 or later), or call "
	       "sys.activate_stack_trampoline(\"perf\") in it. `pyprofctl ps` says more.";
}

const char *pp_pythons_banner_short(const struct pp_pythons *p)
{
	if (p->trampolines || (p->one && !p->running))
		return NULL;
	return p->running ? "No names: run python3 -X perf (3.12+)" : "No Python is running.";
}
