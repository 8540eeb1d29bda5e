/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of a pymap: shared by pymap.c and pymap_fork.c, and by no one else. */
#pragma once

#include "python/jitdump.h"
#include "python/pymap.h"
#include "python/remaps.h"
#include "python/seam.h"

/* What a parent's writer had in its buffer at a fork the child writes too, as it closes the file:
 * that much later it is there. */
#define PP_PYMAP_FORK_FLUSH_NS (1 * NSEC_PER_SEC)

struct pp_pymap {
	struct pp_perfmaps *all;
	struct pp_perfmap *map;
	struct pp_jitdump *dump; /* feeds map; NULL where the file has lines */
	struct pp_remaps remaps;
	bool wanted, open, gone;
	bool tried;	 /* the file was looked for at least once */
	bool unsure;	 /* the file may hold lines of another life */
	bool forked;	 /* has inherited, or waits to */
	bool shared;	 /* others write to the file, too */
	bool unflushed;	 /* somebody was told so since the file last grew */
	bool final;	 /* the process is gone, and its file was read to the end since */
	bool asked_gone; /* it was gone when the request in flight was made */
	enum pp_pymap_reason reason;
	enum pp_pymap_action in_flight;
	bool outdated;	   /* the read in flight is of another place than wanted now */
	uint64_t asked_ns; /* when it was */

	uint64_t dev, ino, offset;
	uint64_t from;		   /* where this life began to read the file */
	uint64_t line_offset;	   /* behind the last whole line */
	struct pp_seam seam;	   /* what was read before offset */
	bool behind;		   /* the last read did not reach the end */
	uint64_t fed_ns;	   /* the last time that something was read */
	uint64_t risen_ns;	   /* and that this changed a name there was */
	uint64_t gone_ns, told_ns; /* the end; see pp_pymap_told */
	uint64_t read_ns, need_ns;
	uint64_t next_read_ns, read_interval;
	uint32_t empty_reads;
	uint64_t tried_ns, next_try_ns, try_interval;

	uint64_t generation, progress;
	struct pp_growth growth;
	struct pp_growers *growers; /* NULL while it hardly grows */
	uint64_t grown_ns;	    /* up to when growth is counted; 0: not read to the end yet */

	/* As a child: whose view it waits for, as of when, and its kin in that list. */
	struct pp_pymap *parent, *older, *younger;
	uint64_t fork_ns;
	struct pp_pymap *waiting; /* children that wait for this one */
	struct pp_pymap *work;
};

/* Whether p has all entries written before a fork at t that it will ever have. */
bool pp_pymap_is_settled(const struct pp_pymap *p, uint64_t t);

/* As a child: waits no longer. */
void pp_pymap_stop_waiting(struct pp_pymap *p);
/* The child has its parent's entries of now. */
void pp_pymap_take_view(struct pp_pymap *child, struct pp_pymap *parent);
/* Gives the children that waited for p their view, and so on down. all: p goes away, it has to be
 * now. */
void pp_pymap_serve_children(struct pp_pymap *p, bool all);
