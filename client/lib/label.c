/* SPDX-License-Identifier: GPL-2.0-only */
#include "label.h"

#include <string.h>

#define ID_LEN	 64 /* hexadecimal digits of a container's id */
#define ID_SHORT 12

static struct pp_label label(const char *text, size_t len)
{
	return (struct pp_label){ text, (int)len };
}

static bool is_id(const char *text)
{
	return strlen(text) == ID_LEN && strspn(text, "0123456789abcdef") == ID_LEN;
}

struct pp_label pp_label_of(const char *container, const char *unit, const char *slice)
{
	const char *other = unit && *unit ? unit : slice ?: "";

	if (container && *container)
		return label(container, is_id(container) ? ID_SHORT : strlen(container));
	return label(other, strlen(other));
}

bool pp_label_is_container(const char *container, const char *wanted)
{
	size_t len = wanted ? strlen(wanted) : 0;

	if (len >= ID_SHORT && is_id(container))
		return strncmp(container, wanted, len) == 0;
	return !wanted || strcmp(container, wanted) == 0;
}
