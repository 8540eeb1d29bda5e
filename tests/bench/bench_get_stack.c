/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs get_stack.bpf.c on every CPU for a while and prints what it cost, as JSON:
 *
 *     bench_get_stack OBJECT PID HZ SECONDS
 */
#include "tests/bench/get_stack.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S   1000000000ULL
#define DRAIN_USEC 100000 /* the ring holds far more than this long's samples */
#define CPUS_MAX   1024

struct bench {
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_link *links[CPUS_MAX];
	int nr_cpus;
};

static int ignore(void *context, void *data, size_t size)
{
	(void)context;
	(void)data;
	(void)size;
	return 0;
}

static int load(struct bench *b, const char *path, __u32 target)
{
	struct bpf_map *rodata;
	size_t size;
	__u32 *value;

	b->object = bpf_object__open_file(path, NULL);
	if (!b->object)
		return -errno;
	rodata = bpf_object__find_map_by_name(b->object, ".rodata");
	value = rodata ? (__u32 *)bpf_map__initial_value(rodata, &size) : NULL;
	b->program = bpf_object__find_program_by_name(b->object, "sample");
	if (!value || !b->program)
		return -ENOENT;
	*value = target; /* the object's only constant */
	return bpf_object__load(b->object);
}

/* A cpu-clock event on every CPU, as pyprofd's: a period in ns, nothing while idle. */
static int attach(struct bench *b, unsigned int hz)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = NS_PER_S / hz,
		.exclude_idle = 1,
	};

	for (int cpu = 0; cpu < b->nr_cpus; cpu++) {
		int fd =
			(int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

		if (fd < 0 && errno == ENODEV)
			continue; /* offline */
		if (fd < 0)
			return -errno;
		b->links[cpu] = bpf_program__attach_perf_event(b->program, fd);
		if (!b->links[cpu])
			return -errno;
	}
	return 0;
}

static int run(struct bench *b, unsigned int seconds)
{
	struct ring_buffer *ring = ring_buffer__new(
		bpf_object__find_map_fd_by_name(b->object, "ring"), ignore, NULL, NULL);

	if (!ring)
		return -errno;
	for (unsigned int i = 0; i < seconds * (1000000 / DRAIN_USEC); i++) {
		usleep(DRAIN_USEC);
		ring_buffer__consume(ring);
	}
	ring_buffer__free(ring);
	return 0;
}

static void add(__u32 *sum, const __u32 *buckets)
{
	for (unsigned int i = 0; i < PP_TIME_BUCKETS; i++)
		sum[i] += buckets[i];
}

static void print_buckets(const char *name, const __u32 *buckets)
{
	printf(", \"%s\": [", name);
	for (unsigned int i = 0; i < PP_TIME_BUCKETS; i++)
		printf("%s%u", i ? ", " : "", buckets[i]);
	printf("]");
}

static int print(struct bench *b)
{
	struct get_stack_counts *total = calloc((size_t)b->nr_cpus + 1, sizeof(*total));
	struct get_stack_counts *per_cpu = total + 1;
	__u32 zero = 0;
	int r;

	if (!total)
		return -ENOMEM;
	r = bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(b->object, "counts"), &zero,
				per_cpu);
	for (int cpu = 0; r == 0 && cpu < b->nr_cpus; cpu++) {
		total->runs += per_cpu[cpu].runs;
		total->frames += per_cpu[cpu].frames;
		add(total->whole, per_cpu[cpu].whole);
		add(total->stack, per_cpu[cpu].stack);
	}
	if (r == 0) {
		printf("{\"runs\": %llu, \"frames\": %llu", total->runs, total->frames);
		print_buckets("whole", total->whole);
		print_buckets("stack", total->stack);
		printf("}\n");
	}
	free(total);
	return r;
}

int main(int argc, char **argv)
{
	struct bench b = { .nr_cpus = libbpf_num_possible_cpus() };
	int r;

	if (argc != 5 || b.nr_cpus < 1 || b.nr_cpus > CPUS_MAX) {
		fprintf(stderr, "usage: bench_get_stack OBJECT PID HZ SECONDS\n");
		return 2;
	}
	r = load(&b, argv[1], (__u32)atoi(argv[2]));
	if (r >= 0)
		r = attach(&b, (unsigned int)atoi(argv[3]));
	if (r >= 0)
		r = run(&b, (unsigned int)atoi(argv[4]));
	for (int cpu = 0; cpu < b.nr_cpus; cpu++)
		bpf_link__destroy(b.links[cpu]);
	if (r >= 0)
		r = print(&b);
	bpf_object__close(b.object);
	if (r < 0)
		fprintf(stderr, "bench_get_stack: %s\n", strerrordesc_np(-r));
	return r < 0;
}
