/* SPDX-License-Identifier: GPL-2.0-only */
/* Strings and frames: interning, names that come later, collection, and what frames are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/counters.h"
#include "base/text.h"
#include "profile/end.h"
#include "profile/frame_text.h"

#define N 20000

static void fresh(void **state)
{
	struct pp_store *s;

	assert_int_equal(pp_store_new(&s), 0);
	*state = s;
}

static int setup(void **state)
{
	fresh(state);
	return 0;
}

static int teardown(void **state)
{
	pp_store_free(*state);
	return 0;
}

static uint32_t str(struct pp_store *s, const char *text)
{
	uint32_t id;

	assert_int_equal(pp_strings_get(s->strings, text, strlen(text), &id), 0);
	return id;
}

static uint32_t frame(struct pp_store *s, enum pp_kind kind, const char *name, const char *file,
		      const char *module)
{
	uint32_t id;

	assert_int_equal(pp_store_frame(s, kind, name, strlen(name), file, strlen(file), module,
					strlen(module), &id),
			 0);
	return id;
}

/* The i-th of N different strings: binary, with NULs, of many lengths. */
static size_t nth(size_t i, char *text)
{
	size_t len = sizeof(i) + i % 50;

	memset(text, (int)(i * 7), len);
	memcpy(text + len - sizeof(i), &i, sizeof(i));
	return len;
}

static void strings_are_kept_once(void **state)
{
	struct pp_strings *s = ((struct pp_store *)*state)->strings;
	static uint32_t ids[N];
	char text[64];
	uint32_t id;

	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < N; i++) {
			size_t len = nth(i, text);

			assert_int_equal(pp_strings_get(s, text, len, &id), 0);
			if (!round)
				ids[i] = id;
			assert_int_equal(id, ids[i]);
		}
	assert_int_equal(pp_strings_count(s), N + 1);
	for (size_t i = 0; i < N; i++) {
		size_t len = nth(i, text), got;
		const char *p = pp_strings_text(s, ids[i], &got);

		assert_int_equal(got, len);
		assert_memory_equal(p, text, len);
		assert_int_equal(p[len], 0);
	}
	assert_int_equal(pp_strings_get(s, NULL, 0, &id), 0);
	assert_int_equal(id, 0);
	assert_string_equal(pp_strings_text(s, 12345678, NULL), "");
}

static void swept_strings_keep_their_ids(void **state)
{
	struct pp_strings *s = ((struct pp_store *)*state)->strings;
	static uint32_t ids[N];
	char text[64];
	size_t kept = 0, before, got;
	uint32_t id;

	for (size_t i = 0; i < N; i++)
		assert_int_equal(pp_strings_get(s, text, nth(i, text), &ids[i]), 0);
	before = pp_strings_bytes(s);
	for (size_t i = 0; i < N; i += 7, kept++)
		pp_strings_mark(s, ids[i]);
	pp_strings_sweep(s);
	assert_int_equal(pp_strings_count(s), kept + 1);
	assert_true(pp_strings_bytes(s) < before / 2);
	for (size_t i = 0; i < N; i++) {
		size_t len = nth(i, text);
		const char *p = pp_strings_text(s, ids[i], &got);

		if (i % 7) {
			assert_int_equal(got, 0);
			continue;
		}
		assert_int_equal(got, len);
		assert_memory_equal(p, text, len);
		assert_int_equal(pp_strings_get(s, text, len, &id), 0);
		assert_int_equal(id, ids[i]);
	}
	/* The dead may come back, under any free number, beside the kept. */
	for (size_t i = 0; i < N; i++)
		assert_int_equal(pp_strings_get(s, text, nth(i, text), &ids[i]), 0);
	assert_int_equal(pp_strings_count(s), N + 1);
	for (size_t i = 0; i < N; i++) {
		size_t len = nth(i, text);

		assert_memory_equal(pp_strings_text(s, ids[i], &got), text, len);
		assert_int_equal(got, len);
	}
}

static void long_strings_are_cut_between_characters(void **state)
{
	struct pp_strings *s = ((struct pp_store *)*state)->strings;
	uint64_t before = pp_counters[PP_C_strings_cut];
	static char text[PP_STRING_MAX + 10];
	size_t len;
	uint32_t id;

	memset(text, 'x', sizeof(text));
	memcpy(text + PP_STRING_MAX - 1, "\xe2\x82\xac", 3);
	assert_int_equal(pp_strings_get(s, text, sizeof(text), &id), 0);
	pp_strings_text(s, id, &len);
	assert_int_equal(len, PP_STRING_MAX - 1);
	/* Bytes that are no character at all are cut where the limit is. */
	memset(text, 0x80, sizeof(text));
	assert_int_equal(pp_strings_get(s, text, sizeof(text), &id), 0);
	pp_strings_text(s, id, &len);
	assert_in_range(len, PP_STRING_MAX - 4, PP_STRING_MAX);
	assert_int_equal(pp_counters[PP_C_strings_cut], before + 2);
	assert_int_equal(pp_strings_get_whole(s, text, sizeof(text), &id), 0);
	pp_strings_text(s, id, &len);
	assert_int_equal(len, sizeof(text));
}

/* A string of len bytes that differs from all others. */
static size_t interned(struct pp_strings *s, unsigned int i, size_t len)
{
	static char text[PP_STRING_MAX];
	const char *kept;
	size_t got;
	uint32_t id;

	memset(text, 'x', len);
	memcpy(text, &i, sizeof(i));
	assert_int_equal(pp_strings_get(s, text, len, &id), 0);
	kept = pp_strings_text(s, id, &got);
	assert_memory_equal(kept, text, got);
	return got;
}

static void long_strings_share_a_budget(void **state)
{
	struct pp_store *store = *state;
	uint64_t before = pp_counters[PP_C_strings_cut];
	const unsigned int fit = PP_STRINGS_LONG_BYTES / (PP_STRING_MAX + 16);

	for (unsigned int i = 0; i < fit; i++)
		assert_int_equal(interned(store->strings, i, PP_STRING_MAX), PP_STRING_MAX);
	assert_int_equal(pp_counters[PP_C_strings_cut], before);
	for (unsigned int i = fit; i < fit + 100; i++)
		assert_int_equal(interned(store->strings, i, PP_STRING_MAX), PP_STRING_SHORT_MAX);
	assert_int_equal(pp_counters[PP_C_strings_cut], before + 100);
	/* Those that are there stay whole, and short ones are nobody's concern. */
	assert_int_equal(interned(store->strings, 0, PP_STRING_MAX), PP_STRING_MAX);
	assert_int_equal(interned(store->strings, 0, PP_STRING_SHORT_MAX), PP_STRING_SHORT_MAX);
	assert_int_equal(pp_counters[PP_C_strings_cut], before + 100);
	assert_true(pp_strings_bytes(store->strings) < 2 * PP_STRINGS_LONG_BYTES);
	/* Nobody needs them: there is room again. */
	pp_store_collect(store);
	assert_int_equal(interned(store->strings, fit, PP_STRING_MAX), PP_STRING_MAX);
}

static void strings_are_bounded(void **state)
{
	_cleanup_(pp_strings_freep) struct pp_strings *s = NULL;
	uint64_t before = pp_counters[PP_C_strings_refused];
	char text[64];
	uint32_t id, first;
	size_t i;
	int r = 0;

	(void)state;
	assert_int_equal(pp_strings_new(&s, 64 * KIB), 0);
	assert_int_equal(pp_strings_get(s, text, nth(0, text), &first), 0);
	for (i = 1; i < N && r >= 0; i++)
		r = pp_strings_get(s, text, nth(i, text), &id);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(pp_counters[PP_C_strings_refused], before + 1);
	/* Growing ahead may overshoot by half, never more. */
	assert_true(pp_strings_bytes(s) < 96 * KIB);
	assert_true(i > 300);
	assert_int_equal(pp_strings_get(s, text, nth(0, text), &id), 0);
	assert_int_equal(id, first);
}

static void frames_are_kept_once(void **state)
{
	struct pp_store *s = *state;
	uint32_t a = frame(s, PP_KIND_PYTHON, "f", "/a.py", ""), b, c;

	assert_int_equal(frame(s, PP_KIND_PYTHON, "f", "/a.py", ""), a);
	assert_int_not_equal(frame(s, PP_KIND_PYTHON, "f", "/b.py", ""), a);
	assert_int_not_equal(frame(s, PP_KIND_NATIVE, "f", "/a.py", ""), a);
	assert_int_not_equal(frame(s, PP_KIND_PYTHON, "f", "/a.py", "m"), a);
	assert_int_not_equal(frame(s, PP_KIND_PYTHON, "g", "/a.py", ""), a);

	assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_NATIVE, str(s, "/m"), 16, &a), 0);
	assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_NATIVE, str(s, "/m"), 16, &b), 0);
	assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_NATIVE, str(s, "/m"), 17, &c), 0);
	assert_int_equal(a, b);
	assert_int_not_equal(a, c);
	assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_PYTHON, str(s, "/m"), 16, &b), 0);
	assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_PYTHON, 0, 99, &c), 0);
	assert_int_equal(b, c);
	assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_UNKNOWN, 0, 0, &b), 0);
	assert_int_equal(b, PP_FRAME_UNKNOWN);
}

static void names_may_come_later(void **state)
{
	struct pp_store *s = *state;
	struct pp_frames *f = s->frames;
	uint32_t named = frame(s, PP_KIND_NATIVE, "main", "", "/bin/x"), a, b, c, same;

	assert_int_equal(pp_frames_pending(f, PP_KIND_NATIVE, str(s, "/bin/x"), 0x10, &a), 0);
	assert_int_equal(pp_frames_pending(f, PP_KIND_NATIVE, str(s, "/bin/x"), 0x10, &b), 0);
	assert_int_equal(pp_frames_pending(f, PP_KIND_NATIVE, str(s, "/bin/x"), 0x20, &c), 0);
	/* Two processes' files of one path need not be one file. */
	assert_int_not_equal(a, b);
	assert_int_equal(pp_frames_count_pending(f), 3);
	assert_true(pp_frames_is_pending(f, a));
	assert_int_equal(pp_frames_final(f, a), a);
	assert_int_equal(pp_frames_describe(f, a)->offset, 0x10);

	/* A chain: c is b, b is a, a is named. */
	assert_int_equal(pp_frames_resolve(f, c, b), 0);
	assert_true(pp_frames_is_pending(f, c));
	assert_int_equal(pp_frames_resolve(f, b, a), 0);
	assert_int_equal(pp_frames_resolve(f, a, c), -EINVAL); /* a circle */
	assert_int_equal(pp_frames_resolve(f, b, named), -EINVAL);
	assert_int_equal(pp_frames_resolve(f, named, a), -EINVAL);
	assert_int_equal(pp_frames_resolve(f, a, named), 0);
	assert_int_equal(pp_frames_final(f, c), named);
	assert_int_equal(pp_frames_final(f, b), named);
	assert_false(pp_frames_is_pending(f, c));
	assert_int_equal(pp_frames_count_pending(f), 0);

	assert_int_equal(pp_frames_pending(f, PP_KIND_NATIVE, str(s, "/bin/x"), 0x30, &a), 0);
	assert_int_equal(pp_frames_give_up(f, a), 0);
	assert_int_equal(pp_frames_give_up(f, a), -EINVAL);
	assert_int_equal(pp_frames_unnamed(f, PP_KIND_NATIVE, str(s, "/bin/x"), 0x30, &same), 0);
	assert_int_equal(pp_frames_final(f, a), same);
	assert_int_equal(pp_frames_final(f, 123456), PP_FRAME_UNKNOWN);
}

static void frames_are_bounded(void **state)
{
	struct pp_store *s = *state;
	_cleanup_(pp_frames_freep) struct pp_frames *f = NULL;
	uint64_t before = pp_counters[PP_C_frames_refused];
	uint32_t id, pending;

	assert_int_equal(pp_frames_new(&f, s->strings, 11), 0);
	assert_int_equal(pp_frames_pending(f, PP_KIND_JIT, 0, 5, &pending), 0);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(pp_frames_unnamed(f, PP_KIND_NATIVE, 1, i, &id), 0);
	assert_int_equal(pp_frames_unnamed(f, PP_KIND_NATIVE, 1, 8, &id), -ENOSPC);
	assert_int_equal(pp_frames_unnamed(f, PP_KIND_NATIVE, 1, 7, &id), 0);
	assert_int_equal(pp_counters[PP_C_frames_refused], before + 1);
	/* Giving up needs no room. */
	assert_int_equal(pp_frames_give_up(f, pending), 0);
	assert_int_equal(pp_frames_final(f, pending), pending);
	assert_int_equal(pp_frames_count_pending(f), 0);
}

struct kept {
	uint32_t frame, string;
	int swept;
};

static bool mark_kept(void *userdata, struct pp_store *s, struct pp_mark *at)
{
	const struct kept *k = userdata;

	(void)at;
	pp_frames_mark(s->frames, k->frame);
	pp_strings_mark(s->strings, k->string);
	return false;
}

static void count_sweep(void *userdata, struct pp_store *s)
{
	(void)s;
	((struct kept *)userdata)->swept++;
}

static void collection_keeps_what_is_held(void **state)
{
	struct pp_store *s = *state;
	struct kept kept = { .string = str(s, "held") };
	struct pp_holder holder = { mark_kept, count_sweep, &kept, NULL };
	uint32_t dead = frame(s, PP_KIND_NATIVE, "dead", "", ""), pending, named;

	assert_int_equal(pp_frames_pending(s->frames, PP_KIND_JIT, str(s, "jit"), 1, &pending), 0);
	assert_int_equal(pp_frames_pending(s->frames, PP_KIND_NATIVE, 0, 1, &kept.frame), 0);
	named = frame(s, PP_KIND_NATIVE, "name", "file", "module");
	assert_int_equal(pp_frames_resolve(s->frames, kept.frame, named), 0);
	pp_store_hold(s, &holder);
	pp_store_collect(s);
	assert_int_equal(kept.swept, 1);
	assert_false(pp_frames_is_live(s->frames, dead));
	assert_int_equal(pp_frames_final(s->frames, kept.frame), named);
	assert_int_equal(frame(s, PP_KIND_NATIVE, "name", "file", "module"), named);
	assert_string_equal(pp_strings_text(s->strings, kept.string, NULL), "held");
	assert_true(pp_frames_is_pending(s->frames, pending));
	assert_int_equal(pp_frames_describe(s->frames, pending)->module, str(s, "jit"));
	/* unknown, shim, pending, alias, named; "", held, jit, name, file, module */
	assert_int_equal(pp_frames_count(s->frames), 5);
	assert_int_equal(pp_strings_count(s->strings), 6);

	pp_store_drop(s, &holder);
	assert_int_equal(pp_frames_give_up(s->frames, pending), 0);
	pp_store_collect(s);
	assert_int_equal(kept.swept, 1);
	assert_int_equal(pp_frames_count(s->frames), 2);
	assert_int_equal(pp_strings_count(s->strings), 1);
}

static void tending_collects_when_it_is_due(void **state)
{
	struct pp_store *s = *state;
	uint32_t id;

	pp_store_tend(s);
	assert_int_equal(s->collections, 0);
	for (uint64_t i = 0; i < 200000; i++) {
		assert_int_equal(pp_frames_unnamed(s->frames, PP_KIND_NATIVE, 0, i, &id), 0);
		if (i % 1000 == 0)
			pp_store_tend(s);
	}
	assert_in_range(s->collections, 1, 20);
	assert_true(pp_store_bytes(s) < 8 * MIB);
}

static void assert_text(struct pp_store *s, uint32_t id, const char *name, const char *system,
			const char *file, const char *module)
{
	struct pp_frame_text t = { 0 };

	assert_int_equal(pp_frame_text(&t, s, id), 0);
	assert_string_equal((const char *)t.name.data, name);
	assert_string_equal((const char *)t.system.data, system);
	assert_string_equal((const char *)t.file.data, file);
	assert_string_equal((const char *)t.module.data, module);
	pp_frame_text_done(&t);
}

static uint32_t unnamed(struct pp_store *s, enum pp_kind kind, const char *module, uint64_t offset)
{
	uint32_t id;

	assert_int_equal(pp_frames_unnamed(s->frames, kind, str(s, module), offset, &id), 0);
	return id;
}

static void frames_have_texts(void **state)
{
	struct pp_store *s = *state;
	uint32_t pending;

	assert_text(s, frame(s, PP_KIND_PYTHON, "C.f.<locals>.g", "/x.py", ""), "C.f.<locals>.g",
		    "py::C.f.<locals>.g:/x.py", "/x.py", "[python]");
	assert_text(s, frame(s, PP_KIND_PYTHON, "f", "", ""), "f", "py::f", "", "[python]");
	assert_text(s, unnamed(s, PP_KIND_PYTHON, "", 7), "?", "py::?", "", "[python]");
	assert_text(s, frame(s, PP_KIND_KERNEL, "do_syscall_64", "", "vmlinux"), "do_syscall_64",
		    "", "", "[kernel]");
	assert_text(s, unnamed(s, PP_KIND_KERNEL, "", 0xffffffff81000000),
		    "[kernel+0xffffffff81000000]", "", "", "[kernel]");
	assert_text(s, frame(s, PP_KIND_NATIVE, "main", "a.c", "/bin/x"), "main", "", "a.c",
		    "/bin/x");
	assert_text(s, unnamed(s, PP_KIND_NATIVE, "/lib/libc.so.6", 0x1a2b), "[libc.so.6+0x1a2b]",
		    "", "", "/lib/libc.so.6");
	assert_text(s, unnamed(s, PP_KIND_NATIVE, "[vdso]", 0), "[vdso+0x0]", "", "", "[vdso]");
	assert_text(s, unnamed(s, PP_KIND_NATIVE, "/", 1), "[/+0x1]", "", "", "/");
	assert_text(s, unnamed(s, PP_KIND_JIT, "//anon", 0x10), "[jit+0x10]", "", "", "[jit]");
	assert_text(s, unnamed(s, PP_KIND_UNKNOWN, "//anon", 0x10), "[anon+0x10]", "", "",
		    "[unknown]");
	assert_text(s, unnamed(s, PP_KIND_NATIVE, "[]", 0), "[[]+0x0]", "", "", "[]");
	assert_text(s, PP_FRAME_UNKNOWN, "[unknown]", "", "", "[unknown]");
	/* Names are another's bytes. */
	assert_text(s, frame(s, PP_KIND_NATIVE, "a\x1b[31m\\\xff\xc3\xa9;", "", "/\n"),
		    "a\\x1b[31m\\x5c\\xff\xc3\xa9;", "", "", "/\\x0a");

	assert_int_equal(pp_frames_pending(s->frames, PP_KIND_NATIVE, str(s, "/a/b"), 9, &pending),
			 0);
	assert_text(s, pending, "[b+0x9]", "", "", "/a/b");
	assert_int_equal(
		pp_frames_resolve(s->frames, pending, frame(s, PP_KIND_NATIVE, "n", "", "/a/b")),
		0);
	assert_text(s, pending, "n", "", "", "/a/b");
}

static void the_kernel_may_be_hidden(void **state)
{
	struct pp_store *s = *state;
	uint32_t named = frame(s, PP_KIND_KERNEL, "schedule", "", ""),
		 bare = unnamed(s, PP_KIND_KERNEL, "", 0xffffffff81234567),
		 user = frame(s, PP_KIND_NATIVE, "main", "", ""), shown;

	assert_int_equal(pp_frame_shown(s, user, PP_KERNEL_HIDDEN), user);
	assert_int_equal(pp_frame_shown(s, named, PP_KERNEL_FULL), named);
	assert_int_equal(pp_frame_shown(s, bare, PP_KERNEL_FULL), bare);
	assert_int_equal(pp_frame_shown(s, named, PP_KERNEL_NAMES), named);
	shown = pp_frame_shown(s, bare, PP_KERNEL_NAMES);
	assert_text(s, shown, "[kernel]", "", "", "[kernel]");
	assert_int_equal(pp_frame_shown(s, named, PP_KERNEL_HIDDEN), shown);
	assert_int_equal(pp_frame_shown(s, bare, PP_KERNEL_HIDDEN), shown);
}

static void ends_and_kinds_have_words(void **state)
{
	(void)state;
	for (int i = 0; i < PP_END_MAX; i++) {
		const char *text = pp_end_text((enum pp_end)i);

		assert_true(*text && strlen(text) < 40);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(text, pp_end_text((enum pp_end)k));
	}
	assert_string_equal(pp_end_text((enum pp_end)200), "unknown");
	assert_true(pp_end_complete(PP_END_ROOT));
	assert_true(pp_end_complete(PP_END_NO_USER));
	assert_false(pp_end_complete(PP_END_DEPTH));
	assert_string_equal(pp_kind_text(PP_KIND_PYTHON), "python");
	assert_string_equal(pp_kind_text((enum pp_kind)77), "unknown");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(strings_are_kept_once),
		TEST(swept_strings_keep_their_ids),
		TEST(long_strings_are_cut_between_characters),
		TEST(long_strings_share_a_budget),
		TEST(strings_are_bounded),
		TEST(frames_are_kept_once),
		TEST(names_may_come_later),
		TEST(frames_are_bounded),
		TEST(collection_keeps_what_is_held),
		TEST(tending_collects_when_it_is_due),
		TEST(frames_have_texts),
		TEST(the_kernel_may_be_hidden),
		TEST(ends_and_kinds_have_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
