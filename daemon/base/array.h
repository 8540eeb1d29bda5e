/* SPDX-License-Identifier: GPL-2.0-only */
/* Growing arrays of plain records. */
#pragma once

#include "base/macro.h"

/*
 * Makes room for `need` records of `size` bytes in *array, whose capacity in records is *cap.
 * Growth is by doubling. Returns 0, -ENOSPC (need > max) or -ENOMEM; the array is intact either
 * way.
 */
static inline int pp_array_grow(void *array, size_t *cap, size_t need, size_t size, size_t max)
{
	void **p = array;
	size_t n;
	void *grown;

	if (need <= *cap)
		return 0;
	if (need > max)
		return -ENOSPC;
	n = MAX(*cap * 2, (size_t)16);
	n = MAX(n, need);
	n = MIN(n, max);
	grown = reallocarray(*p, n, size);
	if (!grown)
		return -ENOMEM;
	*p = grown;
	*cap = n;
	return 0;
}
