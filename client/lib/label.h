/* SPDX-License-Identifier: GPL-2.0-only */
/* Which of a process's labels is shown where there is room for one. */
#pragma once

#include "base/macro.h"

/* Print it with "%.*s", len, text. */
struct pp_label {
	const char *text;
	int len;
};

/*
 * The container, for the unit of a process inside is the container's own scope or means something
 * there only; of an id its first twelve digits, as the engines show it and --container takes it.
 * Else the unit, else the slice; text is "" where there is none. Absent ones are NULL or "".
 */
struct pp_label pp_label_of(const char *container, const char *unit, const char *slice);

/* Whether a container goes by the name wanted: that, or the beginning of its id. NULL: any does. */
bool pp_label_is_container(const char *container, const char *wanted);
