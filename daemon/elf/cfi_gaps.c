/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the functions that .eh_frame describes there may be some that it does not. Compilers
 * leave none out, authors of assembly do. Without a row the walk falls back on the frame pointer,
 * which the callers of such code seldom keep.
 *
 * Undescribed functions that programs spend time in are known here by their instructions, whatever
 * file they have been linked into. They are few, short and leaves, so a shape is the bytes of the
 * whole function and one place where the distance from rsp to the return address changes:
 *
 *   - libffi's static trampolines, a page of copies that it maps once for every page of callbacks
 *     (ctypes, cffi, GObject): each pushes two words and jumps on;
 *   - where they jump to, ffi_closure_*_alt: takes the two words off again and jumps on.
 *
 * Only gaps are looked at, at multiples of 8, where these functions begin; an endbr64 comes first
 * where the build has branch protection.
 */
#include "elf/cfi_gaps.h"

#include <string.h>

#define ALIGNMENT 8U
/* No shape fits into less, and it is more than what pads a function to 16 bytes. */
#define GAP_MIN 16U
/* A page of trampolines and its surroundings; what is larger is another language's code. */
#define GAP_MAX (64 * KIB)
/* What is read of one file: the largest seen cost 110 ms from a cold disk (libLLVM), 8 ms warm. */
#define GAPS_MAX 1024
#define READ_MAX (1 * MIB)

#define SHAPE_MAX 32
#define ANY	  (-1)
#define ANY4	  ANY, ANY, ANY, ANY

static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

struct shape {
	int16_t code[SHAPE_MAX];
	uint8_t len;
	uint8_t change; /* from this offset on the second rule holds */
	uint32_t rules[2];
};

static const struct shape shapes[] = {
	{
		/* sub $16,%rsp; mov %r10,(%rsp); mov DATA(%rip),%r10; mov %r10,8(%rsp);
		 * mov CODE(%rip),%r10; jmp *%r10 */
		.code = { 0x48, 0x83, 0xec, 0x10, 0x4c, 0x89, 0x14, 0x24, 0x4c, 0x8b, 0x15, ANY4,
			  0x4c, 0x89, 0x54, 0x24, 0x08, 0x4c, 0x8b, 0x15, ANY4, 0x41, 0xff, 0xe2 },
		.len = 30,
		.change = 4,
		.rules = { PP_RULE(PP_RULE_RSP, 1, 0), PP_RULE(PP_RULE_RSP, 3, 0) },
	},
	{
		/* mov 8(%rsp),%r10; add $16,%rsp; jmp */
		.code = { 0x4c, 0x8b, 0x54, 0x24, 0x08, 0x48, 0x83, 0xc4, 0x10, 0xe9, ANY4 },
		.len = 14,
		.change = 9,
		.rules = { PP_RULE(PP_RULE_RSP, 3, 0), PP_RULE(PP_RULE_RSP, 1, 0) },
	},
	{
		/* The same with a short jump. */
		.code = { 0x4c, 0x8b, 0x54, 0x24, 0x08, 0x48, 0x83, 0xc4, 0x10, 0xeb, ANY },
		.len = 11,
		.change = 9,
		.rules = { PP_RULE(PP_RULE_RSP, 3, 0), PP_RULE(PP_RULE_RSP, 1, 0) },
	},
};

struct filler {
	struct pp_elf *elf;
	struct pp_cfi out;
	uint8_t *code; /* GAP_MAX */
	size_t gaps, bytes;
};

static const struct shape *shape_at(const uint8_t *code, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];
		size_t n = 0;

		if (s->len > len)
			continue;
		while (n < s->len && (s->code[n] == ANY || s->code[n] == code[n]))
			n++;
		if (n == s->len)
			return s;
	}
	return NULL;
}

static uint64_t aligned(uint64_t address)
{
	return (address + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* Adds the rows of what is known in [address, address + len), whose code has been read. */
static int fill(struct filler *f, uint64_t address, size_t len)
{
	size_t at = aligned(address) - address;
	int r = 0;

	while (at < len && r == 0) {
		bool marked = len - at > sizeof(endbr64) &&
			      memcmp(f->code + at, endbr64, sizeof(endbr64)) == 0;
		size_t body = at + (marked ? sizeof(endbr64) : 0), end;
		const struct shape *s = shape_at(f->code + body, len - body);

		if (!s) {
			at += ALIGNMENT;
			continue;
		}
		/* What pads it is never run: included, it costs no row of its own. */
		end = MIN(len, aligned(address + body + s->len) - address);
		r = pp_cfi_add_row(&f->out, address + at, s->rules[0]);
		if (r == 0)
			r = pp_cfi_add_row(&f->out, address + body + s->change, s->rules[1]);
		if (r == 0)
			r = pp_cfi_add_row(&f->out, address + end, PP_RULE(PP_RULE_NONE, 0, 0));
		at = end;
	}
	return r;
}

/* Behind the last function there may be more code up to the segment's end. */
static uint64_t code_end(const struct pp_elf *e, uint64_t address)
{
	for (size_t i = 0; i < e->nr_segments; i++) {
		const Elf64_Phdr *p = &e->segments[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X && address >= p->p_vaddr &&
		    address - p->p_vaddr < p->p_filesz)
			return p->p_vaddr + p->p_filesz;
	}
	return address;
}

static int fill_gap(struct filler *f, uint64_t start, uint64_t end)
{
	uint64_t len = end - start, offset;
	int r;

	if (len < GAP_MIN || len > GAP_MAX || f->gaps == GAPS_MAX || len > READ_MAX - f->bytes ||
	    !pp_elf_address_to_offset(f->elf, start, &offset))
		return 0;
	f->gaps++;
	f->bytes += len;
	r = pp_elf_read(f->elf, offset, f->code, len);
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	return fill(f, start, len);
}

static int fill_all(struct filler *f, const struct pp_cfi *in)
{
	int r = 0;

	for (size_t i = 0; i < in->nr_rows && r == 0; i++) {
		const struct pp_cfi_row *row = &in->rows[i];
		uint64_t start = in->start + row->offset, end;

		r = pp_cfi_add_row(&f->out, start, row->rule);
		if (r < 0 || row->rule != PP_RULE(PP_RULE_NONE, 0, 0))
			continue;
		end = i + 1 < in->nr_rows ? in->start + row[1].offset : code_end(f->elf, start);
		r = fill_gap(f, start, end);
	}
	return r;
}

int pp_cfi_fill_gaps(struct pp_cfi *cfi, struct pp_elf *elf)
{
	_cleanup_free_ uint8_t *code = malloc(GAP_MAX);
	struct filler f = { .elf = elf, .code = code };
	int r;

	if (!code)
		return -ENOMEM;
	f.out.start = cfi->start;
	f.out.nr_fdes = cfi->nr_fdes;
	f.out.nr_bad = cfi->nr_bad;
	r = fill_all(&f, cfi);
	if (r < 0) {
		pp_cfi_done(&f.out);
		return r;
	}
	pp_cfi_done(cfi);
	*cfi = f.out;
	return 0;
}
