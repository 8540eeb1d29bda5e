/* SPDX-License-Identifier: GPL-2.0-only */
/* Starting the daemon's own helper processes, and collecting them without ever waiting. */
#pragma once

#include "base/macro.h"
#include <sys/types.h>

/*
 * Re-executes this program as `pyprofd --child ROLE`, with one end of a SOCK_SEQPACKET pair as its
 * PP_CHILD_SOCKET, no other descriptor above, no signal blocked and SIGPIPE not ignored. Returns
 * without waiting for it: 0 and the other end, non-blocking, and a pidfd; both are the caller's.
 * -EAGAIN: too many have not executed yet. A child that cannot execute ends.
 */
int pp_spawn_child(const char *role, int *ret_sock, int *ret_pidfd, pid_t *ret_pid);

/* Whether the child is gone for good: dead and reaped. */
bool pp_reap(int pidfd);
