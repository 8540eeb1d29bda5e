/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/seam.h"

#include <string.h>

void pp_seam_add(struct pp_seam *s, const uint8_t *data, size_t len)
{
	size_t old = len < PP_SEAM_MAX ? MIN((size_t)s->len, PP_SEAM_MAX - len) : 0;
	size_t new = MIN(len, (size_t)PP_SEAM_MAX);

	memmove(s->last, s->last + s->len - old, old);
	memcpy(s->last + old, data + len - new, new);
	s->len = (uint32_t)(old + new);
}

bool pp_seam_fits(const struct pp_seam *s, const void *data, size_t len)
{
	return len >= s->len && memcmp(data, s->last, s->len) == 0;
}
