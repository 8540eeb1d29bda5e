/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of processes: what the reader says of one, and when it says it; a real machine. */
#include "process_table.h"

/* ---- Scans -------------------------------------------------------------------------------------
 */

static void test_scan_gives_facts(void **state)
{
	struct pp_process *p;
	struct pp_scan scan =
		scan_of("10000-14000 r-xp 00002000 08:01 77   /lib/a.so\n"
			"14000-15000 r--p 00006000 08:01 77   /lib/a.so\n"
			"20000-21000 r-xp 00000000 00:00 0 \n"
			"garbage\n"
			"30000-31000 r-xp 00000000 00:00 0   [vdso]\n"
			"ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]\n");

	(void)state;
	scan.maps_cut = 5;
	sample(10, 7 * NSEC_PER_SEC / 100, 1, 1000);
	p = pp_processes_take_scan(table, 2000);
	assert_ptr_equal(p, of(10));
	assert_null(pp_processes_take_scan(table, 2000));
	sample(10, 7 * NSEC_PER_SEC / 100, 1, 2500); /* does not ask again meanwhile */
	assert_null(pp_processes_take_scan(table, 2600));
	pp_processes_scanned(table, p, 0, &scan);
	memset(&scan, 0, sizeof(scan));
	assert_int_equal(seen.scanned, 0); /* the records up to now may not be known */
	assert_null(pp_processes_take_scan(table, pp_now_ns() - NSEC_PER_SEC));
	assert_int_equal(seen.scanned, 0);
	assert_null(pp_processes_take_scan(table, pp_now_ns()));
	assert_int_equal(seen.scanned, 1);
	assert_true(p->scanned && p->has_ids && p->dumpable && p->maps_known && p->dirty);
	assert_int_equal(p->nspid, 3);
	assert_int_equal(p->euid, 2);
	assert_string_equal(p->comm, "scanned");
	assert_string_equal(p->cmdline->text, "a b");
	assert_string_equal(p->exe->text, "/bin/a");
	assert_string_equal(p->unit->text, "a.service");
	assert_string_equal(p->slice->text, "system.slice");
	assert_null(p->container);
	assert_int_equal(pp_process_nr_maps(p), 3);
	assert_map(p, 0, 0x10000, 0x14000, 2);
	assert_int_equal(p->maps->maps[1].kind, PP_MAP_ANON);
	assert_int_equal(p->maps->maps[2].kind, PP_MAP_VDSO);
	assert_int_equal(seen.mapping, 3);
	assert_int_equal(pp_counters[PP_C_mappings_malformed], 1);
	assert_int_equal(pp_counters[PP_C_mappings_cut], 5);
	/* Known now: no further scan. */
	sample(10, 7 * NSEC_PER_SEC / 100, 1, 3000);
	assert_null(pp_processes_take_scan(table, 3000));
}

/* It has moved to another control group, and given up its privileges. */
static void test_scans_are_repeated(void **state)
{
	const uint64_t later = 2000 + 61 * NSEC_PER_SEC;
	struct pp_scan scan = scan_of("10000-14000 r-xp 00000000 08:01 77   /lib/a.so\n");
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	sample(10, 7 * NSEC_PER_SEC / 100, 1, 1000);
	assert_ptr_equal(pp_processes_take_scan(table, 2000), p);
	finish(p, &scan);
	sample(10, 7 * NSEC_PER_SEC / 100, 1, later - 2 * NSEC_PER_SEC);
	assert_null(pp_processes_take_scan(table, later));
	p->dirty = false;
	sample(10, 7 * NSEC_PER_SEC / 100, 1, later);
	sample(10, 7 * NSEC_PER_SEC / 100, 1, later + 1);
	assert_ptr_equal(pp_processes_take_scan(table, later + 2), p);
	assert_null(pp_processes_take_scan(table, later + 2));
	scan.cgroup = "0::/machine.slice/machine-b.scope\n";
	scan.ruid = scan.euid = scan.suid = 1000;
	finish(p, &scan);
	assert_string_equal(p->unit->text, "machine-b.scope");
	assert_int_equal(p->ruid, 1000);
	assert_false(p->dirty); /* the same mappings: nothing to install */
	sample(10, 7 * NSEC_PER_SEC / 100, 1, later + NSEC_PER_SEC);
	assert_null(pp_processes_take_scan(table, later + NSEC_PER_SEC));
}

static void test_scan_under_newer_records(void **state)
{
	struct pp_scan scan = scan_of("10000-14000 r-xp 00000000 08:01 77   /lib/a.so\n"
				      "20000-24000 r-xp 00000000 08:01 78   /lib/old.so\n");
	struct pp_process *p;
	int object;

	(void)state;
	do_fork(1, 10, 100);
	do_mmap(10, 0x10000, 4, 0, 77, "/lib/a.so", 110);
	do_mmap(10, 0x50000, 4, 0, 79, "/lib/gone.so", 120); /* unmapped since, unseen */
	p = of(10);
	p->maps->maps[0].object = &object;
	seen.objects++;
	pp_processes_want_scan(table, p);
	assert_ptr_equal(pp_processes_take_scan(table, 1000), p);
	do_mmap(10, 0x20000, 4, 0, 80, "/lib/new.so", 1001); /* told after the scan was asked for */
	do_mmap(10, 0x60000, 4, 0, 80, "/lib/new.so", 1002);
	seen.mapping = 0;
	finish(p, &scan);
	assert_int_equal(pp_process_nr_maps(p), 3);
	assert_string_equal(p->maps->maps[0].path->text, "/lib/a.so");
	assert_ptr_equal(p->maps->maps[0].object, &object);
	assert_int_equal(p->maps->maps[1].ino, 80);
	assert_int_equal(p->maps->maps[2].ino, 80);
	assert_int_equal(seen.mapping, 0); /* nothing that was not told before */
	assert_int_equal(seen.objects, 1);
}

static void test_scan_across_an_exec(void **state)
{
	struct pp_scan scan = scan_of("10000-14000 r-xp 00000000 08:01 77   /lib/a.so\n");
	struct pp_process *old, *next;

	(void)state;
	old = sample(10, 7 * NSEC_PER_SEC / 100, 1, 1000);
	assert_ptr_equal(pp_processes_take_scan(table, 2000), old);
	pp_processes_scanned(table, old, 0, &scan);
	do_exec(10, "next", 2500);
	next = of(10);
	assert_null(pp_processes_take_scan(table, pp_now_ns()));
	assert_int_equal(seen.scanned, 0);
	assert_null(old->cmdline);
	assert_int_equal(pp_process_nr_maps(old), 0);
	assert_int_equal(pp_process_nr_maps(next), 0);
}

static void test_scan_of_a_main_thread_that_ended(void **state)
{
	struct pp_scan scan = scan_of("");
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	do_mmap(10, 0x10000, 4, 0, 77, "/lib/a.so", 110);
	p = of(10);
	pp_processes_want_scan(table, p);
	pp_processes_take_scan(table, 1000);
	finish(p, &scan);
	assert_int_equal(pp_process_nr_maps(p), 1);
}

static void test_scan_failures(void **state)
{
	struct pp_process *p = sample(10, 5000, 1, 1000);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(pp_processes_take_scan(table, 2000), p);
		pp_processes_scanned(table, p, -EPIPE, NULL);
	}
	assert_null(pp_processes_take_scan(table, 2000));
	assert_int_equal(pp_counters[PP_C_scans_refused], 1);
	sample(10, 5000, 1, 3000);
	assert_null(pp_processes_take_scan(table, 3000));

	p = sample(11, 5000, 1, 1000); /* one that never answers is asked once */
	assert_ptr_equal(pp_processes_take_scan(table, 2000), p);
	pp_processes_scanned(table, p, -ETIMEDOUT, NULL);
	sample(11, 5000, 1, 3000);
	assert_null(pp_processes_take_scan(table, 3000));
	assert_true(p->alive);

	/* One that is not there: its exit record ends it, or time does. */
	p = sample(12, 5000, 1, 1000);
	assert_ptr_equal(pp_processes_take_scan(table, 2000), p);
	pp_processes_scanned(table, p, -ESRCH, NULL);
	assert_true(p->alive);
	pp_processes_reap(table, pp_now_ns() + NSEC_PER_SEC);
	assert_true(p->alive);
	pp_processes_reap(table, pp_now_ns() + 5 * NSEC_PER_SEC);
	assert_null(of(12));
	assert_non_null(of(11));
}

/* ---- Loss, and a real machine ------------------------------------------------------------------
 */

static sd_event *event;
static int outstanding;

static void on_scan(void *userdata, int error, const struct pp_scan *scan)
{
	outstanding--;
	pp_processes_scanned(table, userdata, error, scan);
}

static void scan_all(void)
{
	struct pp_reader *reader;
	struct pp_process *p;

	assert_return_code(sd_event_new(&event), 0);
	assert_return_code(pp_reader_new(&reader, event), 0);
	for (;;) {
		while (outstanding < 16 && (p = pp_processes_take_scan(table, pp_now_ns()))) {
			outstanding++;
			if (pp_reader_scan(reader, pp_process_target(p), on_scan, p) < 0)
				on_scan(p, -EAGAIN, NULL);
		}
		if (!outstanding)
			break;
		assert_return_code(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
	}
	pp_reader_free(reader);
	sd_event_unref(event);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	return pid;
}

static void test_a_real_machine(void **state)
{
	uint64_t start = pp_now_ns();
	pid_t gone = sleeper(), stays = sleeper();
	struct pp_process *p, *self;
	struct pp_map *map;
	size_t n;

	(void)state;
	assert_return_code(pp_processes_list(table, start), 0);
	n = pp_processes_count(table);
	scan_all();
	print_message("%zu processes, %zu bytes, in %llu ms\n", n, pp_processes_bytes(table),
		      (unsigned long long)((pp_now_ns() - start) / MS));
	self = of(getpid());
	assert_true(self->scanned);
	assert_int_equal(self->ppid, getppid());
	assert_int_equal(self->ruid, getuid());
	assert_non_null(strstr(self->cmdline->text, "test_process"));
	map = pp_process_map_at(self, (uintptr_t)test_a_real_machine);
	assert_non_null(map);
	assert_non_null(strstr(map->path->text, "test_process"));

	/* Records are lost, and with them an exit and a birth. */
	p = of(gone);
	assert_true(p->scanned);
	kill(gone, SIGKILL);
	waitpid(gone, NULL, 0);
	gone = sleeper();
	do_life(&(struct pp_life){ .kind = PP_LIFE_LOST, .time_ns = pp_now_ns() + NSEC_PER_SEC });
	assert_non_null(of(gone));
	assert_false(of(gone)->scanned);
	assert_false(of(stays)->maps_known);
	scan_all();
	assert_true(of(gone)->scanned);
	assert_true(of(stays)->maps_known);
	assert_ptr_equal(of(getpid()), self);
	pp_processes_reap(table, pp_now_ns() + 5 * NSEC_PER_SEC);
	assert_false(pp_processes_by_id(table, self->id) == NULL);
	for (p = NULL; (p = pp_processes_next(table, p));)
		if (p->alive)
			assert_int_equal(p->gone_ns, 0);
	kill(gone, SIGKILL);
	kill(stays, SIGKILL);
	waitpid(gone, NULL, 0);
	waitpid(stays, NULL, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_scan_gives_facts),
		TEST(test_scans_are_repeated),
		TEST(test_scan_under_newer_records),
		TEST(test_scan_across_an_exec),
		TEST(test_scan_of_a_main_thread_that_ended),
		TEST(test_scan_failures),
		TEST(test_a_real_machine),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
