/* SPDX-License-Identifier: GPL-2.0-only */
/* Unwind rows: against readelf on real libraries, odd shapes one by one, and broken files. */
#include "elf/cfi.h"
#include "elf/table.h"

#include "elf_build.h"

#include <glob.h>

struct table {
	struct pp_cfi cfi;
	struct pp_buf buf;
	struct pp_table_image image;
};

static int make_table(struct table *t, struct pp_elf *elf)
{
	int r;

	*t = (struct table){ 0 };
	r = pp_cfi_read(&t->cfi, elf);
	if (r < 0)
		return r;
	assert_int_equal(pp_table_build(&t->buf, &t->cfi), 0);
	assert_int_equal(pp_table_image_validate(&t->image, t->buf.data, t->buf.len), 0);
	return 0;
}

static void free_table(struct table *t)
{
	pp_cfi_done(&t->cfi);
	pp_buf_done(&t->buf);
}

static void table_of(struct table *t, const char *path)
{
	_cleanup_close_ int fd = scratch_open(path);
	_cleanup_elf_ struct pp_elf *elf = NULL;

	assert_int_equal(pp_elf_new_fd(&elf, fd), 0);
	assert_int_equal(make_table(t, elf), 0);
}

/* ---- readelf --debug-dump=frames-interp -------------------------------------------------------
 */

#define COLUMNS_MAX 24

struct row {
	uint64_t start;
	char cfa[24], rbp[24], ra[24];
};

struct dump {
	char columns[COLUMNS_MAX][16];
	size_t nr_columns;
	struct row cie_rows[1024]; /* start: the CIE's offset */
	size_t nr_cies;
};

/* Splits at blanks; "r10 (r10)" is one word. */
static size_t split(char *line, char **words)
{
	size_t n = 0;

	for (char *w = strtok(line, " \n"); w && n < COLUMNS_MAX; w = strtok(NULL, " \n"))
		if (*w != '(')
			words[n++] = w;
	return n;
}

static bool parse_row(struct dump *d, char *line, struct row *ret)
{
	char *words[COLUMNS_MAX];
	size_t n = split(line, words);

	if (n != d->nr_columns || n < 3)
		return false;
	*ret = (struct row){ .start = strtoul(words[0], NULL, 16), .rbp = "u" };
	for (size_t i = 1; i < n; i++) {
		char *to = !strcmp(d->columns[i], "CFA")   ? ret->cfa
			   : !strcmp(d->columns[i], "rbp") ? ret->rbp
			   : !strcmp(d->columns[i], "ra")  ? ret->ra
							   : NULL;

		if (to)
			snprintf(to, sizeof(ret->cfa), "%s", words[i]);
	}
	return true;
}

/* The kinds of rule a row may become; several where readelf only says "exp". */
static bool agrees(const struct row *row, uint32_t rule)
{
	uint32_t kind = PP_RULE_KIND(rule);
	unsigned long offset, k = 0;
	char reg[8], rest;

	if (!strcmp(row->ra, "u"))
		return kind == PP_RULE_END;
	if (!strcmp(row->cfa, "exp"))
		return kind == PP_RULE_PLT || kind == PP_RULE_SIGNAL || kind == PP_RULE_DEREF_RBP ||
		       kind == PP_RULE_DEREF_RSP || kind == PP_RULE_UNSUPPORTED;
	if (sscanf(row->rbp, "c-%lu", &k) != 1 && strcmp(row->rbp, "u") && strcmp(row->rbp, "s"))
		return kind == PP_RULE_UNSUPPORTED;
	if (strcmp(row->ra, "c-8") || k % 8 ||
	    sscanf(row->cfa, "%3[a-z]+%lu%c", reg, &offset, &rest) != 2 || offset % 8 ||
	    (strcmp(reg, "rsp") && strcmp(reg, "rbp")))
		return kind == PP_RULE_UNSUPPORTED;
	return rule == PP_RULE(*(reg + 1) == 's' ? PP_RULE_RSP : PP_RULE_RBP, offset / 8, k / 8);
}

struct comparison {
	const struct table *t;
	struct dump d;
	size_t rows, wrong;
	struct row pending;
	bool have_pending;
	uint64_t end;
	char file[256];
};

/* The rule must be in force over the whole of the row's range. */
static void check_range(struct comparison *c, const struct row *row, uint64_t end)
{
	const uint64_t at[] = { row->start, row->start + (end - row->start) / 2, end - 1 };

	if (end <= row->start)
		return;
	c->rows++;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		uint32_t rule = pp_table_image_lookup(&c->t->image, at[i]);

		if (agrees(row, rule))
			continue;
		c->wrong++;
		print_message("%s %lx: readelf %s rbp %s ra %s, here %08x\n", c->file, at[i],
			      row->cfa, row->rbp, row->ra, rule);
		break;
	}
}

static void finish_function(struct comparison *c)
{
	if (c->have_pending)
		check_range(c, &c->pending, c->end);
	c->have_pending = false;
}

static void begin_function(struct comparison *c, const char *line)
{
	unsigned long cie, start, end;

	finish_function(c);
	if (sscanf(strstr(line, "cie="), "cie=%lx pc=%lx..%lx", &cie, &start, &end) != 3)
		fail_msg("readelf wrote %s", line);
	c->end = end;
	/* A function without instructions of its own prints no row: the CIE's holds. */
	for (size_t i = 0; i < c->d.nr_cies; i++)
		if (c->d.cie_rows[i].start == cie) {
			c->pending = c->d.cie_rows[i];
			c->pending.start = start;
			c->have_pending = true;
		}
}

static void compare_line(struct comparison *c, char *line, bool *in_cie, uint64_t *cie)
{
	struct row row;

	if (strstr(line, " FDE cie=")) {
		*in_cie = false;
		begin_function(c, line);
	} else if (strstr(line, " CIE \"")) {
		finish_function(c);
		*in_cie = true;
		*cie = strtoul(line, NULL, 16);
	} else if (!strncmp(line, "   LOC", 6)) {
		char *words[COLUMNS_MAX];

		c->d.nr_columns = split(line, words);
		for (size_t i = 0; i < c->d.nr_columns; i++)
			snprintf(c->d.columns[i], sizeof(c->d.columns[i]), "%s", words[i]);
	} else if (strspn(line, "0123456789abcdef") == 16 && parse_row(&c->d, line, &row)) {
		if (*in_cie && c->d.nr_cies < ARRAY_SIZE(c->d.cie_rows)) {
			row.start = *cie;
			c->d.cie_rows[c->d.nr_cies++] = row;
		} else if (!*in_cie) {
			if (c->have_pending)
				check_range(c, &c->pending, MIN(row.start, c->end));
			c->pending = row;
			c->have_pending = true;
		}
	}
}

static size_t compare_with_readelf(const char *path)
{
	static struct comparison c;
	char command[512], line[1024];
	bool in_cie = false;
	uint64_t cie = 0;
	struct table t;
	FILE *p;

	table_of(&t, path);
	assert_int_equal(t.cfi.nr_bad, 0);
	c = (struct comparison){ .t = &t };
	snprintf(c.file, sizeof(c.file), "%s", path);
	snprintf(command, sizeof(command),
		 "cd %s && LC_ALL=C readelf --debug-dump=frames-interp %s 2>/dev/null", scratch_dir,
		 path);
	p = popen(command, "r");
	assert_non_null(p);
	while (fgets(line, sizeof(line), p)) {
		if (strstr(line, ".debug_frame section"))
			break; /* not what unwinding goes by */
		compare_line(&c, line, &in_cie, &cie);
	}
	finish_function(&c);
	pclose(p);
	print_message("%s: %zu rows, %zu wrong\n", path, c.rows, c.wrong);
	assert_true(c.rows > 0);
	assert_int_equal(c.wrong, 0);
	free_table(&t);
	return c.rows;
}

static void test_real_libraries(void **state)
{
	static const char *const patterns[] = {
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/usr/lib/x86_64-linux-gnu/libpython3.*.so.1.0",
		"/usr/bin/python3.[0-9]*[0-9]",
		"/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
	};
	size_t rows = 0, files = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		glob_t g;

		if (glob(patterns[i], 0, NULL, &g) == 0)
			for (size_t j = 0; j < g.gl_pathc; j++, files++)
				rows += compare_with_readelf(g.gl_pathv[j]);
		globfree(&g);
	}
	print_message("%zu files, %zu rows\n", files, rows);
	assert_true(rows > 20000); /* libc alone has more */
}

/* Further files can be named on the command line. */
static char **more_files;

static void test_more_files(void **state)
{
	(void)state;
	for (char **f = more_files; *f; f++)
		compare_with_readelf(*f);
}

/* ---- Shapes -----------------------------------------------------------------------------------
 */

/* Each function is a line of nops under one rule; labels mark where it is to be looked up. */
static const char shapes[] =
	".text\n"
	".macro shape name\n"
	".globl \\name\n.type \\name,@function\n\\name: .cfi_startproc\n"
	".endm\n"
	".macro end_shape name\n nop\n nop\n .cfi_endproc\n.size \\name, .-\\name\n"
	".skip 16, 0xcc\n"
	".endm\n"
	"shape plain\n end_shape plain\n"
	"shape pushed\n .cfi_def_cfa_offset 16\n .cfi_offset 6, -16\n end_shape pushed\n"
	"shape framed\n .cfi_def_cfa 6, 16\n .cfi_offset 6, -16\n end_shape framed\n"
	"shape large\n .cfi_def_cfa_offset 524280\n .cfi_offset 6, -32760\n end_shape large\n"
	"shape too_large\n .cfi_def_cfa_offset 524288\n end_shape too_large\n"
	"shape far_slot\n .cfi_def_cfa_offset 64\n .cfi_offset 6, -32768\n end_shape far_slot\n"
	"shape odd\n .cfi_def_cfa_offset 12\n end_shape odd\n"
	"shape other_base\n .cfi_def_cfa 10, 8\n end_shape other_base\n"
	"shape moved_ra\n .cfi_register 16, 1\n end_shape moved_ra\n"
	"shape root\n .cfi_undefined 16\n end_shape root\n"
	"shape lost_rbp\n .cfi_undefined 6\n end_shape lost_rbp\n"
	"shape own_sp\n .cfi_register 7, 8\n end_shape own_sp\n"
	/* def_cfa_expression(breg6 -8; deref), expression rbp (breg6 0): gcc's realigned frames */
	"shape realigned\n .cfi_escape 0x0f,3,0x76,0x78,0x06\n .cfi_escape 0x10,6,2,0x76,0\n"
	" end_shape realigned\n"
	"shape realigned_same\n .cfi_escape 0x0f,3,0x76,0x70,0x06\n end_shape realigned_same\n"
	"shape realigned_slot\n .cfi_escape 0x0f,3,0x76,0x78,0x06\n .cfi_escape 0x10,6,2,0x76,8\n"
	" end_shape realigned_slot\n"
	/* def_cfa_expression(breg7 24; deref; plus_uconst 8), rbp at CFA-24: OpenSSL */
	"shape openssl\n .cfi_offset 6, -24\n .cfi_escape 0x0f,5,0x77,24,0x06,0x23,8\n"
	" end_shape openssl\n"
	"shape openssl_popped\n .cfi_escape 0x0f,5,0x77,0x78,0x06,0x23,8\n end_shape "
	"openssl_popped\n"
	"shape openssl_56\n .cfi_escape 0x0f,5,0x77,24,0x06,0x23,56\n end_shape openssl_56\n"
	/* PLT: breg7 8; breg16 0; lit15; and; lit10; ge; lit3; shl; plus */
	"shape plt\n .cfi_escape 0x0f,11,0x77,8,0x80,0,0x3f,0x1a,0x3a,0x2a,0x33,0x24,0x22\n"
	" end_shape plt\n"
	"shape plt_cut\n .cfi_escape 0x0f,10,0x77,8,0x80,0,0x3f,0x1a,0x3a,0x2a,0x33,0x24\n"
	" end_shape plt_cut\n"
	/* a signal frame: breg7 176; deref; rip at breg7 184; rbp at breg7 136 (16 more than glibc)
	 */
	"shape handler\n .cfi_signal_frame\n .cfi_escape 0x0f,4,0x77,0xb0,1,0x06\n"
	" .cfi_escape 0x10,16,3,0x77,0xb8,1\n .cfi_escape 0x10,6,3,0x77,0x88,1\n end_shape "
	"handler\n"
	"shape plain_signal\n .cfi_signal_frame\n end_shape plain_signal\n"
	"shape remembered\n nop\n .cfi_remember_state\n .cfi_def_cfa_offset 48\n nop\n"
	" .cfi_restore_state\n end_shape remembered\n"
	"shape restored\n .cfi_offset 6, -16\n nop\n .cfi_restore 6\n end_shape restored\n"
	"shape escaped\n .cfi_escape 0x3a\n end_shape escaped\n";

static void test_shapes(void **state)
{
	static const struct {
		const char *name;
		uint64_t at;
		uint32_t rule;
	} expected[] = {
		{ "plain", 0, PP_RULE(PP_RULE_RSP, 1, 0) },
		{ "pushed", 0, PP_RULE(PP_RULE_RSP, 2, 2) },
		{ "framed", 0, PP_RULE(PP_RULE_RBP, 2, 2) },
		{ "large", 0, PP_RULE(PP_RULE_RSP, 65535, 4095) },
		{ "too_large", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "far_slot", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "odd", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "other_base", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "moved_ra", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "root", 0, PP_RULE(PP_RULE_END, 0, 0) },
		{ "lost_rbp", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "own_sp", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "realigned", 0, PP_RULE(PP_RULE_DEREF_RBP, -1, 1) },
		{ "realigned_same", 0, PP_RULE(PP_RULE_DEREF_RBP, -2, 0) },
		{ "realigned_slot", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "openssl", 0, PP_RULE(PP_RULE_DEREF_RSP, 3, 3) },
		{ "openssl_popped", 0, PP_RULE(PP_RULE_DEREF_RSP, -1, 0) },
		{ "openssl_56", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "plt", 0, PP_RULE(PP_RULE_PLT, 10, 0) },
		{ "plt_cut", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "handler", 0, PP_RULE(PP_RULE_SIGNAL, 2, 0) },
		{ "plain_signal", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		{ "remembered", 0, PP_RULE(PP_RULE_RSP, 1, 0) },
		{ "remembered", 1, PP_RULE(PP_RULE_RSP, 6, 0) },
		{ "remembered", 2, PP_RULE(PP_RULE_RSP, 1, 0) },
		{ "restored", 0, PP_RULE(PP_RULE_RSP, 1, 2) },
		{ "restored", 1, PP_RULE(PP_RULE_RSP, 1, 0) },
		{ "escaped", 0, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0) },
		/* behind the two nops: the gap up to the next function */
		{ "plain", 2, PP_RULE(PP_RULE_NONE, 0, 0) },
		{ "escaped", 2, PP_RULE(PP_RULE_NONE, 0, 0) },
	};
	struct table t;

	(void)state;
	scratch_source("shapes.s", shapes);
	scratch_run("cc -nostdlib -shared -o shapes.so shapes.s");
	table_of(&t, "shapes.so");
	assert_int_equal(t.cfi.nr_bad, 1); /* escaped */
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		uint64_t at = scratch_address("shapes.so", expected[i].name) + expected[i].at;
		uint32_t rule = pp_table_image_lookup(&t.image, at);

		if (rule != expected[i].rule)
			fail_msg("%s+%lu: %08x, not %08x", expected[i].name, expected[i].at, rule,
				 expected[i].rule);
	}
	free_table(&t);
}

/* What compilers and authors really write. */
static void test_real_shapes(void **state)
{
	size_t kinds[PP_RULE_MAX] = { 0 };
	struct table t;

	(void)state;
	scratch_source("avx.c", "typedef double v4 __attribute__((vector_size(32)));\n"
				"void use(void *, void *, ...);\n"
				"__attribute__((target(\"avx2\"))) void sum(v4 *p, long n) {\n"
				" v4 a[8]; char *b = __builtin_alloca(n);\n"
				" for (long i = 0; i < n; i++) a[i & 7] += p[i];\n"
				" use(a, b, 1, 2, 3, 4, 5, 6, 7, n); p[0] = a[1]; }\n");
	scratch_run("gcc -O2 -fPIC -shared -o avx.so avx.c");
	table_of(&t, "avx.so");
	for (size_t i = 0; i < t.cfi.nr_rows; i++)
		kinds[PP_RULE_KIND(t.cfi.rows[i].rule)]++;
	assert_true(kinds[PP_RULE_DEREF_RBP] > 0);
	free_table(&t);

	/* libc: __restore_rt, the PLT, _start-like roots */
	memset(kinds, 0, sizeof(kinds));
	table_of(&t, "/lib/x86_64-linux-gnu/libc.so.6");
	for (size_t i = 0; i < t.cfi.nr_rows; i++)
		kinds[PP_RULE_KIND(t.cfi.rows[i].rule)]++;
	assert_int_equal(kinds[PP_RULE_SIGNAL], 1);
	assert_int_equal(kinds[PP_RULE_PLT], 1);
	assert_true(kinds[PP_RULE_END] > 0);
	assert_true(kinds[PP_RULE_UNSUPPORTED] * 1000 < t.cfi.nr_rows);
	free_table(&t);
}

/* Without section headers the search table leads to the same rows. */
static void test_no_sections(void **state)
{
	static const char zeros[64];
	struct table with, without;
	FILE *f;
	char path[128];

	(void)state;
	scratch_source("two.c", "int a(int x) { return x + 1; } int b(int x) { return a(x) * 2; }");
	scratch_run("gcc -O0 -fPIC -shared -o with.so two.c && cp with.so without.so");
	snprintf(path, sizeof(path), "%s/without.so", scratch_dir);
	f = fopen(path, "r+");
	assert_non_null(f);
	/* e_shoff, and e_shentsize, e_shnum, e_shstrndx */
	fseek(f, 0x28, SEEK_SET);
	fwrite(zeros, 1, 8, f);
	fseek(f, 0x3a, SEEK_SET);
	fwrite(zeros, 1, 6, f);
	fclose(f);
	table_of(&with, "with.so");
	table_of(&without, "without.so");
	assert_int_equal(with.buf.len, without.buf.len);
	assert_memory_equal(with.buf.data, without.buf.data, with.buf.len);
	assert_int_equal(pp_table_image_hash(&with.image), pp_table_image_hash(&without.image));
	free_table(&with);
	free_table(&without);
}

/* ---- Hostile files ----------------------------------------------------------------------------
 */

static uint8_t *slurp(const char *path, size_t *ret_size)
{
	_cleanup_close_ int fd = scratch_open(path);
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *p = malloc((size_t)size);

	assert_non_null(p);
	assert_int_equal(pread(fd, p, (size_t)size, 0), size);
	*ret_size = (size_t)size;
	return p;
}

/* Whatever comes out must be a valid table. */
static bool survives(const uint8_t *data, size_t size)
{
	_cleanup_elf_ struct pp_elf *elf = NULL;
	_cleanup_free_ uint8_t *copy = malloc(size + 1); /* so that a sanitizer sees overruns */
	struct table t;

	memcpy(copy, data, size);
	if (pp_elf_new_memory(&elf, copy, size) < 0 || make_table(&t, elf) < 0)
		return false;
	free_table(&t);
	return true;
}

static void test_broken_files(void **state)
{
	uint64_t random = 88172645463325252ULL;
	size_t size, survived = 0;
	_cleanup_free_ uint8_t *data = NULL, *work = NULL;

	(void)state;
	scratch_source("shapes.s", shapes);
	scratch_run("cc -nostdlib -shared -o fuzz.so shapes.s && strip fuzz.so");
	data = slurp("fuzz.so", &size);
	work = malloc(size);
	assert_true(survives(data, size));
	for (size_t len = 0; len < size; len += 7)
		survives(data, len);
	for (size_t round = 0; round < 4000; round++) {
		memcpy(work, data, size);
		for (size_t n = 0; n < 1 + round % 8; n++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			work[random % size] = (uint8_t)(random >> 40);
		}
		survived += survives(work, size);
	}
	assert_true(survived > 0);
	assert_true(survived < 4000);
}

static void test_refused(void **state)
{
	_cleanup_elf_ struct pp_elf *elf = NULL;
	struct pp_cfi cfi;
	static const char text[] =
		"#!/bin/sh\nexit 0\n................................................";

	(void)state;
	assert_int_equal(pp_elf_new_memory(&elf, text, sizeof(text)), -ENOEXEC);
	assert_int_equal(pp_elf_new_memory(&elf, text, 3), -ENOEXEC);
	scratch_source("none.c", "int f(void) { return 0; }");
	scratch_run("gcc -fno-asynchronous-unwind-tables -nostdlib -shared -o none.so none.c");
	{
		_cleanup_close_ int fd = scratch_open("none.so");

		assert_int_equal(pp_elf_new_fd(&elf, fd), 0);
		assert_int_equal(pp_cfi_read(&cfi, elf), -ENODATA);
	}
}

/* The same program, built with and without. */
static void test_frame_pointers(void **state)
{
	/* Long enough that most of the file is its body. */
	static const char text[] = "int called(int);\n"
				   "#define FOUR(x) called(x); called(x + 1); called(x + 2); "
				   "called(x + 3);\n"
				   "int first(int x) { FOUR(x) FOUR(x * 3) FOUR(x / 5) FOUR(x % 7) "
				   "return called(x) + 1; }\n";
	uint32_t with, without;
	struct table t;

	(void)state;
	scratch_source("frames.c", text);
	scratch_run("gcc -O2 -fno-omit-frame-pointer -fPIC -shared -nostdlib -o with.so frames.c");
	scratch_run("gcc -O2 -fomit-frame-pointer -fPIC -shared -nostdlib -o without.so frames.c");
	table_of(&t, "with.so");
	with = pp_cfi_frame_pointers(&t.cfi);
	free_table(&t);
	table_of(&t, "without.so");
	without = pp_cfi_frame_pointers(&t.cfi);
	free_table(&t);
	assert_int_equal(without, 0);
	/* Prologues, epilogues and the PLT have none. */
	assert_in_range(with, 500, 999);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_libraries), cmocka_unit_test(test_more_files),
		cmocka_unit_test(test_shapes),	       cmocka_unit_test(test_real_shapes),
		cmocka_unit_test(test_no_sections),    cmocka_unit_test(test_broken_files),
		cmocka_unit_test(test_refused),	       cmocka_unit_test(test_frame_pointers),
	};

	(void)argc;
	more_files = argv + 1;
	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
