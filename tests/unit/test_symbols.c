/* SPDX-License-Identifier: GPL-2.0-only */
/* Names: every source by a file in which only that source has them; which of several; and none. */
#include "elf/symbols.h"

#include "elf/demangle.h"
#include "elf/identity.h"

#include "elf_build.h"

struct files {
	int fd, debug_fd;
	struct pp_elf *elf, *debug;
	struct pp_symbols *symbols;
};

static void open_files(struct files *f, const char *name, const char *debug)
{
	*f = (struct files){ .debug_fd = -1 };
	f->fd = scratch_open(name);
	assert_int_equal(pp_elf_new_fd(&f->elf, f->fd), 0);
	if (debug) {
		f->debug_fd = scratch_open(debug);
		assert_int_equal(pp_elf_new_fd(&f->debug, f->debug_fd), 0);
		if (!pp_debug_file_matches(f->elf, f->debug))
			f->debug = pp_elf_free(f->debug);
	}
	assert_int_equal(pp_symbols_new(&f->symbols, f->elf, f->debug), 0);
}

static void close_files(struct files *f)
{
	pp_symbols_free(f->symbols);
	pp_elf_free(f->elf);
	pp_elf_free(f->debug);
	pp_close(f->fd);
	pp_close(f->debug_fd);
}

static struct pp_symbol_hit hit;

static const char *name_at(struct files *f, uint64_t address)
{
	if (!pp_symbols_lookup(f->symbols, f->elf, f->debug, address, &hit))
		return "";
	assert_true(hit.start <= address && address - hit.start < hit.size);
	return hit.name;
}

/* Two static functions, and an exported one that keeps them. */
static const char source[] = "static __attribute__((noinline)) int hidden(int x) { __asm__ "
			     "volatile(\"\"); return x + 1; }\n"
			     "static __attribute__((noinline)) int other(int x) { __asm__ "
			     "volatile(\"\"); return x * 3; }\n"
			     "int shown(int x) { return hidden(x) + other(x); }\n";

static uint64_t hidden, other, shown;

static int setup(void **state)
{
	if (scratch_setup(state) < 0)
		return -1;
	scratch_source("lib.c", source);
	scratch_run("gcc -O1 -g -fPIC -shared -Wl,--build-id=sha1 -o full.so lib.c");
	hidden = scratch_address("full.so", "hidden");
	other = scratch_address("full.so", "other");
	shown = scratch_address("full.so", "shown");
	scratch_run("objcopy --only-keep-debug full.so full.debug");
	scratch_run("strip -o stripped.so full.so");
	scratch_run("objcopy --add-gnu-debuglink=full.debug stripped.so linked.so");
	return 0;
}

static void test_symtab(void **state)
{
	struct files f;

	(void)state;
	open_files(&f, "full.so", NULL);
	assert_string_equal(name_at(&f, hidden), "hidden");
	assert_int_equal(hit.start, hidden);
	assert_string_equal(name_at(&f, other), "other");
	assert_string_equal(name_at(&f, other + 2), "other");
	assert_string_equal(name_at(&f, shown + 1), "shown");
	close_files(&f);
}

static void test_dynsym(void **state)
{
	struct files f;

	(void)state;
	open_files(&f, "stripped.so", NULL);
	assert_string_equal(name_at(&f, shown), "shown");
	assert_string_equal(name_at(&f, hit.start + hit.size - 1), "shown");
	assert_string_equal(name_at(&f, shown + hit.size), "");
	/* what is not exported has no name, least of all its neighbour's */
	assert_string_equal(name_at(&f, hidden), "");
	assert_string_equal(name_at(&f, other), "");
	close_files(&f);
}

/* Byte by byte: what is stripped names the same function as what is not, or none. */
static void test_no_neighbours(void **state)
{
	static const char *const thinned[] = { "strip -s", "strip -x", "strip --strip-unneeded" };
	static char full_name[sizeof(hit.name)];
	struct files full, less;
	const Elf64_Shdr *text;
	size_t named;

	(void)state;
	open_files(&full, "full.so", NULL);
	text = pp_elf_section(full.elf, ".text");
	for (size_t i = 0; i < ARRAY_SIZE(thinned); i++) {
		scratch_run("%s -o less.so full.so", thinned[i]);
		open_files(&less, "less.so", NULL);
		named = 0;
		for (uint64_t at = text->sh_addr; at < text->sh_addr + text->sh_size; at++) {
			strcpy(full_name, name_at(&full, at));
			if (!*name_at(&less, at))
				continue;
			assert_string_equal(name_at(&less, at), full_name);
			named++;
		}
		assert_true(named > 0);
		close_files(&less);
	}
	close_files(&full);
}

static void test_minidebug(void **state)
{
	struct files f;

	(void)state;
	scratch_run("objcopy --only-keep-debug full.so mini && strip -g mini && xz mini && "
		    "objcopy --add-section .gnu_debugdata=mini.xz stripped.so mini.so");
	open_files(&f, "mini.so", NULL);
	assert_string_equal(name_at(&f, hidden), "hidden");
	assert_string_equal(name_at(&f, other), "other");
	assert_string_equal(name_at(&f, shown), "shown");
	close_files(&f);

	/* a section that is not xz, or cut, names nothing and harms nothing */
	scratch_run("head -c 100 mini.xz > cut.xz && "
		    "objcopy --add-section .gnu_debugdata=cut.xz stripped.so cut.so");
	open_files(&f, "cut.so", NULL);
	assert_string_equal(name_at(&f, hidden), "");
	assert_string_equal(name_at(&f, shown), "shown");
	close_files(&f);
}

/* The packed size says nothing about the unpacked one. */
static void test_minidebug_bomb(void **state)
{
	struct files f;

	(void)state;
	scratch_run("head -c 200M /dev/zero | xz -1 > bomb.xz && "
		    "objcopy --add-section .gnu_debugdata=bomb.xz stripped.so bomb.so");
	open_files(&f, "bomb.so", NULL);
	assert_string_equal(name_at(&f, shown), "shown");
	assert_true(pp_symbols_memory(f.symbols) < 64 * KIB);
	close_files(&f);
}

static void test_debug_file(void **state)
{
	struct files f;

	(void)state;
	open_files(&f, "stripped.so", "full.debug");
	assert_non_null(f.debug);
	assert_string_equal(name_at(&f, hidden), "hidden");
	assert_string_equal(name_at(&f, other), "other");
	close_files(&f);

	/* another build's: its names would be wrong */
	scratch_source("changed.c", "int pad(int x) { return x ? pad(x - 1) * x : 1; }\n");
	scratch_run("cat lib.c >> changed.c && gcc -O1 -g -fPIC -shared -o changed.so changed.c && "
		    "objcopy --only-keep-debug changed.so changed.debug");
	open_files(&f, "stripped.so", "changed.debug");
	assert_null(f.debug);
	assert_string_equal(name_at(&f, hidden), "");
	close_files(&f);
}

/* Without a build-id the debug link's checksum decides. */
static void test_debuglink(void **state)
{
	struct pp_elf_info info;
	struct files f;

	(void)state;
	scratch_run("gcc -O1 -g -fPIC -shared -Wl,--build-id=none -o noid.so lib.c && "
		    "objcopy --only-keep-debug noid.so noid.debug && "
		    "strip -o noid.stripped noid.so && "
		    "objcopy --add-gnu-debuglink=noid.debug noid.stripped && "
		    "cp noid.debug touched.debug && printf x >> touched.debug");
	open_files(&f, "noid.stripped", "noid.debug");
	assert_int_equal(pp_identify(f.elf, &info), 0);
	assert_int_equal(info.build_id_len, 0);
	assert_string_equal(info.debuglink, "noid.debug");
	assert_non_null(f.debug);
	assert_string_equal(name_at(&f, scratch_address("noid.so", "hidden")), "hidden");
	close_files(&f);
	open_files(&f, "noid.stripped", "touched.debug");
	assert_null(f.debug);
	close_files(&f);
	open_files(&f, "noid.stripped", "full.debug");
	assert_null(f.debug);
	close_files(&f);
}

static void test_plt(void **state)
{
	/* lazy, with endbr64 and .plt.sec; bound at once, through .plt.got too */
	static const char *const flags[] = { "-fcf-protection=none -Wl,-z,lazy",
					     "-fcf-protection=full -Wl,-z,lazy,-z,ibtplt",
					     "-fcf-protection=none -Wl,-z,now" };

	(void)state;
	scratch_source("plt.c", "#include <stdlib.h>\n#include <string.h>\n"
				"void *volatile p;\n"
				"int main(int c, char **v) { p = &abort; p = malloc(c);\n"
				" if (c > 5) abort(); return strcspn(v[0], \"x\"); }\n");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		char command[256];
		unsigned long address;
		char wanted[64];
		size_t found = 0;
		struct files f;
		FILE *p;

		scratch_run("gcc -O1 %s -o plt plt.c", flags[i]);
		open_files(&f, "plt", NULL);
		snprintf(command, sizeof(command),
			 "objdump -d %s/plt | sed -n 's/^\\([0-9a-f]*\\) <\\(.*@plt\\)>:$/\\1 "
			 "\\2/p'",
			 scratch_dir);
		p = popen(command, "r");
		while (fscanf(p, "%lx %63s", &address, wanted) == 2) {
			assert_string_equal(name_at(&f, address), wanted);
			assert_string_equal(name_at(&f, address + 5), wanted);
			found++;
		}
		pclose(p);
		assert_true(found >= 3);
		close_files(&f);
	}
}

/* Aliases, overlaps, and labels of assembly. */
static void test_choice(void **state)
{
	static const char asm_source[] =
		".text\n"
		".macro sym name, bind, size\n .type \\name,@function\n .\\bind \\name\n"
		" .size \\name,\\size\n\\name:\n.endm\n"
		"sym weak_one, weak, 16\nsym __global_one, globl, 16\nsym local_one, local, 16\n"
		" .skip 16\n"
		"sym __two, globl, 16\nsym two, globl, 16\nsym two_longer, globl, 16\n .skip 16\n"
		"sym outer, globl, 48\n .skip 16\nsym inner, local, 16\n .skip 16\n .skip 16\n"
		".globl entry\nentry: .skip 8\nnext_label: .skip 8\n"
		"sym after, globl, 8\n .skip 8\n .skip 8\n"
		".data\n.globl datum\n.type datum,@object\n.size datum,8\ndatum: .quad 1\n";
	uint64_t base;
	struct files f;

	(void)state;
	scratch_source("choice.s", asm_source);
	scratch_run("gcc -nostdlib -shared -o choice.so choice.s");
	base = scratch_address("choice.so", "weak_one");
	open_files(&f, "choice.so", NULL);
	assert_string_equal(name_at(&f, base), "__global_one"); /* global before weak and local */
	assert_string_equal(name_at(&f, base + 16), "two_longer");
	assert_string_equal(name_at(&f, base + 32), "outer");
	assert_string_equal(name_at(&f, base + 48), "inner");
	assert_string_equal(name_at(&f, base + 64), "outer");
	assert_string_equal(name_at(&f, base + 80), "entry");
	assert_string_equal(name_at(&f, base + 87), "entry");
	assert_string_equal(name_at(&f, base + 88), "next_label");
	assert_string_equal(name_at(&f, base + 96), "after");
	assert_string_equal(name_at(&f, base + 104), ""); /* behind a sized one: nothing */
	assert_string_equal(name_at(&f, scratch_address("choice.so", "datum")), "");
	assert_string_equal(name_at(&f, 0), "");
	assert_string_equal(name_at(&f, UINT64_MAX), "");
	close_files(&f);

	/* In a table that was thinned out a label would claim what is not its. */
	scratch_run("strip -x -o thinned.so choice.so && nm thinned.so | grep -q entry");
	open_files(&f, "thinned.so", NULL);
	assert_string_equal(name_at(&f, base + 80), "");
	assert_string_equal(name_at(&f, base + 88), ""); /* next_label is gone */
	assert_string_equal(name_at(&f, base + 96), "after");
	close_files(&f);
	scratch_run("strip choice.so");
	open_files(&f, "choice.so", NULL);
	assert_string_equal(name_at(&f, base + 80), "");
	assert_string_equal(name_at(&f, base + 96), "after");
	close_files(&f);
}

/*
 * A loop with so many parts that are seldom run: the compiler puts them elsewhere, under another
 * entry of .eh_frame. Alone: without them.
 */
static const char loop_source[] =
	"void seldom(int) __attribute__((cold, noinline));\n"
	"void seldom(int n) { __asm__ volatile(\"\" : : \"r\"(n)); }\n"
	"#ifdef ALONE\n"
	"#define CASE(n)\n"
	"#else\n"
	"#define CASE(n) if (x[i + n] < 0) { seldom(n); x[n] = i; }\n"
	"#endif\n"
	"int _PyEval_EvalFrameDefault(volatile int *x, int n)\n"
	"{\n"
	"	int sum = 0;\n"
	"	for (int i = 0; i < n; i++) {\n"
	"		CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)\n"
	"		sum += x[i];\n"
	"	}\n"
	"	return sum;\n"
	"}\n"
	"int neighbour(int x) { return x + 1; }\n";

static void test_cold_loop(void **state)
{
	uint64_t cold, loop, neighbour;
	struct files f;

	(void)state;
	scratch_source("loop.c", loop_source);
	scratch_run("gcc -O2 -fPIC -shared -o loop.so loop.c");
	cold = scratch_address("loop.so", "_PyEval_EvalFrameDefault.cold");
	loop = scratch_address("loop.so", "_PyEval_EvalFrameDefault");
	neighbour = scratch_address("loop.so", "neighbour");
	scratch_run("strip loop.so");
	open_files(&f, "loop.so", NULL);
	assert_string_equal(name_at(&f, cold), "_PyEval_EvalFrameDefault.cold");
	assert_int_equal(hit.start, cold);
	assert_string_equal(name_at(&f, cold + hit.size - 1), "_PyEval_EvalFrameDefault.cold");
	assert_string_equal(name_at(&f, cold + hit.size), "");
	assert_string_equal(name_at(&f, loop), "_PyEval_EvalFrameDefault");
	assert_string_equal(name_at(&f, neighbour), "neighbour");
	close_files(&f);

	scratch_run("gcc -O2 -DALONE -fPIC -shared -o alone.so loop.c && strip alone.so");
	open_files(&f, "alone.so", NULL);
	for (uint64_t at = 0; at < 0x2000; at++)
		assert_null(strstr(name_at(&f, at), ".cold"));
	close_files(&f);
}

static void test_demangle(void **state)
{
	static const struct {
		const char *raw, *shown;
	} names[] = {
		{ "main", "main" },
		{ "_start", "_start" },
		{ "memcpy@@GLIBC_2.14", "memcpy" },
		{ "_ZN3foo3barEi", "foo::bar" },
		{ "_ZNSt6vectorIiSaIiEE9push_backEOi",
		  "std::vector<int, std::allocator<int> >::push_back" },
		{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad" },
		{ "_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example" },
		{ "_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar" },
		{ "_ZN", "_ZN" }, /* looks mangled, is not */
		{ "_Rubbish", "_Rubbish" },
		{ "", "" },
		{ "@odd", "@odd" },
		{ "caf\xc3\xa9;x y", "caf\xc3\xa9;x y" },
	};
	char buf[PP_ELF_NAME_MAX], longest[5000], small[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = pp_demangle(names[i].raw, buf, sizeof(buf));

		assert_string_equal(buf, names[i].shown);
		assert_int_equal(len, strlen(buf));
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(pp_demangle(longest, buf, sizeof(buf)), sizeof(buf) - 1);
	assert_string_equal(buf + sizeof(buf) - 6, "aa...");
	assert_int_equal(pp_demangle("abcdefg", small, sizeof(small)), 7);
	assert_string_equal(small, "abcdefg");
	pp_demangle("abcdefgh", small, sizeof(small));
	assert_string_equal(small, "abcd...");
}

/*
 * Names whose demangled form doubles with each of 60 steps: a pair of what the step before it made.
 * C++ counts its substitutions, Rust refers back to offsets.
 */
static void test_demangle_doubling(void **state)
{
	static const char base36[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char base62[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char cpp[4096] = "_Z1fI1AIiiE", rust[4096] = "_RINvC1a1bTmmE", buf[PP_ELF_NAME_MAX];
	size_t pair = strlen("INvC1a1b");

	(void)state;
	for (int i = 0; i < 60; i++) {
		size_t at = strlen(rust) - strlen("_R");
		char back[4] = { 0 }, number[4] = "";
		size_t digits = 0;

		if (i >= 36)
			number[digits++] = base36[i / 36];
		number[digits] = base36[i % 36];
		sprintf(cpp + strlen(cpp), "S0_IS%s_S%s_E", number, number);
		digits = 0;
		if (pair - 1 >= 62)
			back[digits++] = base62[(pair - 1) / 62];
		back[digits] = base62[(pair - 1) % 62];
		sprintf(rust + strlen(rust), "TB%s_B%s_E", back, back);
		pair = at;
	}
	strcat(cpp, "Evv");
	strcat(rust, "E");
	assert_int_equal(pp_demangle(rust, buf, sizeof(buf)), sizeof(buf) - 1);
	assert_int_equal(strncmp(buf, "a::b::<(u32, u32), ((u32, u32), (u32, u32)), ", 45), 0);
	assert_string_equal(buf + sizeof(buf) - 4, "...");
	assert_int_equal(pp_demangle(cpp, buf, sizeof(buf)), sizeof(buf) - 1);
	assert_int_equal(strncmp(buf, "f<A<int, int>, ", 15), 0);
	assert_string_equal(buf + sizeof(buf) - 4, "...");
}

static void test_identity(void **state)
{
	struct pp_elf_info info;
	struct files f;

	(void)state;
	open_files(&f, "linked.so", NULL);
	assert_int_equal(pp_identify(f.elf, &info), 0);
	assert_int_equal(info.type, ET_DYN);
	assert_int_equal(info.machine, EM_X86_64);
	assert_int_equal(info.build_id_len, 20);
	assert_string_equal(info.debuglink, "full.debug");
	assert_false(info.has_symtab);
	assert_int_equal(info.python.runtime, 0);
	assert_true(info.nr_segments >= 3);
	close_files(&f);

	/* a debug link that leads elsewhere is none */
	scratch_run("printf '../../etc/x\\0\\0\\0\\0\\0' > link && "
		    "objcopy --add-section .gnu_debuglink=link stripped.so away.so");
	open_files(&f, "away.so", NULL);
	assert_int_equal(pp_identify(f.elf, &info), 0);
	assert_string_equal(info.debuglink, "");
	close_files(&f);

	/* CPython, by what it exports */
	scratch_source("py.c", "const unsigned long Py_Version = 0x030d05f0; char _PyRuntime[64];");
	scratch_run("gcc -fPIC -shared -o py.so py.c && strip py.so");
	open_files(&f, "py.so", NULL);
	assert_int_equal(pp_identify(f.elf, &info), 0);
	assert_true(info.python.runtime);
	assert_int_equal(info.python.version, 0x030d05f0);
	close_files(&f);

	/* one that only uses it is not it */
	scratch_source("user.c",
		       "extern char _PyRuntime[64]; char *p(void) { return _PyRuntime; }");
	scratch_run("gcc -fPIC -shared -o user.so user.c");
	open_files(&f, "user.so", NULL);
	assert_int_equal(pp_identify(f.elf, &info), 0);
	assert_int_equal(info.python.runtime, 0);
	assert_int_equal(info.python.version, 0);
	close_files(&f);
}

/* All of libc's dynamic symbols by their own addresses. */
static void test_libc(void **state)
{
	char line[512], name[256], type;
	unsigned long address, size;
	size_t asked = 0, exact = 0;
	struct files f;
	FILE *p;

	(void)state;
	open_files(&f, "/lib/x86_64-linux-gnu/libc.so.6", NULL);
	p = popen("nm -D --defined-only -S --with-symbol-versions /lib/x86_64-linux-gnu/libc.so.6",
		  "r");
	assert_non_null(p);
	while (fgets(line, sizeof(line), p)) {
		if (sscanf(line, "%lx %lx %c %255s", &address, &size, &type, name) != 4 ||
		    !strchr("TWi", type) || !size)
			continue;
		name[strcspn(name, "@")] = 0;
		asked++;
		assert_string_not_equal(name_at(&f, address), "");
		assert_int_equal(hit.start, address);
		exact += !strcmp(hit.name, name);
	}
	pclose(p);
	print_message("%zu functions, %zu by this very name, the rest by an alias\n", asked, exact);
	assert_true(asked > 1500);
	assert_true(exact * 2 > asked);
	close_files(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symtab),	   cmocka_unit_test(test_dynsym),
		cmocka_unit_test(test_minidebug),  cmocka_unit_test(test_minidebug_bomb),
		cmocka_unit_test(test_debug_file), cmocka_unit_test(test_debuglink),
		cmocka_unit_test(test_plt),	   cmocka_unit_test(test_choice),
		cmocka_unit_test(test_demangle),   cmocka_unit_test(test_demangle_doubling),
		cmocka_unit_test(test_identity),   cmocka_unit_test(test_cold_loop),
		cmocka_unit_test(test_libc),	   cmocka_unit_test(test_no_neighbours),
	};

	return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
