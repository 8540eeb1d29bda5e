/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A jitdump (tools/perf/Documentation/jitdump-specification.txt of the kernel), as CPython's
 * -X perf_jit, V8's --perf-prof, LLVM and .NET write it, read for its names: code that was loaded
 * and code that moved go into a perf map's index. The code bytes, unwinding information and line
 * tables are passed over. Pure: it is fed bytes and does no I/O.
 *
 * Writers buffer, and a fork copies the buffer: parent and child both write it, cut where the
 * buffer was last flushed. So a header may come again in the middle, and so may the end of a record
 * that is there already. What makes no sense as a record is counted once and passed over, up to the
 * next load that is one beyond doubt.
 */
#pragma once

#include "python/perfmap.h"

#define PP_JITDUMP_HEADER_MAX 4096	 /* bytes; the format's own is 40 */
#define PP_JITDUMP_RECORD_MAX (64 * MIB) /* a longer one is taken for damage */

struct pp_jitdump;

/* map gets the entries; it must outlive the jitdump. all: what map was made with. */
int pp_jitdump_new(struct pp_jitdump **ret, struct pp_perfmaps *all, struct pp_perfmap *map);
struct pp_jitdump *pp_jitdump_free(struct pp_jitdump *d);
PP_DEFINE_CLEANUP(struct pp_jitdump *, pp_jitdump_free)

/* Takes the next bytes of the file, cut anywhere. Never fails: what cannot be kept is dropped and
 * counted. */
void pp_jitdump_feed(struct pp_jitdump *d, const void *data, size_t len);
/* What is fed next begins a file. Entries stay. */
void pp_jitdump_restart(struct pp_jitdump *d);

enum pp_jitdump_state {
	PP_JITDUMP_EMPTY, /* its header has not been fed */
	PP_JITDUMP_GOOD,
	PP_JITDUMP_FOREIGN, /* no jitdump, or another version, byte order or machine: no entries */
};
enum pp_jitdump_state pp_jitdump_state(const struct pp_jitdump *d);

struct pp_jitdump_stats {
	uint64_t loads, moves; /* taken */
	uint64_t bad;	       /* records whose fields make no sense */
	uint64_t damaged;      /* places where what should be a record is none */
};
const struct pp_jitdump_stats *pp_jitdump_stats(const struct pp_jitdump *d);
