/* SPDX-License-Identifier: GPL-2.0-only */
/* File descriptors: whole reads and writes, passing over sockets, sealed memory files. */
#pragma once

#include "macro.h"
#include <sys/types.h>

#define PP_PASS_FDS_MAX 4 /* more than any message of ours carries */

/* Reads until len or end of file; returns the bytes read or a negative errno. */
ssize_t pp_read_full(int fd, void *data, size_t len);
int pp_write_full(int fd, const void *data, size_t len);

/* A memory file holding these bytes, sealed against every change. Returns the fd. */
int pp_memfd_sealed(const char *name, const void *data, size_t len);

/* Checks that fd is a memory file sealed against writing, growing and shrinking; its size is then a
 * fact. Returns the size or -EPERM. A peer's memfd must pass this before it is mapped. */
int64_t pp_memfd_check_sealed(int fd);

/* One SOCK_SEQPACKET message with up to PP_PASS_FDS_MAX descriptors. */
int pp_send_fds(int sock, const void *data, size_t len, const int *fds, size_t nr_fds);
/* Returns the message's length (0: peer gone); received fds are close-on-exec and the caller's. A
 * message cut short or with too many fds is -EMSGSIZE, and its fds are closed. */
ssize_t pp_recv_fds(int sock, void *data, size_t size, int *fds, size_t *nr_fds);
/* The same of the message that waits, which goes on waiting; -EAGAIN: none does. */
ssize_t pp_peek_fds(int sock, void *data, size_t size, int *fds, size_t *nr_fds);
