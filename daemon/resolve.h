/* SPDX-License-Identifier: GPL-2.0-only */
/* From a sample's pcs to an interned stack of frames. */
#pragma once

#include "bpf/pp_types.h"
#include "proc/process.h"

struct pp_codes;
struct pp_files;
struct pp_kernel;
struct pp_pythons;
struct pp_resolve;
struct pp_store;

int pp_resolve_new(struct pp_resolve **ret, struct pp_store *store, struct pp_files *files,
		   struct pp_pythons *pythons, struct pp_codes *codes, struct pp_kernel *kernel);
struct pp_resolve *pp_resolve_free(struct pp_resolve *r);
PP_DEFINE_CLEANUP(struct pp_resolve *, pp_resolve_free)

/* The stack of a sample of this life of a process; counts its Python coverage on the way. Returns
 * 0, or -ENOSPC, -ENOMEM where the stack could not be kept. */
int pp_resolve_sample(struct pp_resolve *r, struct pp_process *p, const struct pp_sample *s,
		      uint32_t *ret_node);
void pp_resolve_swept(struct pp_resolve *r);
