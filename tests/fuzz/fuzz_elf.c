/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: bytes as an ELF file, through all that the worker does with one. What comes out
 * must hold up to the daemon's own checks: a table that validates and agrees with the rows it was
 * made of, names that lie where they say.
 *
 * A random file gets nowhere near an .eh_frame, so the first byte chooses: the rest is a whole
 * file, or the .eh_frame (or .symtab) of a file that is made around it.
 */
#include "fuzz.h"
#include "elf/cfi_gaps.h"
#include "elf/identity.h"
#include "elf/cold.h"
#include "elf/symbols.h"
#include "elf/table.h"

#include <string.h>

#define TEXT_ADDRESS 0x1000
#define TEXT_SIZE    0x10000
#define DATA_OFFSET  0x400
#define DATA_MAX     (256 * KIB)

static void check_table(struct pp_elf *elf)
{
	_cleanup_cfi_ struct pp_cfi cfi = { 0 };
	_cleanup_buf_ struct pp_buf buf = PP_BUF(PP_TABLE_IMAGE_MAX);
	struct pp_table_image image;

	if (pp_cfi_read(&cfi, elf) < 0)
		return;
	require(pp_cfi_fill_gaps(&cfi, elf) == 0);
	require(cfi.nr_rows > 0 && cfi.rows[0].offset == 0);
	for (size_t i = 1; i < cfi.nr_rows; i++)
		require(cfi.rows[i].offset > cfi.rows[i - 1].offset &&
			cfi.rows[i].rule != cfi.rows[i - 1].rule);
	if (pp_table_build(&buf, &cfi) < 0)
		return;
	require(pp_table_image_validate(&image, buf.data, buf.len) == 0);
	for (size_t i = 0; i < cfi.nr_rows && image.nr_rules < PP_RULES_MAX; i++)
		require(pp_table_image_lookup(&image, cfi.start + cfi.rows[i].offset) ==
			cfi.rows[i].rule);
}

static void check_names(struct pp_elf *elf)
{
	_cleanup_(pp_symbols_freep) struct pp_symbols *symbols = NULL;
	static struct pp_symbol_hit hit;

	if (pp_symbols_new(&symbols, elf, NULL) < 0)
		return;
	for (uint64_t address = 0; address < TEXT_ADDRESS + TEXT_SIZE; address += 333) {
		if (!pp_symbols_lookup(symbols, elf, NULL, address, &hit))
			continue;
		require(address >= hit.start && address - hit.start < hit.size);
		require(strnlen(hit.name, sizeof(hit.name)) < sizeof(hit.name));
	}
}

static void check_cold(struct pp_elf *elf)
{
	uint64_t start, size;

	for (uint64_t at = TEXT_ADDRESS; at < TEXT_ADDRESS + TEXT_SIZE; at += TEXT_SIZE / 8)
		if (pp_cold_find(elf, at, TEXT_SIZE / 8, &start, &size) == 0)
			require(start != at && size > 0);
}

static void check_file(const uint8_t *data, size_t size)
{
	_cleanup_elf_ struct pp_elf *elf = NULL;
	struct pp_elf_info info;

	if (pp_elf_new_memory(&elf, data, size) < 0)
		return;
	if (pp_identify(elf, &info) == 0)
		require(info.nr_segments <= PP_OBJECT_SEGMENTS_MAX &&
			info.build_id_len <= PP_ELF_BUILD_ID_MAX);
	check_table(elf);
	check_names(elf);
	check_cold(elf);
}

/* A file with one segment of code and the input as one section, which is also the string table. */
static void check_section(const uint8_t *data, size_t size, uint32_t type)
{
	static uint8_t file[DATA_OFFSET + DATA_MAX];
	static const char names[] = "\0.eh_frame";
	Elf64_Ehdr *h = (Elf64_Ehdr *)file;
	Elf64_Phdr *p = (Elf64_Phdr *)(file + 0x40);
	Elf64_Shdr *s = (Elf64_Shdr *)(file + 0x100);

	if (size > DATA_MAX)
		return;
	memset(file, 0, DATA_OFFSET);
	memcpy(h->e_ident, ELFMAG "\2\1\1", 7);
	h->e_type = ET_DYN;
	h->e_machine = EM_X86_64;
	h->e_phoff = 0x40;
	h->e_phentsize = sizeof(*p);
	h->e_phnum = 1;
	h->e_shoff = 0x100;
	h->e_shentsize = sizeof(*s);
	h->e_shnum = 3;
	h->e_shstrndx = 2;
	*p = (Elf64_Phdr){ .p_type = PT_LOAD,
			   .p_flags = PF_R | PF_X,
			   .p_vaddr = TEXT_ADDRESS,
			   .p_filesz = DATA_OFFSET,
			   .p_memsz = TEXT_SIZE };
	s[1] = (Elf64_Shdr){ .sh_name = 1,
			     .sh_type = type,
			     .sh_addr = TEXT_ADDRESS + TEXT_SIZE,
			     .sh_offset = DATA_OFFSET,
			     .sh_size = size,
			     .sh_link = 2 };
	s[2] = (Elf64_Shdr){
		.sh_name = 0, .sh_type = SHT_STRTAB, .sh_offset = 0x300, .sh_size = 0x100
	};
	memcpy(file + 0x300, names, sizeof(names));
	memcpy(file + DATA_OFFSET, data, size);
	check_file(file, DATA_OFFSET + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		check_file(data + 1, size - 1);
		break;
	case 1:
		check_section(data + 1, size - 1, SHT_SYMTAB);
		break;
	default:
		check_section(data + 1, size - 1, SHT_PROGBITS);
	}
	return 0;
}
