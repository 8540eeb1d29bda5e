/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The programs. One per sampling set is run by perf events on every CPU: it decides whether the
 * sample is wanted, notes who was running, takes the kernel stack if the kernel was, and starts the
 * walk of the interpreter's frames, where one is known, and then of the user stack. That walk
 * continues by tail calls, PP_FRAMES_PER_CALL frames each (the one form of a long loop that every
 * kernel since 5.10 loads), and the last hands the record to the ring.
 *
 * Three raw tracepoints keep what BPF knows of address spaces from outliving them: exec forgets,
 * fork inherits, exit forgets. They act at once; the daemon follows with the new picture.
 */
#include "chain.bpf.h"
#include "kernel_name.bpf.h"
#include "record.bpf.h"
#include "state.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define FRAMES_PER_STRIDE 10 /* divides PP_FRAMES_PER_CALL */

char LICENSE[] SEC("license") = "GPL";

/* Time every walk (PP_COUNT_WALK_NS). Set before load. */
const volatile bool measure = false;
/* Where bpf_task_pt_regs() is missing (before 5.15): the size of a kernel stack. */
const volatile __u64 kernel_stack_size = 16384;

#define PF_KTHREAD    0x00200000
#define USER32_CS     0x23
#define CHAIN_PROGRAM 0
#define WALK_PROGRAM  1
#define EMIT_PROGRAM  2

int chain(struct bpf_perf_event_data *ctx);
int walk(struct bpf_perf_event_data *ctx);
int emit(struct bpf_perf_event_data *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct bpf_perf_event_data *));
} programs SEC(".maps") = {
	.values = {
		[CHAIN_PROGRAM] = &chain,
		[WALK_PROGRAM] = &walk,
		[EMIT_PROGRAM] = &emit,
	},
};

static __always_inline void count(__u32 set, __u32 what, __u64 n)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct pp_counts *c = bpf_map_lookup_elem(&counts, &cpu);

	if (c && set < PP_SETS_MAX)
		c->counts[set][what] += n;
}

static __always_inline void took(struct pp_times *t, enum pp_time what, __u64 ns)
{
	__u64 bucket = ns / PP_TIME_BUCKET_NS;

	if (bucket >= PP_TIME_BUCKETS)
		bucket = PP_TIME_BUCKETS - 1;
	t->buckets[what][bucket]++;
}

/* Notes what the sample took; its native walk has ended at a time, or there was none (0). */
static __noinline void note_times(struct pp_walk *w, __u64 walked_ns)
{
	__u64 ns = bpf_ktime_get_ns() - w->started_ns;
	__u32 cpu = bpf_get_smp_processor_id(), set = w->sample.set;
	struct pp_times *t = bpf_map_lookup_elem(&times, &cpu);

	count(set, PP_COUNT_WALK_NS, ns);
	count(set, PP_COUNT_FRAMES, w->sample.nr_user);
	if (!t)
		return;
	took(t, PP_TIME_SAMPLE, ns);
	if (w->chain_ns) {
		count(set, PP_COUNT_CHAIN_NS, w->chain_ns);
		count(set, PP_COUNT_PYFRAMES, w->sample.nr_python);
		took(t, PP_TIME_CHAIN, w->chain_ns);
	}
	if (w->native_ns)
		took(t, PP_TIME_NATIVE, walked_ns - w->native_ns);
}

/* Goes on to another program, a constant: then the call is a jump. Does not return unless the
 * kernel refuses. */
static __always_inline int go_on(void *ctx, struct pp_walk *w, const __u32 program)
{
	bpf_tail_call_static(ctx, &programs, program);
	count(w->sample.set, PP_COUNT_TAIL_CALL, 1);
	w->busy = 0;
	return 0;
}

/* Ends the sample: hands it to the ring and the CPU's walk to the next. A program of its own, so
 * that the verifier sees it once and not in each that may end a sample: half the daemon's start. */
SEC("perf_event")
int emit(struct bpf_perf_event_data *ctx)
{
	__u64 walked_ns = measure ? bpf_ktime_get_ns() : 0;
	struct pp_walk *w = this_walk();
	__u32 set;

	if (!w)
		return 0;
	set = w->sample.set;
	if (w->sample.chain_end == PP_CHAIN_DEPTH && w->sample.end == PP_END_ROOT)
		w->sample.end = PP_END_PYTHON;
	if (send(w))
		count(set, PP_COUNT_RING_FULL, 1);
	else
		count(set, PP_COUNT_SENT, 1);
	if (measure)
		note_times(w, walked_ns);
	w->busy = 0;
	return 0;
}

/*
 * The next few frames; 1 when the walk has ended. A function of its own, so that the verifier sees
 * the frames of one stride and not those of a whole call: a fifth of the work, which was most of
 * the daemon's start.
 */
__noinline int stride(void)
{
	struct pp_walk *w = this_walk();
	struct pp_cache *cache = this_cache();

	if (!w || !cache)
		return 1;
	for (int i = 0; i < FRAMES_PER_STRIDE; i++) {
		__u64 sp = w->sp;
		int ended = step(w, cache);

		if (w->mark - sp < w->sp - sp)
			place_mark();
		if (ended)
			return 1;
	}
	return 0;
}

SEC("perf_event")
int walk(struct bpf_perf_event_data *ctx)
{
	struct pp_walk *w = this_walk();

	if (!w)
		return 0;
	if (measure && !w->calls)
		w->native_ns = bpf_ktime_get_ns();
	for (int i = 0; i < PP_FRAMES_PER_CALL / FRAMES_PER_STRIDE; i++)
		if (stride()) {
			learn_window(w);
			return go_on(ctx, w, EMIT_PROGRAM);
		}
	if (++w->calls < PP_WALK_CALLS_MAX)
		return go_on(ctx, w, WALK_PROGRAM);
	w->sample.end = PP_END_DEPTH;
	return go_on(ctx, w, EMIT_PROGRAM);
}

/* The interpreter's frames, then the native ones. */
SEC("perf_event")
int chain(struct bpf_perf_event_data *ctx)
{
	__u64 started_ns = measure ? bpf_ktime_get_ns() : 0;
	struct pp_walk *w = this_walk();

	if (!w)
		return 0;
	refill(w->sp + 64);
	w->sample.chain_end = chain_begin();
	take_state();
	if (w->sample.chain_end == PP_CHAIN_NONE) {
		take_next_code(w);
		w->chain.walk++;
		w->sample.chain_end = PP_CHAIN_DEPTH;
		for (int i = 0; i < CHAIN_STEPS_MAX; i++) {
			chain_frames();
			if (chain_step())
				break;
		}
	}
	begin_marks(w);
	if (measure)
		w->chain_ns = bpf_ktime_get_ns() - started_ns;
	return go_on(ctx, w, WALK_PROGRAM);
}

/* Whether the sample is, and the epoch of what is known of its process. */
static __always_inline bool wanted(__u32 set, __u32 tgid, __u32 *ret_epoch)
{
	struct pp_set_conf *conf = bpf_map_lookup_elem(&sets, &set);
	struct pp_filter_entry *f;

	if (!conf || conf->filter == PP_FILTER_OFF)
		return false;
	*ret_epoch = *(volatile __u32 *)&conf->epochs[tgid % PP_EPOCHS];
	if (conf->filter == PP_FILTER_ALL)
		return true;
	f = bpf_map_lookup_elem(&filter, &tgid);
	return f && f->sets & 1U << set;
}

/* From 5.11 on programs may follow pointers from the current task; before, a helper reads. */
#define HAS_HELPER(name)     bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_##name)
#define FOLLOWS		     HAS_HELPER(get_current_task_btf)
#define MEMBER(from, member) (FOLLOWS ? (from)->member : BPF_CORE_READ(from, member))

static __always_inline struct task_struct *this_task(void)
{
	return FOLLOWS ? (struct task_struct *)bpf_get_current_task_btf()
		       : (struct task_struct *)bpf_get_current_task();
}

/* PP_COMM_LEN bytes, as words. */
static __always_inline void copy_comm(char *to, const char *from)
{
	if (FOLLOWS) {
		((__u64 *)to)[0] = ((const __u64 *)from)[0];
		((__u64 *)to)[1] = ((const __u64 *)from)[1];
	} else {
		bpf_core_read(to, PP_COMM_LEN, from);
	}
}

/* Who is running. */
static __always_inline void identify(struct pp_sample *s, struct task_struct *task)
{
	struct task_struct *leader = MEMBER(task, group_leader);

	s->start_ns = MEMBER(leader, start_boottime);
	s->exec_id = (__u32)MEMBER(task, self_exec_id);
	copy_comm(s->comm, leader->comm);
	copy_comm(s->thread, task->comm);
}

/* The user's registers: those of the interrupt, or those saved at the entry into the kernel. */
static __always_inline int user_regs(struct bpf_perf_event_data *ctx, struct task_struct *task,
				     bool in_kernel, struct pp_walk *w)
{
	struct pp_regs saved;
	__u16 cs; /* what is above it in the slot is the processor's (FRED) */
	void *at;

	if (!in_kernel) {
		w->pc = ctx->regs.ip;
		w->sp = ctx->regs.sp;
		w->bp = ctx->regs.bp;
		cs = *(volatile __u64 *)&ctx->regs.cs;
		return cs == USER32_CS ? PP_END_COMPAT : PP_END_ROOT;
	}
	if (MEMBER(task, flags) & PF_KTHREAD || !MEMBER(task, mm))
		return PP_END_NO_USER;
	if (HAS_HELPER(task_pt_regs))
		at = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	else
		at = MEMBER(task, stack) + kernel_stack_size - sizeof(saved);
	if (bpf_probe_read_kernel(&saved, sizeof(saved), at))
		return PP_END_STACK;
	if (!(saved.cs & 3))
		return PP_END_NO_USER;
	w->pc = saved.ip;
	w->sp = saved.sp;
	w->bp = saved.bp;
	cs = saved.cs;
	w->futex = futex_waited_for(&saved);
	return cs == USER32_CS ? PP_END_COMPAT : PP_END_ROOT;
}

/* Whether the process has an interpreter whose frames are known. The id is looked at behind the
 * copy: the place may be given to another layout meanwhile. */
static __always_inline bool take_layout(struct pp_walk *w)
{
	__u32 id = w->chain.interp.layout, place = id % PP_LAYOUTS_MAX;
	struct pp_layout_place *p;

	if (!id)
		return false;
	p = bpf_map_lookup_elem(&layouts, &place);
	if (!p)
		return false;
	w->chain.layout = p->layout;
	return *(volatile __u32 *)&p->id == id;
}

/* Whether BPF has a picture of this very life of the process. Looked at twice: where the daemon
 * replaces it meanwhile, its place in the map may be another process's next. */
static __always_inline bool enter_space(struct pp_walk *w, __u32 epoch)
{
	__u32 tgid = w->sample.tgid;
	struct pp_space *space;

	if (w->space_epoch == epoch && w->space_tgid == tgid &&
	    w->space_start_ns == w->sample.start_ns && w->space_exec_id == w->sample.exec_id)
		return true;
	w->space_tgid = 0;
	space = bpf_map_lookup_elem(&spaces, &tgid);
	if (!space || space->start_ns != w->sample.start_ns || space->exec_id != w->sample.exec_id)
		return false;
	w->gen = space->gen;
	w->block = space->block;
	w->nr_mappings = space->nr_mappings;
	w->chain.interp = space->interp;
	if (*(volatile __u64 *)&space->start_ns != w->sample.start_ns || !w->nr_mappings)
		return false;
	if (!take_layout(w))
		w->chain.interp.layout = 0;
	w->space_tgid = tgid;
	w->space_start_ns = w->sample.start_ns;
	w->space_exec_id = w->sample.exec_id;
	w->space_epoch = epoch;
	return true;
}

static __always_inline int sample(struct bpf_perf_event_data *ctx, __u32 set)
{
	struct task_struct *task = this_task();
	__u64 started_ns = bpf_ktime_get_ns();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;
	struct pp_walk *w;
	__u32 epoch = 0;
	bool in_kernel;
	long n;

	count(set, PP_COUNT_RUNS, 1);
	if (!tgid) {
		count(set, PP_COUNT_IDLE, 1);
		return 0;
	}
	if (!wanted(set, tgid, &epoch)) {
		count(set, PP_COUNT_FILTERED, 1);
		return 0;
	}
	w = this_walk();
	if (!w)
		return 0;
	if (w->busy) {
		count(set, PP_COUNT_NESTED, 1);
		return 0;
	}
	w->busy = 1;
	w->started_ns = started_ns;
	w->sample.time_ns = started_ns;
	w->chain_ns = w->native_ns = 0;
	w->sample.tgid = tgid;
	w->sample.tid = (__u32)id;
	w->sample.gen = 0;
	w->sample.set = set;
	w->sample.nr_kernel = w->sample.nr_python = w->sample.nr_user = 0;
	w->sample.chain_end = PP_CHAIN_NONE;
	w->sample.next_code = 0;
	w->sample.gil = PP_GIL_NONE;
	w->sample.gc = PP_GC_NONE;
	w->sample.task = 0;
	w->futex = 0;
	choose_slot(w);
	identify(&w->sample, task);

	in_kernel = !(*(volatile __u64 *)&ctx->regs.cs & 3);
	if (in_kernel) {
		n = bpf_get_stack(ctx, w->pcs, PP_KERNEL_FRAMES_MAX * sizeof(__u64), 0);
		w->sample.nr_kernel = n > 0 ? n / sizeof(__u64) : 0;
	}
	w->sample.end = user_regs(ctx, task, in_kernel, w);
	if (w->sample.end == PP_END_NO_USER || w->sample.end == PP_END_STACK)
		return go_on(ctx, w, EMIT_PROGRAM);
	if (w->sample.end == PP_END_ROOT && !enter_space(w, epoch))
		w->sample.end = PP_END_NO_SPACE;
	if (w->sample.end != PP_END_ROOT) {
		push_pc(w, w->pc, PP_WALKER_NONE);
		return go_on(ctx, w, EMIT_PROGRAM);
	}
	w->sample.gen = w->gen;
	w->leaf = 1;
	w->calls = 0;
	w->window_len = 0;
	w->window_next = w->window_first ?: WINDOW_READ_MIN;
	w->leaf_sp = w->sp;
	w->nr_marks = 0;
	w->mark = NO_MARK;
	if (w->chain.interp.layout) {
		w->chain.fsbase = MEMBER(task, thread.fsbase);
		return go_on(ctx, w, CHAIN_PROGRAM);
	}
	return go_on(ctx, w, WALK_PROGRAM);
}

/* A program per set: attach cookies, which could tell sets apart, came with 5.15. */
#define SAMPLE_PROGRAM(set)                               \
	SEC("perf_event")                                 \
	int sample_##set(struct bpf_perf_event_data *ctx) \
	{                                                 \
		return sample(ctx, set);                  \
	}

SAMPLE_PROGRAM(0)
SAMPLE_PROGRAM(1)
SAMPLE_PROGRAM(2)
SAMPLE_PROGRAM(3)

/* ---- Lives of address spaces ----------------------------------------------------------------- */

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct pp_space space = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
		.since_ns = bpf_ktime_get_ns(),
		.exec_id = (__u32)BPF_CORE_READ(task, self_exec_id),
	};

	bpf_map_update_elem(&spaces, &tgid, &space, BPF_ANY);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid);
	__u64 start_ns = BPF_CORE_READ(parent, group_leader, start_boottime);
	struct pp_filter_entry *f, inherited;
	struct pp_space *space, copy = { 0 };

	if (from == to)
		return 0; /* a thread */
	space = bpf_map_lookup_elem(&spaces, &from);
	if (space) {
		copy = *space;
		/* As in enter_space. */
		if (*(volatile __u64 *)&space->start_ns != start_ns)
			copy = (struct pp_space){ 0 };
	}
	copy.start_ns = BPF_CORE_READ(child, start_boottime);
	copy.since_ns = bpf_ktime_get_ns();
	copy.exec_id = (__u32)BPF_CORE_READ(child, self_exec_id);
	bpf_map_update_elem(&spaces, &to, &copy, BPF_ANY);
	f = bpf_map_lookup_elem(&filter, &from);
	if (f && f->tree) {
		inherited.sets = f->tree;
		inherited.tree = f->tree;
		bpf_map_update_elem(&filter, &to, &inherited, BPF_ANY);
	}
	return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (BPF_CORE_READ(task, signal, live.counter))
		return 0; /* other threads live on */
	bpf_map_delete_elem(&spaces, &tgid);
	bpf_map_delete_elem(&filter, &tgid);
	return 0;
}
