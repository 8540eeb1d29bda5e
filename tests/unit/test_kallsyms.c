/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's symbols: made-up files, hidden addresses, broken lines, and the real one. */
#include "elf/kallsyms.h"

#include "elf_build.h"

static void load_text(struct pp_kallsyms **ret, const char *text, int expected)
{
	char path[128];

	scratch_source("kallsyms", text);
	snprintf(path, sizeof(path), "%s/kallsyms", scratch_dir);
	assert_int_equal(pp_kallsyms_new(ret, path), 0);
	assert_int_equal(pp_kallsyms_load(*ret), expected);
}

static const char sample[] = "0000000000000000 A fixed_percpu_data\n"
			     "0000000000001000 T relative\n"
			     "ffffffff81000000 T _stext\n"
			     "ffffffff81000000 T startup\n"
			     "ffffffff81000100 t first\n"
			     "ffffffff81000180 D datum\n"
			     "ffffffff81000200 W second\n"
			     "ffffffff81000300 T _etext\n"
			     "ffffffffc0100000 t mod_a\t[alpha]\n"
			     "ffffffffc0100100 t mod_b\t[alpha]\n"
			     "ffffffffc0000040 t early\t[beta]\n"
			     "ffffffffc0200000 t bpf_prog_6deef7357e7b4530_walk\t[bpf]\n";

static void expect(const struct pp_kallsyms *k, uint64_t address, const char *name,
		   const char *module)
{
	struct pp_kernel_symbol s;
	bool stale;

	if (!pp_kallsyms_lookup(k, address, &s, &stale))
		fail_msg("%lx has no name", address);
	assert_string_equal(s.name, name);
	assert_string_equal(s.module, module);
	assert_true(s.start <= address);
	assert_false(stale);
}

static void expect_none(const struct pp_kallsyms *k, uint64_t address, bool expected_stale)
{
	struct pp_kernel_symbol s;
	bool stale;

	if (pp_kallsyms_lookup(k, address, &s, &stale))
		fail_msg("%lx is %s", address, s.name);
	assert_int_equal(stale, expected_stale);
}

static void test_lookup(void **state)
{
	_cleanup_(pp_kallsyms_freep) struct pp_kallsyms *k = NULL;

	(void)state;
	load_text(&k, sample, 0);
	assert_int_equal(pp_kallsyms_count(k), 9);
	assert_false(pp_kallsyms_hidden(k));
	expect(k, 0xffffffff81000000, "_stext", "");
	expect(k, 0xffffffff810000ff, "_stext", "");
	expect(k, 0xffffffff81000100, "first", "");
	expect(k, 0xffffffff81000190, "first", ""); /* data is not in between */
	expect(k, 0xffffffff81000250, "second", "");
	expect(k, 0xffffffffc0000050, "early", "beta"); /* the file is not sorted */
	expect(k, 0xffffffffc01000ff, "mod_a", "alpha");
	expect(k, 0xffffffffc0100100, "mod_b", "alpha");
	expect(k, 0xffffffffc0200010, "bpf_prog_6deef7357e7b4530_walk", "bpf");
	/* the last of a module does not reach to the next one */
	expect_none(k, 0xffffffffc0100100 + 16 * 1024, true);
	expect_none(k, 0xffffffffc0000000, true);
	expect_none(k, 0xffffffffffffffff, true);
	expect_none(k, 0xffffffff80ffffff, true);
	expect_none(k, 0x1000, true);
}

static void test_hidden(void **state)
{
	_cleanup_(pp_kallsyms_freep) struct pp_kallsyms *k = NULL;

	(void)state;
	load_text(&k, "0000000000000000 T _stext\n0000000000000000 t first\n", -EPERM);
	assert_true(pp_kallsyms_hidden(k));
	assert_int_equal(pp_kallsyms_count(k), 0);
	expect_none(k, 0xffffffff81000000, true);
}

static void test_broken(void **state)
{
	_cleanup_(pp_kallsyms_freep) struct pp_kallsyms *k = NULL;
	char text[8192];
	size_t n;

	(void)state;
	load_text(&k,
		  "\n \nffffffff81000000\nffffffff81000000 T\nffffffff81000000 T \nrubbish\n"
		  "ffffffff81000010 TT two\nffffffff81000020 T good\n"
		  "ffffffff81000030 T unclosed\t[mod\nffffffff81000040 T empty\t[]\n"
		  "ffffffff81000050 T last",
		  0);
	assert_int_equal(pp_kallsyms_count(k), 4);
	expect(k, 0xffffffff81000020, "good", "");
	expect(k, 0xffffffff81000050, "last", "");
	k = pp_kallsyms_free(k);

	/* a line that never ends */
	n = (size_t)sprintf(text, "ffffffff81000000 T ");
	memset(text + n, 'x', sizeof(text) - n - 1);
	text[sizeof(text) - 1] = 0;
	load_text(&k, text, 0);
	assert_true(pp_kallsyms_count(k) <= 1);
}

/* While it is read again in steps, the old table answers; then the new one. */
static void test_reload(void **state)
{
	_cleanup_(pp_kallsyms_freep) struct pp_kallsyms *k = NULL;
	static char text[400000];
	unsigned int steps = 0;
	size_t n = 0;
	int r;

	(void)state;
	load_text(&k, sample, 0);
	for (unsigned int i = 0; n < sizeof(text) - 100; i++)
		n += (size_t)sprintf(text + n, "ffffffff%08x T function_%u\n", 0x81000000 + i * 16,
				     i);
	scratch_source("kallsyms", text);
	assert_int_equal(pp_kallsyms_start(k), 0);
	assert_int_equal(pp_kallsyms_start(k), 0);
	while ((r = pp_kallsyms_step(k, 1)) == 1) {
		assert_true(pp_kallsyms_loading(k));
		expect(k, 0xffffffff81000100, "first", "");
		steps++;
	}
	assert_int_equal(r, 0);
	assert_false(pp_kallsyms_loading(k));
	assert_true(steps >= 6);
	expect(k, 0xffffffff81000100, "function_16", "");
	assert_int_equal(pp_kallsyms_step(k, 1), 0);

	/* a file that is gone leaves the table as it is */
	scratch_run("rm kallsyms");
	assert_int_equal(pp_kallsyms_load(k), -ENOENT);
	expect(k, 0xffffffff81000100, "function_16", "");
}

static void test_real(void **state)
{
	_cleanup_(pp_kallsyms_freep) struct pp_kallsyms *k = NULL;
	char line[1024], name[512], type;
	unsigned long address;
	size_t lines = 0, found = 0;
	FILE *f;

	(void)state;
	assert_int_equal(pp_kallsyms_new(&k, NULL), 0);
	if (pp_kallsyms_load(k) == -EPERM) {
		print_message("addresses are hidden from this user\n");
		skip();
	}
	print_message("%zu functions, %zu KiB\n", pp_kallsyms_count(k),
		      pp_kallsyms_memory(k) / 1024);
	assert_true(pp_kallsyms_memory(k) < 8 * MIB);
	f = fopen("/proc/kallsyms", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct pp_kernel_symbol s;
		bool stale;

		if (sscanf(line, "%lx %c %511s", &address, &type, name) != 3 ||
		    !strchr("tTwW", type) || address >> 48 != 0xffff)
			continue;
		if (strstr(line, "\t[bpf]")) /* these come and go meanwhile */
			continue;
		lines++;
		/* by this name, or by one of the same address */
		found += pp_kallsyms_lookup(k, address, &s, &stale) && s.start == address;
	}
	fclose(f);
	assert_true(lines > 1000);
	assert_int_equal(found, lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup), cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_broken), cmocka_unit_test(test_reload),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
