/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc/PID/maps: real ones, and lines that no kernel should write. */
#include "base/fd.h"
#include "proc/maps.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

static struct pp_maps_line line;

static ssize_t parse(const char *text)
{
	size_t skip;

	return pp_maps_parse(&line, text, strlen(text), &skip);
}

static void test_fields(void **state)
{
	const char *text = "7f01e2a00000-7f01e2b55000 r-xp 00026000 fe:01 1835034 "
			   "                   /usr/lib/libc.so.6\nnext";

	(void)state;
	assert_int_equal(parse(text), strlen(text) - 4);
	assert_int_equal(line.start, 0x7f01e2a00000);
	assert_int_equal(line.end, 0x7f01e2b55000);
	assert_int_equal(line.pgoff, 0x26000);
	assert_int_equal(line.dev, makedev(0xfe, 1));
	assert_int_equal(line.ino, 1835034);
	assert_true(line.read && line.exec && !line.write && !line.shared && !line.deleted);
	assert_string_equal(line.path, "/usr/lib/libc.so.6");
}

static void test_without_path(void **state)
{
	(void)state;
	assert_true(parse("1000-2000 rwxs 00000000 00:00 0 \n") > 0);
	assert_true(line.exec && line.shared && line.write);
	assert_string_equal(line.path, "");
	assert_true(parse("1000-2000 ---p 00000000 00:00 7") > 0);
	assert_int_equal(line.ino, 7);
	assert_int_equal(parse(""), 0);
}

static void test_odd_names(void **state)
{
	(void)state;
	assert_true(parse("1000-2000 r-xp 0 08:01 7   /a b/c  d\n") > 0);
	assert_string_equal(line.path, "/a b/c  d");
	assert_true(parse("1000-2000 r-xp 0 08:01 7   /new\\012line\\013\\n\n") > 0);
	assert_string_equal(line.path, "/new\nline\\013\\n");
	assert_true(parse("1000-2000 r-xp 0 08:01 7   /gone (deleted)\n") > 0);
	assert_true(line.deleted);
	assert_string_equal(line.path, "/gone");
	assert_int_equal(line.path_len, 5);
	assert_true(parse("1000-2000 r-xp 0 00:00 0   [vdso]\n") > 0);
	assert_string_equal(line.path, "[vdso]");
	assert_true(parse("1000-2000 r-xp 0 00:00 0   (deleted)\n") > 0);
	assert_string_equal(line.path, "(deleted)");
}

static void test_refuses(void **state)
{
	static const char *const bad[] = {
		"garbage\n",
		"\n",
		"1000-1000 r-xp 0 08:01 7 /empty\n",
		"2000-1000 r-xp 0 08:01 7 /backwards\n",
		"-2000 r-xp 0 08:01 7 /x\n",
		"1000-2000 r-x 0 08:01 7 /x\n",
		"1000-2000 r-xp 0 08:01 -7 /x\n",
		"1000-2000 r-xp 0 08:01 7x /x\n",
		"1000-2000 r-xp 0 0801 7 /x\n",
		"1000-20000000000000000 r-xp 0 08:01 7 /x\n",
		"1000-2000 r-xp 0 08:01 99999999999999999999999999 /x\n",
		"1000-2000 r-xp 0 123456789:01 7 /x\n",
		"1000-2000 r-xp",
	};
	size_t skip;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(pp_maps_parse(&line, bad[i], strlen(bad[i]), &skip), -EBADMSG);
		assert_int_equal(skip, strlen(bad[i]));
	}
	/* A NUL inside a path is no path. */
	assert_int_equal(pp_maps_parse(&line, "1-2 r-xp 0 0:0 7 /x\0y\n", 22, &skip), -EBADMSG);
}

static void test_path_lengths(void **state)
{
	_cleanup_free_ char *text = NULL;
	char path[PP_MAPS_PATH_MAX + 1];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[PP_MAPS_PATH_MAX - 1] = '\0';
	assert_true(asprintf(&text, "1-2 r-xp 0 0:0 7 %s\n", path) > 0);
	assert_true(parse(text) > 0);
	assert_string_equal(line.path, path);
	free(text);
	path[PP_MAPS_PATH_MAX - 1] = 'a';
	path[PP_MAPS_PATH_MAX] = '\0';
	assert_true(asprintf(&text, "1-2 r-xp 0 0:0 7 %s\n", path) > 0);
	assert_int_equal(parse(text), -EBADMSG);
}

static void test_exec_without_parsing(void **state)
{
	(void)state;
	assert_true(pp_maps_line_is_exec("1000-2000 r-xp 0", 16));
	assert_true(pp_maps_line_is_exec("1000-2000 rwxs 0", 16));
	assert_false(pp_maps_line_is_exec("1000-2000 rw-p x", 16));
	assert_false(pp_maps_line_is_exec("1000-2000 r-", 12));
	assert_false(pp_maps_line_is_exec("", 0));
}

/* Every line of this program's own maps parses, and a file mapped here is found by what fstat says,
 * under a name with a newline, a blank and a backslash, and after it is unlinked. */
static void test_own_maps(void **state)
{
	static char text[1 << 20];
	char path[] = "/tmp/pp maps\n\\x-XXXXXX";
	_cleanup_close_ int file = mkstemp(path), fd = -1;
	struct stat st;
	void *at;
	ssize_t n;
	int found = 0, lines = 0;

	(void)state;
	assert_true(file >= 0);
	assert_return_code(ftruncate(file, 8192), 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 4096);
	if (at == MAP_FAILED) /* a /tmp that allows no code */
		at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 4096);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_return_code(unlink(path), 0);
	assert_return_code(fstat(file, &st), 0);
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	n = pp_read_full(fd, text, sizeof(text));
	assert_true(n > 0);
	for (ssize_t i = 0, took; i < n; i += took, lines++) {
		size_t skip;

		took = pp_maps_parse(&line, text + i, (size_t)(n - i), &skip);
		assert_true(took > 0);
		assert_int_equal(line.exec, pp_maps_line_is_exec(text + i, (size_t)took));
		if (line.start != (uintptr_t)at)
			continue;
		found++;
		assert_int_equal(line.end, (uintptr_t)at + 4096);
		assert_int_equal(line.pgoff, 4096);
		assert_int_equal(line.ino, st.st_ino);
		assert_true(line.deleted);
		assert_string_equal(line.path, path);
	}
	assert_int_equal(found, 1);
	assert_true(lines > 10);
	munmap(at, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),	     cmocka_unit_test(test_without_path),
		cmocka_unit_test(test_odd_names),    cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_path_lengths), cmocka_unit_test(test_exec_without_parsing),
		cmocka_unit_test(test_own_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
