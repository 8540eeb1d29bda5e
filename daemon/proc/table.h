/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of the table of processes, for the files that make it up. */
#pragma once

#include "base/holdings.h"
#include "proc/processes.h"

struct pp_held_scan; /* merge.c */

struct pp_processes {
	struct pp_processes_config config;
	struct pp_processes_hooks hooks;
	void *userdata;

	struct pp_u64map by_pid; /* pid → its newest life, which may have ended */
	struct pp_u64map by_id;
	struct pp_process *oldest, *newest;
	/* In line for a scan: those that samples wait for, then the others. */
	struct pp_process *scan_first, *scan_last;
	struct pp_process *scan_waited_last; /* NULL: no sample waits */
	struct pp_held_scan *held_first, **held_last;
	struct pp_process *idle_first, *idle_last; /* ended and without references */
	struct pp_atoms atoms;
	size_t count;
	size_t bytes;		 /* of processes and mappings; atoms count for themselves */
	struct pp_holdings held; /* the same by user */
	uint32_t last_id;
	uint64_t listed_ns; /* last reading of /proc */
	uint64_t list_every_ns;
	uint64_t checked_ns;
	bool lost; /* records were lost since then */
};

/* ---- processes.c ----------------------------------------------------------------------------- */

/* A new life, without facts, the newest of its pid. before: of whom it has its user, as far as that
 * is known; or NULL. NULL: refused, and counted. */
struct pp_process *pp_table_add(struct pp_processes *t, pid_t pid, const struct pp_process *before,
				uint64_t now_ns);
/* Its user is known by now. */
void pp_table_charge(struct pp_process *p, uint32_t user);
/* Ends a life; the hook is the caller's. */
void pp_table_end(struct pp_process *p, uint64_t time_ns);
/* Ends it and says so. */
void pp_table_exit(struct pp_process *p, uint64_t time_ns);
/* The life that pid was in at a time: the newest not born later, else the oldest; NULL: none. */
struct pp_process *pp_table_life_at(const struct pp_processes *t, pid_t pid, uint64_t time_ns);
/* Whether `more` bytes of a user's fit the limit, if need be after freeing the dead, and forgetting
 * processes of who holds most. `kept`, or NULL, are mappings that stay. */
bool pp_table_has_room(struct pp_processes *t, uint32_t user, size_t more,
		       const struct pp_maps *kept);
void pp_table_queue_idle(struct pp_process *p);
/* After lost records: what may have changed unseen is to be read again. */
void pp_table_recover(struct pp_processes *t, uint64_t now_ns);

/* ---- merge.c --------------------------------------------------------------------------------- */

/* As pp_processes_want_scan, before all those that no sample waits for. */
void pp_table_want_scan_first(struct pp_process *p);
/* Forgets the scans that have not been merged; the table is going. */
void pp_table_drop_held(struct pp_processes *t);

/* ---- process.c: mappings --------------------------------------------------------------------- */

/* What sort of mapping this is. */
enum pp_map_kind pp_map_kind_of(const char *path, uint64_t ino);
/*
 * Enters map, whose references become the process's, over whatever lay there. *ret is the entry,
 * or NULL where it was known already. Returns 0, -ENOSPC (limit; counted) or -ENOMEM.
 */
int pp_process_enter(struct pp_process *p, struct pp_map *map, struct pp_map **ret);
void pp_process_share_maps(struct pp_process *from, struct pp_process *to);

/* For a process; NULL: no memory, or it would be more than there is for its user. */
struct pp_maps *pp_maps_new(struct pp_process *p, size_t cap);
size_t pp_maps_bytes(size_t cap);
struct pp_maps *pp_maps_unref(struct pp_processes *t, struct pp_maps *maps);
/* The index of the first map that ends above address. */
size_t pp_maps_search(const struct pp_maps *maps, uint64_t address);
bool pp_map_same(const struct pp_map *a, const struct pp_map *b);
/* Gives back what a map refers to, and takes another reference to it. */
void pp_map_drop(struct pp_processes *t, struct pp_map *map);
void pp_map_ref(struct pp_processes *t, const struct pp_map *map);
