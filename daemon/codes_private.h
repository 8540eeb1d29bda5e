/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of pp_codes, for codes.c (lives and frames) and codes_ask.c (the reader). */
#pragma once

#include "base/counters.h"
#include "base/holdings.h"
#include "base/list.h"
#include "codes.h"
#include "proc/reader.h"
#include "profile/store.h"
#include "python/code_cache.h"

/* A frame that waits for its name: of one sample, or of several that are judged alike. */
struct pp_pending_code {
	uint64_t code, position; /* as proc/reader.h has them */
	uint64_t time_ns;	 /* of the first sample */
	uint64_t samples;	 /* that it was given for */
	uint32_t place;		 /* the position, as the cache has it */
	uint32_t frame;
	uint32_t stub; /* the frame that a perf map gives; 0: none */
	bool has_stub, has_print;
	bool proven;	    /* it is of the tenant */
	uint32_t print;	    /* with has_print; else: */
	uint32_t next_code; /* of the sample, or the lowest of several */
	uint32_t tenant;
};

/* pp_process.codes */
struct pp_coded {
	struct pp_codes *codes;
	struct pp_process *process; /* not referenced: it owns this */
	struct pp_code_runtime runtime;
	const struct pp_code_offsets *layout; /* NULL: no runtime yet */
	struct pp_code_cache *cache;	      /* NULL: none yet, or let go */
	/* Of what a parent knows this is how far it holds: what its counter was before the fork, or
	 * less. UINT32_MAX: the cache is its own. */
	uint32_t inherited;
	uint32_t highest;		 /* next_code of any sample */
	struct pp_pending_code *pending; /* those the reader is asked for come first */
	size_t nr_pending, pending_cap;
	size_t nr_sorted; /* of them, so many are in the order in which they are asked for */
	uid_t uid;	  /* whom they count against */
	struct pp_u64map waiting;  /* what tells those not asked for yet from each other -> index */
	size_t nr_asked, nr_items; /* pending frames, and items, in the request under way */
	bool asking;		   /* the reader has a request */

	/* Bytes of names that it may still have kept, as of refilled_ns. */
	uint64_t allowance, refilled_ns;
	struct pp_links all;
	struct pp_links busy; /* those that have something pending */
};

/*
 * Names are whatever a process says, and it can say new ones as fast as it is sampled. The largest
 * programs have a few MiB of them; who wants more gets it at a rate that the store, which drops
 * what no stack needs any more, bears.
 */
#define PP_CODES_ALLOWANCE_MAX	    (16 * MIB)
#define PP_CODES_ALLOWANCE_A_SECOND (256 * KIB)

/* Of all caches together. Where there is more, those that have more than their share of it begin
 * anew, and no child gets a copy of its parent's. */
#define PP_CODES_BYTES_MAX (128 * MIB)

/* Frames that wait have a place in the store that nothing else gets: of all processes half of them
 * may, of one user's other than root's a quarter. */
#define PP_CODES_PENDING_MAX	  (PP_STORE_FRAMES_MAX / 2)
#define PP_CODES_PENDING_USER_MAX (PP_STORE_FRAMES_MAX / 4)

struct pp_codes {
	struct pp_reader *reader;
	struct pp_store *store;
	struct pp_codes_hooks hooks;
	void *userdata;
	struct pp_links all, busy;
	uint64_t look_ns; /* when all are looked at again */
	size_t nr_pending;
	struct pp_holdings pending_of; /* user -> how many */
	uint32_t sweeps;
	size_t cache_bytes; /* as of that look, and copies since */
};

/* Begins the cache anew; what is pending still gets its names. */
void pp_coded_forget(struct pp_coded *c);
/* Makes the cache, which is there, the process's own: the same, or one begun anew. */
int pp_coded_own(struct pp_coded *c);
/* A pending frame is that frame. Returns whether it can be. */
bool pp_coded_named(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		    uint32_t frame);
/* A pending frame gets no name from its code object, for that reason. */
void pp_coded_unnamed(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p,
		      enum pp_counter why);
/* The code object of a pending frame could not be read: its process has ended, or does not answer.
 */
void pp_coded_unread(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p);
/* So many of those pending, at the end of the array, wait no longer. */
void pp_coded_drop(struct pp_codes *cs, struct pp_coded *c, size_t nr);
/* Gives up on all that is pending; what is sampled again is asked for again. */
void pp_coded_give_up(struct pp_codes *cs, struct pp_coded *c);
/* Asks for what is pending. */
void pp_coded_serve(struct pp_codes *cs, struct pp_coded *c);
