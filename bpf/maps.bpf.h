/* SPDX-License-Identifier: GPL-2.0-only */
/* Every map, with its bound and why. Sizes marked "set at load" are chosen by the daemon. */
#pragma once

#include "pp_types.h"
#include <bpf/bpf_helpers.h>

/* Processes described to BPF at a time. Preallocated, because perf_event programs before 6.1 may
 * use no other hash: 8,192 entries are 0.7 MB. */
#define SPACES_MAX 8192
/* Processes a session can name: a fork server with that many children is still one session. */
#define FILTER_MAX 4096

/* Copied pieces of the thread's memory: of its stack, of the interpreter's data stack, and what
 * else the chain needs. */
#define WINDOW_BYTES	16384 /* 16 to 30 levels of Python with trampolines */
#define WINDOW_READ_MIN 512
#define DATA_BYTES	4096
#define OTHER_BYTES	2048
#define CHAIN_DATA	WINDOW_BYTES
#define CHAIN_OTHER	(CHAIN_DATA + DATA_BYTES)
#define CHAIN_END	(CHAIN_OTHER + OTHER_BYTES)
#define CODE_BYTES	32   /* code around a pc, the pc in the middle */
#define PCS_MAX		4096 /* power of two above what a record's bounds add up to */
#define OBJECT_BYTES	256  /* of a code object, or of a str */
#define SHORT_STR_BYTES 128  /* of it, where it is as short as most */
#define PRINTS_MAX	64   /* of one walk that are kept: a power of two */
#define CACHE_ENTRIES	2048 /* pc cache, per CPU: 32 KB, 96-100% hits measured on real programs */

struct pp_chunk {
	__u32 words[PP_CHUNK_WORDS];
};

struct pp_rules {
	__u32 rules[PP_RULES_MAX];
};

/*
 * A rule under one address-space generation: of a return address (the byte before it, which is the
 * call's), or of the code around a leaf's pc, as far as the row goes within a block of 64 bytes. A
 * loop's leaves are many pcs of few rows.
 */
#define CACHE_BLOCK_SHIFT 6
struct pp_cache_entry {
	__u64 range; /* leaf : 1 | bytes : 15 | start : 48 */
	__u32 gen;
	__u32 rule;
};

struct pp_cache {
	struct pp_cache_entry entries[CACHE_ENTRIES];
};

/* The print of a code object or a str, good for one walk: meanwhile neither can end. */
struct pp_print {
	__u64 address;
	__u32 walk;
	__u32 print;
};

/* A walk of the interpreter's frames in progress (chain.bpf.h). */
struct pp_chain {
	__u64 state;		       /* the thread state */
	__u64 own_interp;	       /* the interpreter that it belongs to */
	__u64 outer;		       /* the one to go on with where this chain ends, or 0 */
	__u64 fsbase;		       /* of the thread */
	__u64 frame;		       /* the next to be read */
	__u64 cframe;		       /* of the run that it belongs to; 0: not looked at */
	__u64 first_cframe, scanned;   /* the innermost; where others were looked for */
	__u64 chunk_start, chunk_end;  /* of the data stack */
	__u64 top;		       /* of it: what is above is no frame any more */
	__u64 data_start, other_start; /* what its parts of the window hold */
	__u32 data_len, other_len;
	__u32 run_frames; /* of the current run, so far */
	__u32 restarts;
	__u32 walk; /* tells one walk's prints from another's */
	__u32 pad;
	__u64 next_code;	 /* as in interp, but 0 where it says nothing of the thread's */
	struct pp_interp interp; /* with the space, as is: */
	struct pp_layout layout;
};

/* One CPU's walk in progress. Its programs run with the CPU to themselves (`busy`). */
struct pp_walk {
	__u64 pc, sp, bp;	     /* the frame being unwound */
	__u64 started_ns, native_ns; /* the sample; the native walk, where it is timed */
	__u64 chain_ns;		     /* what the chain took */
	__u32 leaf;		     /* pc is exact: look up pc, not pc - 1 */
	__u32 calls;		     /* walk programs run so far */
	__u32 busy;
	__u32 zero; /* always 0, unknown to the verifier: searches start from it (see unwind.bpf.h)
		     */
	/* Of the process; and whose they are, and of which epoch: also the next sample's if that is
	 * of the same life. space_tgid 0: nobody's. */
	__u32 gen, block, nr_mappings;
	__u32 space_epoch, space_tgid, space_exec_id;
	__u64 space_start_ns;
	__u32 window_len, window_next; /* bytes held; bytes the next read asks for */
	__u64 window_start;
	/* From sample to sample: what the last whole stack would have filled, and the page behind a
	 * stack, which there is no reading. Guesses, that cost a read where they are wrong. */
	__u32 window_first;
	__u64 stack_end;
	__u64 leaf_sp;
	/* The GIL of an interpreter in the space of gil_gen, for the next sample: it never moves.
	 */
	__u64 gil, gil_interp;
	__u32 gil_gen;
	__u64 futex; /* address of the futex that the thread waits for in the kernel, or 0 */
	__u64 mark;  /* the next of marks to be met, or NO_MARK */
	__u32 at_mark, nr_marks;
	struct pp_chain chain;
	__u8 code[CODE_BYTES];
	__u8 object[OBJECT_BYTES + 8];
	struct pp_print prints[PRINTS_MAX];
	__u8 window[CHAIN_END];
	__u32 slot;		 /* of the map `slots` */
	__u32 same;		 /* words that it has already */
	struct pp_sample sample; /* the record, assembled in place */
	__u64 pcs[PCS_MAX];
	__u64 marks[PP_PYTHON_FRAMES_MAX]; /* where on the C stack the chain's runs end */
};

/* What the daemon has of the last record (record.bpf.h). */
struct pp_slot {
	__u64 who[PP_SLOT_WHO_WORDS];
	__u32 seq;
	__u16 nr_python, nr_user; /* words */
	__u64 python[2 * PP_SLOT_PYTHON_MAX];
	__u64 user[PP_SLOT_USER_MAX];
};

struct pp_counts {
	__u64 counts[PP_SETS_MAX][PP_COUNT_MAX];
};

/* Arrays indexed by CPU, not per-CPU maps: their look-up is inlined on every kernel, and a per-CPU
 * value could not be larger than 32 KB. Entries set at load to the number of possible CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pp_walk);
} walks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pp_cache);
} caches SEC(".maps");

/* PP_SLOTS for each CPU: 100 KB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pp_slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pp_counts);
} counts SEC(".maps");

/* Entries set at load: those of counts, if times are taken. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pp_times);
} times SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PP_SETS_MAX);
	__type(key, __u32);
	__type(value, struct pp_set_conf);
} sets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILTER_MAX);
	__type(key, __u32);
	__type(value, struct pp_filter_entry);
} filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SPACES_MAX);
	__type(key, __u32);
	__type(value, struct pp_space);
} spaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PP_LAYOUTS_MAX);
	__type(key, __u32);
	__type(value, struct pp_layout_place);
} layouts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PP_TABLES_MAX);
	__type(key, __u32);
	__type(value, struct pp_table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pp_rules);
} rules SEC(".maps");

/* The unwind store: chunks come as they are needed. */
struct pp_chunk_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct pp_chunk)); /* by size: clang leaves its BTF incomplete */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PP_CHUNKS_MAX);
	__type(key, __u32);
	__array(values, struct pp_chunk_map);
} store SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pp_drain);
} drain SEC(".maps");

/* Sample records; bytes set at load (a power of two). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");
