/* SPDX-License-Identifier: GPL-2.0-only */
/* Fuzz target: line tables of code objects. The first byte says which kind and how far to look. */
#include "fuzz.h"
#include "proc/code.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum pp_code_lines kind;
	uint32_t first;

	if (size < 1 + sizeof(first))
		return 0;
	kind = (enum pp_code_lines)(data[0] % (PP_CODE_LOCATIONS + 1));
	memcpy(&first, data + 1, sizeof(first));
	data += 1 + sizeof(first);
	size -= 1 + sizeof(first);
	for (int64_t offset = -2; offset < 64; offset++)
		if (pp_code_line(kind, data, size, first, offset) > INT32_MAX)
			__builtin_trap();
	for (int64_t offset = 64; offset > 0 && offset < INT64_MAX / 4; offset *= 3)
		if (pp_code_line(kind, data, size, first, offset) > INT32_MAX)
			__builtin_trap();
	return 0;
}
