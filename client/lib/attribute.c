/* SPDX-License-Identifier: GPL-2.0-only */
#include "attribute.h"

#include <string.h>

static const struct {
	const char *name, *title;
} attributes[PP_ATTRIBUTES] = {
	[PP_ATTRIBUTE_GIL] = { "gil", "GIL" },
	[PP_ATTRIBUTE_GC] = { "gc", "GC" },
	[PP_ATTRIBUTE_THREAD] = { "thread", "Thread" },
	[PP_ATTRIBUTE_TASK] = { "task", "Task" },
};

const char *pp_attribute_name(enum pp_attribute a)
{
	return attributes[a].name;
}

const char *pp_attribute_title(enum pp_attribute a)
{
	return attributes[a].title;
}

enum pp_attribute pp_attribute_of_name(const char *name, size_t len)
{
	unsigned int a = 0;

	while (a < PP_ATTRIBUTES &&
	       (strlen(attributes[a].name) != len || strncmp(attributes[a].name, name, len) != 0))
		a++;
	return (enum pp_attribute)a;
}

bool pp_attribute_can_be(enum pp_attribute a, const char *value)
{
	static const char *const gils[] = { "held", "waiting", "released", "unknown" };

	if (a != PP_ATTRIBUTE_GIL)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(gils); i++)
		if (strcmp(gils[i], value) == 0)
			return true;
	return false;
}
