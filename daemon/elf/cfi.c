/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * .eh_frame is a list of entries: CIEs (what functions have in common) and FDEs (one per function,
 * referring back to a CIE). Two passes: collect the functions and sort them by address, then run
 * their programs in that order, so that rows come out sorted, whatever the file's order was. Where
 * functions overlap, the later one begins where it says and ends the earlier one, which is what a
 * search for the last entry at or before a pc does.
 *
 * libdw's CFI interface is not used: it costs 700 ns a row, libpython has 77,000.
 */
#include "elf/cfi.h"

#include "base/array.h"
#include "base/u64map.h"
#include "elf/cfi_program.h"

/* Bounds: the largest seen is chromium's, with a million functions. */
#define FDES_MAX (2U << 20)
#define CIES_MAX 65536
#define BAD_MAX	 (1U << 20)   /* broken entries: then it is not an .eh_frame */
#define ROWS_MAX (4U << 20)   /* more make no image that a table may have */
#define CODE_MAX (2048 * MIB) /* from the first function to the last: offsets are 32 bits */

struct fde {
	uint64_t start, end;
	uint32_t code, code_len; /* in the section */
	uint32_t cie;
	uint32_t order; /* in the file */
};

struct reader {
	struct pp_elf *elf;
	uint8_t *bytes;
	uint64_t size, address;
	struct pp_cfi_cie *cies;
	size_t nr_cies, cap_cies;
	struct pp_u64map by_offset; /* CIE's offset → number */
	struct fde *fdes;
	size_t nr_fdes, cap_fdes;
	struct pp_cfi *out;
};

static void reader_done(struct reader *r)
{
	free(r->bytes);
	free(r->cies);
	free(r->fdes);
	pp_u64map_done(&r->by_offset);
}

/* Makes room for one more. */
static int grow(void *array, size_t *cap, size_t len, size_t item, size_t max)
{
	int r = pp_array_grow(array, cap, len + 1, item, max);

	return r == -ENOSPC ? -E2BIG : r;
}

/* The section by its name or, in a file without section headers, by the search table's segment. */
static int load_eh_frame(struct reader *r)
{
	const Elf64_Shdr *s = pp_elf_section(r->elf, ".eh_frame");
	const Elf64_Phdr *hdr = NULL, *load = NULL;
	uint8_t head[12];
	struct pp_cursor c = { head + 4, head + sizeof(head), false };
	int ret;

	if (s) {
		r->address = s->sh_addr;
		r->size = s->sh_size;
		return pp_elf_section_load(r->elf, s, PP_CFI_SECTION_MAX, &r->bytes);
	}
	for (size_t i = 0; i < r->elf->nr_segments; i++)
		if (r->elf->segments[i].p_type == PT_GNU_EH_FRAME)
			hdr = &r->elf->segments[i];
	if (!hdr)
		return -ENODATA;
	ret = pp_elf_read(r->elf, hdr->p_offset, head, sizeof(head));
	if (ret < 0)
		return ret;
	if (head[0] != 1 || !pp_cfi_pointer(&c, head[1], head, hdr->p_vaddr, &r->address))
		return -EBADMSG;
	for (size_t i = 0; i < r->elf->nr_segments; i++) {
		const Elf64_Phdr *p = &r->elf->segments[i];

		if (p->p_type == PT_LOAD && r->address >= p->p_vaddr &&
		    r->address - p->p_vaddr < p->p_filesz)
			load = p;
	}
	if (!load)
		return -EBADMSG;
	/* Its end is not said: it goes on to a zero length, or the segment's end. */
	r->size = load->p_filesz - (r->address - load->p_vaddr);
	return pp_elf_load(r->elf, load->p_offset + (r->address - load->p_vaddr), r->size,
			   PP_CFI_SECTION_MAX, &r->bytes);
}

/* The augmentation string's letters, with the data they announce. */
static bool read_augmentation(struct reader *r, struct pp_cfi_cie *cie, const char *letters,
			      struct pp_cursor *c)
{
	struct pp_cursor data;
	uint64_t len, ignored;

	if (!*letters)
		return true;
	if (*letters++ != 'z')
		return false;
	cie->augmented = true;
	len = pp_cursor_uleb(c);
	data = (struct pp_cursor){ c->p, c->p, false };
	if (!pp_cursor_skip(c, len))
		return false;
	data.end = c->p;
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			cie->encoding = pp_cursor_u8(&data);
			break;
		case 'L':
			pp_cursor_u8(&data);
			break;
		case 'P': {
			/* How to reach the personality routine is of no interest, its size is. */
			uint8_t encoding = pp_cursor_u8(&data) & 0x0f;

			if (!pp_cfi_pointer(&data, encoding, r->bytes, r->address, &ignored))
				return false;
			break;
		}
		case 'S':
			cie->signal = true;
			break;
		default: /* the length lets us step over it, its meaning stays unknown */
			return false;
		}
	}
	return !data.bad;
}

static bool parse_cie(struct reader *r, struct pp_cfi_cie *cie, struct pp_cursor c)
{
	uint8_t version = pp_cursor_u8(&c);
	const char *letters = (const char *)c.p;
	uint64_t ra;

	if (version != 1 && version != 3)
		return false;
	if (!pp_cursor_skip(&c, strnlen(letters, pp_cursor_left(&c)) + 1))
		return false;
	cie->code_align = pp_cursor_uleb(&c);
	cie->data_align = pp_cursor_sleb(&c);
	ra = version == 1 ? pp_cursor_u8(&c) : pp_cursor_uleb(&c);
	if (ra != PP_REG_RIP || !read_augmentation(r, cie, letters, &c) || c.bad)
		return false;
	return pp_cfi_run_initial(cie, c);
}

/* A CIE is parsed when a function first refers to it; a broken one is remembered as such. */
static int get_cie(struct reader *r, uint64_t offset, uint32_t *ret)
{
	struct pp_cursor c = { r->bytes + offset, r->bytes + r->size, false };
	struct pp_cfi_cie *cie;
	uint64_t known, len;
	int ret2;

	if (pp_u64map_get(&r->by_offset, offset, &known)) {
		*ret = (uint32_t)known;
		return 0;
	}
	ret2 = grow(&r->cies, &r->cap_cies, r->nr_cies, sizeof(*r->cies), CIES_MAX);
	if (ret2 < 0)
		return ret2;
	cie = &r->cies[r->nr_cies];
	*cie = (struct pp_cfi_cie){ .bad = true };
	len = pp_cursor_uint(&c, 4);
	if (len == UINT32_MAX)
		len = pp_cursor_uint(&c, 8);
	if (!c.bad && len >= 4 && len <= pp_cursor_left(&c)) {
		c.end = c.p + len;
		cie->bad = pp_cursor_uint(&c, 4) != 0 || !parse_cie(r, cie, c);
	}
	ret2 = pp_u64map_put(&r->by_offset, offset, r->nr_cies);
	if (ret2 < 0)
		return ret2;
	*ret = (uint32_t)r->nr_cies++;
	return 0;
}

/* Returns 1: the function cannot be used. */
static int add_fde(struct reader *r, struct pp_cursor c, uint64_t cie_offset)
{
	const struct pp_cfi_cie *cie;
	struct fde f = { .order = (uint32_t)r->nr_fdes };
	uint64_t len;
	int ret;

	ret = get_cie(r, cie_offset, &f.cie);
	if (ret < 0)
		return ret;
	cie = &r->cies[f.cie];
	if (cie->bad || !pp_cfi_pointer(&c, cie->encoding, r->bytes, r->address, &f.start) ||
	    !pp_cfi_pointer(&c, cie->encoding & 0x0f, r->bytes, r->address, &len) || !len)
		return 1;
	if (cie->augmented)
		pp_cursor_skip(&c, pp_cursor_uleb(&c));
	if (c.bad || !pp_elf_is_code(r->elf, f.start, len))
		return 1;
	f.end = f.start + len;
	f.code = (uint32_t)(c.p - r->bytes);
	f.code_len = (uint32_t)pp_cursor_left(&c);
	ret = grow(&r->fdes, &r->cap_fdes, r->nr_fdes, sizeof(f), FDES_MAX);
	if (ret < 0)
		return ret;
	r->fdes[r->nr_fdes++] = f;
	return 0;
}

static int collect(struct reader *r, bool stop_at_zero)
{
	struct pp_cursor c = { r->bytes, r->bytes + r->size, false };

	while (pp_cursor_left(&c) >= 4) {
		struct pp_cursor entry;
		uint64_t len, id, id_at;
		int ret;

		len = pp_cursor_uint(&c, 4);
		if (len == 0) {
			if (stop_at_zero)
				break;
			continue; /* crtend's terminator may come before the last object's entries
				   */
		}
		if (len == UINT32_MAX)
			len = pp_cursor_uint(&c, 8);
		entry = (struct pp_cursor){ c.p, c.p, false };
		if (len < 4 || !pp_cursor_skip(&c, len)) {
			r->out->nr_bad++;
			break;
		}
		entry.end = c.p;
		id_at = (uint64_t)(entry.p - r->bytes);
		id = pp_cursor_uint(&entry, 4);
		if (id == 0)
			continue;
		ret = id <= id_at ? add_fde(r, entry, id_at - id) : 1;
		if (ret < 0)
			return ret;
		if (ret > 0 && ++r->out->nr_bad == BAD_MAX)
			return -EBADMSG;
	}
	return 0;
}

static int compare_fdes(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

int pp_cfi_add_row(struct pp_cfi *cfi, uint64_t address, uint32_t rule)
{
	uint32_t offset = (uint32_t)(address - cfi->start);
	int r;

	if (cfi->nr_rows && cfi->rows[cfi->nr_rows - 1].offset == offset)
		cfi->nr_rows--;
	if (cfi->nr_rows && cfi->rows[cfi->nr_rows - 1].rule == rule)
		return 0;
	r = grow(&cfi->rows, &cfi->cap_rows, cfi->nr_rows, sizeof(*cfi->rows), ROWS_MAX);
	if (r < 0)
		return r;
	cfi->rows[cfi->nr_rows++] = (struct pp_cfi_row){ offset, rule };
	return 0;
}

static int add_row(void *userdata, uint64_t address, uint32_t rule)
{
	return pp_cfi_add_row(userdata, address, rule);
}

static int run_function(struct reader *r, const struct fde *f, uint64_t end)
{
	struct pp_cfi_program p = {
		.cie = &r->cies[f->cie],
		.code = { r->bytes + f->code, r->bytes + f->code + f->code_len, false },
		.base = r->bytes,
		.base_address = r->address,
		.start = f->start,
		.end = end,
		.row = add_row,
		.userdata = r->out,
	};

	return pp_cfi_run(&p);
}

static int run_all(struct reader *r)
{
	const uint32_t none = PP_RULE(PP_RULE_NONE, 0, 0);
	uint64_t last_end = 0;
	int ret;

	for (size_t i = 0; i < r->nr_fdes; i++) {
		const struct fde *f = &r->fdes[i], *next = f + 1;
		bool last = i + 1 == r->nr_fdes;
		uint64_t end = f->end;

		if (!last && next->start < end)
			end = next->start;
		if (end - r->out->start > CODE_MAX)
			return -E2BIG;
		if (i && f->start > last_end) {
			ret = pp_cfi_add_row(r->out, last_end, none);
			if (ret < 0)
				return ret;
		}
		last_end = end;
		if (end == f->start) /* the same start as the next one's: that one wins */
			continue;
		ret = run_function(r, f, end);
		if (ret == -EBADMSG)
			r->out->nr_bad++;
		else if (ret < 0)
			return ret;
		r->out->nr_fdes++;
	}
	return pp_cfi_add_row(r->out, last_end, none);
}

int pp_cfi_read(struct pp_cfi *ret, struct pp_elf *elf)
{
	struct pp_cfi out = { 0 };
	struct reader r = { .elf = elf, .out = &out, .by_offset = { .max = CIES_MAX } };
	int e;

	if (elf->machine != EM_X86_64)
		return -ENODATA;
	e = load_eh_frame(&r);
	if (e == 0)
		e = collect(&r, !pp_elf_section(elf, ".eh_frame"));
	if (e == 0 && !r.nr_fdes)
		e = out.nr_bad ? -EBADMSG : -ENODATA;
	if (e == 0) {
		qsort(r.fdes, r.nr_fdes, sizeof(*r.fdes), compare_fdes);
		out.start = r.fdes[0].start;
		e = run_all(&r);
	}
	reader_done(&r);
	if (e < 0) {
		pp_cfi_done(&out);
		return e;
	}
	*ret = out;
	return 0;
}

uint32_t pp_cfi_frame_pointers(const struct pp_cfi *cfi)
{
	uint64_t all = 0, with = 0;

	for (size_t i = 0; i + 1 < cfi->nr_rows; i++) {
		uint32_t kind = PP_RULE_KIND(cfi->rows[i].rule);
		uint64_t bytes = cfi->rows[i + 1].offset - cfi->rows[i].offset;

		if (kind == PP_RULE_RBP)
			with += bytes;
		if (kind == PP_RULE_RBP || kind == PP_RULE_RSP)
			all += bytes;
	}
	return all ? (uint32_t)(with * 1000 / all) : 0;
}

void pp_cfi_done(struct pp_cfi *cfi)
{
	free(cfi->rows);
	*cfi = (struct pp_cfi){ 0 };
}
