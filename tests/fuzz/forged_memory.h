/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * This process as the one that the reader looks at: the input's bytes lie in its memory, at an
 * address that is always the same, so that those in a corpus file lead to them wherever it is run.
 */
#pragma once

#include "fuzz.h"
#include "proc/reader_wire.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA	    0x200000000000ULL
#define ARENA_BYTES (64 * KIB)

/* Puts at most ARENA_BYTES there, and zeroes behind them; returns the process. */
static inline const struct pp_opened *forge_memory(const uint8_t *data, size_t size)
{
	static struct pp_opened self = { .dir = -1 };
	static uint8_t *arena;

	if (!arena) {
		arena = mmap((void *)ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		require(arena == (void *)ARENA);
		self.dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
		require(self.dir >= 0);
	}
	memcpy(arena, data, size);
	memset(arena + size, 0, ARENA_BYTES - size);
	return &self;
}
