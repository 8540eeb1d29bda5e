/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What CPython's structures look like, by version: for BPF (the chain of frames), for the reader
 * (code objects and strings) and for the inspection that checks it all on a living process.
 *
 * From 3.13 on an interpreter describes itself (_Py_DebugOffsets, at the runtime's address); that
 * is believed where it is consistent. What it leaves out, and older versions, are in a table.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

#define PP_PYLAYOUT_DEBUG_MAX 888 /* bytes of _Py_DebugOffsets, in the newest version known */

/* Offsets in code objects and what they refer to; 0 where the version has no such member. */
struct pp_code_layout {
	uint64_t code_type; /* address of PyCode_Type in the process: every code object's type */
	uint32_t version;   /* as PY_VERSION_HEX has it; micro and level may be 0 */
	uint16_t object_type;
	uint16_t code_filename, code_name, code_qualname, code_firstlineno, code_linetable;
	uint16_t code_instructions; /* the first one: what a position is relative to (3.11+) */
	uint16_t code_version;	    /* u32: never the same in two code objects (3.12+) */
	uint16_t str_length, str_state, str_ascii, str_compact; /* data of the two compact forms */
	uint16_t bytes_length, bytes_data;
	uint16_t type_name; /* of a type: its name, a C string */
	uint16_t pad;
};

struct pp_pylayout {
	struct pp_layout chain;
	struct pp_code_layout code;
	/* For the inspection. */
	uint16_t runtime_interpreters, runtime_key, runtime_current;
	uint16_t interp_next, interp_threads;
	uint16_t state_next, state_interp;
	uint8_t has_key; /* a pthread key leads to the thread state; else a thread-local variable */
};

/*
 * The layout of a version. debug: what is at the runtime's address, of which _Py_DebugOffsets is
 * used where it is one. Returns 0, -ENOENT (a version that is not known), -EOPNOTSUPP (a
 * free-threaded build) or -EBADMSG (what it says of itself makes no sense).
 */
int pp_pylayout_find(uint32_t version, const void *debug, size_t len, struct pp_pylayout *ret);
/* What debug says the version is, or 0. */
uint32_t pp_pylayout_version(const void *debug, size_t len);
