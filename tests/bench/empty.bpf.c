/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sampling program that does nothing: what the kernel takes to run any. Its maps and its constant
 * are those that bench_get_stack.c looks for.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "tests/bench/get_stack.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 target = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct get_stack_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("perf_event")
int sample(void *ctx)
{
	return !ctx;
}
