/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/symbols.h"

#include "elf/cold.h"
#include "elf/demangle.h"
#include "elf/minidebug.h"
#include "elf/plt.h"
#include "elf/symbol_list.h"

#include <stdio.h>
#include <string.h>

#define SYMTAB_MAX   (256 * MIB) /* bytes of one symbol table */
#define STRINGS_MAX  (16 * MIB)	 /* of .dynsym, searched for one name: CPython's are 100 KB */
#define RAW_NAME_MAX 4096	 /* longer mangled names are cut: they demangle to nothing then */

/* Where a symbol's name is. */
enum source {
	SOURCE_SYMTAB,
	SOURCE_DEBUG,
	SOURCE_MINI,
	SOURCE_DYNSYM,
	NR_SOURCES,
};

struct pp_symbols {
	uint64_t base, span; /* the executable segments */
	struct pp_symbol_list sized, labels;
	struct {
		uint64_t offset, size;
	} strings[NR_SOURCES];
	uint8_t *mini; /* the unpacked MiniDebugInfo */
	size_t mini_size;
	struct pp_plt *plt;
	/* The part of the interpreter's loop that has lost its symbol; size 0: there is none. */
	struct {
		uint64_t start, size;
		uint32_t name; /* of the other part, in .dynsym's strings */
	} cold;
};

#define LOOP "_PyEval_EvalFrameDefault" /* CPython's, exported by every build */

static uint8_t rank(unsigned int binding)
{
	switch (binding) {
	case STB_GLOBAL:
	case STB_GNU_UNIQUE:
		return 3;
	case STB_LOCAL:
		return 2;
	default:
		return 1;
	}
}

/*
 * A label without a size stands for the code up to the next symbol. That holds where the table
 * names everything; one that was thinned out (.dynsym, MiniDebugInfo) would lend the label's name
 * to the functions that are missing from it.
 */
static bool may_hold_labels(enum source source)
{
	return source == SOURCE_SYMTAB || source == SOURCE_DEBUG;
}

static int add_symbol(struct pp_symbols *s, const Elf64_Sym *sym, enum source source, bool *local)
{
	unsigned int type = ELF64_ST_TYPE(sym->st_info);
	struct pp_symbol out = {
		.offset = (uint32_t)(sym->st_value - s->base),
		.size = (uint32_t)sym->st_size,
		.name = sym->st_name,
		.source = source,
		.rank = rank(ELF64_ST_BIND(sym->st_info)),
		.section = sym->st_shndx,
	};

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return 0;
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE || !sym->st_name ||
	    sym->st_value < s->base || sym->st_value - s->base >= s->span ||
	    sym->st_size > s->span - (sym->st_value - s->base))
		return 0;
	if (ELF64_ST_BIND(sym->st_info) == STB_LOCAL)
		*local = true;
	if (sym->st_size)
		return pp_symbol_list_add(&s->sized, &out);
	return may_hold_labels(source) ? pp_symbol_list_add(&s->labels, &out) : 0;
}

/* Reads the table in pieces: it may be large, and is needed once. */
static int add_table(struct pp_symbols *s, struct pp_elf *e, uint32_t type, enum source source)
{
	const Elf64_Shdr *table = pp_elf_section_type(e, type), *names;
	Elf64_Sym piece[512];
	size_t labels = s->labels.n;
	bool local = false;
	uint64_t n;
	int r;

	if (!table || table->sh_link >= e->nr_sections || table->sh_size > SYMTAB_MAX)
		return 0;
	names = &e->sections[table->sh_link];
	if (names->sh_type != SHT_STRTAB || names->sh_flags & SHF_COMPRESSED)
		return 0;
	s->strings[source].offset = names->sh_offset;
	s->strings[source].size = names->sh_size;
	n = table->sh_size / sizeof(Elf64_Sym);
	for (uint64_t at = 0; at < n; at += ARRAY_SIZE(piece)) {
		size_t count = (size_t)MIN(n - at, (uint64_t)ARRAY_SIZE(piece));

		r = pp_elf_read(e, table->sh_offset + at * sizeof(Elf64_Sym), piece,
				count * sizeof(Elf64_Sym));
		if (r < 0) {
			s->labels.n = labels;
			return r == -EIO ? r : 0;
		}
		for (size_t i = 0; i < count; i++) {
			r = add_symbol(s, &piece[i], source, &local);
			if (r < 0)
				return r;
		}
	}
	if (!local) /* `strip -x` has been here: this one is thinned out too */
		s->labels.n = labels;
	return 0;
}

static int add_minidebug(struct pp_symbols *s, struct pp_elf *elf)
{
	_cleanup_elf_ struct pp_elf *mini = NULL;
	int r;

	r = pp_minidebug_unpack(elf, &s->mini, &s->mini_size);
	if (r == 0)
		r = pp_elf_new_memory(&mini, s->mini, s->mini_size);
	if (r == 0)
		r = add_table(s, mini, SHT_SYMTAB, SOURCE_MINI);
	return r == -ENOMEM || r == -EIO ? r : 0;
}

/* A label reaches to the next symbol of either kind, or its section's end. */
static void size_labels(struct pp_symbols *s, const struct pp_elf *tables)
{
	for (size_t i = 0; i < s->labels.n; i++) {
		struct pp_symbol *l = &s->labels.v[i];
		size_t next = pp_symbol_list_after(&s->labels, l->offset);
		size_t next_sized = pp_symbol_list_after(&s->sized, l->offset);
		uint64_t end = s->span;

		if (l->section < tables->nr_sections) {
			const Elf64_Shdr *section = &tables->sections[l->section];
			uint64_t at = section->sh_addr - s->base;

			end = l->offset >= at && l->offset - at < section->sh_size
				      ? MIN(end, at + section->sh_size)
				      : l->offset;
		}
		if (next < s->labels.n)
			end = MIN(end, (uint64_t)s->labels.v[next].offset);
		if (next_sized < s->sized.n)
			end = MIN(end, (uint64_t)s->sized.v[next_sized].offset);
		l->size = (uint32_t)(end - l->offset);
	}
}

static void set_span(struct pp_symbols *s, const struct pp_elf *elf)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (size_t i = 0; i < elf->nr_segments; i++) {
		const Elf64_Phdr *p = &elf->segments[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) ||
		    p->p_memsz > UINT64_MAX - p->p_vaddr)
			continue;
		low = MIN(low, p->p_vaddr);
		high = MAX(high, p->p_vaddr + p->p_memsz);
	}
	s->base = low;
	/* Offsets are 32 bits; no x86-64 code model but "large" goes beyond 2 GiB. */
	s->span = high > low ? MIN(high - low, (uint64_t)UINT32_MAX) : 0;
}

/* Where a text, with its NUL, stands in a string table; false: it does not. */
static bool find_string(struct pp_elf *e, uint64_t offset, uint64_t size, const char *text,
			uint32_t *ret)
{
	_cleanup_free_ uint8_t *strings = NULL;
	const uint8_t *at;

	if (pp_elf_load(e, offset, size, STRINGS_MAX, &strings) < 0)
		return false;
	at = memmem(strings, size, text, strlen(text) + 1);
	if (!at)
		return false;
	*ret = (uint32_t)(at - strings);
	return true;
}

/* Where only .dynsym is left: which stacks are Python is known by the name of this function, and
 * most of it may have none. */
static int find_cold_loop(struct pp_symbols *s, struct pp_elf *elf)
{
	uint32_t name;
	int r = 0;

	if (s->strings[SOURCE_SYMTAB].size || s->strings[SOURCE_DEBUG].size || s->mini ||
	    !find_string(elf, s->strings[SOURCE_DYNSYM].offset, s->strings[SOURCE_DYNSYM].size,
			 LOOP, &name))
		return 0;
	for (size_t i = 0; i < s->sized.n; i++) {
		const struct pp_symbol *x = &s->sized.v[i];

		if (x->source != SOURCE_DYNSYM || x->name != name)
			continue;
		r = pp_cold_find(elf, s->base + x->offset, x->size, &s->cold.start, &s->cold.size);
		if (r < 0)
			s->cold.size = 0;
		s->cold.name = name;
		break;
	}
	return r == -ENOENT ? 0 : r;
}

static int read_all(struct pp_symbols *s, struct pp_elf *elf, struct pp_elf *debug)
{
	int r;

	r = add_table(s, elf, SHT_SYMTAB, SOURCE_SYMTAB);
	if (r == 0 && debug)
		r = add_table(s, debug, SHT_SYMTAB, SOURCE_DEBUG);
	if (r == 0 && !s->sized.n)
		r = add_minidebug(s, elf);
	if (r == 0)
		r = add_table(s, elf, SHT_DYNSYM, SOURCE_DYNSYM);
	if (r == 0)
		r = pp_plt_new(&s->plt, elf);
	if (r == 0)
		r = find_cold_loop(s, elf);
	return r;
}

int pp_symbols_new(struct pp_symbols **ret, struct pp_elf *elf, struct pp_elf *debug)
{
	_cleanup_(pp_symbols_freep) struct pp_symbols *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	set_span(s, elf);
	r = read_all(s, elf, debug);
	if (r < 0)
		return r;
	pp_symbol_list_sort(&s->sized);
	pp_symbol_list_sort(&s->labels);
	pp_symbol_list_drop_repeats(&s->sized);
	/* Section numbers of a debug file are those of the file it was split from. */
	size_labels(s, elf);
	pp_symbol_list_finish(&s->sized);
	pp_symbol_list_finish(&s->labels);
	*ret = TAKE_PTR(s);
	return 0;
}

struct pp_symbols *pp_symbols_free(struct pp_symbols *s)
{
	if (!s)
		return NULL;
	free(s->sized.v);
	free(s->labels.v);
	free(s->mini);
	pp_plt_free(s->plt);
	free(s);
	return NULL;
}

/* A name from its source's string table, cut to size; false: none there. */
static bool read_name(struct pp_symbols *s, struct pp_elf *elf, struct pp_elf *debug,
		      enum source source, uint32_t at, char buf[RAW_NAME_MAX])
{
	struct pp_elf mini = { .fd = -1, .data = s->mini, .size = s->mini_size };
	struct pp_elf *e = source == SOURCE_DEBUG ? debug : source == SOURCE_MINI ? &mini : elf;
	uint64_t left, want;

	if (!e || at >= s->strings[source].size)
		return false;
	left = s->strings[source].size - at;
	/* Most names are short, and a longer read is not much dearer. */
	for (want = 128;; want = RAW_NAME_MAX - 1) {
		want = MIN(want, left);
		if (pp_elf_read(e, s->strings[source].offset + at, buf, want) < 0)
			return false;
		buf[want] = 0;
		if (memchr(buf, 0, want) || want == left || want == RAW_NAME_MAX - 1)
			return *buf != 0;
	}
}

static size_t underscores(const char *name)
{
	return strspn(name, "_");
}

/* As perf chooses among aliases, so that the two agree. */
static bool better_name(const char *a, const char *b)
{
	if (underscores(a) != underscores(b))
		return underscores(a) < underscores(b);
	return strlen(a) > strlen(b);
}

/* The best name among symbols that start where found does, cover as much and rank as high. */
static bool name_of(struct pp_symbols *s, struct pp_elf *elf, struct pp_elf *debug,
		    const struct pp_symbol_list *l, size_t found, struct pp_symbol_hit *ret)
{
	char best[RAW_NAME_MAX], other[RAW_NAME_MAX];
	const struct pp_symbol *f = &l->v[found];
	bool have;

	have = read_name(s, elf, debug, f->source, f->name, best);
	for (size_t i = found; i > 0 && found - i < PP_SYMBOL_ALIASES_MAX; i--) {
		const struct pp_symbol *x = &l->v[i - 1];

		if (x->offset != f->offset || x->rank != f->rank)
			break;
		if (x->size != f->size || !read_name(s, elf, debug, x->source, x->name, other))
			continue;
		if (!have || better_name(other, best))
			memcpy(best, other, sizeof(best));
		have = true;
	}
	if (!have)
		return false;
	ret->start = s->base + f->offset;
	ret->size = f->size;
	pp_demangle(best, ret->name, sizeof(ret->name));
	return true;
}

static bool lookup_in(struct pp_symbols *s, struct pp_elf *elf, struct pp_elf *debug,
		      const struct pp_symbol_list *l, uint32_t offset, struct pp_symbol_hit *ret)
{
	size_t found;

	return pp_symbol_list_find(l, offset, &found) && name_of(s, elf, debug, l, found, ret);
}

static bool lookup_plt(struct pp_symbols *s, struct pp_elf *elf, uint64_t address,
		       struct pp_symbol_hit *ret)
{
	char raw[RAW_NAME_MAX];
	size_t len;
	uint32_t name;

	if (!pp_plt_lookup(s->plt, elf, address, &ret->start, &ret->size, &name) ||
	    !read_name(s, elf, NULL, SOURCE_DYNSYM, name, raw))
		return false;
	len = pp_demangle(raw, ret->name, sizeof(ret->name) - strlen("@plt"));
	strcpy(ret->name + len, "@plt");
	return true;
}

static bool lookup_cold(struct pp_symbols *s, struct pp_elf *elf, uint64_t address,
			struct pp_symbol_hit *ret)
{
	char raw[RAW_NAME_MAX];

	if (address - s->cold.start >= s->cold.size ||
	    !read_name(s, elf, NULL, SOURCE_DYNSYM, s->cold.name, raw))
		return false;
	ret->start = s->cold.start;
	ret->size = s->cold.size;
	snprintf(ret->name, sizeof(ret->name), "%.*s.cold", (int)strlen(LOOP), raw);
	return true;
}

bool pp_symbols_lookup(struct pp_symbols *s, struct pp_elf *elf, struct pp_elf *debug,
		       uint64_t address, struct pp_symbol_hit *ret)
{
	uint32_t offset = (uint32_t)(address - s->base);

	if (address < s->base || address - s->base >= s->span)
		return false;
	return lookup_in(s, elf, debug, &s->sized, offset, ret) ||
	       lookup_plt(s, elf, address, ret) || lookup_cold(s, elf, address, ret) ||
	       lookup_in(s, elf, debug, &s->labels, offset, ret);
}

size_t pp_symbols_memory(const struct pp_symbols *s)
{
	return sizeof(*s) + (s->sized.cap + s->labels.cap) * sizeof(struct pp_symbol) +
	       s->mini_size + pp_plt_memory(s->plt);
}
