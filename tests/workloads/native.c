/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Native stacks known by construction: `native MODE` stays in one chain of calls for ever and
 * prints "ready PID" first. Built without frame pointers. An empty asm after each call keeps it
 * from becoming a jump.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define CALL(expr)                                 \
	do {                                       \
		sink += (expr);                    \
		__asm__ volatile("" ::: "memory"); \
	} while (0)

#define ROUNDS	   2000
#define DEPTH	   1000 /* more than 900, less than the walk's limit with what is above it */
#define ALLOCA_MAX 4096

static volatile unsigned long sink;

NOINLINE static unsigned long leaf(void)
{
	for (int i = 0; i < ROUNDS; i++)
		sink += (unsigned long)i;
	return sink;
}

NOINLINE static unsigned long inner(void)
{
	CALL(leaf());
	return sink;
}

NOINLINE static unsigned long middle(void)
{
	CALL(inner());
	return sink;
}

NOINLINE static unsigned long outer(void)
{
	CALL(middle());
	return sink;
}

/* The stack pointer moves by an amount known only at run time: the frame is found by rbp. */
NOINLINE static unsigned long with_alloca(unsigned int size)
{
	volatile char *room = alloca(size % ALLOCA_MAX + 1);

	room[0] = (char)size;
	CALL(leaf());
	return sink + (unsigned long)room[0];
}

NOINLINE static unsigned long descend(unsigned int depth)
{
	if (depth == 0)
		CALL(leaf());
	else
		CALL(descend(depth - 1));
	return sink;
}

NOINLINE static void on_signal(int number)
{
	(void)number;
	/* About a third of the time between two signals. */
	for (int i = 0; i < 200; i++)
		CALL(leaf());
}

NOINLINE static unsigned long interrupted(void)
{
	for (int i = 0; i < ROUNDS; i++)
		sink += (unsigned long)i;
	return sink;
}

static void take_signals(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };

	if (flags & SA_ONSTACK) {
		stack_t stack = { .ss_size = 1 << 16 };

		stack.ss_sp = malloc(stack.ss_size);
		sigaltstack(&stack, NULL);
	}
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
}

NOINLINE static unsigned long clock_loop(void)
{
	struct timespec now;

	for (int i = 0; i < ROUNDS; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		sink += (unsigned long)now.tv_nsec;
	}
	return sink;
}

NOINLINE static int compare(const void *left, const void *right)
{
	CALL(leaf());
	return (*(const int *)left > *(const int *)right) -
	       (*(const int *)left < *(const int *)right);
}

NOINLINE static unsigned long sorting(void)
{
	int numbers[] = { 5, 1, 4, 2, 3, 9, 7, 8, 6, 0 };

	qsort(numbers, sizeof(numbers) / sizeof(numbers[0]), sizeof(numbers[0]), compare);
	return (unsigned long)numbers[0];
}

static jmp_buf back;

NOINLINE static void jumping_off(void)
{
	CALL(leaf());
	longjmp(back, 1);
}

NOINLINE static unsigned long jumping(void)
{
	if (!setjmp(back))
		jumping_off();
	CALL(leaf());
	return sink;
}

/* More frames than the walk can hold: the stack must say that it is cut. */
NOINLINE static unsigned long too_deep(unsigned int depth)
{
	CALL(descend(depth));
	return sink;
}

static unsigned long (*plugin_entry)(unsigned long (*callback)(void));

NOINLINE static unsigned long callback_for_plugin(void)
{
	CALL(leaf());
	return sink;
}

static void load_plugin(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);

	if (library)
		plugin_entry =
			(unsigned long (*)(unsigned long (*)(void)))dlsym(library, "plugin_outer");
	if (!plugin_entry) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
}

static void *thread_body(void *mode)
{
	(void)mode;
	for (;;)
		CALL(outer());
	return NULL;
}

static void run_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_body, NULL);
	pthread_join(thread, NULL);
}

enum mode {
	NESTED,
	ALLOCA,
	DEEP,
	TOO_DEEP,
	SIGNAL,
	SIGNAL_ALTSTACK,
	VDSO,
	CALLBACK,
	LONGJMP,
	PLUGIN,
	THREAD,
	MODES
};

static const char *const names[MODES] = {
	"nested", "alloca",   "deep",	 "too-deep", "signal", "signal-altstack",
	"vdso",	  "callback", "longjmp", "plugin",   "thread",
};

static enum mode mode_of(const char *name)
{
	int mode = 0;

	while (mode < MODES && strcmp(name, names[mode]))
		mode++;
	if (mode == MODES)
		exit(2);
	return (enum mode)mode;
}

NOINLINE static unsigned long turn(enum mode mode, unsigned int number)
{
	switch (mode) {
	case ALLOCA:
		CALL(with_alloca(number * 37));
		break;
	case DEEP:
		CALL(descend(DEPTH));
		break;
	case TOO_DEEP:
		CALL(too_deep(5 * DEPTH));
		break;
	case SIGNAL:
	case SIGNAL_ALTSTACK:
		CALL(interrupted());
		break;
	case VDSO:
		CALL(clock_loop());
		break;
	case CALLBACK:
		CALL(sorting());
		break;
	case LONGJMP:
		CALL(jumping());
		break;
	case PLUGIN:
		CALL(plugin_entry(callback_for_plugin));
		break;
	default:
		CALL(outer());
	}
	return sink;
}

int main(int argc, char **argv)
{
	enum mode mode = mode_of(argc > 1 ? argv[1] : "nested");

	if (mode == SIGNAL)
		take_signals(0);
	if (mode == SIGNAL_ALTSTACK)
		take_signals(SA_ONSTACK);
	printf("ready %d\n", getpid());
	fflush(stdout);
	if (mode == THREAD)
		run_thread();
	if (mode == PLUGIN) {
		/* Loaded while being profiled: the reader has had time to see the process without.
		 */
		usleep(1500000);
		load_plugin(argv[2]);
		printf("loaded\n");
		fflush(stdout);
	}
	for (unsigned int number = 0;; number++)
		CALL(turn(mode, number));
}
