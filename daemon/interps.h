/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interpreters: in which processes BPF walks the interpreter's frames, and how.
 *
 * A process that maps a file which defines a runtime is inspected by the reader, until its
 * interpreter runs something or it is clear that it is none that is known. Processes that map the
 * same file are mostly alike: one that is new begins with what was found in another, which BPF
 * checks at every sample, so that also those that live for a moment have their frames.
 */
#pragma once

#include "proc/code.h"
#include "proc/processes.h"
#include "proc/reader.h"
#include "python/remedy.h"

#include <systemd/sd-event.h>

struct pp_bpf;
struct pp_interps;
struct pp_object;

struct pp_interps_hooks {
	/* What pp_interps_entry says of p has changed. runtime: what to read its code objects by;
	 * NULL: there is none any more. */
	void (*on_interp)(void *userdata, struct pp_process *p,
			  const struct pp_code_runtime *runtime);
};

int pp_interps_new(struct pp_interps **ret, sd_event *event, struct pp_bpf *bpf,
		   struct pp_reader *reader, const struct pp_interps_hooks *hooks, void *userdata);
struct pp_interps *pp_interps_free(struct pp_interps *is);
PP_DEFINE_CLEANUP(struct pp_interps *, pp_interps_free)

/* p maps o, a file with a runtime or PyPy's, which has been read. */
void pp_interps_object(struct pp_interps *is, struct pp_process *p, const struct pp_object *o);
void pp_interps_object_free(struct pp_interps *is, const struct pp_object *o);
/* Hooks of proc/processes.h. */
void pp_interps_forked(struct pp_interps *is, struct pp_process *parent, struct pp_process *child);
void pp_interps_gone(struct pp_interps *is, struct pp_process *p);

/* A sample of p came with its frames walked or not: what inspection has found may have changed. */
void pp_interps_sampled(struct pp_interps *is, struct pp_process *p, enum pp_chain_end end,
			uint64_t now_ns);

/* The numbers of p's code objects tell nothing (codes.h). */
void pp_interps_unnumbered(struct pp_interps *is, struct pp_process *p);

/* For BPF; layout 0 where p has no interpreter that is known. */
struct pp_interp pp_interps_entry(const struct pp_process *p);
enum pp_walk pp_interps_walk(const struct pp_process *p);
/* Why p's frames are not walked; OK: they are, or nothing is known yet. */
enum pp_inspect_answer pp_interps_problem(const struct pp_process *p);
