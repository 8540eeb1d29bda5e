/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: bytes as the memory of a process that says it has code objects. They lie at a
 * fixed address of this process, and the reader reads them as it would another's: each answer must
 * be whole, and no longer than a message.
 *
 * The first 8 bytes choose version, build, and how its code objects are numbered; the next 24 are
 * an item; then comes the memory, whose first code object is at its beginning.
 */
#include "forged_memory.h"

#define HEAD (8 + sizeof(struct pp_code_item))

static void check_answer(const struct pp_reader_answer *a)
{
	size_t left = a->head.text_len[0];
	const uint8_t *at = a->text.data;
	struct pp_code_record r;

	require(left <= PP_READER_TEXT_MAX);
	while (left) {
		require(left >= sizeof(r));
		memcpy(&r, at, sizeof(r));
		require(r.error < PP_CODE_ERRORS);
		require(r.name_len <= PP_CODE_TEXT_MAX && r.file_len <= PP_CODE_TEXT_MAX);
		require(r.line <= INT32_MAX);
		require(left - sizeof(r) >= r.name_len + r.file_len);
		at += sizeof(r) + r.name_len + r.file_len;
		left -= sizeof(r) + r.name_len + r.file_len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pp_reader_answer a = { .fd = -1, .text = PP_BUF(PP_READER_TEXT_MAX) };
	struct pp_reader_request q = { 0 };
	const struct pp_opened *self;
	struct pp_code_item items[4];

	if (size < HEAD || size - HEAD > ARENA_BYTES)
		return 0;
	q.runtime.version = 3U << 24 | (8U + data[0] % 8U) << 16;
	q.runtime.threaded = data[1] & 1;
	q.runtime.next_code = data[2] & 1 ? ARENA + 8 : 0;
	q.runtime.interpreters = data[3] & 1 ? ARENA + 16 : 0;
	q.runtime.image_at = data[4] & 1 ? ARENA + 32 : 0;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] =
			(struct pp_code_item){ .code = ARENA + 512 * i, .position = ARENA + 200 };
	memcpy(&items[1], data + 8, sizeof(items[1]));
	items[3] = items[1]; /* one that is asked for twice */
	self = forge_memory(data + HEAD, size - HEAD);
	if (pp_reader_do_codes(self, &q, items, ARRAY_SIZE(items), &a) == 0)
		check_answer(&a);
	pp_buf_done(&a.text);
	return 0;
}
