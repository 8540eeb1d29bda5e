/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is it a Python, and which: from the file names of a process's executable mappings, and exactly
 * from the interpreter's Py_Version word. Versions are as that word has them: major : 8 | minor : 8
 * | micro : 8 | level : 4 | serial : 4; level 0 means that only major and minor are known.
 */
#pragma once

#include "base/macro.h"

#define PP_PYVERSION(major, minor) ((uint32_t)(major) << 24 | (uint32_t)(minor) << 16)
#define PP_PYVERSION_TRAMPOLINES   PP_PYVERSION(3, 12) /* first with perf trampolines */
#define PP_PYVERSION_ATTACH	   PP_PYVERSION(3, 14) /* first with sys.remote_exec */
#define PP_PYVERSION_TEXT_MAX	   24

/* The version that a path's last component names: libpython3.13.so.1.0, libpython3.13d.so,
 * python3.12, python3.13t. python3 and python have minor 0: some 3, some Python. Returns whether
 * the file is a Python interpreter. Only the path says so: the caller checks nothing else. */
bool pp_pyversion_from_path(const char *path, uint32_t *ret);

/* Whether a Py_Version word makes sense: it was read from another's memory or file. */
bool pp_pyversion_valid(uint32_t version);

/* "3.13.0", "3.14.0rc2", "3.13", "3", into text; returns text. */
const char *pp_pyversion_text(uint32_t version, char text[static PP_PYVERSION_TEXT_MAX]);
