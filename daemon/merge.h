/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One stack out of two: the native frames, and the interpreter's own ones, its chain. Each run of
 * the chain belongs to one native frame, an evaluation loop, and takes its place directly on the
 * root's side of it. Where the loop was called through a trampoline, the trampoline's frame stands
 * there already, for the outermost function of the run: it gives way to the chain's, which knows
 * the line.
 *
 * Plain work on numbers: names are looked at nowhere.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

enum pp_merge_kind {
	PP_MERGE_OTHER,
	PP_MERGE_EVAL, /* the evaluation loop, by where its code lies */
	PP_MERGE_STUB, /* a trampoline */
};

struct pp_merge_native {
	uint32_t frame;
	uint8_t kind; /* enum pp_merge_kind */
	bool marked;  /* the walk found the mark of a run in it */
};

struct pp_merge_python {
	uint32_t frame;
	bool last;  /* of its run */
	bool empty; /* no frame: a run without any */
};

struct pp_merge_input {
	const struct pp_merge_native *native; /* leaf first */
	size_t nr_native;
	const struct pp_merge_python *python; /* leaf first */
	size_t nr_python;
	bool native_complete, python_complete; /* reached the thread's root */
};

/* A trampoline and the chain name the same activation. */
struct pp_merge_pair {
	uint32_t stub, python;
};

struct pp_merge_output {
	uint32_t *frames; /* leaf first; room for all native and Python frames */
	size_t nr;
	struct pp_merge_pair *pairs; /* room for as many as there are native frames */
	size_t nr_pairs;
	size_t nr_bare; /* evaluation loops with neither a run nor a trampoline, but the leaf-most
			 */
};

/* Returns false where the two do not fit together: then only the native frames are there. */
bool pp_merge(const struct pp_merge_input *in, struct pp_merge_output *out);
