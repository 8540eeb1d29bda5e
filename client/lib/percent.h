/* SPDX-License-Identifier: GPL-2.0-only */
/* Shares in percent. */
#pragma once

#include <math.h>
#include <stdint.h>

static inline double pp_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* Rounded down to so many decimals: what is not all does not read 100%. */
static inline double pp_percent_down(uint64_t part, uint64_t whole, int decimals)
{
	double scale = pow(10, decimals);

	return floor(pp_percent(part, whole) * scale) / scale;
}
