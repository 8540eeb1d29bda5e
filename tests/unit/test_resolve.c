/* SPDX-License-Identifier: GPL-2.0-only */
/* From a sample's pcs to a stack, with the rooms that know the names replaced by ones that show who
 * was asked for what. */
#include "files.h"
#include "kernel.h"
#include "profile/store.h"
#include "pythons.h"
#include "resolve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LIBRARY 0x10000
#define ARENA	0x20000
#define NOWHERE 0x90000

/* ---- The rooms ------------------------------------------------------------------------------- */

static struct pp_store *store;
static struct pp_pcs pcs; /* of the library */
static uint64_t python_pc, kernel_pc;
static bool python_stub, kernel_exact;

static uint32_t frame_called(enum pp_kind kind, const char *name)
{
	uint32_t frame;

	assert_int_equal(pp_store_frame(store, kind, name, strlen(name), NULL, 0, NULL, 0, &frame),
			 0);
	return frame;
}

struct pp_pcs *pp_files_pcs(_unused_ struct pp_files *f, _unused_ struct pp_process *p,
			    _unused_ struct pp_map *map)
{
	return &pcs;
}

void pp_files_want_names(_unused_ struct pp_files *f, _unused_ struct pp_object *o)
{
}

uint32_t pp_pythons_frame(_unused_ struct pp_pythons *ps, _unused_ struct pp_process *p,
			  uint64_t pc, bool stub, _unused_ uint64_t time_ns)
{
	python_pc = pc;
	python_stub = stub;
	return frame_called(stub ? PP_KIND_PYTHON : PP_KIND_JIT, "code");
}

uint32_t pp_kernel_frame(_unused_ struct pp_kernel *k, uint64_t pc, bool exact,
			 _unused_ uint64_t time_ns)
{
	kernel_pc = pc;
	kernel_exact = exact;
	return frame_called(PP_KIND_KERNEL, "kernel");
}

/* ---- Fixture --------------------------------------------------------------------------------- */

static struct pp_resolve *resolve;
static struct pp_processes *processes;
static struct pp_process *process;
static uint32_t frames[PP_STACK_FRAMES_MAX]; /* leaf first */
static size_t nr_frames;

static void map(uint64_t start, uint64_t ino, const char *path)
{
	const struct pp_life life = { .kind = PP_LIFE_MMAP,
				      .pid = 10,
				      .tid = 10,
				      .time_ns = 2,
				      .start = start,
				      .len = 0x1000,
				      .ino = ino,
				      .prot = 5,
				      .path = path };

	assert_int_equal(pp_processes_life(processes, &life), 0);
}

static int start(_unused_ void **state)
{
	const struct pp_life fork = { .kind = PP_LIFE_FORK, .pid = 10, .tid = 10, .time_ns = 1 };

	assert_int_equal(pp_store_new(&store), 0);
	assert_int_equal(pp_processes_new(&processes, NULL, NULL, NULL), 0);
	assert_int_equal(pp_processes_life(processes, &fork), 0);
	map(LIBRARY, 7, "/lib/a");
	map(ARENA, 0, "//anon");
	process = pp_processes_by_pid(processes, 10);
	python_pc = kernel_pc = 0;
	return pp_resolve_new(&resolve, store, NULL, NULL, NULL, NULL);
}

static int stop(_unused_ void **state)
{
	resolve = pp_resolve_free(resolve);
	pp_pcs_done(&pcs, store);
	processes = pp_processes_free(processes);
	store = pp_store_free(store);
	return 0;
}

static void sample(const uint64_t *kernel, uint16_t nr_kernel, const uint64_t *user,
		   uint16_t nr_user)
{
	uint64_t words[64] = { 0 };
	struct pp_sample *s = (struct pp_sample *)words;
	uint32_t node;

	s->nr_kernel = nr_kernel;
	s->nr_user = nr_user;
	for (size_t i = 0; i < nr_kernel; i++)
		s->words[i] = kernel[i];
	for (size_t i = 0; i < nr_user; i++)
		s->words[nr_kernel + i] = user[i];
	assert_int_equal(pp_resolve_sample(resolve, process, s, &node), 0);
	nr_frames = pp_stacks_path(store->stacks, node, frames, ARRAY_SIZE(frames));
	assert_int_equal(nr_frames, nr_kernel + nr_user);
}

static const struct pp_frame *frame(size_t i)
{
	return pp_frames_describe(store->frames, frames[i]);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void kernel_frames_lie_on_top(_unused_ void **state)
{
	const uint64_t kernel[] = { 0xffffffff81000010, 0xffffffff81000020 };
	const uint64_t user[] = { PP_PC(LIBRARY + 0x10, PP_WALKER_ROWS),
				  PP_PC(LIBRARY + 0x20, PP_WALKER_NONE) };

	sample(kernel, 2, user, 2);
	assert_int_equal(frame(0)->kind, PP_KIND_KERNEL);
	assert_int_equal(frame(1)->kind, PP_KIND_KERNEL);
	assert_int_equal(frame(2)->kind, PP_KIND_NATIVE);
	assert_int_equal(frame(3)->kind, PP_KIND_NATIVE);
	/* The leaf was resolved last, at its very pc. */
	assert_int_equal(kernel_pc, kernel[0]);
	assert_true(kernel_exact);
}

static void return_addresses_belong_to_the_call(_unused_ void **state)
{
	/* The caller's call is its function's last instruction. */
	const uint64_t user[] = { PP_PC(LIBRARY + 0x10, PP_WALKER_ROWS),
				  PP_PC(LIBRARY + 0x20, PP_WALKER_ROWS),
				  PP_PC(LIBRARY + 0x1000, PP_WALKER_NONE) };

	sample(NULL, 0, user, 3);
	assert_int_equal(frame(0)->offset, 0x10);
	assert_int_equal(frame(1)->offset, 0x1f);
	assert_int_equal(frame(2)->offset, 0xfff);
}

static void what_a_signal_interrupted_stands_at_its_pc(_unused_ void **state)
{
	const uint64_t user[] = { PP_PC(LIBRARY + 0x10, PP_WALKER_ROWS), /* the handler */
				  PP_PC(LIBRARY + 0x20, PP_WALKER_SIGNAL),
				  PP_PC(LIBRARY + 0x30, PP_WALKER_ROWS), /* interrupted */
				  PP_PC(LIBRARY + 0x40, PP_WALKER_NONE) };

	sample(NULL, 0, user, 4);
	assert_int_equal(frame(1)->offset, 0x20);
	assert_int_equal(frame(2)->offset, 0x30);
	assert_int_equal(frame(3)->offset, 0x3f);
}

static void generated_code_is_pythons(_unused_ void **state)
{
	const uint64_t stub[] = { PP_PC(LIBRARY + 0x10, PP_WALKER_ROWS),
				  PP_PC(ARENA + 0x20, PP_WALKER_STUB) };
	const uint64_t jit[] = { PP_PC(ARENA + 0x30, PP_WALKER_FP) };
	const uint64_t unseen[] = { PP_PC(LIBRARY + 0x10, PP_WALKER_ROWS),
				    PP_PC(NOWHERE + 0x20, PP_WALKER_STUB) };

	sample(NULL, 0, stub, 2);
	assert_int_equal(python_pc, ARENA + 0x1f);
	assert_true(python_stub);
	assert_int_equal(frame(1)->kind, PP_KIND_PYTHON);
	sample(NULL, 0, jit, 1);
	assert_int_equal(python_pc, ARENA + 0x30);
	assert_false(python_stub);
	/* A stub is known by its code, before its arena may be. */
	sample(NULL, 0, unseen, 2);
	assert_int_equal(python_pc, NOWHERE + 0x1f);
	assert_true(python_stub);
}

static void what_lies_nowhere_is_one_frame(_unused_ void **state)
{
	const uint64_t user[] = { PP_PC(NOWHERE, PP_WALKER_NONE) };
	const uint64_t other[] = { PP_PC(NOWHERE + 0x100, PP_WALKER_NONE) };

	sample(NULL, 0, user, 1);
	assert_int_equal(frames[0], PP_FRAME_UNKNOWN);
	sample(NULL, 0, other, 1);
	assert_int_equal(frames[0], PP_FRAME_UNKNOWN);
}

static void a_pc_is_looked_up_once(_unused_ void **state)
{
	const uint64_t user[] = { PP_PC(LIBRARY + 0x10, PP_WALKER_NONE) };
	uint32_t first;

	sample(NULL, 0, user, 1);
	first = frames[0];
	assert_int_equal(pcs.nr_pending, 1);
	sample(NULL, 0, user, 1);
	assert_int_equal(frames[0], first);
	assert_int_equal(pcs.nr_pending, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kernel_frames_lie_on_top, start, stop),
		cmocka_unit_test_setup_teardown(return_addresses_belong_to_the_call, start, stop),
		cmocka_unit_test_setup_teardown(what_a_signal_interrupted_stands_at_its_pc, start,
						stop),
		cmocka_unit_test_setup_teardown(generated_code_is_pythons, start, stop),
		cmocka_unit_test_setup_teardown(what_lies_nowhere_is_one_frame, start, stop),
		cmocka_unit_test_setup_teardown(a_pc_is_looked_up_once, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
