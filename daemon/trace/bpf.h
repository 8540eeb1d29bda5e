/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF object: loaded once, its programs and maps behind a few functions. */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

struct pp_bpf;

struct pp_bpf_config {
	size_t ring_bytes; /* of the sample ring; rounded up to a power of two of pages */
	bool measure;	   /* time every walk */
	enum pp_records_mode records;
};

/*
 * Loads the programs and attaches the life-cycle tracepoints. What failed, and what to do about it,
 * is in *ret_problem (static text) on error: -EPERM, -ENOSYS (kernel without BPF or BTF), …
 */
int pp_bpf_new(struct pp_bpf **ret, const struct pp_bpf_config *config, const char **ret_problem);
struct pp_bpf *pp_bpf_free(struct pp_bpf *b);
PP_DEFINE_CLEANUP(struct pp_bpf *, pp_bpf_free)

unsigned int pp_bpf_cpus(const struct pp_bpf *b); /* possible ones */

/* The program to be run by the perf events of set. */
int pp_bpf_sample_program(const struct pp_bpf *b, unsigned int set);

/* The counts of one CPU, as BPF goes on writing them. */
uint64_t pp_bpf_count(const struct pp_bpf *b, unsigned int cpu, unsigned int set,
		      enum pp_count what);
/* Summed over CPUs. */
uint64_t pp_bpf_counts(const struct pp_bpf *b, unsigned int set, enum pp_count what);

/* Hands every sample that is in the ring to fn, oldest first. Records are checked to be whole;
 * nothing else about them is. Returns their number or a negative errno. */
typedef void (*pp_sample_fn)(void *userdata, const struct pp_sample *s);
int pp_bpf_drain(struct pp_bpf *b, pp_sample_fn fn, void *userdata);
/* Of all records so far. */
uint64_t pp_bpf_drained_bytes(const struct pp_bpf *b);
/* Samples that came whole, too, and were compared (PP_RECORDS_CHECK). */
uint64_t pp_bpf_compared(const struct pp_bpf *b);

/*
 * Whoever drains by time and finds nothing for long may sleep: the next record of another process
 * makes this descriptor readable, once, at any time after pp_bpf_sleep(). In a rare case, that of a
 * record which is being sent at this very moment, only the one after it does.
 */
int pp_bpf_ring_fd(const struct pp_bpf *b);
void pp_bpf_sleep(struct pp_bpf *b);

/* What a set samples. */
void pp_bpf_set_filter(struct pp_bpf *b, unsigned int set, enum pp_filter filter);
/* Adds a process (and, with tree, its descendants to come) for a PP_FILTER_PIDS set; removes it. */
int pp_bpf_filter_add(struct pp_bpf *b, unsigned int set, pid_t pid, bool tree);
void pp_bpf_filter_remove(struct pp_bpf *b, unsigned int set, pid_t pid);
/* Drops the set's bit from every process. */
void pp_bpf_filter_clear(struct pp_bpf *b, unsigned int set);

/* A process's address space. */
int pp_bpf_put_space(struct pp_bpf *b, pid_t pid, const struct pp_space *space);
bool pp_bpf_get_space(const struct pp_bpf *b, pid_t pid, struct pp_space *ret);
void pp_bpf_drop_space(struct pp_bpf *b, pid_t pid);
/* What the space led to is no longer there, though BPF may remember it: where exec or exit removed
 * the space itself. */
void pp_bpf_forget_space(struct pp_bpf *b, pid_t pid);
/* What CPUs remember of any generation is forgotten: they may be given out again. */
void pp_bpf_forget_rules(struct pp_bpf *b);
/* A layout of interpreters' frames that spaces may refer to by its id from now on. What was in the
 * place of that id is no longer. */
int pp_bpf_put_layout(struct pp_bpf *b, uint32_t id, const struct pp_layout *layout);
/* For tables.c: the unwind store's maps. */
int pp_bpf_put_table(struct pp_bpf *b, uint32_t slot, const struct pp_table *table);
/* A chunk of the store, written through `words`; fd is the map. Returns 0 or a negative errno. */
struct pp_chunk_memory {
	uint32_t *words;
	int fd;
};
int pp_bpf_new_chunk(struct pp_bpf *b, struct pp_chunk_memory *ret);
/* Gives the programs n chunks from number `first` on. Waits, tens of ms, until no program runs that
 * began before: not for the event loop. */
int pp_bpf_add_chunks(struct pp_bpf *b, uint32_t first, const struct pp_chunk_memory *chunks,
		      uint32_t n);
void pp_bpf_free_chunk(struct pp_bpf *b, struct pp_chunk_memory *chunk);
uint32_t *pp_bpf_rules(struct pp_bpf *b); /* PP_RULES_MAX of them */

/* What the kernel calls the function that holds an address of it. -ENOENT: there is none;
 * -EOPNOTSUPP: this kernel does not tell (before 5.13). */
int pp_bpf_kernel_name(struct pp_bpf *b, uint64_t address, struct pp_kernel_name *ret);

/* Bytes of kernel memory in maps. */
uint64_t pp_bpf_bytes(const struct pp_bpf *b);
