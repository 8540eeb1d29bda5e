/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Attributes of samples: what a thread was doing besides running its stack. The daemon's words for
 * them (see Attributes in the interface) are texts here, and 0, the empty text, where nothing is
 * said.
 */
#pragma once

#include "base/macro.h"

enum pp_attribute {
	PP_ATTRIBUTE_GIL,
	PP_ATTRIBUTE_GC,
	PP_ATTRIBUTE_THREAD,
	PP_ATTRIBUTE_TASK,
	PP_ATTRIBUTES,
};

struct pp_attributes {
	uint32_t texts[PP_ATTRIBUTES]; /* of a profile */
};

/* "gil", "gc", "thread", "task": options, labels and members are called so. */
const char *pp_attribute_name(enum pp_attribute a);
/* The same as a heading: "GIL", … */
const char *pp_attribute_title(enum pp_attribute a);
/* PP_ATTRIBUTES: there is none of that name. */
enum pp_attribute pp_attribute_of_name(const char *name, size_t len);
/* Whether it can have this value: the states of the GIL are few. */
bool pp_attribute_can_be(enum pp_attribute a, const char *value);
