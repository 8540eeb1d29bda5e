/* SPDX-License-Identifier: GPL-2.0-only */
/* Table images: every row found again, every broken field refused; the files they belong to. */
#include "elf/object.h"
#include "elf/siphash.h"
#include "elf/table.h"

#include "base/counters.h"
#include "base/fd.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Rows at random distances: dense ones fill buckets, far ones leave buckets of a single rule. */
static struct pp_cfi random_rows(uint64_t start, size_t n, unsigned int rules)
{
	struct pp_cfi c = { .start = start, .rows = calloc(n, sizeof(*c.rows)), .nr_rows = n };
	uint32_t at = 0;

	assert_non_null(c.rows);
	for (size_t i = 0; i < n; i++) {
		uint32_t rule = PP_RULE(PP_RULE_RSP, 1 + next_random() % rules, i % 2);

		c.rows[i] = (struct pp_cfi_row){ at, rule };
		at += 1 + (uint32_t)(next_random() % (next_random() % 8 ? 4 : 3000));
	}
	c.rows[n - 1].rule = PP_RULE(PP_RULE_NONE, 0, 0);
	return c;
}

static uint32_t rule_at(const struct pp_cfi *c, uint64_t address)
{
	uint32_t rule = PP_RULE(PP_RULE_NONE, 0, 0);

	for (size_t i = 0; i < c->nr_rows && c->start + c->rows[i].offset <= address; i++)
		rule = c->rows[i].rule;
	return rule;
}

static void test_lookup(void **state)
{
	static const uint64_t starts[] = { 0x1000, 0x10ff, 0x400123, 0x7ffffffff001 };

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		struct pp_cfi c = random_rows(starts[s], 3000, 40);
		_cleanup_buf_ struct pp_buf buf = { 0 };
		struct pp_table_image image;
		uint64_t end = c.start + c.rows[c.nr_rows - 1].offset;

		assert_int_equal(pp_table_build(&buf, &c), 0);
		assert_int_equal(pp_table_image_validate(&image, buf.data, buf.len), 0);
		for (uint64_t a = c.start - 300; a < c.start + 3000; a++)
			assert_int_equal(pp_table_image_lookup(&image, a), rule_at(&c, a));
		for (uint64_t a = end - 3000; a < end + 600; a++)
			assert_int_equal(pp_table_image_lookup(&image, a), rule_at(&c, a));
		for (size_t i = 0; i < c.nr_rows; i++)
			assert_int_equal(pp_table_image_lookup(&image, c.start + c.rows[i].offset),
					 c.rows[i].rule);
		pp_cfi_done(&c);
	}
}

/* 256 rows in a bucket, buckets that would straddle, and sharing of one-row buckets. */
static void test_layout(void **state)
{
	struct pp_cfi c = { .start = 0x2000 };
	_cleanup_buf_ struct pp_buf buf = { 0 };
	struct pp_table_image image;
	size_t n = 0;

	(void)state;
	c.rows = calloc(20 * 256 + 2, sizeof(*c.rows));
	assert_non_null(c.rows);
	/* 100 rows in the first bucket, so that full ones cannot be aligned by luck */
	for (uint32_t i = 0; i < 100; i++)
		c.rows[n++] = (struct pp_cfi_row){ i, PP_RULE(PP_RULE_RSP, 1 + i % 2, 0) };
	for (uint32_t i = 256; i < 20 * 256; i++)
		c.rows[n++] = (struct pp_cfi_row){ i, PP_RULE(PP_RULE_RBP, 1 + i % 2, 0) };
	/* then one rule for 1000 buckets */
	c.rows[n++] = (struct pp_cfi_row){ 1020 * 256, PP_RULE(PP_RULE_NONE, 0, 0) };
	c.nr_rows = n;
	assert_int_equal(pp_table_build(&buf, &c), 0);
	assert_int_equal(pp_table_image_validate(&image, buf.data, buf.len), 0);
	assert_int_equal(image.nr_buckets, 1020);
	assert_int_equal(image.index[1] & 0xff, 255);
	assert_true(image.nr_row_words < 20 * 256 + 5 * PP_ROWS_ALIGN / 2);
	assert_int_equal(image.index[500], image.index[600]);
	for (size_t i = 0; i < c.nr_rows; i++)
		assert_int_equal(pp_table_image_lookup(&image, c.start + c.rows[i].offset),
				 c.rows[i].rule);
	pp_cfi_done(&c);
}

/* More rules than numbers: what is over the limit is unsupported, not wrong. */
static void test_too_many_rules(void **state)
{
	struct pp_cfi c = { .start = 0x1000, .nr_rows = 20001 };
	_cleanup_buf_ struct pp_buf buf = { 0 };
	struct pp_table_image image;
	size_t unsupported = 0;

	(void)state;
	c.rows = calloc(c.nr_rows, sizeof(*c.rows));
	assert_non_null(c.rows);
	for (uint32_t i = 0; i < 20000; i++)
		c.rows[i] = (struct pp_cfi_row){ i * 8, PP_RULE(PP_RULE_RSP, i, 0) };
	c.rows[20000] = (struct pp_cfi_row){ 160000, PP_RULE(PP_RULE_NONE, 0, 0) };
	assert_int_equal(pp_table_build(&buf, &c), 0);
	assert_int_equal(pp_table_image_validate(&image, buf.data, buf.len), 0);
	assert_int_equal(image.nr_rules, PP_RULES_MAX);
	for (size_t i = 0; i < 20000; i++) {
		uint32_t rule = pp_table_image_lookup(&image, c.start + i * 8);

		if (PP_RULE_KIND(rule) == PP_RULE_UNSUPPORTED)
			unsupported++;
		else
			assert_int_equal(rule, c.rows[i].rule);
	}
	assert_int_equal(unsupported, 20000 - (PP_RULES_MAX - 2));
	pp_cfi_done(&c);
}

struct blob {
	struct pp_table_header h;
	uint32_t words[2048];
};

static void test_validate_refuses(void **state)
{
	struct pp_cfi c = random_rows(0x1000, 60, 3);
	_cleanup_buf_ struct pp_buf buf = { 0 };
	struct pp_table_image image;
	struct blob good, bad;
	uint32_t *rules, *index, *rows, nr_rows;

	(void)state;
	assert_int_equal(pp_table_build(&buf, &c), 0);
	assert_true(buf.len <= sizeof(good));
	memcpy(&good, buf.data, buf.len);
	rules = bad.words;
	index = rules + good.h.nr_rules;
	rows = index + good.h.nr_buckets;
	nr_rows = good.h.nr_row_words;
#define REFUSED(change)                                                                     \
	do {                                                                                \
		bad = good;                                                                 \
		change;                                                                     \
		assert_int_equal(pp_table_image_validate(&image, &bad, buf.len), -EBADMSG); \
	} while (0)

	bad = good;
	assert_int_equal(pp_table_image_validate(&image, &bad, buf.len), 0);
	for (size_t len = 0; len < buf.len; len++)
		assert_int_equal(pp_table_image_validate(&image, &bad, len), -EBADMSG);
	assert_int_equal(pp_table_image_validate(&image, &bad, buf.len + 4), -EBADMSG);
	REFUSED(bad.h.magic ^= 1);
	REFUSED(bad.h.start += 8);
	REFUSED(bad.h.start = ~0xffULL);
	REFUSED(bad.h.nr_buckets++);
	REFUSED(bad.h.nr_buckets = 0);
	REFUSED(bad.h.nr_buckets = UINT32_MAX);
	REFUSED(bad.h.nr_row_words--);
	REFUSED(bad.h.nr_row_words = UINT32_MAX);
	REFUSED(bad.h.nr_rules++);
	REFUSED((bad.h.nr_rules--, bad.h.nr_buckets++));
	REFUSED(rules[0] = PP_RULE(PP_RULE_RSP, 1, 0));
	REFUSED(rules[1] = PP_RULE(PP_RULE_FP, 0, 0));
	REFUSED(rules[1] = PP_RULE(PP_RULE_STUB, 0, 0));
	REFUSED(rules[1] = UINT32_MAX);
	REFUSED(rows[nr_rows - 1] |= 0xffff);
	REFUSED(index[0] = PP_INDEX(nr_rows, 1));
	REFUSED(index[0] = PP_INDEX(nr_rows - 1, 2));
	REFUSED(index[0] = PP_INDEX(1, 1)); /* its first row is not at offset 0 */
	REFUSED(rows[0] |= 5U << 16);
	REFUSED(rows[1] &= 0xffff); /* not ascending */
	REFUSED(rows[(index[0] & 0xff)] |= 0x100U << 16);
	pp_cfi_done(&c);
}

/* Every bucket referring to all rows would make checking quadratic. */
static void test_validate_is_linear(void **state)
{
	enum { BUCKETS = 100000, ROWS = 200 };
	size_t size = sizeof(struct pp_table_header) + 4 * (2 + BUCKETS + ROWS);
	_cleanup_free_ uint8_t *data = calloc(1, size);
	struct pp_table_header *h = (void *)data;
	uint32_t *words = (uint32_t *)(h + 1);
	struct pp_table_image image;

	(void)state;
	assert_non_null(data);
	*h = (struct pp_table_header){ PP_TABLE_MAGIC, 2, 0x1000, BUCKETS, ROWS };
	for (uint32_t i = 0; i < BUCKETS; i++)
		words[2 + i] = PP_INDEX(0, ROWS);
	for (uint32_t i = 0; i < ROWS; i++)
		words[2 + BUCKETS + i] = PP_ROW(i, 0);
	assert_int_equal(pp_table_image_validate(&image, data, size), -EBADMSG);
}

static void test_map(void **state)
{
	struct pp_cfi c = random_rows(0x1000, 500, 10);
	_cleanup_buf_ struct pp_buf buf = { 0 };
	_cleanup_close_ int sealed = -1, open = -1, garbage = -1;
	struct pp_table_image image, mapped = { 0 };

	(void)state;
	assert_int_equal(pp_table_build(&buf, &c), 0);
	assert_int_equal(pp_table_image_validate(&image, buf.data, buf.len), 0);
	sealed = pp_memfd_sealed("test", buf.data, buf.len);
	assert_int_equal(pp_table_image_map(&mapped, sealed, true), 0);
	assert_int_equal(pp_table_image_hash(&mapped), pp_table_image_hash(&image));
	for (size_t i = 0; i < c.nr_rows; i++)
		assert_int_equal(pp_table_image_lookup(&mapped, c.start + c.rows[i].offset),
				 c.rows[i].rule);
	pp_table_image_unmap(&mapped);
	assert_int_equal(pp_table_image_map(&mapped, sealed, false), 0);
	pp_table_image_unmap(&mapped);

	open = memfd_create("test", MFD_ALLOW_SEALING);
	assert_int_equal(pp_write_full(open, buf.data, buf.len), 0);
	assert_int_equal(pp_table_image_map(&mapped, open, true), -EPERM);
	buf.data[0] ^= 1;
	garbage = pp_memfd_sealed("test", buf.data, buf.len);
	assert_int_equal(pp_table_image_map(&mapped, garbage, false), -EBADMSG);
	pp_cfi_done(&c);
}

/* The vectors of the SipHash paper: key 00..0f, input 00..0e. */
static void test_siphash(void **state)
{
	static const uint64_t key[2] = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL };
	static const uint8_t input[15] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };

	(void)state;
	assert_int_equal(pp_siphash(key, input, 15), 0xa129ca6149be45e5ULL);
	assert_int_equal(pp_siphash(key, input, 0), 0x726fdb47dd0e0e31ULL);
	assert_int_equal(pp_siphash(key, input, 8), 0x93f5f5799a932462ULL);
}

/* ---- Objects ----------------------------------------------------------------------------------
 */

static unsigned int freed;

static void on_free(struct pp_object *object, void *userdata)
{
	(void)object;
	(void)userdata;
	freed++;
}

static struct pp_file_key key_of(uint64_t ino)
{
	return (struct pp_file_key){ .dev = 1, .ino = ino, .size = 100, .ctime_ns = 5 };
}

static void test_objects(void **state)
{
	_cleanup_(pp_objects_freep) struct pp_objects *t = NULL;
	struct pp_file_key key = key_of(1), rewritten = key_of(1);
	struct pp_object *a, *b, *again;

	(void)state;
	assert_int_equal(pp_objects_new(&t, on_free, NULL), 0);
	assert_int_equal(pp_objects_get(t, &key, "/usr/lib/libx.so", 1, &a), 0);
	assert_string_equal(a->basename, "libx.so");
	assert_int_equal(a->state, PP_OBJECT_NEW);
	assert_int_equal(a->table, -1);
	assert_int_equal(pp_objects_get(t, &key, "/other", 2, &again), 0);
	assert_ptr_equal(a, again);
	rewritten.ctime_ns++;
	assert_null(pp_objects_find(t, &rewritten));
	assert_int_equal(pp_objects_get(t, &rewritten, "bare", 2, &b), 0);
	assert_ptr_not_equal(a, b);
	assert_string_equal(b->basename, "bare");
	assert_ptr_equal(pp_objects_by_id(t, b->id), b);
	assert_int_equal(pp_objects_count(t), 2);
}

static void test_objects_limit(void **state)
{
	_cleanup_(pp_objects_freep) struct pp_objects *t = NULL;
	uint64_t refused = pp_counters[PP_C_objects_refused];
	struct pp_file_key key;
	struct pp_object *o;

	(void)state;
	freed = 0;
	assert_int_equal(pp_objects_new(&t, on_free, NULL), 0);
	for (uint64_t i = 0; i < PP_OBJECTS_MAX; i++) {
		key = key_of(i);
		assert_int_equal(pp_objects_get(t, &key, "/f", i, &o), 0);
		o->pins = 1;
	}
	key = key_of(PP_OBJECTS_MAX);
	assert_int_equal(pp_objects_get(t, &key, "/f", 9999, &o), -ENOSPC);
	assert_int_equal(pp_counters[PP_C_objects_refused], refused + 1);
	/* the oldest without pins goes, not a younger one, not one that is loading */
	for (uint64_t ino = 10; ino < 13; ino++) {
		key = key_of(ino);
		pp_objects_find(t, &key)->pins = 0;
	}
	key = key_of(10);
	pp_objects_find(t, &key)->state = PP_OBJECT_LOADING;
	key = key_of(PP_OBJECTS_MAX);
	assert_int_equal(pp_objects_get(t, &key, "/f", 9999, &o), 0);
	assert_int_equal(freed, 1);
	key = key_of(11);
	assert_null(pp_objects_find(t, &key));
	key = key_of(12);
	assert_non_null(pp_objects_find(t, &key));
	assert_int_equal(pp_objects_count(t), PP_OBJECTS_MAX);
	t = pp_objects_free(t);
	assert_int_equal(freed, PP_OBJECTS_MAX + 1);
}

static void test_object_address(void **state)
{
	struct pp_object o = { .state = PP_OBJECT_READY };
	uint64_t address;

	(void)state;
	o.info.nr_segments = 3;
	o.info.segments[0] = (struct pp_elf_segment){ 0, 0x400000, 0x1800, 0x1800, PF_R, 0 };
	o.info.segments[1] =
		(struct pp_elf_segment){ 0x1000, 0x401000, 0x900, 0x900, PF_R | PF_X, 0 };
	o.info.segments[2] =
		(struct pp_elf_segment){ 0x1900, 0x403900, 0x100, 0x5000, PF_R | PF_W, 0 };
	assert_true(pp_object_address(&o, 0x10, &address));
	assert_int_equal(address, 0x400010);
	assert_true(pp_object_address(&o, 0x1700, &address)); /* in two: the executable one */
	assert_int_equal(address, 0x401700);
	assert_true(pp_object_address(&o, 0x19ff, &address));
	assert_int_equal(address, 0x4039ff);
	assert_false(pp_object_address(&o, 0x1a00, &address)); /* bss has no place in the file */
	/* lld: code begins in the page where the segment before it ends, one page further on */
	o.info.segments[0] = (struct pp_elf_segment){ 0, 0, 0x13830, 0x13830, PF_R, 0 };
	o.info.segments[1] =
		(struct pp_elf_segment){ 0x13830, 0x14830, 0x3e000, 0x3e000, PF_R | PF_X, 0 };
	assert_true(pp_object_address(&o, 0x13000, &address)); /* where it is mapped */
	assert_int_equal(address, 0x14000);
	assert_true(pp_object_address(&o, 0x13830, &address));
	assert_int_equal(address, 0x14830);
	assert_true(pp_object_address(&o, 0x12fff, &address));
	assert_int_equal(address, 0x12fff);
	/* An address out of step with the offset is mapped nowhere: nothing is guessed. */
	o.info.segments[1].address = 0x14000;
	assert_true(pp_object_address(&o, 0x13000, &address));
	assert_int_equal(address, 0x13000);
	o.state = PP_OBJECT_LOADING;
	assert_false(pp_object_address(&o, 0x10, &address));
}

static void test_same_table(void **state)
{
	_cleanup_(pp_objects_freep) struct pp_objects *t = NULL;
	struct pp_file_key keys[] = { key_of(1), key_of(2) };
	struct pp_object *a, *b;

	(void)state;
	assert_int_equal(pp_objects_new(&t, NULL, NULL), 0);
	assert_int_equal(pp_objects_get(t, &keys[0], "/a", 1, &a), 0);
	assert_int_equal(pp_objects_get(t, &keys[1], "/b", 1, &b), 0);
	a->state = b->state = PP_OBJECT_READY;
	a->has_table = b->has_table = true;
	a->info.table_hash = b->info.table_hash = 77;
	a->info.build_id_len = b->info.build_id_len = 4;
	assert_null(pp_objects_find_same_table(t, b)); /* a's is not installed */
	a->table = 5;
	assert_ptr_equal(pp_objects_find_same_table(t, b), a);
	b->info.table_hash = 78;
	assert_null(pp_objects_find_same_table(t, b));
	b->info.table_hash = 77;
	b->info.build_id[3] = 1;
	assert_null(pp_objects_find_same_table(t, b));
	a->info.build_id_len = b->info.build_id_len = 0;
	assert_null(pp_objects_find_same_table(t, b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_too_many_rules),
		cmocka_unit_test(test_validate_refuses),
		cmocka_unit_test(test_validate_is_linear),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_objects_limit),
		cmocka_unit_test(test_object_address),
		cmocka_unit_test(test_same_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
