/* SPDX-License-Identifier: GPL-2.0-only */
/* What an interpreter says of itself is used only where all of it is as its version has it. */
#include "remote/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FINAL 0xf0

/* As CPython 3.14.8 has it, as far as it is read. */
static const struct {
	uint16_t at;
	uint64_t value;
} words[] = {
	{ 8, 0x030e0800 | FINAL },
	{ 16, 0 },
	{ 24, 409440 },
	{ 32, 800 },
	{ 40, 808 },
	{ 48, 409000 },
	{ 56, 7280 },
	{ 64, 7272 },
	{ 80, 7360 },
	{ 176, 848 },
	{ 200, 16 },
	{ 712, 24 },
	{ 720, 304 },
	{ 728, 8076 },
	{ 736, 0 },
	{ 744, 4 },
	{ 752, 512 },
};

static void put(uint8_t *data, size_t at, uint64_t value)
{
	memcpy(data + at, &value, sizeof(value));
}

static void fill(uint8_t *data)
{
	memset(data, 0, PP_DEBUG_OFFSETS_MAX);
	memcpy(data, "xdebugpy", 8);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		put(data, words[i].at, words[i].value);
}

/* What it says if one word is another. */
static enum pp_runtime_answer with(size_t at, uint64_t value)
{
	uint8_t data[PP_DEBUG_OFFSETS_MAX];
	struct pp_debug_offsets o;

	fill(data);
	put(data, at, value);
	return pp_debug_offsets_parse(data, &o);
}

static void takes_what_agrees(void **state)
{
	uint8_t data[PP_DEBUG_OFFSETS_MAX];
	struct pp_debug_offsets o;

	(void)state;
	fill(data);
	assert_int_equal(pp_debug_offsets_parse(data, &o), PP_RUNTIME_OK);
	assert_int_equal(o.version, 0x030e0800 | FINAL);
	assert_int_equal(o.interp_main, 7360);
	assert_int_equal(o.state_breaker, 24);
	assert_int_equal(o.state_pending, 304);
	assert_int_equal(o.state_path, 308);
	assert_int_equal(o.path_size, 512);
}

static void refuses_other_versions(void **state)
{
	(void)state;
	assert_int_equal(with(0, 0), PP_RUNTIME_NONE);
	assert_int_equal(with(8, 0), PP_RUNTIME_NONE);
	assert_int_equal(with(8, 0x020708f0), PP_RUNTIME_NONE);
	assert_int_equal(with(8, UINT64_MAX), PP_RUNTIME_NONE);
	assert_int_equal(with(8, 0x1030e08f0), PP_RUNTIME_NONE);
	assert_int_equal(with(8, 0x030d00f0), PP_RUNTIME_OLD);
	assert_int_equal(with(8, 0x031000f0), PP_RUNTIME_UNKNOWN);
	assert_int_equal(with(8, 0x030e00c1), PP_RUNTIME_UNKNOWN); /* a release candidate */
	assert_int_equal(with(8, 0x030e00a1), PP_RUNTIME_UNKNOWN);
	assert_int_equal(with(16, 1), PP_RUNTIME_FREE_THREADED);
	/* 3.14's table is not 3.15's. */
	assert_int_equal(with(8, 0x030f00f0), PP_RUNTIME_MALFORMED);
}

static void refuses_what_does_not_agree(void **state)
{
	(void)state;
	/* From the sizes on, none may be just anything, but for those that are not read. */
	for (size_t i = 2; i < ARRAY_SIZE(words); i++) {
		bool is_size = words[i].at == 24 || words[i].at == 48 || words[i].at == 176;

		assert_int_equal(with(words[i].at, UINT64_MAX), PP_RUNTIME_MALFORMED);
		assert_int_equal(with(words[i].at, INT64_MAX), PP_RUNTIME_MALFORMED);
		if (is_size)
			assert_int_equal(with(words[i].at, 0), PP_RUNTIME_MALFORMED);
	}
	/* Of the last eight bytes of a structure none lies outside. */
	assert_int_equal(with(40, 409440 - 8), PP_RUNTIME_OK);
	assert_int_equal(with(40, 409440 - 7), PP_RUNTIME_MALFORMED);
	assert_int_equal(with(176, 308 + 512), PP_RUNTIME_OK);
	assert_int_equal(with(176, 308 + 511), PP_RUNTIME_MALFORMED);
	assert_int_equal(with(720, 305), PP_RUNTIME_MALFORMED);
	assert_int_equal(with(752, 511), PP_RUNTIME_MALFORMED);
}

static void every_answer_has_its_text(void **state)
{
	(void)state;
	for (int a = 0; a < PP_RUNTIME_ANSWERS; a++)
		assert_true(*pp_runtime_answer_text((enum pp_runtime_answer)a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_agrees),
		cmocka_unit_test(refuses_other_versions),
		cmocka_unit_test(refuses_what_does_not_agree),
		cmocka_unit_test(every_answer_has_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
