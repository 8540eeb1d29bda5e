/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a stack costs that is known: a count, and nothing else. A sample with kernel, native and
 * Python frames, by trampoline and by interpreter, is fed again and again through the rooms that
 * the daemon has for it; only unwinding, ELF files and perf events are left out. From the second
 * time on it may not take memory, nor make a system call, nor intern anything.
 */
#include "base/child.h"
#include "base/clock.h"
#include "codes.h"
#include "files.h"
#include "kernel.h"
#include "natives.h"
#include "profile/store.h"
#include "proc/reader.h"
#include "python/version.h"
#include "pythons.h"
#include "resolve.h"
#include "sessions.h"
#include "states.h"

#include "fake_bpf.h"
#include "fake_events.h"
#include "forged_code.h"

#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#define LIBRARY 0x10000
#define ARENA	0x20000
#define LEAF	0x10 /* in the library */
#define KERNEL	0xffffffff81000010
#define TIMES	1000
#define WAIT_NS (20 * NSEC_PER_SEC)

/* ---- Memory, counted ------------------------------------------------------------------------- */

static size_t nr_allocations;

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	nr_allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	nr_allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	nr_allocations++;
	return __libc_realloc(p, size);
}
#endif

/* ---- What is left out ------------------------------------------------------------------------ */

static struct pp_object object = { .path = (char *)"/lib/a" };
static struct pp_file library = { .object = &object };

struct pp_pcs *pp_files_pcs(_unused_ struct pp_files *f, _unused_ struct pp_process *p,
			    _unused_ struct pp_map *map)
{
	return &library.pcs;
}

void pp_files_want_names(_unused_ struct pp_files *f, _unused_ struct pp_object *o)
{
}

static size_t nr_asked_kernel;

int pp_bpf_kernel_name(_unused_ struct pp_bpf *b, _unused_ uint64_t address,
		       struct pp_kernel_name *ret)
{
	nr_asked_kernel++;
	strcpy(ret->text, "do_something [a_module]");
	return 0;
}

static struct pp_events events = { .frequency = 99 };

int pp_events_new(struct pp_events **ret, _unused_ struct pp_bpf *bpf, _unused_ unsigned int set,
		  _unused_ enum pp_event event, _unused_ unsigned int frequency)
{
	*ret = &events;
	return 0;
}

struct pp_events *pp_events_free(_unused_ struct pp_events *e)
{
	return NULL;
}

uint64_t pp_events_expected(_unused_ const struct pp_events *e, _unused_ unsigned int cpu)
{
	return 0;
}

/* ---- The rooms ------------------------------------------------------------------------------- */

static sd_event *event;
static struct pp_reader *reader;
static struct pp_store *store;
static struct pp_processes *processes;
static struct pp_process *process;
static struct pp_pythons *pythons;
static struct pp_codes *codes;
static struct pp_kernel *kernel;
static struct pp_resolve *resolve;
static struct pp_sessions *sessions;
static struct pp_code_runtime runtime;
static uint32_t counter; /* the number that the next code object gets */
static char map_path[64];
static FILE *map_file;

static void on_unnumbered(_unused_ void *userdata, _unused_ struct pp_process *p)
{
}

static void on_settled(_unused_ void *userdata, _unused_ struct pp_process *p,
		       _unused_ uint64_t samples, _unused_ bool named)
{
}

static void map(uint64_t start, uint64_t ino, const char *path)
{
	const struct pp_life life = { .kind = PP_LIFE_MMAP,
				      .pid = getpid(),
				      .tid = getpid(),
				      .time_ns = 2,
				      .start = start,
				      .len = 0x1000,
				      .ino = ino,
				      .prot = 5,
				      .path = path };

	assert_int_equal(pp_processes_life(processes, &life), 0);
}

/* This process's own, as CPython keeps it: open. */
static void write_perf_map(void)
{
	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", getpid());
	map_file = fopen(map_path, "we");
	assert_non_null(map_file);
	fprintf(map_file, "%x 100 py::C.method:/a/b.py\n", ARENA);
	fflush(map_file);
}

static int setup(_unused_ void **state)
{
	static const struct pp_codes_hooks hooks = { on_unnumbered, on_settled };
	const struct pp_profile_config profile = { .window_ns = 10 * NSEC_PER_SEC,
						   .windows_max = 10,
						   .entries_max = 1000 };
	const struct pp_life fork = {
		.kind = PP_LIFE_FORK, .pid = getpid(), .tid = getpid(), .time_ns = 1
	};

	write_perf_map();
	forge_code();
	runtime = (struct pp_code_runtime){ .version = PP_PYVERSION(3, 13),
					    .next_code = at(&counter) };
	counter = code.version + 1;
	if (pp_reader_new(&reader, event) < 0 || pp_store_new(&store) < 0 ||
	    pp_processes_new(&processes, NULL, NULL, NULL) < 0 ||
	    pp_pythons_new(&pythons, reader, store, MIB) < 0 ||
	    pp_codes_new(&codes, reader, store, &hooks, NULL) < 0 ||
	    pp_kernel_new(&kernel, store, (struct pp_bpf *)&fake) < 0 ||
	    pp_resolve_new(&resolve, store, NULL, pythons, codes, kernel) < 0 ||
	    pp_sessions_new(&sessions, NULL, processes, store, PP_EVENT_CPU_CLOCK, 99, &profile) <
		    0 ||
	    pp_processes_life(processes, &fork) < 0)
		return -1;
	map(LIBRARY, 7, "/lib/a");
	map(ARENA, 0, "//anon");
	process = pp_processes_by_pid(processes, getpid());
	return pp_codes_runtime(codes, process, &runtime);
}

static int teardown(_unused_ void **state)
{
	reader = pp_reader_free(reader);
	sessions = pp_sessions_free(sessions);
	pp_codes_gone(codes, process);
	pp_pythons_gone(pythons, process);
	processes = pp_processes_free(processes);
	resolve = pp_resolve_free(resolve);
	kernel = pp_kernel_free(kernel);
	pythons = pp_pythons_free(pythons);
	codes = pp_codes_free(codes);
	pp_pcs_done(&library.pcs, store);
	store = pp_store_free(store);
	fclose(map_file);
	unlink(map_path);
	return 0;
}

/* ---- The sample ------------------------------------------------------------------------------ */

static uint64_t words[64];

/* When this process began, in ns since boot: the reader looks at no other. */
static uint64_t own_start_ns(void)
{
	unsigned long long ticks = 0;
	FILE *stat = fopen("/proc/self/stat", "re");

	assert_non_null(stat);
	assert_int_equal(fscanf(stat,
				"%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
				"%*d %*d %*d %*d %*d %llu",
				&ticks),
			 1);
	fclose(stat);
	return ticks * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* The kernel in a native function, called by a Python one that has a trampoline. */
static struct pp_sample *make_sample(void)
{
	struct pp_sample *s = (struct pp_sample *)words;
	struct pp_pyframe_raw raw = { at(&code), at(code.instructions) + 2 };
	size_t n = 0;

	*s = (struct pp_sample){ .time_ns = pp_now_ns(),
				 .start_ns = own_start_ns(),
				 .tgid = (uint32_t)getpid(),
				 .tid = (uint32_t)getpid(),
				 .nr_kernel = 1,
				 .nr_user = 3,
				 .nr_python = 1,
				 .end = PP_END_ROOT,
				 .chain_end = PP_CHAIN_COMPLETE,
				 .next_code = counter,
				 .gil = PP_GIL_HELD,
				 .gc = PP_GC_IDLE,
				 .thread = "worker-1" };
	s->words[n++] = KERNEL;
	memcpy(&s->words[n], &raw, sizeof(raw));
	n += sizeof(raw) / sizeof(s->words[0]);
	s->words[n++] = PP_PC(LIBRARY + LEAF, PP_WALKER_ROWS);
	s->words[n++] = PP_PC(ARENA + 0x10, PP_WALKER_STUB);
	s->words[n++] = PP_PC(LIBRARY + 0x20, PP_WALKER_ROWS);
	return s;
}

/* As pump.c takes a sample. Returns its node. */
static uint32_t take(const struct pp_sample *s)
{
	struct pp_process *p = pp_processes_sample(processes, (pid_t)s->tgid, s->start_ns,
						   s->exec_id, s->comm, s->time_ns);
	uint32_t node;

	if (!p || pp_resolve_sample(resolve, p, s, &node) < 0)
		return 0;
	pp_sessions_sample(sessions, s, p, node, pp_states_attributes(store, codes, p, s));
	return node;
}

/* Until every frame has its name. */
static void settle(void)
{
	uint64_t until = pp_now_ns() + WAIT_NS;
	struct pp_elf_name names[2] = { 0 };

	assert_in_range(library.pcs.nr_pending, 0, ARRAY_SIZE(names));
	for (size_t i = 0; i < library.pcs.nr_pending; i++)
		names[i].name = library.pcs.pending[i].key == LEAF ? "inner" : "outer";
	pp_natives_named(store, &library, names, library.pcs.nr_pending);
	while (pp_frames_count_pending(store->frames) && pp_now_ns() < until) {
		pp_codes_tick(codes, pp_now_ns());
		pp_pythons_tick(pythons, pp_now_ns());
		assert_return_code(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
	}
	assert_int_equal(pp_frames_count_pending(store->frames), 0);
}

static void assert_named(uint32_t node, const char *const names[], size_t n)
{
	uint32_t frames[PP_STACK_FRAMES_MAX];
	size_t nr = pp_stacks_path(store->stacks, node, frames, ARRAY_SIZE(frames));

	assert_int_equal(nr, n);
	for (size_t i = 0; i < n; i++) {
		const struct pp_frame *f = pp_frames_describe(store->frames, frames[i]);

		assert_string_equal(pp_strings_text(store->strings, f->name, NULL), names[i]);
	}
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static uint32_t known_stack(const struct pp_sample *s)
{
	assert_int_not_equal(take(s), 0);
	settle();
	(void)take(s); /* under its frames' final numbers */
	return take(s);
}

static void it_is_what_it_is_meant_to_be(_unused_ void **state)
{
	/* The trampoline and the interpreter's frame are of one activation. */
	static const char *const names[] = { "do_something", "inner", "C.method", "outer" };

	assert_named(known_stack(make_sample()), names, ARRAY_SIZE(names));
}

static void it_takes_no_memory(_unused_ void **state)
{
	const struct pp_sample *s = make_sample();
	uint32_t node = known_stack(s);
	size_t frames = pp_frames_count(store->frames), stacks = pp_stacks_count(store->stacks);
	size_t strings = pp_strings_count(store->strings), asked = nr_asked_kernel;
	size_t before = nr_allocations;

	for (int i = 0; i < TIMES; i++)
		assert_int_equal(take(s), node);
	assert_int_equal(nr_allocations, before);
	assert_int_equal(nr_asked_kernel, asked);
	assert_int_equal(pp_frames_count(store->frames), frames);
	assert_int_equal(pp_stacks_count(store->stacks), stacks);
	assert_int_equal(pp_strings_count(store->strings), strings);
}

/* In a process that may make none but to end: any other kills it. */
static void it_makes_no_system_call(_unused_ void **state)
{
	const struct pp_sample *s = make_sample();
	uint32_t node = known_stack(s);
	int status, wrong = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
#ifndef __SANITIZE_ADDRESS__
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
			_exit(2);
#endif
		for (int i = 0; i < TIMES; i++)
			wrong |= take(s) != node;
		syscall(SYS_exit, wrong);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_what_it_is_meant_to_be),
		TEST(it_takes_no_memory),
		TEST(it_makes_no_system_call),
	};
	int r;

	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return pp_reader_main(PP_CHILD_SOCKET);
	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return 77;
	}
	assert_return_code(sd_event_new(&event), 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	sd_event_unref(event);
	return r;
}
