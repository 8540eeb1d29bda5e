/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that code runs from, with a reader and a worker that answer when and as the test says:
 * what is asked of whom, what is concluded from processes that ended, and how frames get names.
 */
#include "base/clock.h"
#include "base/counters.h"
#include "elf/worker.h"
#include "files.h"
#include "natives.h"
#include "proc/reader.h"
#include "profile/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* ---- The reader and the worker --------------------------------------------------------------- */

struct pp_reader {
	int unused;
};

struct pp_worker {
	int unused;
};

static struct {
	pid_t pid; /* 0: nothing was asked */
	bool want_fd;
	pp_reader_identify_fn fn;
	void *userdata;
	int count;
} identify;

static struct {
	pp_elf_loaded_fn loaded;
	pp_elf_names_fn named;
	void *userdata;
	uint64_t addresses[PP_WORKER_ADDRESSES_MAX];
	size_t n;
	uid_t uid;
	int loads;
} work;

static uid_t owing; /* who owes the worker too much; 0: nobody */

/* The vDSO's load, which these tests leave unanswered until the end. */
static struct {
	pp_elf_loaded_fn loaded;
	void *userdata;
} vdso;

static struct pp_reader reader;
static struct pp_worker worker;
static int reader_refuses;

uint64_t pp_start_ticks(uint64_t start_ns)
{
	return start_ns / (10 * NSEC_PER_MSEC);
}

bool pp_reader_is_stuck(_unused_ const struct pp_reader *r, _unused_ struct pp_target target)
{
	return false;
}

int pp_reader_identify(_unused_ struct pp_reader *r, struct pp_target target,
		       _unused_ const struct pp_map *map, bool want_fd, pp_reader_identify_fn fn,
		       void *userdata)
{
	if (reader_refuses)
		return reader_refuses;
	assert_int_equal(identify.pid, 0); /* one at a time is all these tests need */
	identify.pid = target.pid;
	identify.want_fd = want_fd;
	identify.fn = fn;
	identify.userdata = userdata;
	identify.count++;
	return 0;
}

int pp_reader_debugfile(_unused_ struct pp_reader *r, _unused_ struct pp_target target,
			_unused_ const struct pp_debugfile *what,
			_unused_ pp_reader_debugfile_fn fn, _unused_ void *userdata)
{
	return -ENOBUFS;
}

void pp_reader_discard(_unused_ struct pp_reader *r, _unused_ uid_t uid, int envelope)
{
	if (envelope >= 0)
		close(envelope);
}

void pp_reader_tend(_unused_ struct pp_reader *r)
{
}

int pp_worker_new(struct pp_worker **ret, _unused_ sd_event *event)
{
	*ret = &worker;
	return 0;
}

bool pp_worker_owes(_unused_ const struct pp_worker *w, uid_t uid)
{
	return owing && uid == owing;
}

int pp_worker_load(_unused_ struct pp_worker *w, uid_t uid, _unused_ int fd,
		   const struct pp_file_key *key, _unused_ int cached_fd, pp_elf_loaded_fn loaded,
		   void *userdata)
{
	if (key->dev == UINT64_MAX) {
		vdso.loaded = loaded;
		vdso.userdata = userdata;
		return 0;
	}
	assert_null(work.loaded);
	if (owing && uid == owing)
		return -EBUSY;
	work.uid = uid;
	work.loaded = loaded;
	work.userdata = userdata;
	work.loads++;
	return 0;
}

int pp_worker_names(_unused_ struct pp_worker *w, _unused_ uid_t uid, _unused_ int fd,
		    _unused_ const struct pp_file_key *key, _unused_ int debug_fd,
		    const uint64_t *addresses, size_t n, pp_elf_names_fn named, void *userdata)
{
	assert_null(work.named);
	memcpy(work.addresses, addresses, n * sizeof(*addresses));
	work.n = n;
	work.named = named;
	work.userdata = userdata;
	return 0;
}

static void answer_identity(int error, uint64_t ino)
{
	const struct pp_identity id = {
		.key = { .dev = 1, .ino = ino, .size = 4096, .ctime_ns = 5 }
	};
	pp_reader_identify_fn fn = identify.fn;
	int fd = error || !identify.want_fd ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_not_equal(identify.pid, 0);
	identify.pid = 0;
	fn(identify.userdata, error, error ? NULL : &id, &fd);
	pp_close(fd);
}

static void answer_load(int error)
{
	const struct pp_elf_info info = {
		.has_symtab = 1,
		.nr_segments = 1,
		.segments = { { .address = 0x400000,
				.file_size = 4096,
				.memory_size = 4096,
				.flags = 5 } },
	};
	pp_elf_loaded_fn fn = work.loaded;

	assert_non_null(fn);
	work.loaded = NULL;
	fn(work.userdata, error, error ? NULL : &info, -1);
}

static void answer_names(int error, const char *name)
{
	struct pp_elf_name names[PP_WORKER_ADDRESSES_MAX];
	pp_elf_names_fn fn = work.named;

	assert_non_null(fn);
	for (size_t i = 0; i < work.n; i++)
		names[i] = (struct pp_elf_name){ name, work.addresses[i], 1 };
	work.named = NULL;
	fn(work.userdata, error, error ? NULL : names, error ? 0 : work.n);
}

/* Whatever is in flight is answered, as the real one does. */
struct pp_worker *pp_worker_free(_unused_ struct pp_worker *w)
{
	if (vdso.loaded)
		vdso.loaded(vdso.userdata, -ECANCELED, NULL, -1);
	vdso.loaded = NULL;
	if (work.loaded)
		answer_load(-ECANCELED);
	if (work.named)
		answer_names(-ECANCELED, NULL);
	return NULL;
}

/* ---- Fixture --------------------------------------------------------------------------------- */

static struct pp_processes *processes;
static struct pp_store *store;
static struct pp_files *files;
static int told, loaded; /* hooks */

static void object_ref(_unused_ void *userdata, void *object)
{
	pp_object_pin(object);
}

static void object_unref(_unused_ void *userdata, void *object)
{
	pp_object_unpin(object);
}

static void on_object(_unused_ void *userdata, _unused_ struct pp_process *p,
		      _unused_ struct pp_object *o)
{
	told++;
}

static void on_loaded(_unused_ void *userdata, _unused_ struct pp_object *o, _unused_ int table_fd)
{
	loaded++;
}

static void on_free(_unused_ void *userdata, struct pp_object *o)
{
	assert_true(!o->pins || !files);
}

static int start(_unused_ void **state)
{
	static const struct pp_processes_hooks hooks = { .object_ref = object_ref,
							 .object_unref = object_unref };
	static const struct pp_files_hooks files_hooks = { on_object, on_loaded, on_free };

	memset(&identify, 0, sizeof(identify));
	memset(&work, 0, sizeof(work));
	told = loaded = 0;
	reader_refuses = 0;
	owing = 0;
	assert_int_equal(pp_processes_new(&processes, NULL, &hooks, NULL), 0);
	assert_int_equal(pp_store_new(&store), 0);
	return pp_files_new(&files, NULL, &reader, processes, store, NULL, &files_hooks, NULL);
}

static int stop(_unused_ void **state)
{
	struct pp_files *f = files;

	pp_files_stop(f);
	if (identify.pid)
		answer_identity(-ECANCELED, 0);
	assert_int_equal(identify.pid, 0); /* and asks nothing more */
	processes = pp_processes_free(processes);
	files = NULL;
	pp_files_free(f);
	assert_int_equal(pp_frames_count_pending(store->frames), 0);
	store = pp_store_free(store);
	return 0;
}

static void apply(struct pp_life life, pid_t pid)
{
	life.pid = life.tid = pid;
	life.time_ns = pp_now_ns();
	assert_int_equal(pp_processes_life(processes, &life), 0);
}

/* A process that maps /lib/a. */
static struct pp_process *mapper(pid_t pid)
{
	apply((struct pp_life){ .kind = PP_LIFE_FORK, .ppid = 1 }, pid);
	apply((struct pp_life){ .kind = PP_LIFE_MMAP,
				.start = 0x10000,
				.len = 0x1000,
				.ino = 7,
				.dev_major = 8,
				.prot = 5,
				.path = "/lib/a" },
	      pid);
	return pp_processes_by_pid(processes, pid);
}

static void end(pid_t pid)
{
	apply((struct pp_life){ .kind = PP_LIFE_EXIT }, pid);
}

static struct pp_map *map_of(struct pp_process *p)
{
	return pp_process_map_at(p, 0x10000);
}

static struct pp_object *object_of(struct pp_process *p)
{
	return map_of(p)->object;
}

static uint32_t frame_of(struct pp_process *p, uint64_t pc)
{
	uint32_t frame = pp_natives_frame(store, files, p, map_of(p), pc, true, pp_now_ns());

	assert_int_not_equal(frame, PP_FRAME_UNKNOWN);
	return frame;
}

static const char *name_of(uint32_t frame)
{
	const struct pp_frame *f = pp_frames_describe(store->frames, frame);
	size_t len;

	return pp_strings_text(store->strings, f->name, &len);
}

static void tick(void)
{
	pp_files_tick(files, pp_now_ns());
}

/* ---- Identity -------------------------------------------------------------------------------- */

static void one_answer_is_for_all(_unused_ void **state)
{
	struct pp_process *a = mapper(10), *b = mapper(11), *c;

	pp_files_want(files, a, map_of(a));
	pp_files_want(files, b, map_of(b));
	assert_int_equal(identify.count, 1);
	answer_identity(0, 7);
	assert_int_equal(told, 2);
	assert_non_null(object_of(a));
	assert_ptr_equal(object_of(a), object_of(b));
	/* A moment later it is known without asking. */
	c = mapper(12);
	pp_files_want(files, c, map_of(c));
	assert_int_equal(identify.count, 1);
	assert_ptr_equal(object_of(c), object_of(a));
}

static void those_who_share_mappings_hear_of_it(_unused_ void **state)
{
	struct pp_process *a = mapper(10), *child;

	pp_files_want(files, a, map_of(a));
	apply((struct pp_life){ .kind = PP_LIFE_FORK, .ppid = 10 }, 11);
	child = pp_processes_by_pid(processes, 11);
	assert_ptr_equal(child->maps, a->maps);
	answer_identity(0, 7);
	assert_int_equal(told, 2);
}

static void another_is_asked_when_one_has_ended(_unused_ void **state)
{
	struct pp_process *a = mapper(10), *b = mapper(11);

	pp_files_want(files, a, map_of(a));
	assert_int_equal(identify.pid, 10);
	end(10);
	answer_identity(-ENOENT, 0);
	assert_int_equal(identify.pid, 11);
	answer_identity(0, 7);
	assert_int_equal(object_of(b)->state, PP_OBJECT_NEW);
}

static void nothing_is_concluded_from_the_dead(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_files_unidentified];
	struct pp_process *a = mapper(10), *b;
	uint32_t frame;

	frame = frame_of(a, 0x10010);
	assert_true(pp_frames_is_pending(store->frames, frame));
	end(10);
	answer_identity(-ENOENT, 0);
	assert_int_equal(pp_counters[PP_C_files_unidentified], before + 1);
	assert_int_equal(pp_files_pending(files, UINT64_MAX), 0);
	assert_null(object_of(a));
	b = mapper(11);
	usleep(1100000); /* not at every sample of it */
	pp_files_want(files, b, map_of(b));
	answer_identity(0, 7);
	assert_int_equal(object_of(b)->state, PP_OBJECT_NEW);
}

static void what_the_living_cannot_show_has_no_contents(_unused_ void **state)
{
	struct pp_process *a = mapper(10);

	pp_files_want(files, a, map_of(a));
	answer_identity(-ENOENT, 0);
	assert_non_null(object_of(a));
	assert_int_equal(object_of(a)->state, PP_OBJECT_FAILED);
}

/* ---- Contents -------------------------------------------------------------------------------- */

static struct pp_process *identified(pid_t pid)
{
	struct pp_process *p = mapper(pid);

	pp_files_want(files, p, map_of(p));
	answer_identity(0, 7);
	return p;
}

static void frames_get_their_names(_unused_ void **state)
{
	struct pp_process *a = mapper(10);
	uint32_t early = frame_of(a, 0x10010), late, same;

	answer_identity(0, 7);
	late = frame_of(a, 0x10020);
	same = frame_of(a, 0x10010);
	assert_int_equal(same, early);
	assert_int_equal(pp_files_pending(files, UINT64_MAX), 2);
	tick();
	assert_true(identify.want_fd);
	answer_identity(0, 7);
	answer_load(0);
	assert_int_equal(loaded, 1);
	assert_int_equal(work.n, 2);
	assert_int_equal(work.addresses[0], 0x400010);
	assert_int_equal(work.addresses[1], 0x400020);
	answer_names(0, "function");
	assert_int_equal(pp_files_pending(files, UINT64_MAX), 0);
	assert_string_equal(name_of(early), "function");
	assert_int_equal(pp_frames_final(store->frames, early),
			 pp_frames_final(store->frames, late));
}

static void a_full_queue_is_tried_again(_unused_ void **state)
{
	struct pp_process *a = identified(10);

	reader_refuses = -ENOBUFS;
	pp_files_want_load(files, object_of(a));
	tick();
	tick();
	assert_int_equal(identify.count, 1);
	reader_refuses = 0;
	tick();
	assert_int_equal(identify.count, 2);
	answer_identity(0, 7);
	answer_load(0);
	assert_int_equal(object_of(a)->state, PP_OBJECT_READY);
}

static void who_is_not_asked_any_more_holds_nobody_up(_unused_ void **state)
{
	struct pp_process *a = identified(10);

	reader_refuses = -EBUSY;
	pp_files_want_load(files, object_of(a));
	for (int i = 0; i < 5; i++)
		tick();
	reader_refuses = 0;
	tick();
	assert_int_equal(identify.count, 1); /* put off, not tried at every tick */
	assert_int_equal(object_of(a)->state, PP_OBJECT_NEW);
}

static void a_file_of_the_dead_may_come_back(_unused_ void **state)
{
	struct pp_process *a = identified(10), *b;
	uint32_t frame = frame_of(a, 0x10010);

	tick();
	end(10);
	for (int i = 0; i < 3; i++) {
		answer_identity(-ENOENT, 0);
		tick();
	}
	assert_int_equal(identify.pid, 0);
	assert_int_equal(loaded, 0);
	assert_false(pp_frames_is_pending(store->frames, frame));
	b = mapper(11);
	pp_files_want(files, b, map_of(b));
	assert_int_equal(object_of(b)->state, PP_OBJECT_NEW);
}

static void what_the_living_cannot_open_failed(_unused_ void **state)
{
	struct pp_process *a = identified(10);

	pp_files_want_load(files, object_of(a));
	for (int i = 0; i < 3; i++) {
		answer_identity(0, 8); /* another file lies there by now */
		tick();
	}
	assert_int_equal(identify.pid, 0);
	assert_int_equal(object_of(a)->state, PP_OBJECT_FAILED);
	assert_int_equal(loaded, 1);
}

static void no_answer_of_the_worker_is_an_end(_unused_ void **state)
{
	struct pp_process *a = identified(10);
	uint32_t frame = frame_of(a, 0x10010), next;

	tick();
	answer_identity(0, 7);
	answer_load(0);
	answer_names(-EPIPE, NULL);
	assert_false(pp_frames_is_pending(store->frames, frame));
	assert_int_equal(pp_frames_describe(store->frames, frame)->name, 0);
	/* Other addresses are asked for as before. */
	next = frame_of(a, 0x10030);
	tick();
	answer_names(0, "next");
	assert_string_equal(name_of(next), "next");
}

/* What crashes the worker again costs the file its names, and nobody a third crash. */
static void a_file_that_crashes_the_worker_has_no_names(_unused_ void **state)
{
	struct pp_process *a = identified(10);
	uint32_t last;

	for (int i = 0; i < 2; i++) {
		frame_of(a, 0x10010 + 16 * (uint64_t)i);
		tick();
		if (!i) {
			answer_identity(0, 7);
			answer_load(0);
		}
		answer_names(-EPIPE, NULL);
	}
	last = frame_of(a, 0x10050);
	tick();
	assert_null(work.named);
	assert_false(pp_frames_is_pending(store->frames, last));
	assert_int_equal(pp_frames_describe(store->frames, last)->name, 0);
}

/* A user for whom the worker has done too much holds up no file that another one maps too. */
static void who_owes_pays_with_his_own_files(_unused_ void **state)
{
	struct pp_process *a = mapper(10), *b;
	uint64_t before;

	a->ruid = owing = 1000;
	pp_files_want(files, a, map_of(a));
	answer_identity(0, 7);
	before = pp_counters[PP_C_worker_put_off];
	pp_files_want_load(files, object_of(a));
	assert_int_equal(identify.pid, 0);
	assert_int_equal(pp_counters[PP_C_worker_put_off], before + 1);
	assert_int_equal(object_of(a)->state, PP_OBJECT_NEW);
	usleep(1100000);
	b = mapper(11);
	b->ruid = 1001;
	pp_files_want(files, b, map_of(b));
	pp_files_want_load(files, object_of(b));
	assert_int_equal(identify.pid, 11);
	answer_identity(0, 7);
	assert_int_equal(work.uid, 1001);
	answer_load(0);
	assert_int_equal(object_of(a)->state, PP_OBJECT_READY);
}

/* The same where it was opened before. */
static void a_file_may_change_hands(_unused_ void **state)
{
	struct pp_process *a = mapper(10), *b = mapper(11);

	a->ruid = 1000;
	b->ruid = 1001;
	pp_files_want(files, a, map_of(a));
	answer_identity(0, 7);
	frame_of(b, 0x10010);
	tick();
	assert_int_equal(identify.pid, 10);
	owing = 1000;
	answer_identity(0, 7);
	assert_null(work.loaded);
	assert_int_equal(identify.pid, 11);
	answer_identity(0, 7);
	assert_int_equal(work.uid, 1001);
	answer_load(0);
	answer_names(0, "name");
}

/* What is more than the table holds is counted, each time it is wanted; what is there stays. */
static void the_table_of_files_is_bounded(_unused_ void **state)
{
	uint64_t before = pp_counters[PP_C_files_refused];
	struct pp_process *p = NULL;

	reader_refuses = -ENOBUFS; /* nobody need answer for all these */
	for (uint64_t i = 0; i < PP_SIGHTINGS_MAX + 5; i++) {
		uint64_t start = 0x100000 + i % 1000 * 0x2000;

		if (i % 1000 == 0)
			p = mapper((pid_t)(100 + i / 1000));
		apply((struct pp_life){ .kind = PP_LIFE_MMAP,
					.start = start,
					.len = 0x1000,
					.ino = 1000 + i,
					.dev_major = 8,
					.prot = 5,
					.path = "/lib/b" },
		      p->pid);
		pp_files_want(files, p, pp_process_map_at(p, start));
	}
	assert_int_equal(pp_counters[PP_C_files_refused], before + 5);
	pp_files_want(files, p, pp_process_map_at(p, 0x100000)); /* known already */
	assert_int_equal(pp_counters[PP_C_files_refused], before + 5);
	pp_files_want(files, p, map_of(p)); /* /lib/a: not known yet */
	assert_int_equal(pp_counters[PP_C_files_refused], before + 6);
}

static void it_ends_in_the_middle(_unused_ void **state)
{
	struct pp_process *a = identified(10);

	frame_of(a, 0x10010);
	tick();
	answer_identity(0, 7);
	assert_non_null(work.loaded); /* stop() cancels */
}

static void it_ends_with_a_question(_unused_ void **state)
{
	frame_of(mapper(10), 0x10010);
	mapper(11);
	assert_int_equal(identify.pid, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_answer_is_for_all, start, stop),
		cmocka_unit_test_setup_teardown(those_who_share_mappings_hear_of_it, start, stop),
		cmocka_unit_test_setup_teardown(another_is_asked_when_one_has_ended, start, stop),
		cmocka_unit_test_setup_teardown(nothing_is_concluded_from_the_dead, start, stop),
		cmocka_unit_test_setup_teardown(what_the_living_cannot_show_has_no_contents, start,
						stop),
		cmocka_unit_test_setup_teardown(frames_get_their_names, start, stop),
		cmocka_unit_test_setup_teardown(a_full_queue_is_tried_again, start, stop),
		cmocka_unit_test_setup_teardown(who_is_not_asked_any_more_holds_nobody_up, start,
						stop),
		cmocka_unit_test_setup_teardown(a_file_of_the_dead_may_come_back, start, stop),
		cmocka_unit_test_setup_teardown(what_the_living_cannot_open_failed, start, stop),
		cmocka_unit_test_setup_teardown(no_answer_of_the_worker_is_an_end, start, stop),
		cmocka_unit_test_setup_teardown(a_file_that_crashes_the_worker_has_no_names, start,
						stop),
		cmocka_unit_test_setup_teardown(who_owes_pays_with_his_own_files, start, stop),
		cmocka_unit_test_setup_teardown(a_file_may_change_hands, start, stop),
		cmocka_unit_test_setup_teardown(the_table_of_files_is_bounded, start, stop),
		cmocka_unit_test_setup_teardown(it_ends_in_the_middle, start, stop),
		cmocka_unit_test_setup_teardown(it_ends_with_a_question, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
