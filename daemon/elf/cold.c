/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GCC splits a function in two by profile: NAME, and NAME.cold far away, each with an entry of its
 * own in .eh_frame. The second one's symbol is local, so stripping takes it. For most functions
 * that is no loss; for CPython's interpreter loop it is: of Debian's 3.14 and 3.15 the loop itself,
 * 80 KiB of it, is the part that is called cold, and what remains under the name is its beginning.
 *
 * The two jump into the middle of each other, which separate functions do not. Here code is
 * searched for bytes that look like a jump by 32 bits, and of each the target is looked up among
 * the entries of .eh_frame. Some of those bytes are no jumps, and their targets are anywhere; so
 * one entry must be hit VOTES_MIN times by the function, and hit it as often.
 */
#include "elf/cold.h"

#include <string.h>

#define VOTES_MIN   4
#define ENTRIES_MAX (1U << 20) /* of .eh_frame_hdr: chromium has 800,000 */
#define CODE_MAX    (1 * MIB)  /* of one part: CPython's largest is 90 KB */
#define HEADER_SIZE 12	       /* version, three encodings, pointer to .eh_frame, count */
#define JUMP_MAX    6	       /* bytes of the longest jump */

/* The encodings that GNU ld and lld write: a table of pairs relative to itself, of 32 bits. */
static const uint8_t header[] = { 1, 0x1b, 0x03, 0x3b };

struct entry {
	int32_t code, fde; /* relative to the table */
};

struct cold {
	struct pp_elf *elf;
	uint64_t address; /* of .eh_frame_hdr */
	struct entry *entries;
	uint32_t nr;
	uint16_t *votes; /* of each entry */
};

static int load_entries(struct cold *c)
{
	const Elf64_Phdr *p = NULL;
	uint8_t head[HEADER_SIZE], *table;
	int r;

	for (size_t i = 0; i < c->elf->nr_segments && !p; i++)
		if (c->elf->segments[i].p_type == PT_GNU_EH_FRAME)
			p = &c->elf->segments[i];
	if (!p)
		return -ENOENT;
	c->address = p->p_vaddr;
	r = pp_elf_read(c->elf, p->p_offset, head, sizeof(head));
	if (r < 0)
		return r;
	memcpy(&c->nr, head + sizeof(header) + sizeof(int32_t), sizeof(c->nr));
	if (memcmp(head, header, sizeof(header)) != 0 || !c->nr || c->nr > ENTRIES_MAX)
		return -ENOENT;
	r = pp_elf_load(c->elf, p->p_offset + HEADER_SIZE, c->nr * sizeof(struct entry),
			ENTRIES_MAX * sizeof(struct entry), &table);
	if (r < 0)
		return r;
	c->entries = (struct entry *)table;
	c->votes = calloc(c->nr, sizeof(*c->votes));
	return c->votes ? 0 : -ENOMEM;
}

static uint64_t start_of(const struct cold *c, uint32_t i)
{
	return c->address + (uint64_t)(int64_t)c->entries[i].code;
}

/* The last entry that begins at or before address; nr: none does. */
static uint32_t entry_at(const struct cold *c, uint64_t address)
{
	uint32_t low = 0, high = c->nr;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (start_of(c, mid) <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : c->nr;
}

/* Bytes of code of an entry, from its FDE: length, CIE, first byte (relative to here), bytes. */
static int size_of(struct cold *c, uint32_t i, uint64_t *ret)
{
	uint64_t fde = c->address + (uint64_t)(int64_t)c->entries[i].fde, offset;
	struct {
		uint32_t length, cie;
		int32_t begin;
		uint32_t size;
	} f;
	int r;

	if (!pp_elf_address_to_offset(c->elf, fde, &offset))
		return -ENOENT;
	r = pp_elf_read(c->elf, offset, &f, sizeof(f));
	if (r < 0)
		return r;
	/* In another encoding it does not begin where the table says. */
	if (fde + 8 + (uint64_t)(int64_t)f.begin != start_of(c, i))
		return -ENOENT;
	*ret = f.size;
	return 0;
}

/* Whether a jump is here, as far as its bytes say; its target. */
static bool jump_at(const uint8_t *code, uint64_t address, uint64_t *ret)
{
	uint32_t len = code[0] == 0xe9 ? 5 : code[0] == 0x0f && (code[1] & 0xf0) == 0x80 ? 6 : 0;
	int32_t distance;

	if (!len)
		return false;
	memcpy(&distance, code + len - sizeof(distance), sizeof(distance));
	*ret = address + len + (uint64_t)(int64_t)distance;
	return true;
}

/* Counts the jumps of [start, start + size) into the middle of other entries. */
static int vote(struct cold *c, uint64_t start, uint64_t size)
{
	_cleanup_free_ uint8_t *code = NULL;
	uint64_t offset, target;
	int r;

	if (!pp_elf_address_to_offset(c->elf, start, &offset))
		return -ENOENT;
	r = pp_elf_load(c->elf, offset, size, CODE_MAX, &code);
	if (r < 0)
		return r;
	memset(c->votes, 0, c->nr * sizeof(*c->votes));
	for (uint64_t at = 0; at + JUMP_MAX <= size; at++) {
		uint32_t i;

		if (!jump_at(code + at, start + at, &target) ||
		    (target >= start && target - start < size))
			continue;
		i = entry_at(c, target);
		/* To its first byte: a call in the place of a return. */
		if (i < c->nr && target != start_of(c, i) && c->votes[i] < UINT16_MAX)
			c->votes[i]++;
	}
	return 0;
}

static int find(struct cold *c, uint64_t start, uint64_t size, uint64_t *ret_start,
		uint64_t *ret_size)
{
	uint32_t own = entry_at(c, start), best = 0;
	int r;

	if (own == c->nr || start_of(c, own) != start)
		return -ENOENT;
	r = vote(c, start, size);
	for (uint32_t i = 1; i < c->nr && r >= 0; i++)
		if (c->votes[i] > c->votes[best])
			best = i;
	if (r < 0 || c->votes[best] < VOTES_MIN)
		return r < 0 ? r : -ENOENT;
	r = size_of(c, best, ret_size);
	if (r < 0)
		return r;
	*ret_start = start_of(c, best);
	r = vote(c, *ret_start, *ret_size);
	if (r < 0)
		return r;
	return c->votes[own] < VOTES_MIN ? -ENOENT : 0;
}

int pp_cold_find(struct pp_elf *elf, uint64_t start, uint64_t size, uint64_t *ret_start,
		 uint64_t *ret_size)
{
	struct cold c = { .elf = elf };
	int r;

	r = load_entries(&c);
	if (r == 0)
		r = find(&c, start, size, ret_start, ret_size);
	free(c.entries);
	free(c.votes);
	return r == -EBADMSG || r == -E2BIG ? -ENOENT : r;
}
