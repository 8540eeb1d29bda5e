/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel calls a function of its own. Attached to nothing: the daemon runs it with an
 * address, and reads the map. So it needs no copy of the kernel's symbols, which would be the
 * largest of its tables, nor the time to read them. Before 5.13 there is no such helper, and the
 * program says 0; the daemon then reads /proc/kallsyms.
 */
#pragma once

#include "pp_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pp_kernel_name);
} kernel_name SEC(".maps");

SEC("raw_tp")
int name_kernel_pc(struct bpf_raw_tracepoint_args *ctx)
{
	static const char symbol[] = "%ps";
	__u64 address = ctx->args[0];
	__u32 zero = 0;
	struct pp_kernel_name *n = bpf_map_lookup_elem(&kernel_name, &zero);

	if (!n || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_snprintf))
		return 0;
	return bpf_snprintf(n->text, sizeof(n->text), symbol, &address, sizeof(address));
}
