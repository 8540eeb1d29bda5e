/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: bytes as the memory of a process that says it has a CPython runtime. They lie
 * at a fixed address of this process, and the reader's inspection reads them as it would another's.
 * Addresses in them that are meant to lead to them are kept there by their upper bytes: a corpus
 * file works wherever it is run.
 *
 * The first 8 bytes are the version that the file is said to have; then comes the memory, with the
 * runtime at its beginning.
 */
#include "forged_memory.h"
#include "proc/pylayout.h"

/* What BPF relies on. */
static void check_layout(const struct pp_layout *l)
{
	require(l->state_bytes && l->state_bytes <= PP_STATE_BYTES_MAX);
	require(l->state_frame >= l->state_first &&
		l->state_frame + 8U <= l->state_first + l->state_bytes);
	require(l->state_thread >= l->state_first &&
		l->state_thread + 8U <= l->state_first + l->state_bytes);
	require(l->frame_bytes && l->frame_bytes <= PP_PYFRAME_BYTES_MAX);
	require(l->frame_code + 8U <= l->frame_bytes && l->frame_previous + 8U <= l->frame_bytes &&
		l->frame_position + 4U <= l->frame_bytes && l->frame_owner < l->frame_bytes);
	require(l->form <= PP_FRAMES_ENTRIES);
}

static void check_description(uint32_t version, const uint8_t *memory)
{
	struct pp_pylayout l;

	if (pp_pylayout_find(version, memory, PP_PYLAYOUT_DEBUG_MAX, &l) == 0)
		check_layout(&l.chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pp_reader_answer a = { .fd = -1, .text = PP_BUF(PP_READER_TEXT_MAX) };
	struct pp_inspect what = { .runtime = ARENA };
	const struct pp_opened *self;
	struct pp_inspected found;

	if (size < 8 || size - 8 > ARENA_BYTES)
		return 0;
	memcpy(&what.version, data, sizeof(what.version));
	self = forge_memory(data + 8, size - 8);
	check_description(what.version, (const uint8_t *)ARENA);
	require(pp_reader_do_inspect(self, &what, &a) == 0);
	require(a.nr_texts == 1 && a.head.text_len[0] == sizeof(found));
	memcpy(&found, a.text.data, sizeof(found));
	require((unsigned int)found.answer < PP_INSPECT_ANSWERS);
	if (found.answer == PP_INSPECT_OK)
		check_layout(&found.layout);
	pp_buf_done(&a.text);
	return 0;
}
