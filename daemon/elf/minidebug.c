/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/minidebug.h"

#include <lzma.h>

/* Fedora's largest is a few MB unpacked; xz needs its dictionary besides (at most 64 MiB, -9). */
#define PACKED_MAX     (16 * MIB)
#define UNPACKED_MAX   (64 * MIB)
#define DICTIONARY_MAX (80 * MIB)

static void end_stream(lzma_stream *s)
{
	lzma_end(s);
}

static int unpack(lzma_stream *s, uint8_t **ret, size_t *ret_size)
{
	_cleanup_free_ uint8_t *out = NULL;
	size_t cap = 0, len = 0;
	lzma_ret r;

	do {
		if (len == cap) {
			uint8_t *p;

			if (cap >= UNPACKED_MAX)
				return -E2BIG;
			cap = cap ? cap * 2 : 256 * KIB;
			p = realloc(out, cap);
			if (!p)
				return -ENOMEM;
			out = p;
		}
		s->next_out = out + len;
		s->avail_out = cap - len;
		r = lzma_code(s, LZMA_FINISH);
		len = cap - s->avail_out;
	} while (r == LZMA_OK);
	if (r == LZMA_MEM_ERROR)
		return -ENOMEM;
	if (r != LZMA_STREAM_END)
		return -EBADMSG;
	*ret = TAKE_PTR(out);
	*ret_size = len;
	return 0;
}

int pp_minidebug_unpack(struct pp_elf *elf, uint8_t **ret, size_t *ret_size)
{
	const Elf64_Shdr *s = pp_elf_section(elf, ".gnu_debugdata");
	_cleanup_free_ uint8_t *packed = NULL;
	_cleanup_(end_stream) lzma_stream stream = LZMA_STREAM_INIT;
	int r;

	if (!s)
		return -ENODATA;
	r = pp_elf_section_load(elf, s, PACKED_MAX, &packed);
	if (r < 0)
		return r;
	if (lzma_stream_decoder(&stream, DICTIONARY_MAX, 0) != LZMA_OK)
		return -ENOMEM;
	stream.next_in = packed;
	stream.avail_in = s->sh_size;
	return unpack(&stream, ret, ret_size);
}
