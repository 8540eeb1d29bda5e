/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads a pprof into a profile: the daemon's, or any file of that format. What the daemon writes
 * comes back whole: the module of a frame tells its kind ([python], [kernel], [jit], [unknown],
 * else native), the labels pid, comm, process, unit, slice, container, pod, truncated and those of
 * attributes tell the rest. Foreign files get one process and native frames.
 */
#pragma once

#include "profile.h"

/* Bytes of a profile, unpacked and packed; beyond is -EFBIG. Ten minutes of a busy machine are a
 * few MiB. */
#define PP_PPROF_PLAIN_MAX (512U * MIB)
#define PP_PPROF_FILE_MAX  (512U * MIB)

/* data: plain or gzip'd. Returns 0, -EBADMSG (not a pprof, or an inconsistent one), -EFBIG, -ENOSPC
 * or -ENOMEM. */
int pp_pprof_read(struct pp_profile **ret, const void *data, size_t len);

/* Everything that fd holds, from its current position. */
int pp_pprof_load(struct pp_buf *ret, int fd);
