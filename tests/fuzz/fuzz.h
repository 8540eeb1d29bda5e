/* SPDX-License-Identifier: GPL-2.0-only */
/* What every libFuzzer target has. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding where the condition does not hold. */
static inline void require(bool condition)
{
	if (!condition)
		__builtin_trap();
}
