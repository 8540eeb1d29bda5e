/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pythons, and other processes that generate code: joins the state machine of each perf map
 * (python/pymap.h) to the reader, and turns pcs in generated code into frames.
 */
#pragma once

#include "base/list.h"
#include "pcs.h"
#include "proc/processes.h"
#include "python/coverage.h"
#include "python/pymap.h"
#include "python/remedy.h"
#include "python/stub.h"

struct pp_pythons;
struct pp_reader;
struct pp_store;

/* What the reader found when it looked at a Python closely: see pythons_doctor.c. */
struct pp_examination {
	bool wanted, asking;
	bool reading;	   /* its map is read on */
	uint64_t asked_ns; /* since when */
	uint64_t done_ns;  /* 0: never */
	enum pp_tmp tmp;
	int64_t map_bytes; /* -1: not known */
	struct pp_stub stub;
};

/* pp_process.python */
struct pp_python {
	struct pp_process *process; /* not referenced: it owns this */
	struct pp_pymap *pymap;	    /* NULL: no generated code seen */
	struct pp_pcs pcs;	    /* by address */
	struct pp_coverage coverage;
	uint64_t refresh_ns;	       /* when names in use are to be looked at again */
	uint64_t generation, progress; /* of the pymap, as pcs knows it */
	char *path;		       /* of the map, in the process's root */
	int fd;			       /* of the map, -1: not open */
	uint32_t version;	       /* see python/version.h; 0: unknown */
	bool is_python, arena;
	bool jitdump;	  /* it has mapped one */
	bool was_missing; /* since the last look there was no map of this life */
	bool asking;	  /* the reader has a request for the map */
	/* The process has ended, and the map was let go; what it was then: */
	bool over, map_full;
	enum pp_pymap_state map_state;
	enum pp_pymap_reason map_reason;
	uint64_t map_entries;
	bool refused;	  /* its map could not be trusted or opened */
	bool inherited;	  /* its parent had generated code when it was forked */
	uint64_t stub_pc; /* the latest seen in a trampoline; 0: none */
	struct pp_examination exam;
	struct pp_links all;
	struct pp_links busy; /* those for whom time does something */
	uint64_t due_ns;      /* when its map wants something; UINT64_MAX: nothing */
};

int pp_pythons_new(struct pp_pythons **ret, struct pp_reader *reader, struct pp_store *store,
		   size_t perfmaps_bytes);
struct pp_pythons *pp_pythons_free(struct pp_pythons *ps);
PP_DEFINE_CLEANUP(struct pp_pythons *, pp_pythons_free)

/* Hooks of proc/processes.h. */
void pp_pythons_mapping(struct pp_pythons *ps, struct pp_process *p, const struct pp_map *map);
void pp_pythons_memory(struct pp_pythons *ps, struct pp_process *p, const struct pp_map *map);
void pp_pythons_scanned(struct pp_process *p);
void pp_pythons_forked(struct pp_pythons *ps, struct pp_process *parent, struct pp_process *child,
		       uint64_t now_ns);
void pp_pythons_execed(struct pp_pythons *ps, struct pp_process *old, struct pp_process *next);
void pp_pythons_exited(struct pp_pythons *ps, struct pp_process *p);
void pp_pythons_gone(struct pp_pythons *ps, struct pp_process *p);
/* The worker read the interpreter's version in an object that p maps. */
void pp_pythons_version(struct pp_pythons *ps, struct pp_process *p, uint32_t version);
/* The inspection of p found an interpreter of that version: all that is known where the file does
 * not say one. */
void pp_pythons_inspected(struct pp_process *p, uint32_t version);

/* The frame of a pc in generated code; stub: its code is a trampoline's. */
uint32_t pp_pythons_frame(struct pp_pythons *ps, struct pp_process *p, uint64_t pc, bool stub,
			  uint64_t time_ns);

/* Asks the reader for what is due. Called every drain. */
void pp_pythons_tick(struct pp_pythons *ps, uint64_t now_ns);
void pp_pythons_swept(struct pp_pythons *ps);
/* Called every minute: what coverage says is about the present. */
void pp_pythons_decay(struct pp_pythons *ps);
/* Frames sampled up to time_ns that wait for their names. */
size_t pp_pythons_pending(const struct pp_pythons *ps, uint64_t time_ns);

/* What is known of it, for remedies. */
struct pp_remedy_facts pp_python_facts(const struct pp_python *py, uint64_t now_ns);

/* ---- pythons_doctor.c ---- */

/* Wants a close look at it: its map read on, its /tmp, its stubs. What is a moment old stays. */
void pp_pythons_examine(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns);
/* Asks the reader for what is wanted, as far as that has room. How many looks are not done. */
size_t pp_pythons_examining(struct pp_pythons *ps);
/* Of the names in its map, how many lie in code that is mapped now: 0 to 1, -1 where there are none
 * or it would take too long to say. */
double pp_python_live(const struct pp_python *py);
