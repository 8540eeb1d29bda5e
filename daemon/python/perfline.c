/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/perfline.h"

#define DIGITS_MAX 16
/* User addresses have 56 bits at most (five-level page tables). */
#define ADDRESS_MAX (1ULL << 56)

/* Value of a hex digit + 1; 0: none. */
static const uint8_t digits[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* A hex number of at most DIGITS_MAX digits and the space behind it, from *p. */
static bool number(const char **p, const char *end, uint64_t *ret)
{
	const char *from = *p;
	uint64_t value = 0;
	const char *at;

	if (end - from > 2 && from[0] == '0' && (from[1] == 'x' || from[1] == 'X'))
		from += 2;
	for (at = from; at < end && digits[(uint8_t)*at]; at++)
		value = value << 4 | (digits[(uint8_t)*at] - 1U);
	if (at == from || at - from > DIGITS_MAX || at == end || *at != ' ')
		return false;
	*p = at + 1;
	*ret = value;
	return true;
}

bool pp_perfline_is_range(uint64_t start, uint64_t size)
{
	return size && size <= UINT32_MAX && start < ADDRESS_MAX && start + size <= ADDRESS_MAX;
}

enum pp_perfline_result pp_perfline_parse(const char *line, size_t len, struct pp_perfline *ret)
{
	const char *p = line, *end = line + len;
	uint64_t size;

	if (!number(&p, end, &ret->start))
		return PP_PERFLINE_ADDRESS;
	if (!number(&p, end, &size))
		return PP_PERFLINE_SIZE;
	if (!pp_perfline_is_range(ret->start, size))
		return PP_PERFLINE_RANGE;
	if (p == end)
		return PP_PERFLINE_NAME;
	ret->size = (uint32_t)size;
	ret->name = p;
	ret->len = (size_t)(end - p);
	return PP_PERFLINE_ENTRY;
}
