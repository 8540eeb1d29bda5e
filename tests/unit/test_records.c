/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Samples from records: the test has BPF's half, written anew and as plainly as can be, and what
 * comes out is compared with what went in. Records are in memory of their very size, so that a
 * sanitizer sees who reads beyond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/counters.h"
#include "trace/records.h"

#define CPUS	   3
#define THREADS	   100 /* some of them meet in a slot */
#define WORDS_MAX  (PP_KERNEL_FRAMES_MAX + 2 * PP_PYTHON_FRAMES_MAX + PP_USER_FRAMES_MAX)
#define BYTES_MAX  (sizeof(struct pp_sample) + 8 * WORDS_MAX)
#define WHO_BYTES  offsetof(struct pp_sample, short_form)
#define PYTHON_MAX (2 * PP_SLOT_PYTHON_MAX) /* words */

/* ---- BPF's half ------------------------------------------------------------------------------ */

/* What a slot has, root first. */
static struct half {
	uint8_t who[WHO_BYTES];
	uint32_t seq;
	uint64_t python[PYTHON_MAX], user[PP_SLOT_USER_MAX];
	size_t nr_python, nr_user;
} halves[CPUS][PP_SLOTS];

struct record {
	size_t size;
	void *bytes;
};

static void reset(void)
{
	memset(halves, 0, sizeof(halves));
}

/* The ring had no room. */
static void forget(struct half *h)
{
	memset(h->who, 0, sizeof(h->who));
	h->nr_python = h->nr_user = 0;
}

static struct half *half_of(const struct pp_sample *s)
{
	return &halves[s->cpu][s->tid % PP_SLOTS];
}

/* words: of one kind, leaf first. Returns how many the slot had; then it has them. */
static size_t keep(uint64_t *kept, size_t *nr_kept, size_t max, const uint64_t *words, size_t nr)
{
	size_t same = 0;

	while (same < nr && same < *nr_kept && kept[same] == words[nr - 1 - same])
		same++;
	for (size_t i = 0; i < nr && i < max; i++)
		kept[i] = words[nr - 1 - i];
	*nr_kept = MIN(nr, max);
	return same;
}

static void add(struct record *r, const void *bytes, size_t n)
{
	uint8_t *bigger = realloc(r->bytes, r->size + n);

	assert_non_null(bigger);
	memcpy(bigger + r->size, bytes, n);
	r->bytes = bigger;
	r->size += n;
}

static struct record encode(const struct pp_sample *sample)
{
	struct half *h = half_of(sample);
	struct pp_sample s = *sample;
	struct record r = { 0 };
	bool known;

	s.form = PP_FORM_FULL;
	s.slot = (uint8_t)(s.tid % PP_SLOTS);
	s.seq = ++h->seq;
	if (s.seq % PP_SLOT_RENEWAL == 0)
		forget(h);
	s.kept_python =
		(uint16_t)(keep(h->python, &h->nr_python, PYTHON_MAX,
				(const uint64_t *)pp_sample_python(sample), 2UL * s.nr_python) /
			   2);
	s.kept_user = (uint16_t)keep(h->user, &h->nr_user, PP_SLOT_USER_MAX,
				     (const uint64_t *)pp_sample_user(sample), s.nr_user);
	if (s.nr_user - s.kept_user > PP_SLOT_USER_MAX)
		s.kept_python = 0;
	known = memcmp(h->who, &s, WHO_BYTES) == 0;
	memcpy(h->who, &s, WHO_BYTES);
	add(&r, known ? &s.short_form : &s.form, known ? sizeof(s) - WHO_BYTES : sizeof(s));
	add(&r, pp_sample_kernel(sample), 8UL * s.nr_kernel);
	add(&r, pp_sample_python(sample), 16UL * (s.nr_python - s.kept_python));
	add(&r, pp_sample_user(sample), 8UL * (s.nr_user - s.kept_user));
	return r;
}

/* ---- Samples --------------------------------------------------------------------------------- */

static uint64_t buffer[BYTES_MAX / 8];

static uint64_t below(uint64_t n)
{
	return (uint64_t)random() % n;
}

/* Its stack is of so many frames, those at the leaf of this moment; a hundred of a thread's moments
 * have the others in common. */
static const struct pp_sample *make(uint32_t cpu, uint32_t thread, uint64_t moment)
{
	struct pp_sample *s = (struct pp_sample *)buffer;
	uint64_t era = thread * 1000ULL + moment / 100, depth = 1 + era * 7919 % 60;
	size_t at = 0, changing = below(8);

	if (below(50) == 0)
		depth = PP_USER_FRAMES_MAX - changing;
	*s = (struct pp_sample){ .form = PP_FORM_WHOLE,
				 .short_form = PP_FORM_SHORT,
				 .time_ns = moment,
				 .start_ns = thread / 4 + 1,
				 .tgid = thread / 4 + 1,
				 .tid = thread + 1,
				 .cpu = cpu,
				 .task = moment % 10 == 0,
				 .comm = "python",
				 .gil = PP_GIL_HELD,
				 .gc = PP_GC_IDLE,
				 .end = PP_END_ROOT,
				 .chain_end = PP_CHAIN_COMPLETE,
				 .nr_kernel = below(4) ? 0 : (uint16_t)below(20),
				 .nr_python = (uint16_t)MIN(depth, (uint64_t)PP_PYTHON_FRAMES_MAX),
				 .nr_user = (uint16_t)(depth + changing) };
	for (; at < s->nr_kernel; at++)
		s->words[at] = below(1000);
	for (size_t i = 0; i < 2UL * s->nr_python; i++)
		s->words[at++] = i < 2 ? below(5) : era * 10000 + 2UL * s->nr_python - i;
	for (size_t i = 0; i < s->nr_user; i++)
		s->words[at++] = i < changing ? below(1000) : era * 10000 + s->nr_user - i;
	return s;
}

static const struct pp_sample *take(struct pp_records *r, struct record record)
{
	const struct pp_sample *s = pp_records_take(r, record.bytes, record.size);

	free(record.bytes);
	return s;
}

static void expect_same(const struct pp_sample *got, const struct pp_sample *wanted)
{
	assert_non_null(got);
	assert_int_equal(pp_sample_bytes(got), pp_sample_bytes(wanted));
	assert_memory_equal(got, wanted, pp_sample_bytes(wanted));
}

static struct pp_records *records_new(enum pp_records_mode mode)
{
	struct pp_records *r;

	reset();
	srandom(1);
	assert_int_equal(pp_records_new(&r, CPUS, mode), 0);
	return r;
}

/* ---- What comes out is what went in ---------------------------------------------------------- */

static void test_round_trip(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	uint64_t lost = pp_counters[PP_C_samples_unbuilt];
	size_t sent = 0, whole = 0;

	(void)state;
	for (uint64_t moment = 0; moment < 30000; moment++) {
		const struct pp_sample *s =
			make((uint32_t)below(CPUS), (uint32_t)below(THREADS), moment);
		struct record record = encode(s);

		sent += record.size;
		whole += pp_sample_bytes(s);
		expect_same(take(r, record), s);
	}
	assert_int_equal(pp_counters[PP_C_samples_unbuilt], lost);
	assert_true(sent < whole);
	assert_in_range(pp_records_bytes(r), 1,
			CPUS * PP_SLOTS * (8UL * (PYTHON_MAX + PP_SLOT_USER_MAX) + 128));
	pp_records_free(r);
}

/* One thread, nothing but the leaf of which changes: little is sent, but for the renewal. */
static void test_stable(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	struct pp_sample *s = (struct pp_sample *)buffer;
	size_t full = 0, most = 0;

	(void)state;
	make(0, 1, 1);
	for (unsigned int i = 1; i < 2 * PP_SLOT_RENEWAL; i++) {
		struct record record;

		s->time_ns++;
		s->words[s->nr_kernel + 2UL * s->nr_python] = i;
		record = encode(s);
		if (record.size >= pp_sample_bytes(s))
			full++;
		else
			most = MAX(most, record.size);
		expect_same(take(r, record), s);
	}
	assert_int_equal(full, 2);
	assert_in_range(most, 1, 48 + 8UL * s->nr_kernel);
	pp_records_free(r);
}

/* The ring had no room now and then, and BPF knows: nothing else is lost. */
static void test_ring_full(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);

	(void)state;
	for (uint64_t moment = 0; moment < 5000; moment++) {
		const struct pp_sample *s = make(0, (uint32_t)below(4), moment);
		struct record record = encode(s);

		if (below(3)) {
			expect_same(take(r, record), s);
			continue;
		}
		forget(half_of(s));
		free(record.bytes);
	}
	pp_records_free(r);
}

/* Records vanish, and BPF does not know: what builds on them is lost, at most up to the renewal,
 * and what comes is right. */
static void test_missing(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	uint64_t counted = pp_counters[PP_C_samples_unbuilt];
	size_t in_a_row = 0, most = 0, unbuilt = 0, right = 0;

	(void)state;
	for (uint64_t moment = 0; moment < 20000; moment++) {
		const struct pp_sample *s = make(0, 3, moment), *got;
		struct record record = encode(s);

		if (below(1000) == 0) {
			free(record.bytes);
			continue;
		}
		got = take(r, record);
		if (got) {
			expect_same(got, s);
			right++;
			in_a_row = 0;
			continue;
		}
		unbuilt++;
		most = MAX(most, ++in_a_row);
	}
	assert_int_equal(pp_counters[PP_C_samples_unbuilt] - counted, unbuilt);
	assert_in_range(most, 1, PP_SLOT_RENEWAL);
	assert_true(right > unbuilt);
	pp_records_free(r);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static struct record copy_of(struct record record)
{
	struct record copy = { 0 };

	add(&copy, record.bytes, record.size);
	return copy;
}

/* A record that builds on another, of the slot of thread 1 on CPU 0, both of which r has not. */
static void two_records(struct record *ret_first, struct record *ret_second)
{
	reset();
	*ret_first = encode(make(0, 1, 1));
	*ret_second = encode(make(0, 1, 2));
}

static void refuse(struct pp_records *r, struct record record, enum pp_counter why)
{
	uint64_t before = pp_counters[why];

	assert_null(take(r, record));
	assert_int_equal(pp_counters[why], before + 1);
}

static void test_cut(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	struct record records[2];

	(void)state;
	two_records(&records[0], &records[1]);
	for (int i = 0; i < 2; i++) {
		for (size_t size = 0; size < records[i].size; size++) {
			struct record cut = copy_of(records[i]);

			cut.size = size;
			cut.bytes = realloc(cut.bytes, MAX(size, 1UL));
			refuse(r, cut, PP_C_sample_malformed);
		}
		add(&records[i], "........", 8);
		refuse(r, records[i], PP_C_sample_malformed);
	}
	pp_records_free(r);
}

/* Each field that has a bound, over it, in a full and in a short record. */
static void test_bounds(void **state)
{
#define FIELD(name, value)                                                                     \
	{                                                                                      \
		offsetof(struct pp_sample, name), sizeof(((struct pp_sample *)0)->name), value \
	}
	static const struct {
		size_t offset, size;
		uint64_t value;
	} fields[] = {
		FIELD(cpu, CPUS),
		FIELD(cpu, UINT32_MAX),
		FIELD(slot, PP_SLOTS),
		FIELD(slot, UINT8_MAX),
		FIELD(set, PP_SETS_MAX),
		FIELD(end, PP_END_MAX),
		FIELD(chain_end, PP_CHAIN_MAX),
		FIELD(gil, PP_GIL_MAX),
		FIELD(gc, PP_GC_MAX),
		FIELD(nr_kernel, PP_KERNEL_FRAMES_MAX + 1),
		FIELD(nr_python, PP_PYTHON_FRAMES_MAX + 1),
		FIELD(nr_user, PP_USER_FRAMES_MAX + 1),
		FIELD(nr_kernel, UINT16_MAX),
		FIELD(nr_python, UINT16_MAX),
		FIELD(nr_user, UINT16_MAX),
		FIELD(kept_python, UINT16_MAX),
		FIELD(kept_user, UINT16_MAX),
		FIELD(short_form, PP_FORM_SHORT + 1),
	};
#undef FIELD
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	struct record records[2];

	(void)state;
	two_records(&records[0], &records[1]);
	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
			bool is_form = fields[k].offset == WHO_BYTES;
			size_t at = i	      ? fields[k].offset - WHO_BYTES
				    : is_form ? 0
					      : fields[k].offset;
			struct record bad = copy_of(records[i]);

			memcpy((char *)bad.bytes + at, &fields[k].value, fields[k].size);
			refuse(r, bad, PP_C_sample_malformed);
		}
	/* One that is whole keeps nothing. */
	((struct pp_sample *)records[0].bytes)->form = PP_FORM_WHOLE;
	((struct pp_sample *)records[0].bytes)->kept_user = 1;
	records[0].size -= 8;
	refuse(r, records[0], PP_C_sample_malformed);
	free(records[1].bytes);
	pp_records_free(r);
}

/* Nothing, another record or less than it takes lies below it. */
static void test_unfounded(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	struct record first, second, other;
	struct pp_sample s = { .form = PP_FORM_FULL, .seq = 1, .cpu = 0 };

	(void)state;
	two_records(&first, &second);
	refuse(r, copy_of(second), PP_C_samples_unbuilt);
	assert_non_null(take(r, copy_of(first)));
	/* Twice the same, and then it is known no more. */
	assert_non_null(take(r, copy_of(second)));
	refuse(r, copy_of(second), PP_C_samples_unbuilt);
	refuse(r, copy_of(second), PP_C_samples_unbuilt);
	/* Another CPU's. */
	assert_non_null(take(r, copy_of(first)));
	other = copy_of(second);
	((char *)other.bytes)[offsetof(struct pp_sample, cpu) - WHO_BYTES] = 1;
	refuse(r, other, PP_C_samples_unbuilt);
	assert_non_null(take(r, copy_of(second)));
	/* More frames kept than there were, of each kind. */
	for (int python = 0; python < 2; python++) {
		struct record empty = { 0 }, kept = { 0 };

		s = (struct pp_sample){ .form = PP_FORM_FULL, .slot = 9, .seq = 7 };
		add(&empty, &s, sizeof(s));
		assert_non_null(take(r, empty));
		s.seq = 8;
		s.nr_python = s.kept_python = (uint16_t)python;
		s.nr_user = s.kept_user = (uint16_t)!python;
		add(&kept, &s, sizeof(s));
		refuse(r, kept, PP_C_samples_unbuilt);
	}
	free(first.bytes);
	free(second.bytes);
	pp_records_free(r);
}

/* Bytes change at random: it is refused, or a sample within its bounds. */
static void test_forged(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_DELTA);
	size_t refused = 0, taken = 0;

	(void)state;
	for (uint64_t moment = 0; moment < 50000; moment++) {
		struct record record =
			encode(make((uint32_t)below(CPUS), (uint32_t)below(6), moment));
		const struct pp_sample *s;

		for (uint64_t n = below(4); n; n--)
			((uint8_t *)record.bytes)[below(MIN(record.size, sizeof(*s)))] =
				(uint8_t)random();
		s = take(r, record);
		if (!s) {
			refused++;
			continue;
		}
		taken++;
		assert_true(pp_sample_words(s) <= WORDS_MAX);
		assert_true(s->nr_user <= PP_USER_FRAMES_MAX && s->end < PP_END_MAX);
		assert_true(s->cpu < CPUS && s->set < PP_SETS_MAX);
	}
	assert_true(refused > 1000 && taken > 1000);
	pp_records_free(r);
}

/* ---- The other modes ------------------------------------------------------------------------- */

static struct record whole_of(const struct pp_sample *s)
{
	struct record record = { 0 };

	add(&record, s, pp_sample_bytes(s));
	return record;
}

static void test_whole(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_WHOLE);

	(void)state;
	for (uint64_t moment = 0; moment < 100; moment++) {
		const struct pp_sample *s = make(0, 1, moment);
		struct record record = whole_of(s);

		expect_same(pp_records_take(r, record.bytes, record.size), s);
		free(record.bytes);
	}
	pp_records_free(r);
}

/* What came whole is compared with what is rebuilt, if it is of the same sample. */
static void test_check(void **state)
{
	struct pp_records *r = records_new(PP_RECORDS_CHECK);
	uint64_t differ = pp_counters[PP_C_samples_differ];
	uint64_t compared = 0, changed = 0;

	(void)state;
	for (uint64_t moment = 0; moment < 5000; moment++) {
		const struct pp_sample *s = make((uint32_t)below(CPUS), (uint32_t)below(4), moment);
		struct record whole = whole_of(s);
		uint64_t what = below(10);

		if (what == 0) {
			free(whole.bytes);
		} else {
			compared++;
			if (what == 1) {
				((uint64_t *)whole.bytes)[whole.size / 8 - 1 - below(3)] ^= 1;
				changed++;
			}
			assert_null(take(r, whole));
		}
		expect_same(take(r, encode(s)), s);
	}
	assert_true(compared > 4000 && changed > 300);
	assert_int_equal(pp_records_compared(r), compared);
	assert_int_equal(pp_counters[PP_C_samples_differ] - differ, changed);
	pp_records_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_stable),
		cmocka_unit_test(test_ring_full),  cmocka_unit_test(test_missing),
		cmocka_unit_test(test_cut),	   cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_unfounded),  cmocka_unit_test(test_forged),
		cmocka_unit_test(test_whole),	   cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
