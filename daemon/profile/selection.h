/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A selection: what a caller asked for of a profile, aggregated by (process, stack of final frames,
 * attributes, end), with the figures that go with it. It is made, used and freed within one turn of
 * the loop.
 */
#pragma once

#include "attributes.h"
#include "frame_text.h"
#include "profile.h"

enum pp_want {
	PP_WANT_NO, /* the filter leaves it out */
	PP_WANT_YES,
	PP_WANT_HIDDEN, /* it is not the caller's: left out, and counted */
};

struct pp_query {
	uint64_t since_ns; /* monotonic: windows that end after it; 0: all there are */
	enum pp_want (*want)(void *userdata, uint64_t process); /* NULL: every process */
	/* Which samples of a process that is wanted; NULL: all. */
	bool (*fits)(void *userdata, struct pp_store *store, const struct pp_attributes *a);
	void *userdata;
	enum pp_kernel_view kernel;
};

struct pp_profile_info {
	uint64_t start_wall_ns, end_wall_ns; /* the span really covered */
	uint64_t samples, complete, cpu_ns;
	uint64_t lost; /* of the whole span: a lost sample has no process */
	uint64_t python_frames, python_named;
	uint64_t processes, hidden;
};

struct pp_selected {
	uint64_t process;
	uint64_t samples, cpu_ns;
	uint32_t node, attributes; /* in the selection's own tree */
	uint8_t end;		   /* enum pp_end */
};

struct pp_selection {
	struct pp_store *store;
	struct pp_stacks *stacks;    /* nodes of final frames */
	struct pp_selected *entries; /* by process, then node */
	size_t nr;
	enum pp_kernel_view kernel;
	struct pp_profile_info info;
};

/* Returns 0, -ENOSPC or -ENOMEM. */
int pp_selection_new(struct pp_selection **ret, const struct pp_profile *p,
		     const struct pp_query *query);
struct pp_selection *pp_selection_free(struct pp_selection *s);
PP_DEFINE_CLEANUP(struct pp_selection *, pp_selection_free)
