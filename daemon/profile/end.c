/* SPDX-License-Identifier: GPL-2.0-only */
#include "end.h"

_Static_assert(PP_PYTHON_FRAMES_MAX == 1024, "the text of PP_END_PYTHON states it");
_Static_assert(PP_USER_FRAMES_MAX == 1200, "the text of PP_END_DEPTH states it");

static const char *const texts[] = {
	[PP_END_ROOT] = "complete",
	[PP_END_NO_USER] = "no user stack",
	[PP_END_NO_SPACE] = "process not described yet",
	[PP_END_NO_MAPPING] = "no mapping",
	[PP_END_NO_TABLE] = "no unwind table",
	[PP_END_NO_ROW] = "no unwind rule",
	[PP_END_RULE] = "unwind rule not supported",
	[PP_END_STACK] = "stack unreadable",
	[PP_END_DEPTH] = "deeper than 1200 frames",
	[PP_END_COMPAT] = "32-bit code",
	[PP_END_FP] = "frame pointers broken",
	[PP_END_PYTHON] = "more than 1024 Python frames",
	[PP_END_REMAPPED] = "code just mapped anew",
};
_Static_assert(ARRAY_SIZE(texts) == PP_END_MAX, "every end has its text");

const char *pp_end_text(enum pp_end end)
{
	return (unsigned int)end < PP_END_MAX ? texts[end] : "unknown";
}

bool pp_end_complete(enum pp_end end)
{
	return end == PP_END_ROOT || end == PP_END_NO_USER;
}
