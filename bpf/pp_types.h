/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF programs and the daemon say to each other: record layouts, map values, bounds.
 * Fixed-width types and explicit padding only; sizes are asserted at the end.
 */
#pragma once

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#include <stddef.h>
#endif

/* ---- Samples ------------------------------------------------------------------------------- */

/* A walk is a chain of tail-called programs; the kernel allows 33 calls. */
#define PP_FRAMES_PER_CALL   40
#define PP_WALK_CALLS_MAX    30
#define PP_USER_FRAMES_MAX   (PP_FRAMES_PER_CALL * PP_WALK_CALLS_MAX) /* 1200 */
#define PP_KERNEL_FRAMES_MAX 127 /* the kernel's own limit (perf_event_max_stack) */
#define PP_COMM_LEN	     16

/* Sampling sets: the service's always-on one and up to three of other rates. */
#define PP_SETS_MAX 4

/* Why the walk of the user stack ended. Order is ABI between the two halves only. */
enum pp_end {
	PP_END_ROOT,	   /* reached the thread's root: the stack is complete */
	PP_END_NO_USER,	   /* a kernel thread, or a process without user memory any more */
	PP_END_NO_SPACE,   /* the daemon has not described this process's mappings yet */
	PP_END_NO_MAPPING, /* the pc lies in no executable mapping known */
	PP_END_NO_TABLE,   /* the pc's file has no unwind table loaded yet */
	PP_END_NO_ROW,	   /* the table has no rule for the pc */
	PP_END_RULE,	   /* the rule is of a form that is not supported */
	PP_END_STACK,	   /* the stack could not be read */
	PP_END_DEPTH,	   /* deeper than PP_USER_FRAMES_MAX */
	PP_END_COMPAT,	   /* 32-bit code */
	PP_END_FP,	   /* the frame-pointer chain ended in no executable mapping */
	PP_END_PYTHON,	   /* more Python frames than PP_PYTHON_FRAMES_MAX */
	PP_END_REMAPPED,   /* made by the daemon: the code is newer than what the walk went by */
	PP_END_MAX,
};

/* A user pc's top byte says who unwound the frame (and PP_PC_EVAL), the rest is the address. */
enum pp_walker {
	PP_WALKER_ROWS,	     /* .eh_frame rows */
	PP_WALKER_STUB,	     /* CPython trampoline, by the stub's own rule */
	PP_WALKER_FP,	     /* frame pointer */
	PP_WALKER_FP_UNSURE, /* frame pointer at a leaf: its direct caller may be missing */
	PP_WALKER_NONE,	     /* the walk ended at this pc */
	PP_WALKER_SIGNAL,    /* a signal frame: its pc and the next frame's are exact */
};
#define PP_PC_SHIFT	       56
#define PP_PC_ADDRESS	       ((1ULL << PP_PC_SHIFT) - 1)
#define PP_PC(address, walker) (((address)&PP_PC_ADDRESS) | (__u64)(walker) << PP_PC_SHIFT)
#define PP_PC_EVAL	       (1ULL << 63) /* it runs the next run of Python frames */
#define PP_PC_WALKER(pc)       ((enum pp_walker)(((pc) & ~PP_PC_EVAL) >> PP_PC_SHIFT))

/*
 * The interpreter's own frames, its *chain*, leaf first. One native activation of the evaluation
 * loop runs one or more of them, a *run*; PP_PYFRAME_LAST ends a run. The n-th pc with PP_PC_EVAL
 * runs the n-th run. Where there are runs and no such pc, the version leaves no mark on the C
 * stack.
 */
#define PP_PYTHON_FRAMES_MAX 1024 /* CPython's own limit is 1,000 by default */

struct pp_pyframe_raw {
	__u64 code;	/* address of the code object; top byte: PP_PYFRAME_*. 0: an empty run */
	__u64 position; /* the frame's instruction pointer; before 3.11 the index of the last one */
};
#define PP_PYFRAME_GENERATOR (1ULL << 56) /* its frame is in a generator or coroutine */
#define PP_PYFRAME_LAST	     (1ULL << 57) /* the outermost frame of its run */
/* The code object's print is in the upper half of position. The lower is the index, or how far the
 * instruction pointer is from the code's address, signed: PP_PYFRAME_FAR where that does not fit.
 */
#define PP_PYFRAME_PRINT   (1ULL << 58)
#define PP_PYFRAME_FAR	   0x80000000U
#define PP_PYFRAME_ADDRESS PP_PC_ADDRESS

/*
 * The *print* of a code object tells it from those that may be at its address before and after it:
 * a hash of its lasting words, the number it got when it was made among them. Where it has no
 * number, addresses tell little, as the same blocks are freed and taken again in the same order:
 * then the texts of its name and file are in it too. 0: none could be made.
 */
#define PP_PRINT_WORDS_MAX 16  /* of a code object */
#define PP_PRINT_TEXT	   184 /* bytes of a text: the first and the last so many */
#define PP_PRINT_HEAD_MAX  72  /* of a str, before its text */

static inline __u64 pp_print_mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

static inline __u32 pp_print_fold(__u64 h)
{
	return (__u32)h ? (__u32)h : 1;
}

/* How the walk of the chain ended. */
enum pp_chain_end {
	PP_CHAIN_NONE,	     /* not walked: no interpreter is known in the process */
	PP_CHAIN_COMPLETE,   /* reached the thread's outermost frame */
	PP_CHAIN_NO_STATE,   /* the thread has no state in the interpreter */
	PP_CHAIN_FOREIGN,    /* what should be its state is another thread's, or none */
	PP_CHAIN_UNREADABLE, /* a frame could not be read */
	PP_CHAIN_MALFORMED,  /* what was read is no frame */
	PP_CHAIN_DEPTH,	     /* more than PP_PYTHON_FRAMES_MAX */
	PP_CHAIN_MAX,
};

/* What a thread has of its interpreter's lock. */
enum pp_gil {
	PP_GIL_NONE,	 /* it has no state in an interpreter */
	PP_GIL_UNKNOWN,	 /* it may have one, of which that is not known */
	PP_GIL_RELEASED, /* it runs without */
	PP_GIL_WAITING,	 /* it wants it, and another has it */
	PP_GIL_HELD,
	PP_GIL_MAX,
};

/* Whether the thread collects its interpreter's garbage. */
enum pp_gc {
	PP_GC_NONE,    /* as PP_GIL_NONE */
	PP_GC_UNKNOWN, /* as PP_GIL_UNKNOWN */
	PP_GC_IDLE,
	PP_GC_RUNNING, /* a collection is under way, and the thread holds the GIL */
	PP_GC_MAX,
};

/*
 * One sample, variable length: nr_kernel kernel pcs (leaf first), then nr_python Python frames
 * (leaf first, two words each), then nr_user user pcs (leaf first, PP_PC form; all but the leaf are
 * return addresses, except above a signal frame). Identity: tgid + start_ns + exec_id; the last is
 * the task's own count of execs.
 *
 * In the ring a sample is a *record* of one of these forms; the first word tells. A full and a
 * short one leave out what the slot that they name has already (bpf/record.bpf.h).
 */
enum pp_form {
	PP_FORM_WHOLE, /* the sample as it is; names no slot */
	PP_FORM_FULL,  /* without the frames kept */
	PP_FORM_SHORT, /* and without what comes before short_form */
};

struct pp_sample {
	__u32 form; /* WHOLE or FULL */
	__u32 tgid;
	__u64 start_ns; /* the thread group leader's start, CLOCK_BOOTTIME */
	__u64 task;	/* address of what should be its asyncio task's coroutine's code; 0: none */
	__u32 exec_id;
	__u32 gen; /* of the address space it was walked in; 0: it was not */
	/* The number of the interpreter's next code object: those that run have lower ones. 0: not
	 * known, and Python frames have prints. */
	__u32 next_code;
	__u32 pad;
	char comm[PP_COMM_LEN];	  /* of the thread group leader: the process's name */
	char thread[PP_COMM_LEN]; /* of the thread */

	__u32 short_form; /* SHORT: here a short record begins */
	__u32 seq;	  /* of the slot's records */
	__u64 time_ns;	  /* CLOCK_MONOTONIC */
	__u32 tid;
	__u32 cpu;
	__u16 nr_kernel, nr_python, nr_user;
	__u16 kept_python, kept_user; /* of these, the outermost that are the slot's */
	__u8 slot;		      /* of the CPU's */
	__u8 set;		      /* the sampling set whose event fired */
	__u8 end;		      /* enum pp_end */
	__u8 chain_end;		      /* enum pp_chain_end */
	__u8 gil;		      /* enum pp_gil */
	__u8 gc;		      /* enum pp_gc */
#ifndef __bpf__
	__u64 words[];
#endif
};

#ifndef __bpf__
static inline __u32 pp_sample_words(const struct pp_sample *s)
{
	return (__u32)s->nr_kernel + 2U * s->nr_python + s->nr_user;
}

/* Of the sample as a whole. */
static inline size_t pp_sample_bytes(const struct pp_sample *s)
{
	return sizeof(*s) + sizeof(s->words[0]) * pp_sample_words(s);
}

static inline const __u64 *pp_sample_kernel(const struct pp_sample *s)
{
	return s->words;
}

static inline const struct pp_pyframe_raw *pp_sample_python(const struct pp_sample *s)
{
	return (const struct pp_pyframe_raw *)(s->words + s->nr_kernel);
}

static inline const __u64 *pp_sample_user(const struct pp_sample *s)
{
	return s->words + s->nr_kernel + 2UL * s->nr_python;
}
#endif

/*
 * What both halves keep of the last record that named a slot: the words before its short_form, and
 * so many of its outermost frames. A CPU has PP_SLOTS of them, one for each of the threads that it
 * runs by turns, but for those that meet in one. Sizes: most stacks fit, and what does not is sent.
 */
#define PP_SLOTS	   64
#define PP_SLOT_WHO_WORDS  9
#define PP_SLOT_PYTHON_MAX 32  /* frames */
#define PP_SLOT_USER_MAX   128 /* the same levels of Python with trampolines */
/* Of so many records of a slot one leaves nothing out: whoever missed one finds its place again. */
#define PP_SLOT_RENEWAL 256

/* How samples come to the daemon. */
enum pp_records_mode {
	PP_RECORDS_DELTA, /* without what the slot has */
	PP_RECORDS_WHOLE,
	PP_RECORDS_CHECK, /* both, the whole one first: the daemon compares them */
};

/* ---- Loss accounting: per CPU, per set, written by BPF, read by the daemon. ------------------ */
enum pp_count {
	PP_COUNT_RUNS,	    /* program runs */
	PP_COUNT_SENT,	    /* records handed to the ring */
	PP_COUNT_FILTERED,  /* not for any session of this set */
	PP_COUNT_IDLE,	    /* the idle task */
	PP_COUNT_NESTED,    /* an event interrupted the walk of another */
	PP_COUNT_RING_FULL, /* the ring had no room: a lost sample */
	PP_COUNT_TAIL_CALL, /* the chain could not continue: a lost sample */
	PP_COUNT_WALK_NS,   /* time spent, when measuring is on */
	PP_COUNT_FRAMES,    /* user frames walked */
	PP_COUNT_CHAIN_NS,  /* of the time spent, that in the interpreter's chain */
	PP_COUNT_PYFRAMES,  /* frames of chains */
	PP_COUNT_MAX,
};

/* Where it is timed: how often a sample took how long, in BPF. */
enum pp_time {
	PP_TIME_SAMPLE, /* from the program's entry to the record's hand-over */
	PP_TIME_CHAIN,	/* of that, the interpreter's chain, where there is one */
	PP_TIME_NATIVE, /* and the walk of the native stack */
	PP_TIME_MAX,
};
#define PP_TIME_BUCKET_NS 64
#define PP_TIME_BUCKETS	  2048 /* 131 us; the last one's are that or more */
struct pp_times {
	__u32 buckets[PP_TIME_MAX][PP_TIME_BUCKETS];
};

/* ---- The unwind store ------------------------------------------------------------------------
 * One growing space of 32-bit words, in chunks (inner maps of an array of maps) that the daemon
 * adds as it needs them and writes through mmap. It holds unwind tables and the processes' mapping
 * blocks.
 */
#define PP_CHUNK_WORDS_SHIFT 18 /* 256 Ki words, 1 MiB */
#define PP_CHUNK_WORDS	     (1U << PP_CHUNK_WORDS_SHIFT)
#define PP_CHUNKS_MAX	     128 /* 128 MiB: above any budget an operator would set */

/*
 * A table covers one file's code in buckets of 256 bytes.
 *   index word of a bucket: first row (word offset within the table's rows) : 24 | rows - 1 : 8
 *   row: offset in the bucket : 16 | rule number : 16
 * A bucket's first row has offset 0 (a copy of the rule in force there), so a bucket is
 * self-contained; its rows never straddle PP_ROWS_ALIGN words, and a table's rows start on such a
 * boundary, so one bounds check covers a search. Addresses are the file's own (ELF virtual ones).
 */
#define PP_BUCKET_SHIFT	      8
#define PP_ROWS_ALIGN	      1024
#define PP_BUCKET_ROWS_MAX    256
#define PP_ROW(offset, rule)  ((__u32)(offset) << 16 | (rule))
#define PP_INDEX(first, rows) ((__u32)(first) << 8 | ((rows)-1))
#define PP_TABLE_ROWS_MAX     (1U << 24)

#define PP_TABLES_MAX 4096
struct pp_table {
	__u64 start;	  /* ELF address of bucket 0, a multiple of 256 */
	__u32 nr_buckets; /* 0: not loaded */
	__u32 index;	  /* word number of the index */
	__u32 rows;	  /* word number of the first row */
	__u32 pad;
};

/*
 * A rule in 32 bits: kind : 4 (top) | a : 16 | k : 12.
 * RA is at CFA-8 in every kind but SIGNAL and END; rbp was saved at CFA-8k, k = 0: it is unchanged.
 */
enum pp_rule_kind {
	PP_RULE_NONE,	   /* no unwind information: a gap between functions */
	PP_RULE_RSP,	   /* CFA = rsp + 8a */
	PP_RULE_RBP,	   /* CFA = rbp + 8a */
	PP_RULE_END,	   /* RA is undefined: the thread's root */
	PP_RULE_PLT,	   /* CFA = rsp + 8 + ((pc & 15) >= a ? 8 : 0) */
	PP_RULE_SIGNAL,	   /* a signal frame: the registers are in the ucontext at rsp + 8a */
	PP_RULE_DEREF_RBP, /* CFA = *(rbp + 8a), a signed; k = 1: rbp saved at *(rbp) (realigned
			      frames) */
	PP_RULE_DEREF_RSP, /* CFA = *(rsp + 8a) + 8, a signed (OpenSSL's assembly) */
	PP_RULE_UNSUPPORTED,
	PP_RULE_FP,	   /* made in BPF only: CFA = rbp + 16, the frame-pointer convention */
	PP_RULE_FP_UNSURE, /* the same at a leaf that may not have set up its frame */
	PP_RULE_STUB,	   /* made in BPF only: as RSP, in a CPython trampoline */
	PP_RULE_MAX,
};
#define PP_RULE(kind, a, k) ((__u32)(kind) << 28 | ((__u32)(a)&0xffff) << 12 | ((__u32)(k)&0xfff))
#define PP_RULE_KIND(rule)  ((rule) >> 28)
#define PP_RULE_A(rule)	    (((rule) >> 12) & 0xffff)
#define PP_RULE_K(rule)	    ((rule)&0xfff)
#define PP_RULES_MAX	    16384 /* a process needs about 450, a machine a few thousand */

/*
 * An executable mapping. A process's are a sorted block in the store, preceded by nothing; blocks
 * never straddle a chunk.
 */
#define PP_MAPPING_WORDS 8
/*
 * Per process; one with more is cut, and counted. A browser has 300, a Python with every extension
 * module of a distribution 1,000. What a record of one costs the daemon grows with them.
 */
#define PP_MAPPINGS_MAX 2048
enum pp_mapping_kind {
	PP_MAPPING_TABLE,   /* a file whose table is `table` */
	PP_MAPPING_PENDING, /* a file whose table is not loaded (yet) */
	PP_MAPPING_FP,	    /* a file without unwind information: frame pointers */
	PP_MAPPING_ANON, /* anonymous: a trampoline arena or a JIT; BPF looks at the code itself */
};
struct pp_mapping {
	__u64 start, end; /* [start, end) in the process */
	__u64 bias;	  /* address in the process - ELF address */
	__u32 table;	  /* with PP_MAPPING_TABLE */
	__u32 kind;	  /* enum pp_mapping_kind */
};

/* ---- Interpreters ---------------------------------------------------------------------------- */

/* What a chain's frames look like, and where on the C stack its runs end. */
enum pp_frames_form {
	PP_FRAMES_OBJECTS, /* 3.8 to 3.10: objects, one a run; no marks */
	PP_FRAMES_CFRAMES, /* 3.11: is_entry ends a run; the mark is the eval's cframe */
	PP_FRAMES_BOTH,	   /* 3.12: entry frames end runs, and a cframe leads to the first */
	PP_FRAMES_ENTRIES, /* 3.13 and later: entry frames end runs */
};

/* Offsets of one build of CPython; all below PP_STATE_BYTES_MAX, those in frames below
 * PP_PYFRAME_BYTES_MAX. */
#define PP_LAYOUTS_MAX	     64 /* distinct builds at a time */
#define PP_STATE_BYTES_MAX   512
#define PP_PYFRAME_BYTES_MAX 128
struct pp_layout {
	__u16 state_first, state_bytes; /* what is read of the thread state: these hold the next */
	__u16 state_frame;		/* the current frame, or the cframe that leads to it */
	__u16 state_interp;		/* the thread's interpreter; 0: not looked at */
	__u16 state_thread;		/* pthread_self() of its thread */
	__u16 state_chunk; /* the data stack's chunk, its top, its limit; 0: there is none */
	__u16 cframe_frame, cframe_previous;
	__u16 frame_bytes; /* what is read of a frame */
	__u16 frame_code, frame_previous, frame_position;
	__u16 object_type;   /* of any object: its type */
	__u16 frame_owner;   /* of one byte; 3.11: is_entry is the byte before it */
	__u16 form;	     /* enum pp_frames_form */
	__u8 code_tag;	     /* low bits of the code's address that are no part of it */
	__u8 sentinel;	     /* the chain ends in an entry frame that no eval has */
	__u8 position_bytes; /* 4 or 8 */
	__u8 str_kind;	     /* the lowest bit of the state's kind, compact and ascii */
	__u8 print_words;    /* of a code object, from print_first on */
	__u8 pad;
	__u16 print_first, print_number; /* the u32 it got when it was made; 0: there is none */
	__u16 print_name, print_file;	 /* the addresses of these; all in those words */
	__u16 str_length, str_state, str_ascii, str_compact;
	/* For the sample's attributes; 0: not known. */
	__u16 interp_gil;      /* the interpreter's pointer to its GIL */
	__u16 interp_gc;       /* a u32 that is not 0 during a collection */
	__s16 current_gil;     /* where that is static: the GIL, relative to pp_interp.current */
	__s16 current_gc;      /* and that u32 */
	__u16 state_requested; /* a u32 that is not 0 while the thread waits for the GIL */
	__u16 state_task;      /* the asyncio task that runs */
	__u16 task_coro;       /* of a task: its coroutine */
	__u16 coro_frame;      /* of a coroutine: its frame, in which frame_code is its code */
};

/* A place for a layout (map `layouts`). */
struct pp_layout_place {
	__u32 id; /* of what is in it, PP_LAYOUTS_MAX * n + the place's number; 0: nothing */
	struct pp_layout layout;
};

/*
 * An interpreter in a process: its layout, and where a thread keeps the address of its thread
 * state. That is a word at a constant offset from its fsbase, or from what is at fsbase + block.
 */
struct pp_interp {
	__u64 current;	 /* address of the word that leads to the state which holds the GIL; 0: not
			    looked at. A thread in a sub-interpreter is found there. */
	__s32 slot[2];	 /* the second is looked at where the first leads nowhere; 0: none */
	__s32 block;	 /* 0: slots are relative to fsbase */
	__u32 layout;	 /* id of the layout; 0: no interpreter is known */
	__u64 code_type; /* of every code object, where frames are to be doubted; else 0 */
	/* Address of the u32 that code objects get their numbers from, as they are made; 0: none.
	 * With numbered_interp, only those of that interpreter. */
	__u64 next_code;
	__u64 numbered_interp;
};

/*
 * A process's address space as BPF knows it (map `spaces`, key: tgid). Exec and fork write the
 * identity of the new life at once (an exec without mappings, a fork with the parent's); the daemon
 * reads it there and adds the mappings.
 */
struct pp_space {
	__u64 start_ns; /* the identity it was made for: a mismatch means "not described yet" */
	__u64 since_ns; /* CLOCK_MONOTONIC of the exec or fork, 0: older than the daemon */
	__u32 exec_id;
	__u32 gen;	   /* address-space generation: what the pc cache is keyed with; never 0 */
	__u32 block;	   /* word number of the mapping block */
	__u32 nr_mappings; /* 0: nothing known */
	struct pp_interp interp;
};

/* What one sampling set is for (map `sets`). */
enum pp_filter {
	PP_FILTER_OFF,	/* the set is not in use */
	PP_FILTER_ALL,	/* every process */
	PP_FILTER_PIDS, /* processes in map `filter` with this set's bit */
};
#define PP_EPOCHS 16 /* of processes whose pid is the same but for its upper bits */
struct pp_set_conf {
	__u32 filter; /* enum pp_filter */
	__u32 pad;
	/* Another with everything the daemon changes in `spaces` for one of those processes: until
	 * then a CPU need not look the process of its last sample up again. The same in all sets.
	 */
	__u32 epochs[PP_EPOCHS];
};
/* Map `filter`, key: tgid. Bits of `tree` are inherited by children at fork. */
struct pp_filter_entry {
	__u32 sets; /* bit n: sample for set n */
	__u32 tree; /* bit n: and its descendants */
};

/* How records reach the daemon (map `drain`). */
struct pp_drain {
	__u32 asleep; /* the daemon waits to be woken by the next one; BPF resets it */
	__u32 tgid;   /* the daemon, whose own records wake nobody */
};

/* What the kernel calls one of its functions: NAME, or NAME [MODULE]; of an address in none the
 * number, as 0xADDRESS (map `kernel_name`). Its names have 512 bytes, a module's 56. */
struct pp_kernel_name {
	char text[640];
};

#ifndef __bpf__
_Static_assert(sizeof(struct pp_sample) == 112, "pp_sample");
_Static_assert(offsetof(struct pp_sample, short_form) == PP_SLOT_WHO_WORDS * sizeof(__u64), "who");
_Static_assert(sizeof(struct pp_layout) == 68, "pp_layout");
_Static_assert(sizeof(struct pp_layout_place) == 72, "pp_layout_place");
_Static_assert(sizeof(struct pp_table) == 24, "pp_table");
_Static_assert(sizeof(struct pp_mapping) == PP_MAPPING_WORDS * sizeof(__u32), "pp_mapping");
_Static_assert(sizeof(struct pp_space) == 80, "pp_space");
_Static_assert(sizeof(struct pp_set_conf) == 72, "pp_set_conf");
_Static_assert(PP_RULE_MAX <= 16, "a rule's kind has four bits");
#endif
