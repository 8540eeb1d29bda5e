/* SPDX-License-Identifier: GPL-2.0-only */
/* Rows for undescribed assembly: the shapes that are known, and what must not be taken for one. */
#include "elf/cfi_gaps.h"
#include "elf/table.h"

#include "elf_build.h"

#define ENTERED PP_RULE(PP_RULE_RSP, 1, 0)
#define PUSHED	PP_RULE(PP_RULE_RSP, 3, 0)
#define NONE	PP_RULE(PP_RULE_NONE, 0, 0)

/* Described functions around undescribed ones; trampolines as libffi's unix64.S has them. */
static const char source[] = ".macro trampoline\n"
			     " sub $16,%rsp; mov %r10,(%rsp); mov 0xfed(%rip),%r10\n"
			     " mov %r10,8(%rsp); mov 0xfe9(%rip),%r10; jmp *%r10\n"
			     ".endm\n"
			     ".macro alt target\n"
			     " mov 8(%rsp),%r10; add $16,%rsp; jmp \\target\n"
			     ".endm\n"
			     ".macro described name\n"
			     " .balign 16\n"
			     " \\name: .globl \\name\n"
			     " .cfi_startproc\n"
			     " push %rbx\n"
			     " .cfi_adjust_cfa_offset 8\n"
			     " pop %rbx\n"
			     " .cfi_adjust_cfa_offset -8\n"
			     " ret\n"
			     " .cfi_endproc\n"
			     ".endm\n"
			     ".text\n"
			     "described first\n"
			     ".balign 4096\n"
			     "page: .rept 102; endbr64; trampoline; .balign 8; .endr\n"
			     "page_end: nop\n"
			     ".balign 8\n"
			     "unmarked: trampoline\n"
			     "described second\n"
			     ".balign 8\n"
			     "alt_long: endbr64; alt first\n"
			     ".balign 8\n"
			     "alt_short: alt alt_long\n"
			     "described third\n"
			     ".balign 8; nop\n"
			     "unaligned: trampoline\n"
			     "described fourth\n"
			     /* One byte off: 24 bytes are taken. */
			     ".balign 16\n"
			     "other: endbr64; mov 8(%rsp),%r10; add $24,%rsp; jmp first\n"
			     ".balign 16\n"
			     "cut: endbr64; sub $16,%rsp; mov %r10,(%rsp); mov 0xfed(%rip),%r10\n"
			     "described fifth\n"
			     /* Its own description stands, whatever it says. */
			     ".balign 16\n"
			     "told: .cfi_startproc\n"
			     " .cfi_def_cfa_offset 80\n"
			     " alt first\n"
			     " .cfi_endproc\n"
			     "last: .balign 8\n"
			     "tail: endbr64; trampoline\n"
			     "tail_end: nop\n";

static const struct {
	const char *symbol;
	unsigned int at;
	uint32_t rule;
} expected[] = {
	{ "first", 0, ENTERED },
	{ "first", 1, PP_RULE(PP_RULE_RSP, 2, 0) },
	{ "first", 3, NONE },
	{ "page", 0, ENTERED },
	{ "page", 4, ENTERED },
	{ "page", 8, PUSHED },
	{ "page", 33, PUSHED },
	{ "page", 40, ENTERED },
	{ "page", 47, ENTERED },
	{ "page", 48, PUSHED },
	{ "page", 101 * 40, ENTERED },
	{ "page", 101 * 40 + 31, PUSHED },
	{ "page_end", 0, NONE },
	{ "unmarked", 0, ENTERED },
	{ "unmarked", 3, ENTERED },
	{ "unmarked", 4, PUSHED },
	{ "unmarked", 27, PUSHED },
	{ "second", 0, ENTERED },
	{ "alt_long", 0, PUSHED },
	{ "alt_long", 4, PUSHED },
	{ "alt_long", 9, PUSHED },
	{ "alt_long", 13, ENTERED },
	{ "alt_short", 0, PUSHED },
	{ "alt_short", 5, PUSHED },
	{ "alt_short", 9, ENTERED },
	{ "third", 1, PP_RULE(PP_RULE_RSP, 2, 0) },
	{ "unaligned", 0, NONE },
	{ "unaligned", 4, NONE },
	{ "fourth", 0, ENTERED },
	{ "other", 0, NONE },
	{ "other", 9, NONE },
	{ "cut", 0, NONE },
	{ "cut", 8, NONE },
	{ "told", 0, PP_RULE(PP_RULE_RSP, 10, 0) },
	{ "told", 9, PP_RULE(PP_RULE_RSP, 10, 0) },
	{ "tail", 0, ENTERED },
	{ "tail", 8, PUSHED },
	{ "tail_end", 8, NONE },
};

static void read_rows(struct pp_cfi *ret, struct pp_elf **ret_elf, int fd)
{
	assert_int_equal(pp_elf_new_fd(ret_elf, fd), 0);
	assert_int_equal(pp_cfi_read(ret, *ret_elf), 0);
}

static void test_shapes(void **state)
{
	_cleanup_close_ int fd = -1;
	_cleanup_elf_ struct pp_elf *elf = NULL;
	_cleanup_cfi_ struct pp_cfi cfi = { 0 };
	_cleanup_buf_ struct pp_buf buf = { 0 };
	struct pp_table_image image;

	(void)state;
	scratch_source("gaps.s", source);
	/* Nothing behind .text in its segment: the tail is the end of the code. */
	scratch_run("cc -nostdlib -shared -Wl,-z,separate-code -o gaps.so gaps.s");
	fd = scratch_open("gaps.so");
	read_rows(&cfi, &elf, fd);
	assert_int_equal(pp_cfi_fill_gaps(&cfi, elf), 0);
	for (size_t i = 1; i < cfi.nr_rows; i++)
		assert_true(cfi.rows[i].offset > cfi.rows[i - 1].offset &&
			    cfi.rows[i].rule != cfi.rows[i - 1].rule);
	assert_int_equal(pp_table_build(&buf, &cfi), 0);
	assert_int_equal(pp_table_image_validate(&image, buf.data, buf.len), 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		uint64_t at = scratch_address("gaps.so", expected[i].symbol) + expected[i].at;
		uint32_t rule = pp_table_image_lookup(&image, at);

		if (rule != expected[i].rule)
			fail_msg("%s+%u: %08x, not %08x", expected[i].symbol, expected[i].at, rule,
				 expected[i].rule);
	}
}

/* Compiled code leaves nothing out: its rows come back as they were. */
static void test_nothing_to_fill(void **state)
{
	static const char *const files[] = { "/proc/self/exe", "/lib/x86_64-linux-gnu/libc.so.6",
					     "/lib/x86_64-linux-gnu/libcrypto.so.3" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_close_ int fd = scratch_open(files[i]);
		_cleanup_elf_ struct pp_elf *elf = NULL;
		_cleanup_cfi_ struct pp_cfi cfi = { 0 }, filled = { 0 };

		read_rows(&cfi, &elf, fd);
		assert_int_equal(pp_cfi_read(&filled, elf), 0);
		assert_int_equal(pp_cfi_fill_gaps(&filled, elf), 0);
		assert_int_equal(filled.start, cfi.start);
		assert_int_equal(filled.nr_fdes, cfi.nr_fdes);
		assert_int_equal(filled.nr_rows, cfi.nr_rows);
		assert_memory_equal(filled.rows, cfi.rows, cfi.nr_rows * sizeof(*cfi.rows));
	}
}

/* The file says that there is code, and ends before it. */
static void test_cut_file(void **state)
{
	_cleanup_close_ int fd = scratch_open("gaps.so");
	_cleanup_elf_ struct pp_elf *elf = NULL;
	_cleanup_cfi_ struct pp_cfi cfi = { 0 };
	size_t rows;

	(void)state;
	read_rows(&cfi, &elf, fd);
	rows = cfi.nr_rows;
	elf->size = 64;
	assert_int_equal(pp_cfi_fill_gaps(&cfi, elf), 0);
	assert_int_equal(cfi.nr_rows, rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_nothing_to_fill),
		cmocka_unit_test(test_cut_file),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
