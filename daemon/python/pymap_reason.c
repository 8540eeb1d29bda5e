/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/pymap.h"

const char *pp_pymap_reason_text(enum pp_pymap_reason why)
{
	static const char *const texts[PP_PYMAP_REASON_MAX] = {
		[PP_PYMAP_OK] = "readable",
		[PP_PYMAP_MISSING] = "no perf map",
		[PP_PYMAP_NOT_REGULAR] = "the perf map is no regular file",
		[PP_PYMAP_OWNER] = "the perf map belongs to another user",
		[PP_PYMAP_LINKS] = "the perf map has other hard links",
		[PP_PYMAP_FOREIGN] = "the jitdump is none, or of another version or machine",
		[PP_PYMAP_DUMP] = "the jitdump is no regular file, or another user's",
		[PP_PYMAP_DENIED] = "the perf map may not be read",
		[PP_PYMAP_STALE] = "the perf map is another process's leftover",
		[PP_PYMAP_STUCK] = "reading the perf map hangs",
		[PP_PYMAP_ERROR] = "the perf map cannot be read",
	};

	return texts[why];
}
