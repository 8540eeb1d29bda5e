/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/table.h"

#include "base/fd.h"
#include "base/u64map.h"
#include "elf/siphash.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define BUCKET_BYTES (1U << PP_BUCKET_SHIFT)

/* Rules that are always there, by number. */
enum {
	RULE_NONE,
	RULE_UNSUPPORTED, /* also stands for rules over PP_RULES_MAX */
	NR_FIXED_RULES,
};

struct builder {
	const struct pp_cfi *cfi;
	uint64_t start;
	uint32_t nr_buckets;
	struct pp_u64map numbers; /* PP_RULE word → number */
	uint32_t rules[PP_RULES_MAX];
	uint32_t nr_rules;
	uint32_t *index;
	struct pp_buf rows;
	/* Where a row (0, rule) is, plus 1: a bucket of that one row refers to it. One bucket in
	 * six of libpython's lies inside a long stretch of one rule. */
	uint32_t alone[PP_RULES_MAX];
};

static struct builder *builder_free(struct builder *b)
{
	if (!b)
		return NULL;
	pp_u64map_done(&b->numbers);
	free(b->index);
	pp_buf_done(&b->rows);
	free(b);
	return NULL;
}
PP_DEFINE_CLEANUP(struct builder *, builder_free)

static int number_rule(struct builder *b, uint32_t rule, uint32_t *ret)
{
	uint64_t number;
	int r;

	if (!pp_u64map_get(&b->numbers, rule, &number)) {
		if (b->nr_rules == PP_RULES_MAX) {
			*ret = RULE_UNSUPPORTED;
			return 0;
		}
		number = b->nr_rules++;
		b->rules[number] = rule;
		r = pp_u64map_put(&b->numbers, rule, number);
		if (r < 0)
			return r;
	}
	*ret = (uint32_t)number;
	return 0;
}

static int add_words(struct builder *b, const uint32_t *words, size_t n)
{
	return pp_buf_add(&b->rows, words, n * sizeof(*words));
}

/* Writes one bucket's rows so that they do not straddle an alignment boundary. */
static int add_bucket(struct builder *b, uint32_t bucket, const uint32_t *words, uint32_t n)
{
	static const uint32_t padding[PP_BUCKET_ROWS_MAX];
	uint32_t at = (uint32_t)(b->rows.len / sizeof(*words));
	uint32_t left = PP_ROWS_ALIGN - at % PP_ROWS_ALIGN, rule = words[0] & 0xffff;
	int r;

	if (n == 1 && b->alone[rule]) {
		b->index[bucket] = PP_INDEX(b->alone[rule] - 1, 1);
		return 0;
	}
	if (n > left) {
		r = add_words(b, padding, left);
		if (r < 0)
			return r;
		at += left;
	}
	if (at + n > PP_TABLE_ROWS_MAX)
		return -E2BIG;
	r = add_words(b, words, n);
	if (r < 0)
		return r;
	b->index[bucket] = PP_INDEX(at, n);
	if (!b->alone[rule])
		b->alone[rule] = at + 1;
	return 0;
}

static int fill(struct builder *b)
{
	const struct pp_cfi_row *row = b->cfi->rows, *end = row + b->cfi->nr_rows;
	uint32_t skew = (uint32_t)(b->cfi->start - b->start);
	uint32_t rule = RULE_NONE; /* in force at the bucket's start */

	for (uint32_t bucket = 0; bucket < b->nr_buckets; bucket++) {
		uint64_t from = (uint64_t)bucket << PP_BUCKET_SHIFT;
		uint32_t words[PP_BUCKET_ROWS_MAX], n = 0;
		int r;

		words[n++] = PP_ROW(0, rule);
		for (; row < end && (uint64_t)row->offset + skew < from + BUCKET_BYTES; row++) {
			uint32_t offset = (uint32_t)(row->offset + skew - from);

			r = number_rule(b, row->rule, &rule);
			if (r < 0)
				return r;
			if (offset == 0)
				n = 0;
			if (n && (words[n - 1] & 0xffff) == rule)
				continue; /* two rules over the limit became one */
			words[n++] = PP_ROW(offset, rule);
		}
		r = add_bucket(b, bucket, words, n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int emit(struct builder *b, struct pp_buf *out)
{
	struct pp_table_header h = {
		.magic = PP_TABLE_MAGIC,
		.nr_rules = b->nr_rules,
		.start = b->start,
		.nr_buckets = b->nr_buckets,
		.nr_row_words = (uint32_t)(b->rows.len / 4),
	};
	int r;

	r = pp_buf_reserve(out,
			   sizeof(h) + 4 * ((size_t)b->nr_rules + b->nr_buckets) + b->rows.len);
	if (r < 0)
		return r;
	(void)pp_buf_add(out, &h, sizeof(h));
	(void)pp_buf_add(out, b->rules, 4 * (size_t)b->nr_rules);
	(void)pp_buf_add(out, b->index, 4 * (size_t)b->nr_buckets);
	(void)pp_buf_add(out, b->rows.data, b->rows.len);
	return out->len > PP_TABLE_IMAGE_MAX ? -E2BIG : 0;
}

int pp_table_build(struct pp_buf *out, const struct pp_cfi *cfi)
{
	_cleanup_(builder_freep) struct builder *b = calloc(1, sizeof(*b));
	uint64_t end;
	uint32_t ignored;
	int r;

	if (!b)
		return -ENOMEM;
	b->cfi = cfi;
	b->start = cfi->start & ~(uint64_t)(BUCKET_BYTES - 1);
	end = cfi->start + cfi->rows[cfi->nr_rows - 1].offset;
	if ((end - b->start) / BUCKET_BYTES >= PP_TABLE_IMAGE_MAX / 4)
		return -E2BIG;
	b->nr_buckets = (uint32_t)((end - b->start + BUCKET_BYTES - 1) / BUCKET_BYTES);
	b->index = calloc(MAX(b->nr_buckets, 1U), sizeof(*b->index));
	b->rows.max = PP_TABLE_IMAGE_MAX;
	if (!b->index)
		return -ENOMEM;
	r = number_rule(b, PP_RULE(PP_RULE_NONE, 0, 0), &ignored);
	if (r == 0)
		r = number_rule(b, PP_RULE(PP_RULE_UNSUPPORTED, 0, 0), &ignored);
	if (r == 0)
		r = fill(b);
	if (r == 0)
		r = emit(b, out);
	return r == -ENOBUFS ? -E2BIG : r;
}

/* The parts' sizes add up and stay in bounds; the view is made. */
static int make_view(struct pp_table_image *v, const void *data, size_t size)
{
	const struct pp_table_header *h = data;

	if (size < sizeof(*h) || size > PP_TABLE_IMAGE_MAX || h->magic != PP_TABLE_MAGIC ||
	    h->start % BUCKET_BYTES || !h->nr_buckets || h->nr_rules < NR_FIXED_RULES ||
	    h->nr_rules > PP_RULES_MAX || !h->nr_row_words || h->nr_row_words > PP_TABLE_ROWS_MAX ||
	    h->start > PP_PC_ADDRESS - ((uint64_t)h->nr_buckets << PP_BUCKET_SHIFT) ||
	    size != sizeof(*h) +
			    4 * ((uint64_t)h->nr_rules + h->nr_buckets + (uint64_t)h->nr_row_words))
		return -EBADMSG;
	*v = (struct pp_table_image){
		.start = h->start,
		.rules = (const uint32_t *)(h + 1),
		.nr_rules = h->nr_rules,
		.nr_buckets = h->nr_buckets,
		.nr_row_words = h->nr_row_words,
		.data = data,
		.size = size,
	};
	v->index = v->rules + v->nr_rules;
	v->rows = v->index + v->nr_buckets;
	return 0;
}

static bool bucket_valid(const struct pp_table_image *v, uint32_t word, uint32_t *ret_rows)
{
	uint32_t first = word >> 8, n = (word & 0xff) + 1;

	if (first >= v->nr_row_words || n > v->nr_row_words - first ||
	    first / PP_ROWS_ALIGN != (first + n - 1) / PP_ROWS_ALIGN || v->rows[first] >> 16 != 0)
		return false;
	for (uint32_t i = 1; i < n; i++)
		if (v->rows[first + i] >> 16 <= v->rows[first + i - 1] >> 16)
			return false;
	*ret_rows = n;
	return v->rows[first + n - 1] >> 16 < BUCKET_BYTES;
}

int pp_table_image_validate(struct pp_table_image *ret, const void *data, size_t size)
{
	struct pp_table_image v;
	uint64_t total = 0;
	int r;

	r = make_view(&v, data, size);
	if (r < 0)
		return r;
	if (v.rules[RULE_NONE] != PP_RULE(PP_RULE_NONE, 0, 0))
		return -EBADMSG;
	for (uint32_t i = 0; i < v.nr_rules; i++)
		if (PP_RULE_KIND(v.rules[i]) > PP_RULE_UNSUPPORTED)
			return -EBADMSG;
	for (uint32_t i = 0; i < v.nr_row_words; i++)
		if ((v.rows[i] & 0xffff) >= v.nr_rules)
			return -EBADMSG;
	for (uint32_t i = 0; i < v.nr_buckets; i++) {
		uint32_t n;

		if (!bucket_valid(&v, v.index[i], &n))
			return -EBADMSG;
		/* Buckets share one-row runs only: this bounds the time spent here. */
		total += n;
		if (total > (uint64_t)v.nr_row_words + v.nr_buckets)
			return -EBADMSG;
	}
	*ret = v;
	return 0;
}

int pp_table_image_map(struct pp_table_image *ret, int fd, bool check)
{
	int64_t size = pp_memfd_check_sealed(fd);
	void *p;
	int r;

	if (size < 0)
		return (int)size;
	if (size < (int64_t)sizeof(struct pp_table_header) || size > (int64_t)PP_TABLE_IMAGE_MAX)
		return -EBADMSG;
	/* Private: kernels up to 6.0 refuse a shared mapping of what is sealed against writes. */
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = check ? pp_table_image_validate(ret, p, (size_t)size) : make_view(ret, p, (size_t)size);
	if (r < 0)
		munmap(p, (size_t)size);
	return r;
}

void pp_table_image_unmap(struct pp_table_image *image)
{
	if (image->data)
		munmap((void *)image->data, image->size);
	*image = (struct pp_table_image){ 0 };
}

uint32_t pp_table_image_lookup(const struct pp_table_image *image, uint64_t address)
{
	uint64_t bucket = (address - image->start) >> PP_BUCKET_SHIFT;
	uint32_t word, first, low, high, offset = address & (BUCKET_BYTES - 1);

	if (address < image->start || bucket >= image->nr_buckets)
		return PP_RULE(PP_RULE_NONE, 0, 0);
	word = image->index[bucket];
	first = word >> 8;
	low = 0;
	high = (word & 0xff) + 1;
	while (high - low > 1) {
		uint32_t mid = (low + high) / 2;

		if (image->rows[first + mid] >> 16 <= offset)
			low = mid;
		else
			high = mid;
	}
	return image->rules[image->rows[first + low] & 0xffff];
}

uint64_t pp_table_image_hash(const struct pp_table_image *image)
{
	static uint64_t key[2];
	static bool seeded;
	uint64_t hash;

	if (!seeded) {
		/* At this size it fails only where the kernel has no such call: then nothing is
		 * shared, by giving every image another hash. */
		if (syscall(SYS_getrandom, key, sizeof(key), 0) != sizeof(key))
			return pp_mix((uintptr_t)image->data) | 1;
		seeded = true;
	}
	hash = pp_siphash(key, image->data, image->size);
	return hash ? hash : 1;
}
