/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keeps BPF's picture of address spaces current: unwind tables of the objects that samples touch,
 * shared and under a budget, and for each process the block of mappings that leads to them.
 *
 * A change of a process's mappings makes a new block under a new address-space generation.
 * Processes that forked from one another share a block until one of them changes.
 */
#pragma once

#include "files.h"

struct pp_unwind;
struct pp_bpf;
struct pp_sample;

int pp_unwind_new(struct pp_unwind **ret, struct pp_bpf *bpf, struct pp_processes *processes,
		  size_t budget_bytes);
struct pp_unwind *pp_unwind_free(struct pp_unwind *u);
PP_DEFINE_CLEANUP(struct pp_unwind *, pp_unwind_free)
/* The files object is made after this one: it calls back into it. */
void pp_unwind_set_files(struct pp_unwind *u, struct pp_files *files);

/* What is known of the files that the process maps changed. */
void pp_unwind_touch(struct pp_unwind *u, struct pp_process *p);
/* A mapping is new or changed (and so the process is `dirty`). */
void pp_unwind_mapped(struct pp_unwind *u, struct pp_process *p, const struct pp_map *map);
/* A scan was merged. */
void pp_unwind_scanned(struct pp_unwind *u, struct pp_process *p);
/* How many of the sample's user frames were unwound by the rules of the code that was there: all,
 * or those before the first in code mapped anew that BPF had not been told of (changes.h). */
uint32_t pp_unwind_known(const struct pp_process *p, const struct pp_sample *s);
/* What BPF is told of the process beside its mappings changed (interps.h). */
void pp_unwind_refresh(struct pp_unwind *u, struct pp_process *p);
/* A walk found the process wanting, though more is known of it: what BPF has is seen to, at most
 * once a second. */
void pp_unwind_check(struct pp_unwind *u, struct pp_process *p, uint64_t now_ns);
/* Everything about the process is wanted: its files' tables are loaded. */
void pp_unwind_want(struct pp_unwind *u, struct pp_process *p);
/* Installs what changed; up_to_ns: life-cycle records up to then have been applied. */
void pp_unwind_sync(struct pp_unwind *u, uint64_t up_to_ns);

/* Whether there is more to install. */
bool pp_unwind_waits(const struct pp_unwind *u);

/* Life of processes and objects (hooks of proc/processes.h and files.h). */
void pp_unwind_forked(struct pp_unwind *u, struct pp_process *parent, struct pp_process *child);
/* By an exit or an exec. */
void pp_unwind_ended(struct pp_unwind *u, struct pp_process *p);
void pp_unwind_gone(struct pp_unwind *u, struct pp_process *p);
void pp_unwind_loaded(struct pp_unwind *u, struct pp_object *o, int table_fd);
void pp_unwind_object_free(struct pp_unwind *u, struct pp_object *o);

struct pp_tables *pp_unwind_tables(struct pp_unwind *u);
