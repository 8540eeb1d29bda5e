/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code objects of Pythons: turns what the interpreter walk found, a code object's address and the
 * position in it, into frames with names and lines, and joins the caches that hold them to the
 * reader, which reads the processes' memory.
 *
 * A frame is given at once: one that is known, or a pending one whose name is being read. An
 * address may be another code object's later: codes.c says how a name is proven to be the one's
 * that was sampled. What cannot be proven stays unnamed.
 */
#pragma once

#include "bpf/pp_types.h"
#include "proc/code.h"
#include "proc/processes.h"

struct pp_codes;
struct pp_reader;
struct pp_store;

struct pp_codes_hooks {
	/* The numbers of p's code objects tell nothing: BPF is to take their prints. */
	void (*on_unnumbered)(void *userdata, struct pp_process *p);
	/* A pending frame, which was given for so many samples of p, has its name, or will get
	 * none. */
	void (*on_settled)(void *userdata, struct pp_process *p, uint64_t samples, bool named);
};

int pp_codes_new(struct pp_codes **ret, struct pp_reader *reader, struct pp_store *store,
		 const struct pp_codes_hooks *hooks, void *userdata);
struct pp_codes *pp_codes_free(struct pp_codes *cs);
PP_DEFINE_CLEANUP(struct pp_codes *, pp_codes_free)

/* What is known of the interpreter in p: said before the first pp_codes_frame of p, and again when
 * it turns out to be another. A version without a layout (pp_code_offsets_find) is refused with
 * -EOPNOTSUPP. */
int pp_codes_runtime(struct pp_codes *cs, struct pp_process *p,
		     const struct pp_code_runtime *runtime);

/*
 * The frame of a Python function's activation that was sampled at time_ns; raw and next_code are as
 * in the sample. PP_FRAME_UNKNOWN without a runtime or memory.
 */
uint32_t pp_codes_frame(struct pp_codes *cs, struct pp_process *p, const struct pp_pyframe_raw *raw,
			uint32_t next_code, uint64_t time_ns);

/* A perf map names the activation that this frame is of, too: that name is taken where the code
 * object cannot be proven. frame: as pp_codes_frame gave it for the sample in hand. */
void pp_codes_otherwise(struct pp_codes *cs, struct pp_process *p, uint32_t frame, uint32_t stub);

/* The frame of the function whose code that was when the sample was taken, at its first line. */
uint32_t pp_codes_function(struct pp_codes *cs, struct pp_process *p, uint64_t code,
			   uint32_t next_code, uint64_t time_ns);

/* Hooks of proc/processes.h. A child shares what its parent has until one of them learns more. */
void pp_codes_forked(struct pp_codes *cs, struct pp_process *parent, struct pp_process *child);
void pp_codes_gone(struct pp_codes *cs, struct pp_process *p);

/* Asks the reader for what is due. Called at the end of every drain, before anything that is less
 * urgent: a process that ends takes its names with it. */
void pp_codes_tick(struct pp_codes *cs, uint64_t now_ns);
void pp_codes_swept(struct pp_codes *cs);
/* Frames sampled up to time_ns that wait for their names. */
size_t pp_codes_pending(const struct pp_codes *cs, uint64_t time_ns);
