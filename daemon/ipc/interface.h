/* SPDX-License-Identifier: GPL-2.0-only */
/* The text of io.pyprof.Profiler.varlink, which is the API's documentation, inside the binary. */
#pragma once

#define PP_INTERFACE_NAME "io.pyprof.Profiler"

extern const char pp_interface_text[];
