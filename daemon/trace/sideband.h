/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Perf's side-band: an event per CPU that counts nothing, but in whose ring the kernel notes every
 * exec, fork, exit, new name and new executable mapping of every process, trampoline arenas
 * included.
 */
#pragma once

#include "base/macro.h"
#include "trace/life.h"

struct pp_sideband;

int pp_sideband_new(struct pp_sideband **ret, unsigned int cpus);
struct pp_sideband *pp_sideband_free(struct pp_sideband *s);
PP_DEFINE_CLEANUP(struct pp_sideband *, pp_sideband_free)

/* Readable when there are records: for the event loop. */
int pp_sideband_fd(const struct pp_sideband *s);

/*
 * Takes all records there are, of all CPUs, in the order of time. The array and the paths in it are
 * the object's own until the next call. Returns 0 or -ENOMEM (what was read is lost: a PP_LIFE_LOST
 * comes with the next call).
 */
int pp_sideband_read(struct pp_sideband *s, const struct pp_life **ret, size_t *ret_n);

/* Follows CPUs that come and go. */
int pp_sideband_follow(struct pp_sideband *s);
