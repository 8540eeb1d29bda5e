/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stub is `jmp *SLOT(%rip)`, with or without endbr64 and a bnd prefix before it. The relocation
 * that fills SLOT names the function. Reading the stub itself covers every layout linkers have used
 * (.plt, .plt.sec, .plt.got, -z now), where counting entries covers one.
 */
#include "elf/plt.h"

#include <string.h>

#define PLT_SECTIONS_MAX 4
#define STUB_BYTES_MAX	 16
#define RELOCATIONS_MAX	 (32 * MIB) /* bytes of one section; chromium's .rela.dyn has 10 MB */
#define SLOTS_MAX	 65536
#define SLOTS_STEP	 1024

struct slot {
	uint64_t address;
	uint32_t name; /* in .dynstr */
};

struct pp_plt {
	struct {
		uint64_t start, size, stub;
	} sections[PLT_SECTIONS_MAX];
	size_t nr_sections;
	struct slot *slots; /* by address */
	size_t nr_slots;
};

static int compare_slots(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static void find_sections(struct pp_plt *p, const struct pp_elf *elf)
{
	static const char *const names[] = { ".plt", ".plt.sec", ".plt.got", ".plt.bnd" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const Elf64_Shdr *s = pp_elf_section(elf, names[i]);

		/* .plt.got's entries may be 8 bytes; the header says so, or says nothing. */
		if (!s || !pp_elf_is_code(elf, s->sh_addr, s->sh_size))
			continue;
		p->sections[p->nr_sections].start = s->sh_addr;
		p->sections[p->nr_sections].size = s->sh_size;
		p->sections[p->nr_sections++].stub = s->sh_entsize == 8 ? 8 : STUB_BYTES_MAX;
	}
}

static int add_relocations(struct pp_plt *p, struct pp_elf *elf, const Elf64_Shdr *s,
			   const Elf64_Sym *symbols, size_t nr_symbols)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t n = s->sh_size / sizeof(Elf64_Rela);
	int r;

	r = pp_elf_section_load(elf, s, RELOCATIONS_MAX, &bytes);
	if (r < 0)
		return r == -ENOMEM || r == -EIO ? r : 0;
	for (size_t i = 0; i < n && p->nr_slots < SLOTS_MAX; i++) {
		const Elf64_Rela *rela = (const Elf64_Rela *)bytes + i;
		uint64_t type = ELF64_R_TYPE(rela->r_info), symbol = ELF64_R_SYM(rela->r_info);
		struct slot *slots;

		if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || !symbol ||
		    symbol >= nr_symbols)
			continue;
		if (p->nr_slots % SLOTS_STEP == 0) {
			slots = realloc(p->slots, (p->nr_slots + SLOTS_STEP) * sizeof(*slots));
			if (!slots)
				return -ENOMEM;
			p->slots = slots;
		}
		p->slots[p->nr_slots++] = (struct slot){ rela->r_offset, symbols[symbol].st_name };
	}
	return 0;
}

static int read_slots(struct pp_plt *p, struct pp_elf *elf)
{
	const Elf64_Shdr *dynsym = pp_elf_section_type(elf, SHT_DYNSYM);
	_cleanup_free_ uint8_t *symbols = NULL;
	int r;

	if (!dynsym)
		return 0;
	r = pp_elf_section_load(elf, dynsym, RELOCATIONS_MAX, &symbols);
	if (r < 0)
		return r == -ENOMEM || r == -EIO ? r : 0;
	for (size_t i = 0; i < elf->nr_sections; i++) {
		if (elf->sections[i].sh_type != SHT_RELA)
			continue;
		r = add_relocations(p, elf, &elf->sections[i], (const Elf64_Sym *)symbols,
				    dynsym->sh_size / sizeof(Elf64_Sym));
		if (r < 0)
			return r;
	}
	return 0;
}

int pp_plt_new(struct pp_plt **ret, struct pp_elf *elf)
{
	_cleanup_(pp_plt_freep) struct pp_plt *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	find_sections(p, elf);
	if (p->nr_sections) {
		r = read_slots(p, elf);
		if (r < 0)
			return r;
	}
	if (p->nr_slots)
		qsort(p->slots, p->nr_slots, sizeof(*p->slots), compare_slots);
	*ret = TAKE_PTR(p);
	return 0;
}

struct pp_plt *pp_plt_free(struct pp_plt *p)
{
	if (!p)
		return NULL;
	free(p->slots);
	free(p);
	return NULL;
}

/* The address of the slot that the stub jumps through. */
static bool decode(const uint8_t *code, size_t len, uint64_t address, uint64_t *ret_slot)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	size_t at = 0;
	int32_t displacement;

	if (len >= sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	if (at < len && code[at] == 0xf2) /* bnd */
		at++;
	if (at + 6 > len || code[at] != 0xff || code[at + 1] != 0x25)
		return false;
	memcpy(&displacement, code + at + 2, 4);
	*ret_slot = address + at + 6 + (uint64_t)(int64_t)displacement;
	return true;
}

bool pp_plt_lookup(struct pp_plt *p, struct pp_elf *elf, uint64_t address, uint64_t *ret_start,
		   uint64_t *ret_size, uint32_t *ret_name)
{
	uint8_t code[STUB_BYTES_MAX];
	uint64_t start, offset;
	struct slot key, *found;

	for (size_t i = 0; i < p->nr_sections; i++) {
		uint64_t in = address - p->sections[i].start;

		if (in >= p->sections[i].size)
			continue;
		start = address - in % p->sections[i].stub;
		if (!pp_elf_address_to_offset(elf, start, &offset) ||
		    pp_elf_read(elf, offset, code, p->sections[i].stub) < 0 ||
		    !decode(code, p->sections[i].stub, start, &key.address) || !p->nr_slots)
			return false;
		found = bsearch(&key, p->slots, p->nr_slots, sizeof(key), compare_slots);
		if (!found)
			return false;
		*ret_start = start;
		*ret_size = p->sections[i].stub;
		*ret_name = found->name;
		return true;
	}
	return false;
}

size_t pp_plt_memory(const struct pp_plt *p)
{
	return sizeof(*p) + p->nr_slots * sizeof(*p->slots);
}
