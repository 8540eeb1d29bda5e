/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of CPython 3.14 and later for debuggers (PEP 768): where in a process's memory a
 * request stands, that its main thread runs a script.
 *
 * An interpreter describes itself: its runtime begins with a cookie, its version and a table of
 * offsets (_Py_DebugOffsets). It is looked for in the data of the files that are mapped, by that
 * cookie; no file is opened, and no name counts. What is found is used only where everything
 * agrees: the version is a released one that is known, the offsets are the version's, and lists and
 * pointers lead where they must.
 */
#pragma once

#include "target.h"

#define PP_DEBUG_OFFSETS_MAX 888 /* bytes, in the newest version known */

enum pp_runtime_answer {
	PP_RUNTIME_OK,
	PP_RUNTIME_NONE,	  /* no runtime that says what it is */
	PP_RUNTIME_SEVERAL,	  /* more than one */
	PP_RUNTIME_OLD,		  /* 3.13: it has no such interface */
	PP_RUNTIME_UNKNOWN,	  /* a version that is not known, or not released */
	PP_RUNTIME_FREE_THREADED, /* trampolines are unsafe there */
	PP_RUNTIME_MALFORMED,	  /* it is not laid out as its version's is */
	PP_RUNTIME_EARLY,	  /* it runs nothing yet */
	PP_RUNTIME_ENDING,	  /* it shuts down */
	PP_RUNTIME_DISABLED,	  /* its build, its environment or an option forbids requests */
	PP_RUNTIME_PENDING,	  /* a request stands in it already */
	PP_RUNTIME_ANSWERS,
};

/* What is wrong with it, as the end of a sentence that begins with the process. */
const char *pp_runtime_answer_text(enum pp_runtime_answer a);

/* From the table: bytes, within what is named first. */
struct pp_debug_offsets {
	uint32_t version; /* as PY_VERSION_HEX has it */
	uint64_t runtime_finalizing, runtime_interpreters;
	uint64_t interp_id, interp_next, interp_main, interp_enabled;
	uint64_t state_interp, state_breaker, state_pending, state_path;
	uint64_t path_size;
};

struct pp_runtime {
	uint64_t address;
	struct pp_debug_offsets offsets;
	uint64_t state;			 /* of the main thread, 0: not found */
	uint64_t breaker, pending, path; /* addresses: what a request is written to */
};

/* data: PP_DEBUG_OFFSETS_MAX bytes at what may be a runtime. */
enum pp_runtime_answer pp_debug_offsets_parse(const void *data, struct pp_debug_offsets *ret);

enum pp_runtime_answer pp_runtime_find(const struct pp_target *t, struct pp_runtime *ret);
/* The same of the runtime at an address. */
enum pp_runtime_answer pp_runtime_look(const struct pp_target *t, uint64_t address,
				       struct pp_runtime *ret);
/* Whether a request stands in it that was not taken up. */
bool pp_runtime_is_pending(const struct pp_target *t, const struct pp_runtime *rt);
