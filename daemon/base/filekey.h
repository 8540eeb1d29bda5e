/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which file, and which contents of it: what fstat says. The change time moves with every write and
 * cannot be set back by the file's owner, so a rewritten file is another file.
 */
#pragma once

#include "u64map.h"

#include <sys/stat.h>

struct pp_file_key {
	uint64_t dev; /* st_dev; on overlayfs and btrfs not the device that /proc/PID/maps shows */
	uint64_t ino;
	uint64_t size;
	int64_t ctime_ns;
};

static inline struct pp_file_key pp_file_key_of(const struct stat *st)
{
	return (struct pp_file_key){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec,
	};
}

static inline bool pp_file_key_equal(const struct pp_file_key *a, const struct pp_file_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->ctime_ns == b->ctime_ns;
}

static inline uint64_t pp_file_key_hash(const struct pp_file_key *k)
{
	return pp_mix(pp_mix(pp_mix(pp_mix(k->dev) ^ k->ino) ^ k->size) ^ (uint64_t)k->ctime_ns);
}
