/* SPDX-License-Identifier: GPL-2.0-only */
/* Looks for trampolines in memory that no file backs. */
#include "arenas.h"

#include <string.h>

#define PAGE	  4096
#define PAGES_MAX (1U << 18) /* of generated code, looked at: 1 GB */
#define CODE_MAX  16

/* Each page of an arena begins with one: their distance, 16 or 32 bytes, divides a page. */
static bool is_trampoline(const uint8_t *code)
{
	static const uint8_t endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	/* push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret */
	static const uint8_t push[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd1, 0x5d, 0xc3 };
	/* sub $8,%rsp; call *%rcx; add $8,%rsp; ret */
	static const uint8_t sub[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd1,
				       0x48, 0x83, 0xc4, 0x08, 0xc3 };

	if (memcmp(code, endbr, sizeof(endbr)) == 0)
		code += sizeof(endbr);
	return memcmp(code, push, sizeof(push)) == 0 || memcmp(code, sub, sizeof(sub)) == 0;
}
_Static_assert(4 + 11 <= CODE_MAX, "the longest form fits");

struct search {
	const struct pp_target *target;
	uint32_t pages;
};

static int look(const struct pp_map *m, void *arg)
{
	struct search *s = arg;
	uint8_t code[CODE_MAX];

	if (!m->executable || m->inode || m->end > INT64_MAX)
		return 0;
	for (uint64_t at = m->start; at < m->end; at += PAGE) {
		if (s->pages++ >= PAGES_MAX)
			return -E2BIG;
		if (pp_target_read(s->target, at, code, sizeof(code)) && is_trampoline(code))
			return 1;
	}
	return 0;
}

int pp_arenas_find(const struct pp_target *t)
{
	return pp_target_maps(t, look, &(struct search){ .target = t });
}
