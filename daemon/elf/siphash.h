/* SPDX-License-Identifier: GPL-2.0-only */
/* A keyed hash that an adversary without the key cannot make collide. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t pp_siphash(const uint64_t key[2], const void *data, size_t len);
