/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a process's trampolines have ever been on. CPython copies them, code of a few bytes, over
 * the whole of memory that it maps for them, and does not unmap it when they are turned off. A
 * forked child inherits it.
 */
#pragma once

#include "target.h"

/* 1, 0, or a negative errno. */
int pp_arenas_find(const struct pp_target *t);
