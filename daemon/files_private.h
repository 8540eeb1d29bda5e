/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The inside of pp_files, for the files that make it up: files.c (its life, the objects),
 * sightings.c (which object a mapping shows) and contents.c (what is in an object).
 */
#pragma once

#include "base/holdings.h"
#include "files.h"

struct pp_worker;

struct pp_files {
	struct pp_reader *reader;
	struct pp_worker *worker;
	struct pp_tablecache *cache; /* or NULL */
	struct pp_processes *processes;
	struct pp_store *store;
	struct pp_objects *objects;
	struct pp_object *vdso;
	struct pp_u64map sightings; /* hash -> chain of struct sighting */
	size_t nr_sightings;
	struct pp_file *todo_first, *todo_last; /* pinned: their next step is taken by the tick */
	size_t nr_open;				/* files, or about to be */
	struct pp_holdings open_of;		/* uid -> how many of these */
	bool full;     /* the reader or the worker took no more in this tick */
	bool stopping; /* answers still come, questions are not asked */
	uint64_t tended_ns;
	struct pp_files_tables tables;
	struct pp_files_hooks hooks;
	void *userdata;
};

/* An object that has no file of ours yet is none: see pp_files_object. */
static inline struct pp_file *pp_file_of(const struct pp_object *o)
{
	return o->userdata;
}

/* The object with this key, with a struct pp_file. Returns 0, -ENOSPC (counted) or -ENOMEM. */
int pp_files_object(struct pp_files *f, const struct pp_file_key *key, const char *path,
		    struct pp_object **ret);

/* ---- sightings.c ----------------------------------------------------------------------------- */

/* A question to the reader about a process's mapping, which may change or go meanwhile. */
struct pp_question {
	struct pp_files *files;
	struct pp_process *process; /* referenced */
	struct pp_map map;	    /* a copy; path referenced */
	struct pp_object *object;   /* pinned: something of it is wanted; NULL: who is it? */
};

struct pp_question *pp_question_new(struct pp_files *f, struct pp_process *p,
				    const struct pp_map *map, struct pp_object *object);
void pp_question_free(struct pp_question *q);

/* Forgets sightings that nobody asked about for a while. */
void pp_sightings_tend(struct pp_files *f, uint64_t now_ns);
void pp_sightings_free(struct pp_files *f);
/* Frames that wait for an answer. */
size_t pp_sightings_pending(const struct pp_files *f, uint64_t time_ns);

/* ---- contents.c ------------------------------------------------------------------------------ */

/* Does the next thing for a file that can be done. */
void pp_contents_advance(struct pp_files *f, struct pp_file *file);
/* The same, at the next tick: what collects until then goes in one request. */
void pp_contents_queue(struct pp_files *f, struct pp_file *file);
void pp_contents_tick(struct pp_files *f);
/* Closes what is open of it. */
void pp_file_close(struct pp_files *f, struct pp_file *file);
/* Closes what nothing has used for a while. */
void pp_contents_tend(struct pp_files *f, uint64_t now_ns);
/* Nothing more is done. */
void pp_contents_stop(struct pp_files *f);
