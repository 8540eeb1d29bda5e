/* SPDX-License-Identifier: GPL-2.0-only */
/* What is written is read back with zlib and protobuf-c, and held against the format's rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/text.h"
#include "pprof.pb-c.h"
#include "profile/end.h"
#include "profile/pprof.h"

#define T0 (1000 * NSEC_PER_SEC)

struct world {
	struct pp_store *store;
	struct pp_profile *profile;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pp_profile_config config = { .entries_max = PP_PROFILE_ENTRIES };

	assert_int_equal(pp_store_new(&w->store), 0);
	assert_int_equal(pp_profile_new(&w->profile, w->store, T0, &config), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	pp_profile_free(w->profile);
	pp_store_free(w->store);
	free(w);
	return 0;
}

static uint32_t frame(struct world *w, enum pp_kind kind, const char *name, const char *file,
		      const char *module)
{
	uint32_t id;

	assert_int_equal(pp_store_frame(w->store, kind, name, strlen(name), file, strlen(file),
					module, strlen(module), &id),
			 0);
	return id;
}

static uint32_t child(struct world *w, uint32_t parent, uint32_t f)
{
	uint32_t id;

	assert_int_equal(pp_stacks_child(w->store->stacks, parent, f, &id), 0);
	return id;
}

static void add(struct world *w, uint64_t process, uint32_t node, enum pp_end end, uint64_t cpu_ns)
{
	assert_int_equal(
		pp_profile_add(w->profile, T0 + NSEC_PER_SEC, process, node, 0, end, cpu_ns), 0);
}

static void facts(void *userdata, uint64_t process, struct pp_process_facts *ret)
{
	(void)userdata;
	ret->pid = (pid_t)process + 1000;
	ret->comm = process == 1 ? "py\tthon\xff" : "other";
	if (process == 1) {
		ret->unit = "a.service";
		ret->slice = "a.slice";
		ret->container = "0123abc";
		ret->pod = "a-pod";
	}
}

static const struct pp_pprof_options options = { .facts = facts,
						 .frequency = 99,
						 .version = "1.2" };

/* Writes, decompresses, decodes. */
static Pprof__Profile *written(struct world *w)
{
	_cleanup_(pp_selection_freep) struct pp_selection *s = NULL;
	_cleanup_buf_ struct pp_buf gz = PP_BUF(0), plain = PP_BUF(0);
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	Pprof__Profile *p;
	z_stream z = { 0 };
	int r;

	assert_int_equal(pp_selection_new(&s, w->profile, &query), 0);
	assert_int_equal(pp_pprof_write(s, &options, &gz), 0);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = gz.data;
	z.avail_in = (uInt)gz.len;
	do {
		assert_int_equal(pp_buf_reserve(&plain, 1 * MIB), 0);
		z.next_out = plain.data + plain.len;
		z.avail_out = 1 * MIB;
		r = inflate(&z, Z_NO_FLUSH);
		assert_true(r == Z_OK || r == Z_STREAM_END);
		plain.len = (size_t)(z.next_out - plain.data);
	} while (r != Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	inflateEnd(&z);
	p = pprof__profile__unpack(NULL, plain.len, plain.data);
	assert_non_null(p);
	return p;
}

static void free_profile(Pprof__Profile **p)
{
	if (*p)
		pprof__profile__free_unpacked(*p, NULL);
}

static const char *text(const Pprof__Profile *p, int64_t index)
{
	assert_in_range(index, 0, p->n_string_table - 1);
	return p->string_table[index];
}

/* What the strictest readers insist on. */
static void assert_well_formed(const Pprof__Profile *p)
{
	assert_true(p->n_string_table > 0);
	assert_string_equal(p->string_table[0], "");
	for (size_t i = 0; i < p->n_string_table; i++) {
		const char *s = p->string_table[i];

		assert_true(i == 0 || *s);
		for (size_t len = strlen(s), k = 0, n; k < len; k += n) {
			n = pp_utf8_sequence(s + k, len - k);
			assert_true(n > 0);
		}
	}
	for (size_t i = 0; i < p->n_mapping; i++) {
		assert_int_equal(p->mapping[i]->id, i + 1);
		assert_true(*text(p, p->mapping[i]->filename));
	}
	for (size_t i = 0; i < p->n_function; i++) {
		assert_int_equal(p->function[i]->id, i + 1);
		assert_true(*text(p, p->function[i]->name));
		text(p, p->function[i]->system_name);
		text(p, p->function[i]->filename);
	}
	for (size_t i = 0; i < p->n_location; i++) {
		assert_int_equal(p->location[i]->id, i + 1);
		assert_in_range(p->location[i]->mapping_id, 1, p->n_mapping);
		assert_int_equal(p->location[i]->n_line, 1);
		assert_in_range(p->location[i]->line[0]->function_id, 1, p->n_function);
	}
	for (size_t i = 0; i < p->n_sample; i++) {
		const Pprof__Sample *s = p->sample[i];

		assert_int_equal(s->n_value, p->n_sample_type);
		for (size_t k = 0; k < s->n_location_id; k++)
			assert_in_range(s->location_id[k], 1, p->n_location);
		for (size_t k = 0; k < s->n_label; k++) {
			assert_true(*text(p, s->label[k]->key));
			text(p, s->label[k]->str);
		}
	}
}

static const Pprof__Label *label(const Pprof__Profile *p, const Pprof__Sample *s, const char *key)
{
	for (size_t i = 0; i < s->n_label; i++)
		if (!strcmp(text(p, s->label[i]->key), key))
			return s->label[i];
	return NULL;
}

static void assert_label(const Pprof__Profile *p, const Pprof__Sample *s, const char *key,
			 const char *value)
{
	const Pprof__Label *l = label(p, s, key);

	if (!value) {
		assert_null(l);
		return;
	}
	assert_non_null(l);
	assert_string_equal(text(p, l->str), value);
}

/* Location k of a sample, leaf first: what a reader sees of it. */
static void assert_location(const Pprof__Profile *p, const Pprof__Sample *s, size_t k,
			    const char *name, const char *system, const char *file,
			    const char *module, uint64_t address)
{
	const Pprof__Location *l = p->location[s->location_id[k] - 1];
	const Pprof__Function *f = p->function[l->line[0]->function_id - 1];

	assert_string_equal(text(p, f->name), name);
	assert_string_equal(text(p, f->system_name), system);
	assert_string_equal(text(p, f->filename), file);
	assert_string_equal(text(p, p->mapping[l->mapping_id - 1]->filename), module);
	assert_int_equal(l->address, address);
}

static void a_profile_says_it_all(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	uint32_t bare, at;
	const Pprof__Sample *s;

	assert_int_equal(pp_strings_get(w->store->strings, "/lib/libx.so", 12, &bare), 0);
	assert_int_equal(pp_frames_unnamed(w->store->frames, PP_KIND_NATIVE, bare, 0xabc, &bare),
			 0);
	at = child(w, 0, frame(w, PP_KIND_NATIVE, "_start", "", "/usr/bin/python3"));
	at = child(w, at, frame(w, PP_KIND_PYTHON, "C.<lambda>", "/s\xe9.py", ""));
	add(w, 1, child(w, at, bare), PP_END_ROOT, 10101);
	add(w, 1, child(w, at, bare), PP_END_ROOT, 10101);
	at = child(w, at, frame(w, PP_KIND_KERNEL, "do_syscall_64", "", ""));
	add(w, 2, at, PP_END_NO_TABLE, 7);
	pp_profile_lost(w->profile, 5);

	p = written(w);
	assert_well_formed(p);
	assert_int_equal(p->n_sample_type, 2);
	assert_string_equal(text(p, p->sample_type[0]->type), "samples");
	assert_string_equal(text(p, p->sample_type[0]->unit), "count");
	assert_string_equal(text(p, p->sample_type[1]->type), "cpu");
	assert_string_equal(text(p, p->sample_type[1]->unit), "nanoseconds");
	assert_string_equal(text(p, p->period_type->type), "cpu");
	assert_string_equal(text(p, p->period_type->unit), "nanoseconds");
	assert_int_equal(p->period, 10101010);
	assert_int_equal(p->duration_nanos, NSEC_PER_SEC);
	assert_true(p->time_nanos > 1500000000LL * 1000000000LL);
	assert_int_equal(p->n_comment, 2);
	assert_string_equal(text(p, p->comment[0]), "pyprofd 1.2");
	assert_string_equal(text(p, p->comment[1]), "lost 5");

	assert_int_equal(p->n_sample, 2);
	s = p->sample[0];
	assert_int_equal(s->value[0], 2);
	assert_int_equal(s->value[1], 20202);
	assert_int_equal(s->n_location_id, 3);
	assert_location(p, s, 0, "[libx.so+0xabc]", "", "", "/lib/libx.so", 0xabc);
	assert_location(p, s, 1, "C.<lambda>", "py::C.<lambda>:/s\\xe9.py", "/s\\xe9.py",
			"[python]", 0);
	assert_location(p, s, 2, "_start", "", "", "/usr/bin/python3", 0);
	assert_int_equal(label(p, s, "process")->num, 1);
	assert_int_equal(label(p, s, "pid")->num, 1001);
	assert_label(p, s, "comm", "py\\x09thon\\xff");
	assert_label(p, s, "unit", "a.service");
	assert_label(p, s, "slice", "a.slice");
	assert_label(p, s, "container", "0123abc");
	assert_label(p, s, "pod", "a-pod");
	assert_label(p, s, "truncated", NULL);

	s = p->sample[1];
	assert_location(p, s, 0, "do_syscall_64", "", "", "[kernel]", 0);
	assert_int_equal(label(p, s, "pid")->num, 1002);
	assert_label(p, s, "comm", "other");
	assert_label(p, s, "unit", NULL);
	assert_label(p, s, "slice", NULL);
	assert_label(p, s, "container", NULL);
	assert_label(p, s, "pod", NULL);
	assert_label(p, s, "truncated", pp_end_text(PP_END_NO_TABLE));
	assert_int_equal(p->n_location, 4);
	assert_int_equal(p->n_mapping, 4);
}

static void nothing_is_a_profile_too(void **state)
{
	_cleanup_(free_profile) Pprof__Profile *p = written(*state);

	assert_well_formed(p);
	assert_int_equal(p->n_sample, 0);
	assert_int_equal(p->n_sample_type, 2);
}

static void a_stack_may_be_empty_or_of_the_unknown(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;

	add(w, 1, 0, PP_END_NO_SPACE, 1);
	add(w, 2, child(w, 0, PP_FRAME_UNKNOWN), PP_END_ROOT, 1);
	p = written(w);
	assert_well_formed(p);
	assert_int_equal(p->n_sample, 2);
	assert_int_equal(p->sample[0]->n_location_id, 0);
	assert_location(p, p->sample[1], 0, "[unknown]", "", "", "[unknown]", 0);
}

static void attributes_are_labels(void **state)
{
	struct world *w = *state;
	struct pp_attributes a = { .gil = PP_GIL_HELD, .gc = PP_GC_RUNNING };
	Pprof__Profile *p;
	uint32_t set;

	assert_int_equal(pp_strings_get(w->store->strings, "t\x1b[2J\xff", 6, &a.thread), 0);
	a.task = frame(w, PP_KIND_PYTHON, "Server.<locals>\n", "a.py", "[python]");
	assert_int_equal(pp_attributes_get(w->store, &a, &set), 0);
	assert_int_equal(pp_profile_add(w->profile, T0 + NSEC_PER_SEC, 1, 0, set, PP_END_ROOT, 1),
			 0);
	add(w, 2, 0, PP_END_ROOT, 1);
	p = written(w);
	assert_label(p, p->sample[0], "gil", "held");
	assert_label(p, p->sample[0], "gc", "running");
	assert_label(p, p->sample[0], "thread", "t\\x1b[2J\\xff");
	assert_label(p, p->sample[0], "task", "Server.<locals>\\x0a");
	assert_label(p, p->sample[1], "gil", NULL);
	assert_label(p, p->sample[1], "gc", NULL);
	assert_label(p, p->sample[1], "thread", NULL);
	assert_label(p, p->sample[1], "task", NULL);
	pprof__profile__free_unpacked(p, NULL);
}

static void a_label_is_of_its_sample_only(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	uint32_t outer = child(w, 0, frame(w, PP_KIND_NATIVE, "outer", "", "/bin/x"));

	add(w, 2, outer, PP_END_STACK, 1);
	add(w, 2, child(w, outer, frame(w, PP_KIND_NATIVE, "inner", "", "/bin/x")), PP_END_ROOT, 1);
	p = written(w);
	assert_well_formed(p);
	assert_label(p, p->sample[0], "truncated", pp_end_text(PP_END_STACK));
	assert_label(p, p->sample[1], "truncated", NULL);
	assert_label(p, p->sample[1], "comm", "other");
	assert_int_equal(p->sample[1]->n_label, 3);
}

/* The lines of a function are locations of one function; a shim is in no stack. */
static void lines_are_of_one_function(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	static const uint32_t lines[] = { 12, 10, 0 };
	uint32_t f, at;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(pp_store_python(w->store, "f", 1, "/a.py", 5, lines[i], 10, &f),
				 0);
		at = child(w, child(w, 0, f), PP_FRAME_SHIM);
		assert_int_equal(pp_store_python(w->store, "g", 1, "/a.py", 5, 31, 30, &f), 0);
		add(w, 1, child(w, at, f), PP_END_ROOT, 1);
	}
	p = written(w);
	assert_int_equal(p->n_function, 2);
	assert_int_equal(p->n_location, 4);
	assert_int_equal(p->n_sample, 3);
	assert_int_equal(p->mapping[0]->has_line_numbers, 1);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const Pprof__Sample *s = p->sample[i];
		const Pprof__Location *caller;

		assert_int_equal(s->n_location_id, 2);
		caller = p->location[s->location_id[1] - 1];
		assert_int_equal(caller->line[0]->line, lines[i]);
		assert_int_equal(p->location[s->location_id[0] - 1]->line[0]->line, 31);
		assert_int_equal(p->function[caller->line[0]->function_id - 1]->start_line, 10);
	}
}

/* Enough for many pieces; every count must come through, whatever piece it fell into. */
static void a_big_profile_adds_up(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	static uint64_t expected[200], got[200];
	uint64_t locations = 0, depths = 0;
	char name[64];

	srandom(5);
	for (int i = 0; i < 20000; i++) {
		uint64_t process = (uint64_t)random() % 200;
		size_t depth = (size_t)random() % 60;
		uint32_t at = 0;

		for (size_t k = 0; k < depth; k++) {
			snprintf(name, sizeof(name), "function_with_some_name_%ld", random() % 500);
			at = child(w, at, frame(w, PP_KIND_NATIVE, name, "", "/bin/x"));
		}
		add(w, process, at, PP_END_ROOT, process + 1);
		expected[process]++;
		depths += depth;
	}
	p = written(w);
	assert_well_formed(p);
	assert_int_equal(p->n_function, 500);
	assert_int_equal(p->n_mapping, 1);
	for (size_t i = 0; i < p->n_sample; i++) {
		const Pprof__Sample *s = p->sample[i];
		uint64_t process = (uint64_t)label(p, s, "process")->num;

		assert_int_equal(s->value[1], s->value[0] * (int64_t)(process + 1));
		got[process] += (uint64_t)s->value[0];
		locations += s->n_location_id * (uint64_t)s->value[0];
	}
	assert_memory_equal(got, expected, sizeof(got));
	assert_int_equal(locations, depths);
}

static void the_deepest_stack_is_whole(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	uint32_t at = 0;

	for (int i = 0; i < PP_STACK_FRAMES_MAX; i++)
		at = child(w, at, frame(w, PP_KIND_PYTHON, i ? "f" : "<module>", "/a.py", ""));
	add(w, 1, at, PP_END_DEPTH, 1);
	p = written(w);
	assert_well_formed(p);
	assert_int_equal(p->sample[0]->n_location_id, PP_STACK_FRAMES_MAX);
	assert_location(p, p->sample[0], PP_STACK_FRAMES_MAX - 1, "<module>", "py::<module>:/a.py",
			"/a.py", "[python]", 0);
}

static void names_at_the_limit_survive(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	static char name[PP_STRING_MAX + 1];

	/* Four bytes outside for one inside, and twice in the system name. */
	memset(name, 0xff, PP_STRING_MAX);
	add(w, 1, child(w, 0, frame(w, PP_KIND_PYTHON, name, name, "")), PP_END_ROOT, 1);
	p = written(w);
	assert_well_formed(p);
	assert_int_equal(strlen(text(p, p->function[0]->system_name)),
			 strlen("py:::") + 2 * 4 * PP_STRING_MAX);
}

/* Escaped to four times their length they are more than the table of strings may hold. */
static void crowded_tables_cut_long_names(void **state)
{
	struct world *w = *state;
	_cleanup_(free_profile) Pprof__Profile *p = NULL;
	char name[PP_STRING_SHORT_MAX + 1];
	size_t cut = 0;

	memset(name, 0xff, PP_STRING_SHORT_MAX);
	name[PP_STRING_SHORT_MAX] = 0;
	for (int i = 0; i < 3000; i++) {
		snprintf(name, 16, "%d", i);
		name[strlen(name)] = (char)0xff;
		add(w, 1, child(w, 0, frame(w, PP_KIND_PYTHON, name, name, "")), PP_END_ROOT, 1);
	}
	add(w, 2, child(w, 0, frame(w, PP_KIND_PYTHON, "honest", "/h.py", "")), PP_END_ROOT, 1);
	p = written(w);
	assert_well_formed(p);
	assert_int_equal(p->n_sample, 3001);
	assert_int_equal(p->n_comment, 3);
	assert_int_equal(sscanf(text(p, p->comment[2]), "names cut %zu", &cut), 1);
	assert_in_range(cut, 3000, 9000);
	assert_location(p, p->sample[3000], 0, "honest", "py::honest:/h.py", "/h.py", "[python]",
			0);
}

static void the_result_is_bounded(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_selection_freep) struct pp_selection *s = NULL;
	_cleanup_buf_ struct pp_buf whole = PP_BUF(0);
	struct pp_query query = { .kernel = PP_KERNEL_FULL };
	char name[64];

	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "f%ld", random());
		add(w, 1, child(w, 0, frame(w, PP_KIND_NATIVE, name, "", "/bin/x")), PP_END_ROOT,
		    1);
	}
	assert_int_equal(pp_selection_new(&s, w->profile, &query), 0);
	assert_int_equal(pp_pprof_write(s, &options, &whole), 0);
	assert_true(whole.len > 100 * KIB);
	for (size_t max = 1; max < whole.len; max += whole.len / 7) {
		_cleanup_buf_ struct pp_buf out = PP_BUF(max);

		assert_int_equal(pp_pprof_write(s, &options, &out), -ENOBUFS);
		assert_true(out.len <= max);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_profile_says_it_all),
		TEST(nothing_is_a_profile_too),
		TEST(a_stack_may_be_empty_or_of_the_unknown),
		TEST(attributes_are_labels),
		TEST(a_label_is_of_its_sample_only),
		TEST(lines_are_of_one_function),
		TEST(a_big_profile_adds_up),
		TEST(the_deepest_stack_is_whole),
		TEST(names_at_the_limit_survive),
		TEST(crowded_tables_cut_long_names),
		TEST(the_result_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
