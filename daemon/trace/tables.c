/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Space is handed out in units of 1 KB by first fit over a bitmap: a few thousand units, looked for
 * only when a table is loaded or a process's mappings change. Tables are aligned to PP_ROWS_ALIGN
 * words and may cross chunks, because no bucket does; blocks stay within one.
 */
#include "trace/tables.h"

#include "base/array.h"
#include "base/clock.h"
#include "trace/bpf.h"
#include "trace/rulebook.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT_WORDS     256U
#define CHUNK_UNITS    (PP_CHUNK_WORDS / UNIT_WORDS)
#define TABLE_ALIGN    (PP_ROWS_ALIGN / UNIT_WORDS)
#define SETTLE_NS      (100 * NSEC_PER_MSEC) /* far more than a walk takes */
#define BLOCK_UNITS(n) ((uint32_t)(((n)*PP_MAPPING_WORDS + UNIT_WORDS - 1) / UNIT_WORDS))

struct dropped {
	uint64_t since_ns;
	uint32_t unit, nr_units;
	int slot; /* a table slot, or -1 */
};

struct pp_tables {
	struct pp_bpf *bpf;
	uint32_t chunks_max, nr_chunks;
	struct pp_chunk_memory chunks[PP_CHUNKS_MAX];
	/* Chunks that a child process is giving to BPF: see grow(). */
	uint32_t nr_coming;
	pid_t giver;
	uint8_t *used; /* one byte a unit */
	uint32_t low;  /* no unit below is free */
	uint32_t units_used, block_units;
	uint32_t table_units_settling;
	struct pp_table tables[PP_TABLES_MAX];
	uint8_t slot_used[PP_TABLES_MAX];
	uint32_t table_units[PP_TABLES_MAX];
	uint32_t nr_tables;
	struct pp_rulebook *rules;
	/* The numbers of each table's rules. */
	uint16_t *numbers[PP_TABLES_MAX];
	uint32_t nr_numbers[PP_TABLES_MAX];
	struct dropped *dropped;
	size_t nr_dropped, dropped_cap;
};

struct pp_tables *pp_tables_free(struct pp_tables *s)
{
	if (!s)
		return NULL;
	if (s->giver > 0)
		(void)waitpid(s->giver, NULL, 0);
	for (uint32_t i = 0; i < s->nr_chunks + s->nr_coming; i++)
		pp_bpf_free_chunk(s->bpf, &s->chunks[i]);
	for (int slot = 0; slot < PP_TABLES_MAX; slot++)
		free(s->numbers[slot]);
	pp_rulebook_free(s->rules);
	free(s->dropped);
	free(s->used);
	free(s);
	return NULL;
}

/* ---- Growth ---------------------------------------------------------------------------------- */

/* Makes n chunks that BPF does not know yet. */
static int make_chunks(struct pp_tables *s, uint32_t n)
{
	n = MIN(n, s->chunks_max - s->nr_chunks);
	if (!n)
		return -ENOSPC;
	while (s->nr_coming < n) {
		int r = pp_bpf_new_chunk(s->bpf, &s->chunks[s->nr_chunks + s->nr_coming]);

		if (r < 0)
			return s->nr_coming ? 0 : r;
		s->nr_coming++;
	}
	return 0;
}

static void chunks_have_come(struct pp_tables *s)
{
	s->nr_chunks += s->nr_coming;
	s->nr_coming = 0;
	s->giver = 0;
}

/*
 * Adding to a map of maps waits until no program runs that began before: tens of ms that the loop
 * must not lose. A child that shares the map does it, and goes. Until then there is no more room:
 * -EAGAIN.
 */
static int grow(struct pp_tables *s, uint32_t units)
{
	int r;

	if (s->giver)
		return -EAGAIN;
	r = make_chunks(s, units / CHUNK_UNITS + 1);
	if (r < 0)
		return r;
	s->giver = fork();
	if (s->giver == 0)
		_exit(pp_bpf_add_chunks(s->bpf, s->nr_chunks, s->chunks + s->nr_chunks,
					s->nr_coming) < 0);
	if (s->giver < 0) {
		s->giver = 0;
		while (s->nr_coming)
			pp_bpf_free_chunk(s->bpf, &s->chunks[s->nr_chunks + --s->nr_coming]);
		return -EAGAIN;
	}
	return -EAGAIN;
}

static void see_to_growth(struct pp_tables *s)
{
	int status;

	if (!s->giver || waitpid(s->giver, &status, WNOHANG) != s->giver)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		chunks_have_come(s);
		return;
	}
	s->giver = 0;
	while (s->nr_coming)
		pp_bpf_free_chunk(s->bpf, &s->chunks[s->nr_chunks + --s->nr_coming]);
}

/* ---- Space ----------------------------------------------------------------------------------- */

/* The first run of n free units at the alignment, or -1. */
static int64_t find_run(const struct pp_tables *s, uint32_t n, uint32_t align, bool in_one_chunk)
{
	uint32_t total = s->nr_chunks * CHUNK_UNITS, at = (s->low + align - 1) / align * align;

	while (at + n <= total) {
		const uint8_t *taken, *free_unit;

		if (align == 1) {
			free_unit = memchr(s->used + at, 0, total - at);
			if (!free_unit)
				return -1;
			at = (uint32_t)(free_unit - s->used);
			if (at + n > total)
				return -1;
		}
		if (in_one_chunk && at / CHUNK_UNITS != (at + n - 1) / CHUNK_UNITS) {
			at = (at / CHUNK_UNITS + 1) * CHUNK_UNITS;
			continue;
		}
		taken = memrchr(s->used + at, 1, n);
		if (!taken)
			return at;
		at = (uint32_t)(taken - s->used) + 1;
		at = (at + align - 1) / align * align;
	}
	return -1;
}

static int64_t take_units(struct pp_tables *s, uint32_t n, uint32_t align, bool in_one_chunk)
{
	int64_t at = find_run(s, n, align, in_one_chunk);

	if (at < 0)
		return grow(s, n);
	memset(s->used + at, 1, n);
	s->units_used += n;
	if (at == s->low)
		s->low += n;
	return at;
}

static void give_back(struct pp_tables *s, const struct dropped *d)
{
	memset(s->used + d->unit, 0, d->nr_units);
	s->low = MIN(s->low, d->unit);
	s->units_used -= d->nr_units;
	if (d->slot < 0)
		return;
	pp_rulebook_release(s->rules, s->numbers[d->slot], s->nr_numbers[d->slot]);
	free(s->numbers[d->slot]);
	s->numbers[d->slot] = NULL;
	s->slot_used[d->slot] = 0;
	s->table_units_settling -= d->nr_units;
}

/* Without memory to remember it by, the space is lost until the daemon ends rather than reused
 * early. */
static void drop_later(struct pp_tables *s, uint32_t unit, uint32_t n, int slot)
{
	if (pp_array_grow(&s->dropped, &s->dropped_cap, s->nr_dropped + 1, sizeof(*s->dropped),
			  SIZE_MAX) < 0)
		return;
	s->dropped[s->nr_dropped++] = (struct dropped){ pp_now_ns(), unit, n, slot };
	if (slot >= 0)
		s->table_units_settling += n;
}

void pp_tables_settle(struct pp_tables *s, uint64_t until_ns)
{
	size_t n = 0;

	see_to_growth(s);
	while (n < s->nr_dropped && s->dropped[n].since_ns + SETTLE_NS <= until_ns)
		give_back(s, &s->dropped[n++]);
	if (!n)
		return;
	s->nr_dropped -= n;
	memmove(s->dropped, s->dropped + n, s->nr_dropped * sizeof(*s->dropped));
}

static void write_words(struct pp_tables *s, uint32_t word, const uint32_t *from, uint32_t n)
{
	while (n) {
		uint32_t at = word % PP_CHUNK_WORDS, room = MIN(n, PP_CHUNK_WORDS - at);

		memcpy(s->chunks[word / PP_CHUNK_WORDS].words + at, from, room * sizeof(*from));
		word += room;
		from += room;
		n -= room;
	}
}

static int find_slot(const struct pp_tables *s)
{
	const uint8_t *free_slot = memchr(s->slot_used, 0, PP_TABLES_MAX);

	return free_slot ? (int)(free_slot - s->slot_used) : -ENOSPC;
}

static void write_rows(struct pp_tables *s, uint32_t word, const struct pp_table_source *t,
		       const uint16_t *numbers)
{
	for (uint32_t i = 0; i < t->nr_row_words; i++, word++) {
		uint32_t row = t->rows[i];

		s->chunks[word / PP_CHUNK_WORDS].words[word % PP_CHUNK_WORDS] =
			(row & 0xffff0000) | numbers[row & 0xffff];
	}
}

int pp_tables_put(struct pp_tables *s, const struct pp_table_source *t)
{
	uint32_t words = t->nr_row_words + t->nr_buckets;
	uint32_t units = (words + UNIT_WORDS - 1) / UNIT_WORDS;
	_cleanup_free_ uint16_t *numbers = NULL;
	struct pp_table table;
	int64_t unit;
	int slot, r;

	if (units > s->chunks_max * CHUNK_UNITS - TABLE_ALIGN)
		return -EFBIG;
	slot = find_slot(s);
	if (slot < 0)
		return slot;
	numbers = calloc(MAX(t->nr_rules, 1U), sizeof(*numbers));
	if (!numbers)
		return -ENOMEM;
	unit = take_units(s, units, TABLE_ALIGN, false);
	if (unit < 0)
		return (int)unit;
	r = pp_rulebook_take(s->rules, t->rules, t->nr_rules, numbers);
	if (r < 0) {
		give_back(s, &(struct dropped){ 0, (uint32_t)unit, units, -1 });
		return r;
	}
	table = (struct pp_table){
		.start = t->start,
		.nr_buckets = t->nr_buckets,
		.rows = (uint32_t)unit * UNIT_WORDS,
		.index = (uint32_t)unit * UNIT_WORDS + t->nr_row_words,
	};
	write_rows(s, table.rows, t, numbers);
	write_words(s, table.index, t->index, t->nr_buckets);
	r = pp_bpf_put_table(s->bpf, (uint32_t)slot, &table);
	if (r < 0) {
		pp_rulebook_release(s->rules, numbers, t->nr_rules);
		give_back(s, &(struct dropped){ 0, (uint32_t)unit, units, -1 });
		return r;
	}
	s->numbers[slot] = TAKE_PTR(numbers);
	s->nr_numbers[slot] = t->nr_rules;
	s->tables[slot] = table;
	s->table_units[slot] = units;
	s->slot_used[slot] = 1;
	s->nr_tables++;
	return slot;
}

void pp_tables_drop(struct pp_tables *s, int slot)
{
	struct pp_table none = { 0 };

	(void)pp_bpf_put_table(s->bpf, (uint32_t)slot, &none);
	drop_later(s, s->tables[slot].rows / UNIT_WORDS, s->table_units[slot], slot);
	s->nr_tables--;
}

uint32_t pp_tables_words(const struct pp_tables *s, int slot)
{
	return s->table_units[slot] * UNIT_WORDS;
}

uint32_t pp_tables_settling(const struct pp_tables *s)
{
	return s->table_units_settling * UNIT_WORDS;
}

int pp_tables_put_block(struct pp_tables *s, const struct pp_mapping *mappings, size_t n,
			uint32_t *ret)
{
	uint32_t units = BLOCK_UNITS(n);
	int64_t unit;

	if (s->block_units + units > s->chunks_max * CHUNK_UNITS / 2)
		return -EDQUOT;
	unit = take_units(s, units, 1, true);
	if (unit < 0)
		return (int)unit;
	s->block_units += units;
	*ret = (uint32_t)unit * UNIT_WORDS;
	write_words(s, *ret, (const uint32_t *)mappings, (uint32_t)(n * PP_MAPPING_WORDS));
	return 0;
}

void pp_tables_drop_block(struct pp_tables *s, uint32_t block, size_t n)
{
	s->block_units -= BLOCK_UNITS(n);
	drop_later(s, block / UNIT_WORDS, BLOCK_UNITS(n), -1);
}

int pp_tables_new(struct pp_tables **ret, struct pp_bpf *bpf, size_t budget_bytes)
{
	_cleanup_(pp_tables_freep) struct pp_tables *s = calloc(1, sizeof(*s));
	size_t chunks = MAX(budget_bytes / (PP_CHUNK_WORDS * sizeof(uint32_t)), (size_t)1);
	int r;

	if (!s)
		return -ENOMEM;
	s->bpf = bpf;
	s->chunks_max = (uint32_t)MIN(chunks, (size_t)PP_CHUNKS_MAX);
	s->used = calloc(s->chunks_max, CHUNK_UNITS);
	if (!s->used)
		return -ENOMEM;
	s->used[0] = 1; /* word 0 stays free of blocks, so that 0 can mean none */
	s->units_used = 1;
	r = pp_rulebook_new(&s->rules, pp_bpf_rules(bpf));
	if (r < 0)
		return r;
	/* The first chunk before the loop begins: the first processes need not wait for it. */
	r = make_chunks(s, 1);
	if (r < 0)
		return r;
	r = pp_bpf_add_chunks(bpf, 0, s->chunks, s->nr_coming);
	if (r < 0)
		return r;
	chunks_have_come(s);
	*ret = TAKE_PTR(s);
	return 0;
}

void pp_tables_usage(const struct pp_tables *s, struct pp_tables_usage *ret)
{
	*ret = (struct pp_tables_usage){
		.bytes = (uint64_t)s->nr_chunks * PP_CHUNK_WORDS * sizeof(uint32_t),
		.budget = (uint64_t)s->chunks_max * PP_CHUNK_WORDS * sizeof(uint32_t),
		.bytes_used = (uint64_t)s->units_used * UNIT_WORDS * sizeof(uint32_t),
		.tables = s->nr_tables,
		.rules = pp_rulebook_count(s->rules),
	};
}
