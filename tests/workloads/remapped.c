// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code that becomes other code at one address: `remapped EVENT MILLISECONDS ADDRESS-OF-OUTER A B`.
 * A and B are framed.c with two frame sizes. Every period the EVENT puts one in the other's place:
 *   over   the one is mapped over the other;
 *   again  the other is unmapped first, as dlclose and dlopen do;
 *   forks  the parent maps one and forks at once, and the child runs it;
 *   execs  each program maps one, and execs the next (run it without address randomisation);
 *   pids   a child maps B; after its end another with its pid runs the A that both inherited;
 *   memory in memory without a file there is a CPython trampoline, then a function with a frame
 *          pointer. Their return addresses are the same. Not by time: at SIGUSR1;
 *   writes memory that is writable and executable: no call tells of the other code.
 * Nothing but the names of the functions below says what the stacks must be.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS ((uint8_t *)0x500000000000)
#define SIZE	4096
#define ROUNDS	100000

typedef void (*outer_fn)(uint64_t rounds);
typedef void (*spin_fn)(uint64_t rounds);
/* The fourth argument is in rcx. */
typedef void (*stub_fn)(uint64_t rounds, long unused, long unused_too, spin_fn spin);
typedef void (*loop_fn)(long unused, long unused_too, long nor_this, uint64_t rounds);

static const char *const *files;
static outer_fn outer;
static volatile sig_atomic_t told; /* to go on with the other code */

/* sub $8,%rsp; call *%rcx; add $8,%rsp; ret: begins at byte 4 */
static const uint8_t stub[] = { 0x90, 0x90, 0x90, 0x90, 0x48, 0x83, 0xec, 0x08,
				0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3 };
/* push %rbp; mov %rsp,%rbp; sub $64,%rsp; call *%rcx; leave; ret */
static const uint8_t framed[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83,
				  0xec, 0x40, 0xff, 0xd1, 0xc9, 0xc3 };
/* endbr64; loop .-4; ret: begins at byte 4, and has no frame */
static const uint8_t bare_loop[] = { 0x90, 0x90, 0x90, 0x90, 0xf3, 0x0f,
				     0x1e, 0xfa, 0xe2, 0xfa, 0xc3 };
/* push %rbp; mov %rsp,%rbp; nop of 4 bytes; loop .-4; pop %rbp; ret */
static const uint8_t framed_loop[] = { 0x55, 0x48, 0x89, 0xe5, 0x0f, 0x1f,
				       0x40, 0x00, 0xe2, 0xfa, 0x5d, 0xc3 };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static __attribute__((noinline)) void turn(double seconds)
{
	double until = now() + seconds;

	while (now() < until)
		outer(ROUNDS);
	__asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void spin(uint64_t rounds)
{
	while (rounds--)
		__asm__ volatile("");
}

#define CALLER(name, type, ...)                                               \
	static __attribute__((noinline)) void name(type code, double seconds) \
	{                                                                     \
		double until = now() + seconds;                               \
                                                                              \
		while (now() < until && !told)                                \
			code(__VA_ARGS__);                                    \
		__asm__ volatile("" ::: "memory");                            \
	}
CALLER(call_stub, stub_fn, ROUNDS, 0, 0, spin)
CALLER(call_framed, stub_fn, ROUNDS, 0, 0, spin)
CALLER(call_bare_loop, loop_fn, 0, 0, 0, ROUNDS)
CALLER(call_framed_loop, loop_fn, 0, 0, 0, ROUNDS)

static void map(int i)
{
	int fd = open(files[i % 2], O_RDONLY | O_CLOEXEC);

	if (fd < 0 ||
	    mmap(ADDRESS, SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) != ADDRESS)
		fail(files[i % 2]);
	close(fd);
}

static void over(double period)
{
	for (int i = 0;; i++) {
		map(i);
		turn(period);
	}
}

static void again(double period)
{
	for (int i = 0;; i++) {
		munmap(ADDRESS, SIZE);
		map(i);
		turn(period);
	}
}

static void await(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child || status)
		fail("child");
}

static void forks(double period)
{
	for (int i = 0;; i++) {
		pid_t child;

		turn(period); /* of what the child before ran: by now it is known */
		map(i);
		child = fork();
		if (!child) {
			turn(period);
			_exit(0);
		}
		await(child);
	}
}

/* The last argument counts the programs. */
static void execs(char **argv, double period)
{
	char count[16];
	int i = argv[6] ? atoi(argv[6]) : 0;

	map(i);
	turn(period);
	snprintf(count, sizeof(count), "%d", i + 1);
	execv("/proc/self/exe",
	      (char *[]){ argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], count, NULL });
	fail("exec");
}

static pid_t fork_as(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uintptr_t)&pid,
				   .set_tid_size = 1 };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void pids(double period)
{
	pid_t pid = fork(), child;
	cpu_set_t one;

	if (!pid)
		_exit(0);
	await(pid);
	/* What a CPU remembers of the last process that it sampled is to be met. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	map(0);
	turn(period);
	for (int i = 0;; i++) {
		child = fork_as(pid);
		if (!child) {
			if (i % 2 == 0)
				map(1);
			turn(period);
			_exit(0);
		}
		await(child);
	}
}

static void on_signal(int signal)
{
	told = signal;
}

static void memory(void)
{
	signal(SIGUSR1, on_signal);
	for (int i = 0;; i++) {
		told = 0;
		if (mmap(ADDRESS, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != ADDRESS)
			fail("mmap");
		memcpy(ADDRESS, i % 2 ? framed : stub, i % 2 ? sizeof(framed) : sizeof(stub));
		if (mprotect(ADDRESS, SIZE, PROT_READ | PROT_EXEC) < 0)
			fail("mprotect");
		if (i % 2)
			call_framed((stub_fn)ADDRESS, INFINITY);
		else
			call_stub((stub_fn)(ADDRESS + 4), INFINITY);
	}
}

static void writes(double period)
{
	if (mmap(ADDRESS, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != ADDRESS)
		fail("mmap");
	for (;;) {
		memcpy(ADDRESS, bare_loop, sizeof(bare_loop));
		call_bare_loop((loop_fn)(ADDRESS + 4), period);
		memcpy(ADDRESS, framed_loop, sizeof(framed_loop));
		call_framed_loop((loop_fn)ADDRESS, period);
	}
}

int main(int argc, char **argv)
{
	double period = argc > 5 ? strtod(argv[2], NULL) / 1000 : 0;
	const char *event = argv[1];

	if (argc < 6)
		return 2;
	files = (const char *const *)&argv[4];
	outer = (outer_fn)(ADDRESS + strtoul(argv[3], NULL, 16));
	map(0);
	if (argc == 6) {
		puts("ready");
		fflush(stdout);
	}
	if (!strcmp(event, "over"))
		over(period);
	else if (!strcmp(event, "again"))
		again(period);
	else if (!strcmp(event, "forks"))
		forks(period);
	else if (!strcmp(event, "execs"))
		execs(argv, period);
	else if (!strcmp(event, "pids"))
		pids(period);
	else if (!strcmp(event, "memory"))
		memory();
	else if (!strcmp(event, "writes"))
		writes(period);
	return 2;
}
