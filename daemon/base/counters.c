/* SPDX-License-Identifier: GPL-2.0-only */
#include "counters.h"

uint64_t pp_counters[PP_C_MAX];

static const struct {
	const char *name, *text;
} counters[PP_C_MAX] = {
#define X(n, t) [PP_C_##n] = { #n, t },
	PP_COUNTERS(X)
#undef X
};

const char *pp_counter_name(enum pp_counter c)
{
	return counters[c].name;
}

const char *pp_counter_text(enum pp_counter c)
{
	return counters[c].text;
}
