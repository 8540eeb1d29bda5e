/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPython's symbols are exported from whatever holds the interpreter, and stripping keeps them; a
 * program that embeds it may have them in .symtab only, or not at all. Then the section that the
 * runtime has for itself (3.10 and later) tells where it is.
 */
#include "elf/runtime.h"

#include <string.h>

#define SYMTAB_MAX (64 * MIB) /* looked through for CPython's symbols */
#define STRTAB_MAX (64 * MIB)

#define VERSION(minor)	  (3U << 24 | (uint32_t)(minor) << 16)
#define DEBUG_COOKIE	  "xdebugpy" /* how _Py_DebugOffsets, the runtime's first member, begins */
#define DEBUG_COOKIE_SIZE 8
#define PYPY_SYMBOL	  "pypy_main_startup"

/* Versions that do not say what they are are known by the functions that each added. */
static const struct {
	const char *symbol;
	uint32_t version;
} additions[] = {
	{ "PyCode_NewWithPosOnlyArgs", VERSION(8) },
	{ "PyObject_CallNoArgs", VERSION(9) },
	{ "PyIter_Send", VERSION(10) },
};

static void read_version(struct pp_elf *elf, uint64_t address, struct pp_elf_python *py)
{
	uint64_t offset, value;

	if (pp_elf_address_to_offset(elf, address, &offset) &&
	    pp_elf_read(elf, offset, &value, sizeof(value)) == 0 && value >> 24 == 3)
		py->version = (uint32_t)value;
}

/* What takes the GIL: the function itself, of which there is no trace in a stripped file, and those
 * of its callers that are exported. A compiler makes copies of a function, and gives them suffixes.
 */
static void take_taker(const char *name, const struct pp_elf_range *range, struct pp_elf_python *py)
{
	static const char *const names[] = { "take_gil", "PyEval_RestoreThread",
					     "PyEval_AcquireThread" };
	size_t len = strcspn(name, "."), i = 0;

	while (i < ARRAY_SIZE(names) &&
	       (strlen(names[i]) != len || strncmp(name, names[i], len) != 0))
		i++;
	if (i == ARRAY_SIZE(names) || !range->len)
		return;
	/* An exported one is in both tables. */
	for (i = 0; i < PP_ELF_TAKERS && py->takers[i].len; i++)
		if (py->takers[i].start == range->start)
			return;
	if (i < PP_ELF_TAKERS)
		py->takers[i] = *range;
}

static void take_symbol(struct pp_elf *elf, const Elf64_Sym *sym, const char *name,
			struct pp_elf_python *py)
{
	struct pp_elf_range range = { sym->st_value, sym->st_size };

	if (!strcmp(name, "_PyRuntime"))
		py->runtime = sym->st_value;
	else if (!strcmp(name, PYPY_SYMBOL))
		py->pypy = 1;
	else if (!strcmp(name, "PyCode_Type"))
		py->code_type = sym->st_value;
	else if (!strcmp(name, "_Py_next_func_version")) /* a static one of 3.12 */
		py->next_code = sym->st_value;
	else if (!strcmp(name, "_PyEval_EvalFrameDefault"))
		py->eval = range;
	else if (!strcmp(name, "_PyEval_EvalFrameDefault.cold"))
		py->eval_cold = range;
	else if (!strcmp(name, "Py_Version")) /* a `const unsigned long` */
		read_version(elf, sym->st_value, py);
	take_taker(name, &range, py);
	for (size_t i = 0; i < ARRAY_SIZE(additions); i++)
		if (!strcmp(name, additions[i].symbol) && py->version < additions[i].version)
			py->version = additions[i].version;
}

static int take_symbols(struct pp_elf *elf, const Elf64_Shdr *table, struct pp_elf_python *py)
{
	_cleanup_free_ uint8_t *symbols = NULL, *strings = NULL;
	const Elf64_Shdr *names;
	int r;

	if (!table || table->sh_link >= elf->nr_sections)
		return 0;
	names = &elf->sections[table->sh_link];
	r = pp_elf_section_load(elf, names, STRTAB_MAX, &strings);
	/* Almost every file: the string table alone says no. */
	if (r == 0 && !memmem(strings, names->sh_size, "_PyRuntime", sizeof("_PyRuntime")) &&
	    !memmem(strings, names->sh_size, PYPY_SYMBOL, sizeof(PYPY_SYMBOL)))
		return 0;
	if (r == 0)
		r = pp_elf_section_load(elf, table, SYMTAB_MAX, &symbols);
	if (r < 0)
		return r == -ENOMEM || r == -EIO ? r : 0;
	for (size_t i = 0; i < table->sh_size / sizeof(Elf64_Sym); i++) {
		const Elf64_Sym *sym = (const Elf64_Sym *)symbols + i;

		if (sym->st_shndx != SHN_UNDEF && sym->st_name < names->sh_size)
			take_symbol(elf, sym, (const char *)strings + sym->st_name, py);
	}
	return 0;
}

/* 3.13 and later describe themselves at the runtime's address. */
static void read_debug_offsets(struct pp_elf *elf, struct pp_elf_python *py)
{
	char cookie[DEBUG_COOKIE_SIZE];
	uint64_t offset;

	if (pp_elf_address_to_offset(elf, py->runtime, &offset) &&
	    pp_elf_read(elf, offset, cookie, sizeof(cookie)) == 0 &&
	    !memcmp(cookie, DEBUG_COOKIE, sizeof(cookie)))
		read_version(elf, py->runtime + sizeof(cookie), py);
}

int pp_find_runtime(struct pp_elf *elf, struct pp_elf_python *ret)
{
	const Elf64_Shdr *section = pp_elf_section(elf, ".PyRuntime");
	int r;

	*ret = (struct pp_elf_python){ 0 };
	r = take_symbols(elf, pp_elf_section_type(elf, SHT_DYNSYM), ret);
	/* Also where the exported ones were found: the loop's cold part is never exported. */
	if (r == 0)
		r = take_symbols(elf, pp_elf_section_type(elf, SHT_SYMTAB), ret);
	if (r < 0)
		return r;
	if (!ret->runtime && section)
		ret->runtime = section->sh_addr;
	if (!ret->runtime)
		*ret = (struct pp_elf_python){ .pypy = ret->pypy };
	else
		read_debug_offsets(elf, ret);
	return 0;
}
