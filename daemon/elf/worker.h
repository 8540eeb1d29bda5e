/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker: the child process that alone parses ELF and DWARF. This header is both ends of it:
 * pp_worker_main() runs in the child, the rest in the daemon, where whatever comes back is checked
 * before it is handed on (the file's owner may own the worker by then).
 */
#pragma once

#include "base/filekey.h"
#include "elf/info.h"

#include <sys/types.h>
#include <systemd/sd-event.h>

#define PP_WORKER_ADDRESSES_MAX 1024 /* in one call for names */

/*
 * CPU time for one request; the worker is killed beyond. The largest real files take a tenth of it
 * (libLLVM's table 0.13 s, the symbols of a browser with all of them 0.3 s).
 */
#define PP_WORKER_CPU_NS (2 * NSEC_PER_SEC)

/* In the child: sandboxes the process and serves `sock` until the peer is gone. Exit status. */
int pp_worker_main(int sock);

struct pp_worker;

/*
 * error: 0, or -ENOEXEC (not a file we read), -EBADMSG (malformed file), -EPROTO (the worker's
 * answer was), -EPIPE (it crashed on this file), -ETIMEDOUT, -EAGAIN (not now), -ENOMEM,
 * -ECANCELED. With 0, table_fd is a sealed memory file with a validated image (for
 * pp_table_image_map without check), or -1: the file has no unwind information. The callee owns
 * table_fd.
 */
typedef void (*pp_elf_loaded_fn)(void *userdata, int error, const struct pp_elf_info *info,
				 int table_fd);
/* names[i] answers addresses[i] of the call; NULL with an error. */
typedef void (*pp_elf_names_fn)(void *userdata, int error, const struct pp_elf_name *names,
				size_t n);

int pp_worker_new(struct pp_worker **ret, sd_event *event);
struct pp_worker *pp_worker_free(struct pp_worker *w);
PP_DEFINE_CLEANUP(struct pp_worker *, pp_worker_free)

/*
 * Both queue a request and return 0, or refuse it with a negative errno (-ENOBUFS: too many
 * waiting; -EBUSY: too much has been done for this user, or too many of his wait), in which case
 * the callback is never called; else it is called exactly once, never from within the call. uid:
 * whose process maps the file; root's are never turned away. A file comes as an envelope or as a
 * descriptor of its own; fds are duplicated: the caller keeps its own, until it is answered. key
 * identifies the file's contents for the worker's cache. cached_fd: what the table cache has for
 * the key (-1: nothing); it spares the making if it holds up. debug_fd: a separate debug file (-1:
 * none); it counts only if its build-id, or the debuglink's checksum, says that it belongs to fd.
 * Addresses are ELF virtual ones, in any order.
 */
int pp_worker_load(struct pp_worker *w, uid_t uid, int fd, const struct pp_file_key *key,
		   int cached_fd, pp_elf_loaded_fn loaded, void *userdata);
int pp_worker_names(struct pp_worker *w, uid_t uid, int fd, const struct pp_file_key *key,
		    int debug_fd, const uint64_t *addresses, size_t n, pp_elf_names_fn named,
		    void *userdata);
/* So much has been done for this user that he is turned away for a while; or workers still hang in
 * his files. */
bool pp_worker_owes(const struct pp_worker *w, uid_t uid);
