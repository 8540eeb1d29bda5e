/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a frame-pointer profiler does at a sample, and no more: the kernel's own walk by
 * bpf_get_stack(), and the record handed to a ring. bench_get_stack.c runs it beside pyprofd.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "tests/bench/get_stack.h"

char LICENSE[] SEC("license") = "GPL";

/* Set before load: the process to look at. */
const volatile __u32 target = 0;

struct record {
	__u64 pcs[GET_STACK_FRAMES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct record);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct get_stack_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} ring SEC(".maps");

static __always_inline void took(__u32 *buckets, __u64 ns)
{
	__u64 bucket = ns / PP_TIME_BUCKET_NS;

	if (bucket >= PP_TIME_BUCKETS)
		bucket = PP_TIME_BUCKETS - 1;
	buckets[bucket]++;
}

SEC("perf_event")
int sample(void *ctx)
{
	__u64 started = bpf_ktime_get_ns(), walk_began, walked;
	struct get_stack_counts *c;
	struct record *r;
	__u32 zero = 0;
	long size;

	if (bpf_get_current_pid_tgid() >> 32 != target)
		return 0;
	r = bpf_map_lookup_elem(&scratch, &zero);
	c = bpf_map_lookup_elem(&counts, &zero);
	if (!r || !c)
		return 0;
	walk_began = bpf_ktime_get_ns();
	size = bpf_get_stack(ctx, r->pcs, sizeof(r->pcs), BPF_F_USER_STACK);
	walked = bpf_ktime_get_ns();
	if (size <= 0 || size > (long)sizeof(r->pcs))
		return 0;
	bpf_ringbuf_output(&ring, r, (__u64)size & 1023, BPF_RB_NO_WAKEUP);
	c->runs++;
	c->frames += (__u64)size / sizeof(__u64);
	took(c->whole, bpf_ktime_get_ns() - started);
	took(c->stack, walked - walk_began);
	return 0;
}
