/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of processes: every life that is going on, by pid, and those that have ended but are
 * still referred to or ended a moment ago, by id. Fed by life-cycle records, samples and scans.
 *
 * A life is never guessed: where a sample's identity contradicts what the table says (records were
 * lost), the old life is ended and a new one begins, to be scanned.
 */
#pragma once

#include "proc/process.h"
#include "trace/life.h"

struct pp_scan;

/*
 * How upper rooms follow. Every hook may be NULL. They are called after the table has changed and
 * must not call back into pp_processes_life, _sample or _scanned. Each life is announced once, by
 * on_new, on_fork or on_exec, and ends once, by on_exit or as the old one of on_exec.
 */
struct pp_processes_hooks {
	void (*on_new)(void *userdata, struct pp_process *p);
	/* The child starts with the parent's mappings, object slots included. */
	void (*on_fork)(void *userdata, struct pp_process *parent, struct pp_process *child);
	/* old has ended; next follows it in the same pid, without mappings yet. */
	void (*on_exec)(void *userdata, struct pp_process *old, struct pp_process *next);
	/* map is new or changed. Its object slot is set where the same file was mapped there. */
	void (*on_mapping)(void *userdata, struct pp_process *p, struct pp_map *map);
	/* A record of executable memory without a file, as the kernel told it: known or not. */
	void (*on_memory)(void *userdata, struct pp_process *p, const struct pp_map *map);
	/* After a scan was merged: facts and mappings are there. */
	void (*on_scanned)(void *userdata, struct pp_process *p);
	void (*on_exit)(void *userdata, struct pp_process *p);
	/* Last call: free what the slots hold. */
	void (*on_free)(void *userdata, struct pp_process *p);
	/* A map that carries an object was copied, dropped. */
	void (*object_ref)(void *userdata, void *object);
	void (*object_unref)(void *userdata, void *object);
};

struct pp_processes_config {
	size_t processes_max; /* 0: PP_PROCESSES_MAX */
	size_t bytes_max;     /* of processes, mappings and names; 0: PP_PROCESSES_BYTES_MAX */
	uint64_t grace_ns;    /* a dead life is kept so long for late samples; 0: PP_GRACE_NS */
};

#define PP_PROCESSES_MAX       65536
#define PP_PROCESSES_BYTES_MAX (16 * MIB)
#define PP_GRACE_NS	       (2 * NSEC_PER_SEC)

int pp_processes_new(struct pp_processes **ret, const struct pp_processes_config *config,
		     const struct pp_processes_hooks *hooks, void *userdata);
/* Every reference must have been given back: whoever scans (the reader) goes first. */
struct pp_processes *pp_processes_free(struct pp_processes *t);
PP_DEFINE_CLEANUP(struct pp_processes *, pp_processes_free)

/* Enters every process that /proc lists, each to be scanned. For the start, and after loss. */
int pp_processes_list(struct pp_processes *t, uint64_t now_ns);

/* Applies one record. Returns 0 or -ENOMEM; what the table refuses is counted. */
int pp_processes_life(struct pp_processes *t, const struct pp_life *life);

/*
 * The life that a sample belongs to: made, or ended and replaced, where the table does not agree.
 * One whose facts are not known, or a minute old, is put in line for a scan. NULL: refused, or it
 * ended too long ago; counted. No reference is taken.
 */
struct pp_process *pp_processes_sample(struct pp_processes *t, pid_t pid, uint64_t start_ns,
				       uint32_t exec_id, const char *comm, uint64_t time_ns);

struct pp_process *pp_processes_by_pid(const struct pp_processes *t, pid_t pid);
struct pp_process *pp_processes_by_id(const struct pp_processes *t, uint32_t id);
/* All lives, oldest first: start with NULL. */
struct pp_process *pp_processes_next(const struct pp_processes *t, const struct pp_process *p);
size_t pp_processes_count(const struct pp_processes *t);
size_t pp_processes_bytes(const struct pp_processes *t);

/* The strings that processes and their mappings refer to. */
struct pp_atoms *pp_processes_atoms(struct pp_processes *t);

/* Asks for a scan, also of one that was scanned before. */
void pp_processes_want_scan(struct pp_processes *t, struct pp_process *p);
/*
 * Takes the next process in line for a scan, with a reference that _scanned gives back; or NULL.
 * Every record up to now_ns must have been applied: results that came before it are merged first.
 */
struct pp_process *pp_processes_take_scan(struct pp_processes *t, uint64_t now_ns);
/*
 * The result of a scan that _take_scan began; scan is NULL where error is set. It is copied, and
 * merged when the records up to this moment are known to have been applied: an exec among them
 * means that it shows another life.
 */
void pp_processes_scanned(struct pp_processes *t, struct pp_process *p, int error,
			  const struct pp_scan *scan);

/* Drops lives that ended more than the grace period ago and that nobody refers to. */
void pp_processes_reap(struct pp_processes *t, uint64_t now_ns);
