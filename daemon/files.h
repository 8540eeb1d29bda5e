/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files that code runs from. A mapping names its file by device, inode and path; the reader
 * says which contents that is (an object), the worker what is in it: segments, unwind table, names.
 *
 * Everything here is asynchronous: a question is asked once, and whoever waits hears of the answer
 * by a hook. Frames of a file that is not identified yet collect in its sighting, and move to the
 * object when it is known.
 */
#pragma once

#include "elf/object.h"
#include "pcs.h"
#include "proc/processes.h"

#include <systemd/sd-event.h>

struct pp_files;
struct pp_reader;
struct pp_store;
struct pp_tablecache;

/* Files as mappings name them (device, inode, path): twice the objects, as a file may have two
 * paths. */
#define PP_SIGHTINGS_MAX 16384

/* What the daemon knows of an object beyond elf/object.h: object->userdata. */
struct pp_file {
	struct pp_object *object;
	struct pp_pcs pcs; /* by file offset */
	int fd, debug_fd;  /* envelopes, while there is work to do on it */
	int cached_fd;	   /* what the table cache has of it */
	uid_t uid;	   /* whose process it was opened through: who owes the worker for it */
	uint64_t fd_used_ns;
	uint64_t open_after_ns, load_after_ns; /* not again before that */
	bool held;			       /* counted as open */
	bool load_wanted, naming, opening, debug_asked, cache_asked, keep_fd;
	uint8_t opens_failed, names_failed;
	bool todo; /* in the list of what the next tick goes on with */
	struct pp_file *next_todo;
};

struct pp_files_hooks {
	/* A mapping of p got its object. */
	void (*on_object)(void *userdata, struct pp_process *p, struct pp_object *o);
	/* The object was read: it is READY or FAILED. table_fd: its table image, or -1; borrowed.
	 */
	void (*on_loaded)(void *userdata, struct pp_object *o, int table_fd);
	/* The object goes; nothing maps it. */
	void (*on_free)(void *userdata, struct pp_object *o);
};

/* cache: where tables are kept between starts; NULL: nowhere. */
int pp_files_new(struct pp_files **ret, sd_event *event, struct pp_reader *reader,
		 struct pp_processes *processes, struct pp_store *store,
		 struct pp_tablecache *cache, const struct pp_files_hooks *hooks, void *userdata);
/* Ends what is in flight with the worker, asks nothing more and lets go of processes: to be called
 * before the reader and they are freed. */
void pp_files_stop(struct pp_files *f);
struct pp_files *pp_files_free(struct pp_files *f);
PP_DEFINE_CLEANUP(struct pp_files *, pp_files_free)

/* The mapping's object is wanted: it is there at once if the file was looked at a moment ago. */
void pp_files_want(struct pp_files *f, struct pp_process *p, struct pp_map *map);
/* The object's contents are wanted: segments and unwind table. */
void pp_files_want_load(struct pp_files *f, struct pp_object *o);
/* Pcs were added to those of the object that wait for names. */
void pp_files_want_names(struct pp_files *f, struct pp_object *o);

/* Where frames of the mapping's file are kept: the object's, or while that is not known its
 * sighting's. NULL where there can be none. */
struct pp_pcs *pp_files_pcs(struct pp_files *f, struct pp_process *p, struct pp_map *map);

/* Goes on with what can go on: names, loads, descriptors to close. Called every pump. */
void pp_files_tick(struct pp_files *f, uint64_t now_ns);
/* Frames of a collection have gone. */
void pp_files_swept(struct pp_files *f);

struct pp_objects *pp_files_objects(struct pp_files *f);
/* Unwind tables made from files' contents, and those taken from the cache instead. */
struct pp_files_tables {
	uint64_t made, cached;
};
struct pp_files_tables pp_files_tables(const struct pp_files *f);
/* Frames sampled up to time_ns that wait for their names. */
size_t pp_files_pending(const struct pp_files *f, uint64_t time_ns);

void pp_object_pin(struct pp_object *o);
void pp_object_unpin(struct pp_object *o);
