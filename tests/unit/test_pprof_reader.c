/* SPDX-License-Identifier: GPL-2.0-only */
/* The client's pprof reader: the daemon's files, foreign ones, broken ones. */
#include "lib/pprof.h"

#include "formats/folded.h"
#include "pprof.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
	S_EMPTY,
	S_SAMPLES,
	S_COUNT,
	S_CPU,
	S_NS,
	S_PID,
	S_COMM,
	S_PROCESS,
	S_TRUNCATED,
	S_REASON,
	S_PYTHON_COMM,
	S_PYTHON,
	S_KERNEL,
	S_LIBC,
	S_FOO,
	S_FILE,
	S_READ,
	S_VFS,
	S_UNNAMED,
	S_UNIT,
	S_UNIT_NAME,
	S_SLICE,
	S_SLICE_NAME,
	S_CONTAINER,
	S_CONTAINER_NAME,
	S_POD,
	S_POD_NAME,
	S_GIL,
	S_GIL_STATE,
	S_TASK,
	S_TASK_NAME,
	S_MAX
};

static char *const strings[] = {
	[S_EMPTY] = "",
	[S_SAMPLES] = "samples",
	[S_COUNT] = "count",
	[S_CPU] = "cpu",
	[S_NS] = "nanoseconds",
	[S_PID] = "pid",
	[S_COMM] = "comm",
	[S_PROCESS] = "process",
	[S_TRUNCATED] = "truncated",
	[S_REASON] = "no row",
	[S_PYTHON_COMM] = "py3",
	[S_PYTHON] = "[python]",
	[S_KERNEL] = "[kernel]",
	[S_LIBC] = "/lib/libc.so.6",
	[S_FOO] = "A.foo\\x0a",
	[S_FILE] = "/src/a.py",
	[S_READ] = "read",
	[S_VFS] = "vfs_read",
	[S_UNNAMED] = "[libc.so.6+0x10]",
	[S_UNIT] = "unit",
	[S_UNIT_NAME] = "web.service",
	[S_SLICE] = "slice",
	[S_SLICE_NAME] = "system.slice",
	[S_CONTAINER] = "container",
	[S_CONTAINER_NAME] = "web1",
	[S_POD] = "pod",
	[S_POD_NAME] = "a-pod",
	[S_GIL] = "gil",
	[S_GIL_STATE] = "held",
	[S_TASK] = "task",
	[S_TASK_NAME] = "A.foo",
};

/* A profile as the daemon writes it, small enough to be looked at. Everything is static, so that
 * tests can spoil it. */
static Pprof__ValueType types[2];
static Pprof__Mapping mappings[3];
static Pprof__Function functions[4];
static Pprof__Line lines[4];
static Pprof__Location locations[4];
static Pprof__Label labels[10];
static Pprof__Sample samples[2];
static uint64_t ids[2][4] = { { 40, 30, 20, 10 }, { 20, 10 } };
static int64_t values[2][2] = { { 3, 3000 }, { 2, 2000 } };
static Pprof__Profile profile;

#define LIST(name, init)                                         \
	static typeof(&(name)[0]) name##_list[ARRAY_SIZE(name)]; \
	for (size_t _i = 0; _i < ARRAY_SIZE(name); _i++) {       \
		(name)[_i] = (typeof((name)[0]))init;            \
		name##_list[_i] = &(name)[_i];                   \
	}

static void label(size_t i, int64_t key, int64_t str, int64_t num)
{
	labels[i].key = key;
	labels[i].str = str;
	labels[i].num = num;
}

static void set_frame(size_t i, uint64_t id, uint64_t mapping, int64_t name, int64_t file)
{
	static Pprof__Line *line_list[4];

	functions[i].id = id + 1;
	functions[i].name = name;
	functions[i].filename = file;
	lines[i].function_id = id + 1;
	line_list[i] = &lines[i];
	locations[i].id = id;
	locations[i].mapping_id = mapping;
	locations[i].line = &line_list[i];
	locations[i].n_line = 1;
}

static int setup(void **state)
{
	(void)state;
	LIST(types, PPROF__VALUE_TYPE__INIT)
	LIST(mappings, PPROF__MAPPING__INIT)
	LIST(functions, PPROF__FUNCTION__INIT)
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		lines[i] = (Pprof__Line)PPROF__LINE__INIT;
	LIST(locations, PPROF__LOCATION__INIT)
	LIST(labels, PPROF__LABEL__INIT)
	LIST(samples, PPROF__SAMPLE__INIT)
	profile = (Pprof__Profile)PPROF__PROFILE__INIT;
	types[0].type = S_SAMPLES, types[0].unit = S_COUNT;
	types[1].type = S_CPU, types[1].unit = S_NS;
	for (size_t i = 0; i < 3; i++)
		mappings[i].id = 7 + i;
	mappings[0].filename = S_PYTHON;
	mappings[1].filename = S_KERNEL;
	mappings[2].filename = S_LIBC;
	set_frame(0, 10, 9, S_UNNAMED, 0);
	set_frame(1, 20, 7, S_FOO, S_FILE);
	set_frame(2, 30, 9, S_READ, 0);
	set_frame(3, 40, 8, S_VFS, 0);
	label(0, S_PID, 0, 42);
	label(1, S_PROCESS, 0, 9);
	label(2, S_COMM, S_PYTHON_COMM, 0);
	label(3, S_UNIT, S_UNIT_NAME, 0);
	label(4, S_SLICE, S_SLICE_NAME, 0);
	label(5, S_CONTAINER, S_CONTAINER_NAME, 0);
	label(6, S_POD, S_POD_NAME, 0);
	label(7, S_TRUNCATED, S_REASON, 0);
	label(8, S_GIL, S_GIL_STATE, 0);
	label(9, S_TASK, S_TASK_NAME, 0);
	for (size_t i = 0; i < 2; i++) {
		samples[i].location_id = ids[i];
		samples[i].n_location_id = i ? 2 : 4;
		samples[i].value = values[i];
		samples[i].n_value = 2;
		samples[i].label = labels_list;
		samples[i].n_label = i ? 10 : 7;
	}
	profile.sample_type = types_list, profile.n_sample_type = 2;
	profile.mapping = mappings_list, profile.n_mapping = 3;
	profile.function = functions_list, profile.n_function = 4;
	profile.location = locations_list, profile.n_location = 4;
	profile.sample = samples_list, profile.n_sample = 2;
	profile.string_table = (char **)strings, profile.n_string_table = S_MAX;
	profile.period = 10101010;
	profile.duration_nanos = 5000000000;
	return 0;
}

static size_t pack(uint8_t **ret)
{
	*ret = malloc(pprof__profile__get_packed_size(&profile));
	assert_non_null(*ret);
	return pprof__profile__pack(&profile, *ret);
}

static void expect(const char *text)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_free_ char *got = NULL;
	size_t n = pack(&data), size;
	FILE *out;

	assert_int_equal(pp_pprof_read(&p, data, n), 0);
	out = open_memstream(&got, &size);
	assert_int_equal(pp_folded_write(out, p, PP_VIEW_ALL), 0);
	fclose(out);
	assert_string_equal(got, text);
}

static void test_daemon(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ uint8_t *data = NULL;
	size_t n;

	(void)state;
	expect("py3;[libc.so.6+0x10];py::A.foo\\x0a:/src/a.py;read;vfs_read_[k] 3\n"
	       "py3;[truncated: no row];[libc.so.6+0x10];py::A.foo\\x0a:/src/a.py 2\n");
	n = pack(&data);
	assert_int_equal(pp_pprof_read(&p, data, n), 0);
	assert_int_equal(p->samples, 5);
	assert_int_equal(p->cpu_ns, 5000);
	assert_int_equal(p->truncated, 2);
	assert_int_equal(p->period_ns, 10101010);
	assert_int_equal(p->duration_ns, 5000000000);
	assert_int_equal(p->nr_processes, 1);
	assert_int_equal(p->processes[0].pid, 42);
	assert_int_equal(p->processes[0].id, 9);
	assert_string_equal(pp_profile_text(p, p->processes[0].unit), "web.service");
	assert_string_equal(pp_profile_text(p, p->processes[0].slice), "system.slice");
	assert_string_equal(pp_profile_text(p, p->processes[0].container), "web1");
	assert_string_equal(pp_profile_text(p, p->processes[0].pod), "a-pod");
	assert_string_equal(pp_profile_attribute(p, &p->entries[0], PP_ATTRIBUTE_GIL), "");
	assert_string_equal(pp_profile_attribute(p, &p->entries[1], PP_ATTRIBUTE_GIL), "held");
	assert_string_equal(pp_profile_attribute(p, &p->entries[1], PP_ATTRIBUTE_TASK), "A.foo");
	assert_string_equal(pp_profile_attribute(p, &p->entries[1], PP_ATTRIBUTE_THREAD), "");
}

/* Files without names, with inlined functions, with another's labels. */
/* A Python function's lines are told apart where one asks for them; other languages' are not. */
static void test_lines(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ uint8_t *data = NULL;
	size_t n, with_line = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		lines[i].line = 70 + (int64_t)i;
	n = pack(&data);
	assert_int_equal(pp_pprof_read(&p, data, n), 0);
	for (size_t i = 0; i < p->nr_frames; i++) {
		const struct pp_frame *f = &p->frames[i];

		if (!f->line)
			continue;
		with_line++;
		assert_int_equal(f->kind, PP_KIND_PYTHON);
		assert_int_equal(f->line, 71);
		assert_int_equal(p->frames[p->functions[i]].line, 0);
		assert_int_equal(p->frames[p->functions[i]].name, f->name);
	}
	assert_int_equal(with_line, 1);
}

static void test_foreign(void **state)
{
	Pprof__Line *inlined[] = { &lines[2], &lines[1] };

	(void)state;
	locations[1].line = inlined; /* read() inlined into A.foo */
	locations[1].n_line = 2;
	locations[0].n_line = 0;
	locations[0].address = 0x7f0000001234;
	mappings[2].memory_start = 0x7f0000000000;
	mappings[2].file_offset = 0x1000;
	samples[0].n_label = samples[1].n_label = 0;
	profile.n_sample = 1;
	expect(";[libc.so.6+0x2234];py::A.foo\\x0a:/src/a.py;py::read;read;vfs_read_[k] 3\n");
}

static void gzipped(struct pp_buf *out, const uint8_t *data, size_t len)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), 0);
	assert_int_equal(pp_buf_reserve(out, deflateBound(&z, len)), 0);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	z.next_out = out->data + out->len;
	z.avail_out = (uInt)(out->cap - out->len);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len = (size_t)(z.next_out - out->data);
	deflateEnd(&z);
}

static void test_gzip(void **state)
{
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_buf_ struct pp_buf gz = { 0 };
	size_t n = pack(&data);

	(void)state;
	gzipped(&gz, data, n / 2); /* members one after another are one file */
	gzipped(&gz, data + n / 2, n - n / 2);
	for (size_t len = 0; len <= gz.len; len++) {
		_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
		/* In a block of its own size, so that a sanitizer sees a read beyond. */
		_cleanup_free_ uint8_t *cut = malloc(len ?: 1);

		memcpy(cut, gz.data, len);
		assert_int_equal(pp_pprof_read(&p, cut, len), len == gz.len ? 0 : -EBADMSG);
		if (p)
			assert_int_equal(p->samples, 5);
	}
}

/* Every prefix, and every byte of the file changed: an error or a profile, never anything else. */
static void test_broken(void **state)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t n = pack(&data), good = 0;

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;

			data[i] ^= (uint8_t)(1U << bit);
			if (pp_pprof_read(&p, data, n) == 0) {
				_cleanup_free_ char *got = NULL;
				size_t size;
				FILE *out = open_memstream(&got, &size);

				assert_int_equal(pp_folded_write(out, p, PP_VIEW_ALL), 0);
				fclose(out);
				good++;
			}
			data[i] ^= (uint8_t)(1U << bit);
		}
	assert_in_range(good, 1, 8 * n - 1);
}

static void test_inconsistent(void **state)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_free_ uint8_t *data = NULL;
	size_t n;

	(void)state;
	assert_int_equal(pp_pprof_read(&p, "", 0), -EBADMSG);
	assert_int_equal(pp_pprof_read(&p, "not a pprof", 11), -EBADMSG);
	ids[1][0] = 99; /* no such location */
	n = pack(&data);
	ids[1][0] = 20;
	assert_int_equal(pp_pprof_read(&p, data, n), -EBADMSG);
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_daemon, setup),
		cmocka_unit_test_setup(test_lines, setup),
		cmocka_unit_test_setup(test_foreign, setup),
		cmocka_unit_test_setup(test_gzip, setup),
		cmocka_unit_test_setup(test_broken, setup),
		cmocka_unit_test_setup(test_inconsistent, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
