// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generated code that comes and goes at one address: `reuse GENERATIONS MILLISECONDS`. Each
 * generation is a function of its own, named generation_N in the perf map, and is called by a
 * native function of its own, caller_N. So a stack says by itself what the name must be.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS ((void *)0x500000000000)
#define SIZE	65536

typedef void (*code_fn)(uint64_t rounds);

/* push rbp; mov rbp, rsp; 1: dec rdi; jnz 1b; pop rbp; ret */
static const uint8_t code[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xff, 0xcf, 0x75, 0xfb, 0x5d, 0xc3 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define CALLER(n)                                                                   \
	static __attribute__((noinline)) void caller_##n(code_fn run, double until) \
	{                                                                           \
		while (now() < until)                                               \
			run(1000000);                                               \
		__asm__ volatile("" ::: "memory");                                  \
	}
CALLER(0)
CALLER(1)
CALLER(2)
CALLER(3)
CALLER(4)
CALLER(5)
CALLER(6)
CALLER(7)

static void (*const callers[])(code_fn run, double until) = {
	caller_0, caller_1, caller_2, caller_3, caller_4, caller_5, caller_6, caller_7,
};
#define CALLERS (sizeof(callers) / sizeof(*callers))

int main(int argc, char **argv)
{
	int generations = argc > 1 ? atoi(argv[1]) : 8;
	double seconds = (argc > 2 ? atoi(argv[2]) : 300) / 1e3;
	char path[64];
	FILE *map;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map = fopen(path, "we");
	if (!map)
		return 1;
	printf("ready %d\n", getpid());
	fflush(stdout);
	for (int n = 0; n < generations; n++) {
		uint8_t *at = mmap(ADDRESS, SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (at != ADDRESS)
			return 1;
		memcpy(at, code, sizeof(code));
		fprintf(map, "%lx %zx generation_%d\n", (unsigned long)at, sizeof(code),
			n % (int)CALLERS);
		fflush(map);
		if (mprotect(at, SIZE, PROT_READ | PROT_EXEC) < 0)
			return 1;
		callers[n % (int)CALLERS]((code_fn)(uintptr_t)at, now() + seconds);
		munmap(at, SIZE);
	}
	puts("done");
	return 0;
}
