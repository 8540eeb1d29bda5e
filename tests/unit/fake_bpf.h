/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace/bpf.h without a kernel: its maps are plain memory that a test can look into. Included by a
 * test's one source file, it stands for daemon/trace/bpf.c, which the linker then leaves out.
 */
#pragma once

#include "trace/bpf.h"

#include <string.h>

#define FAKE_CPUS   2
#define FAKE_FILTER 64
#define FAKE_SPACES 32

static struct {
	uint64_t counts[PP_SETS_MAX][PP_COUNT_MAX];
	enum pp_filter sets[PP_SETS_MAX];
	struct {
		pid_t pid;
		struct pp_filter_entry entry;
	} filter[FAKE_FILTER];
	uint32_t *chunks[PP_CHUNKS_MAX]; /* in the order they were made */
	uint32_t nr_chunks;
	uint32_t rules[PP_RULES_MAX];
	struct pp_table tables[PP_TABLES_MAX];
	struct {
		pid_t pid; /* 0: free */
		struct pp_space space;
	} spaces[FAKE_SPACES];
	struct pp_layout_place layouts[PP_LAYOUTS_MAX];
	/* What one CPU remembers of the process it sampled last; see enter_space in BPF. */
	pid_t entered;
	struct pp_space remembered;
	unsigned int rules_forgotten;
} fake;

unsigned int pp_bpf_cpus(_unused_ const struct pp_bpf *b)
{
	return FAKE_CPUS;
}

uint64_t pp_bpf_counts(_unused_ const struct pp_bpf *b, unsigned int set, enum pp_count what)
{
	return fake.counts[set][what];
}

void pp_bpf_set_filter(_unused_ struct pp_bpf *b, unsigned int set, enum pp_filter filter)
{
	fake.sets[set] = filter;
}

static struct pp_filter_entry *fake_filter(pid_t pid, bool make)
{
	for (size_t i = 0; i < FAKE_FILTER; i++)
		if (fake.filter[i].pid == pid)
			return &fake.filter[i].entry;
	for (size_t i = 0; make && i < FAKE_FILTER; i++)
		if (!fake.filter[i].pid) {
			fake.filter[i].pid = pid;
			return &fake.filter[i].entry;
		}
	return NULL;
}

int pp_bpf_filter_add(_unused_ struct pp_bpf *b, unsigned int set, pid_t pid, bool tree)
{
	struct pp_filter_entry *e = fake_filter(pid, true);

	if (!e)
		return -E2BIG;
	e->sets |= 1U << set;
	e->tree |= tree ? 1U << set : 0;
	return 0;
}

void pp_bpf_filter_remove(_unused_ struct pp_bpf *b, unsigned int set, pid_t pid)
{
	struct pp_filter_entry *e = fake_filter(pid, false);

	if (e) {
		e->sets &= ~(1U << set);
		e->tree &= ~(1U << set);
	}
}

void pp_bpf_filter_clear(_unused_ struct pp_bpf *b, unsigned int set)
{
	for (size_t i = 0; i < FAKE_FILTER; i++)
		pp_bpf_filter_remove(b, set, fake.filter[i].pid);
}

int pp_bpf_put_table(_unused_ struct pp_bpf *b, uint32_t slot, const struct pp_table *t)
{
	fake.tables[slot] = *t;
	return 0;
}

int pp_bpf_new_chunk(_unused_ struct pp_bpf *b, struct pp_chunk_memory *ret)
{
	*ret = (struct pp_chunk_memory){ calloc(PP_CHUNK_WORDS, sizeof(uint32_t)), -1 };
	if (!ret->words)
		return -ENOMEM;
	fake.chunks[fake.nr_chunks++] = ret->words;
	return 0;
}

/* Called in a child process, but for the first. */
int pp_bpf_add_chunks(_unused_ struct pp_bpf *b, _unused_ uint32_t first,
		      _unused_ const struct pp_chunk_memory *chunks, _unused_ uint32_t n)
{
	return 0;
}

void pp_bpf_free_chunk(_unused_ struct pp_bpf *b, struct pp_chunk_memory *chunk)
{
	free(chunk->words);
	fake.nr_chunks--;
}

uint32_t *pp_bpf_rules(_unused_ struct pp_bpf *b)
{
	return fake.rules;
}

static int fake_space(pid_t pid)
{
	for (int i = 0; i < FAKE_SPACES; i++)
		if (fake.spaces[i].pid == pid)
			return i;
	return -1;
}

void pp_bpf_forget_space(_unused_ struct pp_bpf *b, pid_t pid)
{
	if (fake.entered == pid)
		fake.entered = 0;
}

int pp_bpf_put_space(struct pp_bpf *b, pid_t pid, const struct pp_space *space)
{
	int i = fake_space(pid);

	if (i < 0)
		i = fake_space(0);
	if (i < 0)
		return -E2BIG;
	fake.spaces[i].pid = pid;
	fake.spaces[i].space = *space;
	pp_bpf_forget_space(b, pid);
	return 0;
}

bool pp_bpf_get_space(_unused_ const struct pp_bpf *b, pid_t pid, struct pp_space *ret)
{
	int i = fake_space(pid);

	if (i >= 0)
		*ret = fake.spaces[i].space;
	return i >= 0;
}

void pp_bpf_forget_rules(_unused_ struct pp_bpf *b)
{
	fake.rules_forgotten++;
}

int pp_bpf_put_layout(_unused_ struct pp_bpf *b, uint32_t id, const struct pp_layout *layout)
{
	fake.layouts[id % PP_LAYOUTS_MAX] = (struct pp_layout_place){ id, *layout };
	return 0;
}

void pp_bpf_drop_space(struct pp_bpf *b, pid_t pid)
{
	int i = fake_space(pid);

	if (i >= 0)
		fake.spaces[i].pid = 0;
	pp_bpf_forget_space(b, pid);
}

/* What a walk of the process goes by; nr_mappings 0: by nothing. */
static inline struct pp_space fake_enter(pid_t pid)
{
	if (fake.entered != pid && pp_bpf_get_space(NULL, pid, &fake.remembered))
		fake.entered = pid;
	return fake.entered == pid ? fake.remembered : (struct pp_space){ 0 };
}

/* A word of the store. */
static inline uint32_t fake_word(uint32_t word)
{
	return fake.chunks[word / PP_CHUNK_WORDS][word % PP_CHUNK_WORDS];
}
