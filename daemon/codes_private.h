/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of pp_codes, for codes.c (lives and frames) and codes_ask.c (the reader). */
#pragma once

#include "codes.h"
#include "proc/reader.h"
#include "python/code_cache.h"

struct pp_pending_code {
	struct pp_code_item item;
	uint64_t key;	  /* in the cache, as it was then */
	uint64_t time_ns; /* when it was sampled */
	uint32_t index;	  /* of its code object, in the cache of this serial */
	uint32_t serial;
	uint32_t frame;
};

/* What one process knows of a code object that its cache, which others may share, has. */
struct pp_code_mark {
	uint32_t round;	     /* in which it was sampled last; see pp_coded.round */
	uint32_t generation; /* of the interpreter, when it was last seen to be the same; 0: not */
};

/* pp_process.codes */
struct pp_coded {
	struct pp_process *process; /* not referenced: it owns this */
	struct pp_code_runtime runtime;
	const struct pp_code_offsets *layout; /* NULL: no runtime yet */
	struct pp_code_cache *cache;	      /* NULL: none yet, or let go */
	struct pp_pending_code *pending;      /* those the reader is asked for come first */
	size_t nr_pending, pending_cap;
	uint32_t serial; /* of the cache: rises when it is begun anew */
	size_t asked;	 /* items in the request under way */
	uint32_t asked_serial;
	bool asking; /* the reader has a request */

	/* Code objects sampled since the last check, each once. */
	struct pp_code_mark *marks; /* by index in the cache */
	uint32_t marks_cap;
	uint32_t *sampled;
	uint32_t nr_sampled, sampled_cap;
	uint32_t round;
	uint32_t generation; /* as last read; 0: none */
	uint64_t check_ns, interval_ns;

	/* Bytes of names that it may still have kept, as of refilled_ns. */
	uint64_t allowance, refilled_ns;
	struct pp_coded *older, *newer; /* all of them */
};

/*
 * Names are whatever a process says, and it can say new ones as fast as it is sampled. The largest
 * programs have a few MiB of them; who wants more gets it at a rate that the store, which drops
 * what no stack needs any more, bears.
 */
#define PP_CODES_ALLOWANCE_MAX	    (16 * MIB)
#define PP_CODES_ALLOWANCE_A_SECOND (256 * KIB)

struct pp_codes {
	struct pp_reader *reader;
	struct pp_store *store;
	struct pp_coded *newest;
};

/* Begins the cache anew; what is pending still gets its names. */
void pp_coded_forget(struct pp_coded *c);
/* Marks the code object of an index as sampled, for the next check. Returns 0 or -ENOMEM. */
int pp_coded_touch(struct pp_coded *c, uint32_t index);
/* The code object of a pending frame could not be read: its process has ended, or does not answer. */
void pp_coded_unread(struct pp_codes *cs, struct pp_coded *c, const struct pp_pending_code *p);
/* Gives up on all that is pending; what is sampled again is asked for again. */
void pp_coded_give_up(struct pp_codes *cs, struct pp_coded *c);
/* Does what is due: names first, then the check. */
void pp_coded_serve(struct pp_codes *cs, struct pp_coded *c, uint64_t now_ns);
