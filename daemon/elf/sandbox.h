/* SPDX-License-Identifier: GPL-2.0-only */
/* Locks the calling process in: it keeps its memory, its socket and stderr. */
#pragma once

#include "base/macro.h"

/* What a sandboxed process may take. Files it makes (memory files) are limited by the first. */
#define PP_SANDBOX_FILE_MAX   (64 * MIB)
#define PP_SANDBOX_MEMORY_MAX (512 * MIB)
/* The kernel lets nobody without capabilities pass a descriptor while more than this of its user's,
 * here root's, are on their way, whoever sent them. What lies in an envelope is. */
#define PP_SANDBOX_DESCRIPTORS_MAX 4096

/*
 * Drops every capability, sets limits, closes every descriptor but stderr and `keep`, and installs
 * a system call filter under which any call beyond computing, memory, reading and writing what it
 * was handed kills the process. Irrevocable. Returns 0 or a negative errno, upon which the process
 * must exit.
 */
int pp_sandbox_enter(int keep);
