/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unwind tables kept on disk, so that the next start need not make them: one file a table (see
 * elf/tablefile.h) in a directory of the daemon's own, named after the identity of the file it was
 * made from. Not after its contents alone: those, unwind sections included, anybody can copy into a
 * file with other code, but nobody can give a file another's device, inode, size and change time.
 *
 * A child process does all that may wait for a disk. It only hands descriptors on: what is in the
 * files the worker looks at. They may be deleted or damaged at any time; those that nobody has
 * asked for longest are removed where there would be more than PP_TABLECACHE_BYTES or _FILES.
 */
#pragma once

#include "elf/tablefile.h"

#include <systemd/sd-event.h>

/* Twice the default budget of the unwind store, and the tables a large machine runs. */
#define PP_TABLECACHE_BYTES (64 * MIB)
#define PP_TABLECACHE_FILES 2048

struct pp_tablecache;

/*
 * Makes STATE_DIR/tables where it is missing and opens it. -EPERM: it is not ours alone (another
 * owner, or others may write to it); -ENOTDIR and what else the system says.
 */
int pp_tablecache_open_dir(const char *state_dir);

/* dir becomes the cache's. */
int pp_tablecache_new(struct pp_tablecache **ret, sd_event *event, int dir);
struct pp_tablecache *pp_tablecache_free(struct pp_tablecache *c);
PP_DEFINE_CLEANUP(struct pp_tablecache *, pp_tablecache_free)

/* error: 0, -ENOENT, or why it cannot be had. A descriptor is taken by setting *fd to -1. */
typedef void (*pp_tablecache_fn)(void *userdata, int error, int *fd);
/* Returns 0 and calls back once, never from within the call; or a negative errno. */
int pp_tablecache_get(struct pp_tablecache *c, const struct pp_file_key *key, pp_tablecache_fn fn,
		      void *userdata);
/* Keeps the image that table_fd, a sealed memory file, holds. A failure is counted. */
void pp_tablecache_put(struct pp_tablecache *c, const struct pp_file_key *key,
		       const struct pp_elf_info *info, int table_fd);

/* The child's main (role "tables"); returns the exit code. */
int pp_tablecache_main(int sock);
