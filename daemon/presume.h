/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was found of the interpreter in one process, for the next that maps the same file.
 *
 * It was read from memory which that process may have written as it liked. So it is presumed of
 * processes of the same user only; what was found in one of root's, of everybody's.
 */
#pragma once

#include "proc/processes.h"
#include "proc/reader.h"

struct pp_presume;

int pp_presume_new(struct pp_presume **ret);
struct pp_presume *pp_presume_free(struct pp_presume *ps);
PP_DEFINE_CLEANUP(struct pp_presume *, pp_presume_free)

/* Remembers what inspection found in p: entry and runtime, with `what` asked about the object. */
void pp_presume_learn(struct pp_presume *ps, uint32_t object, const struct pp_process *p,
		      const struct pp_inspect *what, const struct pp_interp *entry,
		      const struct pp_code_runtime *runtime);

/* What is presumed of p, with its own addresses. Returns whether there is anything. */
bool pp_presume_get(const struct pp_presume *ps, uint32_t object, const struct pp_process *p,
		    const struct pp_inspect *what, struct pp_interp *entry,
		    struct pp_code_runtime *runtime);

void pp_presume_forget(struct pp_presume *ps, uint32_t object);
