/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What CPython's thread states and frames look like, by version: for BPF, which walks them, and for
 * the inspection that checks it all on a living process. (Code objects: proc/code.h.)
 *
 * From 3.13 on an interpreter describes itself (_Py_DebugOffsets, at the runtime's address); that
 * is believed where it is consistent. What it leaves out, and older versions, are in a table.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

#define PP_PYLAYOUT_DEBUG_MAX 888 /* bytes of _Py_DebugOffsets, in the newest version known */

struct pp_pylayout {
	struct pp_layout chain;
	uint32_t version; /* as PY_VERSION_HEX has it; micro and level may be 0 */
	/* For the inspection; 0 where the version has no such member. */
	uint16_t runtime_interpreters, runtime_current;
	uint16_t interp_next, interp_threads, interp_next_code;
	uint16_t state_next, state_interp;
	uint8_t has_key; /* a pthread key leads to the thread state; else a thread-local variable */
	uint8_t free_threaded;
};

/*
 * The layout of a version. debug: what is at the runtime's address, of which _Py_DebugOffsets is
 * used where it is one. Returns 0, -ENOENT (a version that is not known), -EOPNOTSUPP (a
 * free-threaded build of a version of which none is known) or -EBADMSG (what it says of itself is
 * inconsistent, or not what is known of its code objects).
 */
int pp_pylayout_find(uint32_t version, const void *debug, size_t len, struct pp_pylayout *ret);
/* The layout of CPython 3.minor as it is known, by which BPF walks; false: of none. */
bool pp_pylayout_known(unsigned int minor, struct pp_layout *ret);
/* What debug says the version is, or 0. */
uint32_t pp_pylayout_version(const void *debug, size_t len);
