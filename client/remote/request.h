/* SPDX-License-Identifier: GPL-2.0-only */
/* A request to a CPython's main thread, to run a script: written to its memory, and withdrawn. */
#pragma once

#include "runtime.h"

/* path: of the script, as the process sees it. Looks at everything once more while the process is
 * stopped, then writes. Returns an exit code, having said why. */
int pp_request_put(const struct pp_target *t, const struct pp_runtime *rt, const char *path);

/* Takes it back. Returns 1 where it was still pending, so that it will not be run; 0 where it has
 * been taken up; or a negative errno of pp_stop_begin(), and then it may still stand. */
int pp_request_withdraw(const struct pp_target *t, const struct pp_runtime *rt);
