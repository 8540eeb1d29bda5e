/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Selecting from a profile and writing it out takes a tenth of a second on a busy machine, far more
 * than a turn of the loop may. So a forked child does it, on the daemon's memory as it was at that
 * moment; the loop goes on. The callbacks in query and options are called in the child: what they
 * look up they see as of the fork, what they change is lost.
 */
#pragma once

#include "pprof.h"
#include <systemd/sd-event.h>

#define PP_EXPORTS_MAX	  4  /* at a time: each may take as much memory as the store */
#define PP_EXPORT_SECONDS 20 /* then it is killed; the fullest store takes two */

struct pp_export;

/*
 * Called once, from the loop. error: 0; -ENOBUFS (more than bytes_max), -ENOSPC, -ENOMEM,
 * -ETIMEDOUT, -EPIPE (the child died). fd: a sealed memfd of `bytes` bytes, taken by the callee.
 * The export is over: it may be freed in the callback, and must be some time.
 */
typedef void (*pp_export_fn)(void *userdata, int error, const struct pp_profile_info *info, int fd,
			     size_t bytes);

/* query and options are used before it returns only. Returns 0, -EBUSY (PP_EXPORTS_MAX are under
 * way) or a negative errno; then done is never called. */
int pp_export_new(struct pp_export **ret, sd_event *event, const struct pp_profile *profile,
		  const struct pp_query *query, const struct pp_pprof_options *options,
		  size_t bytes_max, pp_export_fn done, void *userdata);
/* Ends it if it is under way; done is then not called. */
struct pp_export *pp_export_free(struct pp_export *e);
PP_DEFINE_CLEANUP(struct pp_export *, pp_export_free)
