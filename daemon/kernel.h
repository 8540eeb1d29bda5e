/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames of kernel code: from an address to a named frame. The kernel is asked; one that does not
 * tell (before 5.13) has its symbols read from /proc/kallsyms, when the first frame comes.
 */
#pragma once

#include "base/macro.h"

struct pp_bpf;
struct pp_kernel;
struct pp_store;

int pp_kernel_new(struct pp_kernel **ret, struct pp_store *store, struct pp_bpf *bpf);
struct pp_kernel *pp_kernel_free(struct pp_kernel *k);
PP_DEFINE_CLEANUP(struct pp_kernel *, pp_kernel_free)

uint32_t pp_kernel_frame(struct pp_kernel *k, uint64_t pc, bool exact, uint64_t time_ns);
/* What is due: reads on in the symbol table, a piece at a time; asks again for what had no name. */
void pp_kernel_tick(struct pp_kernel *k, uint64_t now_ns);
void pp_kernel_swept(struct pp_kernel *k);
/* Frames sampled up to time_ns that wait for their names. */
size_t pp_kernel_pending(const struct pp_kernel *k, uint64_t time_ns);
