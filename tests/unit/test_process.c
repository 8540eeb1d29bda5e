/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of processes: lives by their records, samples that contradict them, bounds. */
#include "process_table.h"

#include "proc/table.h"

/* ---- Lives -------------------------------------------------------------------------------------
 */

static void test_fork_shares_until_changed(void **state)
{
	struct pp_process *parent, *child;
	int object;

	(void)state;
	do_fork(1, 10, 100);
	parent = of(10);
	do_mmap(10, 0x10000, 4, 0, 77, "/lib/a.so", 110);
	parent->maps->maps[0].object = &object;
	seen.objects++;
	do_fork(10, 11, 120);
	assert_int_equal(seen.fork, 1);
	assert_ptr_equal(seen.other, parent);
	child = of(11);
	assert_int_equal(child->ppid, 10);
	assert_int_not_equal(child->id, parent->id);
	assert_ptr_equal(child->maps, parent->maps);
	do_mmap(11, 0x20000, 4, 0, 78, "/lib/b.so", 130);
	assert_int_equal(pp_process_nr_maps(child), 2);
	assert_int_equal(pp_process_nr_maps(parent), 1);
	assert_int_equal(seen.objects, 2);
	do_exit(10, 10, 140);
	assert_null(of(10));
	assert_ptr_equal(child->maps->maps[0].object, &object);
}

static void test_exec_is_another_life(void **state)
{
	struct pp_process *old, *next;

	(void)state;
	do_fork(1, 10, 100);
	do_mmap(10, 0x10000, 4, 0, 77, "/lib/a.so", 110);
	old = sample(10, 5000, 3, 115);
	assert_ptr_equal(old, of(10));
	do_exec(10, "next", 120);
	next = of(10);
	assert_ptr_not_equal(next, old);
	assert_int_equal(seen.exec, 1);
	assert_ptr_equal(seen.other, old);
	assert_int_equal(seen.exit, 0);
	assert_int_equal(next->pid, 10);
	assert_int_equal(next->exec_gen, 1);
	assert_int_equal(next->exec_id, 4);
	assert_int_equal(next->start_ns, 5000);
	assert_string_equal(next->comm, "next");
	assert_int_equal(pp_process_nr_maps(next), 0);
	assert_true(next->maps_known);
	assert_false(next->has_ids);

	/* Samples of before the exec, looked at after it, are the old life's, and the other way. */
	assert_ptr_equal(sample(10, 5000, 3, 118), old);
	assert_ptr_equal(sample(10, 5000, 4, 125), next);
	assert_ptr_equal(sample(10, 5000, 3, 121), old); /* the moment before the count rises */
	assert_int_equal(pp_counters[PP_C_processes_mismatched], 0);
	assert_ptr_equal(pp_processes_by_id(table, old->id), old);
}

static void test_threads_end_one_by_one(void **state)
{
	(void)state;
	do_fork(1, 10, 100);
	do_thread(10, 11, 110);
	do_thread(10, 12, 120);
	assert_int_equal(pp_processes_count(table), 1);
	do_exit(10, 10, 130); /* the main thread alone */
	assert_non_null(of(10));
	do_exit(10, 12, 140);
	assert_non_null(of(10));
	do_exit(10, 11, 150);
	assert_null(of(10));
	assert_int_equal(seen.exit, 1);
}

static void test_lives_without_main_thread(void **state)
{
	struct pp_process *p;

	(void)state;
	p = sample(10, 5000, 1, 1000); /* threads never counted */
	do_exit(10, 11, 1100);
	assert_true(p->alive);
	do_exit(10, 10, 1200);
	assert_false(p->alive);
	assert_ptr_equal(sample(10, 5000, 1, 1300), p); /* its last ones, in the kernel */
	assert_false(p->alive);
	assert_ptr_equal(sample(10, 5000, 1, 1200 + 3 * NSEC_PER_SEC), p);
	assert_true(p->alive); /* another thread goes on */
	assert_ptr_equal(of(10), p);
}

static void test_records_older_than_the_life(void **state)
{
	struct pp_process *p;

	(void)state;
	p = sample(10, 5000, 1, 1000);
	do_exit(10, 10, 900);
	do_exec(10, "old", 900);
	do_fork(1, 10, 900);
	do_mmap(10, 0x1000, 1, 0, 7, "/f", 900);
	assert_ptr_equal(of(10), p);
	assert_true(p->alive);
	assert_int_equal(pp_process_nr_maps(p), 0);
}

static void test_comm(void **state)
{
	struct pp_life life = { .kind = PP_LIFE_COMM,
				.time_ns = 110,
				.pid = 10,
				.tid = 10,
				.comm = "0123456789abcdef" }; /* not terminated */

	(void)state;
	do_fork(1, 10, 100);
	do_life(&life);
	assert_string_equal(of(10)->comm, "0123456789abcde");
	life.tid = 11;
	strcpy(life.comm, "thread");
	do_life(&life);
	assert_string_equal(of(10)->comm, "0123456789abcde");
}

/* ---- Samples that contradict -------------------------------------------------------------------
 */

static void test_sample_makes_a_life(void **state)
{
	struct pp_process *p = sample(10, 5000, 2, 1000);

	(void)state;
	assert_non_null(p);
	assert_int_equal(seen.new, 1);
	assert_int_equal(p->start_ns, 5000);
	assert_int_equal(p->start_ticks, pp_start_ticks(5000));
	assert_int_equal(p->exec_id, 2);
	assert_string_equal(p->comm, "sampled");
	assert_false(p->maps_known);
	assert_ptr_equal(sample(10, 5000, 2, 1001), p);
	assert_int_equal(seen.new, 1);
	assert_null(sample(0, 5000, 2, 1000));
	assert_null(sample(-1, 5000, 2, 1000));
	assert_int_equal(pp_counters[PP_C_processes_refused], 2);
}

static void test_reused_pid_without_records(void **state)
{
	struct pp_process *first = sample(10, 5000, 2, 1000), *second;

	(void)state;
	second = sample(10, 6000, 2, 2000);
	assert_ptr_not_equal(second, first);
	assert_int_equal(seen.exit, 1);
	assert_false(first->alive);
	assert_ptr_equal(of(10), second);
	assert_ptr_equal(sample(10, 5000, 2, 1500), first);
	assert_ptr_equal(sample(10, 5000, 2, 2500), first); /* whatever its time says */
	assert_ptr_equal(sample(10, 6000, 2, 2600), second);
	assert_null(sample(10, 4000, 2, 2700)); /* a life that is long forgotten */
	assert_int_equal(pp_counters[PP_C_processes_late], 1);
	assert_int_equal(pp_counters[PP_C_processes_mismatched], 1);
}

static void test_exec_without_record(void **state)
{
	struct pp_process *first, *second;

	(void)state;
	do_fork(1, 10, 900);
	do_mmap(10, 0x1000, 1, 0, 7, "/f", 950);
	first = sample(10, 5000, 2, 1000);
	second = sample(10, 5000, 3, 2000);
	assert_ptr_not_equal(second, first);
	assert_int_equal(seen.exec, 1);
	assert_true(first->execed);
	assert_false(second->maps_known);
	assert_int_equal(pp_process_nr_maps(second), 0);
	assert_ptr_equal(sample(10, 5000, 2, 1900), first);
	assert_ptr_equal(sample(10, 5000, 3, 2100), second);
}

/* ---- Bounds ------------------------------------------------------------------------------------
 */

static void test_the_dead_are_freed(void **state)
{
	const uint64_t now = 100 * NSEC_PER_SEC;
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, now);
	do_fork(1, 11, now);
	p = pp_process_ref(of(11));
	do_exit(10, 10, now + MS);
	do_exit(11, 11, now + MS);
	pp_processes_reap(table, now + NSEC_PER_SEC);
	assert_int_equal(pp_processes_count(table), 2); /* the grace period */
	pp_processes_reap(table, now + 3 * NSEC_PER_SEC);
	assert_int_equal(pp_processes_count(table), 1);
	assert_ptr_equal(pp_processes_by_id(table, p->id), p);
	assert_int_equal(seen.free, 1);
	pp_process_unref(p);
	pp_processes_reap(table, now + 4 * NSEC_PER_SEC);
	assert_int_equal(pp_processes_count(table), 0);
	assert_int_equal(pp_processes_bytes(table), 0);
	assert_null(pp_processes_next(table, NULL));
}

static void test_reference_taken_while_dead(void **state)
{
	const uint64_t now = 100 * NSEC_PER_SEC;
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, now);
	p = of(10);
	do_exit(10, 10, now + MS);
	pp_process_ref(p); /* as a window does, for a late sample */
	pp_processes_reap(table, now + 10 * NSEC_PER_SEC);
	assert_int_equal(pp_processes_count(table), 1);
	pp_process_unref(p);
	pp_processes_reap(table, now + 10 * NSEC_PER_SEC);
	assert_int_equal(pp_processes_count(table), 0);
}

static void test_number_is_bounded(void **state)
{
	struct pp_processes_config config = { .processes_max = 10 };

	(void)state;
	table = pp_processes_free(table);
	assert_return_code(pp_processes_new(&table, &config, &hooks, NULL), 0);
	for (pid_t pid = 100; pid < 110; pid++)
		do_fork(1, pid, 1000);
	assert_null(sample(200, 5000, 1, 1100));
	assert_int_equal(pp_counters[PP_C_processes_refused], 1);
	do_exit(105, 105, 1200); /* the dead make room at once */
	assert_non_null(sample(200, 5000, 1, 1300));
	assert_int_equal(pp_processes_count(table), 10);
	/* One that execs and finds no room must not go on under its old program's names. */
	do_exec(104, "x", 1400);
	assert_null(of(104));
}

static void test_memory_is_bounded(void **state)
{
	struct pp_processes_config config = { .bytes_max = 256 * KIB };

	(void)state;
	table = pp_processes_free(table);
	assert_return_code(pp_processes_new(&table, &config, &hooks, NULL), 0);
	for (pid_t pid = 100; pid < 2000; pid++) {
		do_fork(1, pid, 1000);
		for (uint64_t i = 0; i < 20 && of(pid); i++) {
			char path[64];

			snprintf(path, sizeof(path), "/lib/%d/%d.so", pid, (int)i);
			(void)pp_processes_life(table,
						&(struct pp_life){ .kind = PP_LIFE_MMAP,
								   .time_ns = 1100,
								   .pid = pid,
								   .tid = pid,
								   .start = (1 + 2 * i) * PAGE,
								   .len = PAGE,
								   .ino = 1,
								   .path = path });
		}
		/* Paths are entered before the room for the mapping is looked for. */
		assert_in_range(pp_processes_bytes(table), 0, 257 * KIB);
	}
	assert_true(pp_counters[PP_C_processes_refused] > 0);
	assert_true(pp_processes_count(table) > 20);
}

/* Losses ten times a second for a minute, then one after a quiet minute. */
static void test_losses_without_end(void **state)
{
	uint64_t time_ns = 0, listed_ns = 0;
	unsigned int listings = 0;

	(void)state;
	for (int i = 1; i <= 600; i++) {
		time_ns = (uint64_t)i * 100 * MS;
		do_life(&(struct pp_life){ .kind = PP_LIFE_LOST, .time_ns = time_ns });
		listings += table->listed_ns != listed_ns;
		listed_ns = table->listed_ns;
	}
	assert_in_range(listings, 4, 8);
	time_ns += 60 * NSEC_PER_SEC;
	for (int i = 0; i < 2; i++) {
		do_life(&(struct pp_life){ .kind = PP_LIFE_LOST, .time_ns = time_ns });
		assert_int_equal(table->listed_ns, time_ns);
		time_ns += NSEC_PER_SEC + MS;
	}
}

/* A process of the user with 20 mappings, each of a file with a path of its own. */
static struct pp_process *with_mappings(pid_t pid, uint32_t user)
{
	char path[64];

	do_fork(1, pid, 1000);
	if (!of(pid))
		return NULL;
	pp_table_charge(of(pid), user);
	for (uint64_t i = 0; i < 20 && of(pid); i++) {
		snprintf(path, sizeof(path), "/lib/%d/%d.so", pid, (int)i);
		do_mmap(pid, (1 + 2 * i) * PAGE, 1, 0, 1, path, 1100);
	}
	return of(pid);
}

static void test_memory_is_shared(void **state)
{
	enum { BOB = 1007, EVE = 1008, MANY = 400 };
	struct pp_processes_config config = { .bytes_max = 256 * KIB };
	size_t bobs = 0, others = 0;

	(void)state;
	table = pp_processes_free(table);
	assert_return_code(pp_processes_new(&table, &config, &hooks, NULL), 0);
	for (pid_t pid = 1000; pid < 1000 + MANY; pid++)
		(void)with_mappings(pid, EVE);
	assert_true(pp_counters[PP_C_mappings_cut] + pp_counters[PP_C_processes_refused] +
			    pp_counters[PP_C_processes_forgotten] >
		    0);

	/* His come, and stay, whatever she does; up to as much as she has. */
	for (pid_t pid = 10; pid < 20; pid++) {
		assert_int_equal(pp_process_nr_maps(with_mappings(pid, BOB)), 20);
		(void)with_mappings(pid + 5000, EVE);
	}
	for (pid_t pid = 10; pid < 20; pid++) {
		assert_non_null(of(pid));
		assert_int_equal(pp_process_nr_maps(of(pid)), 20);
	}
	for (pid_t pid = 100; pid < 100 + MANY; pid++)
		(void)with_mappings(pid, BOB);
	for (struct pp_process *p = NULL; (p = pp_processes_next(table, p));)
		if (p->alive && pp_process_nr_maps(p))
			*(p->account == BOB ? &bobs : &others) += 1;
	assert_true(bobs > 20 && others > 20);
	assert_true(bobs < 3 * others && others < 3 * bobs);
	assert_in_range(pp_processes_bytes(table), 0, 257 * KIB);
}

/* 1,000 forks of a process with 500 mappings cost the processes alone. */
static void test_forks_are_cheap(void **state)
{
	size_t before;

	(void)state;
	do_fork(1, 10, 100);
	for (uint64_t i = 0; i < 500; i++)
		do_mmap(10, (1 + 2 * i) * PAGE, 1, i, 7, "/f", 200 + i);
	before = pp_processes_bytes(table);
	for (pid_t pid = 1000; pid < 2000; pid++)
		do_fork(10, pid, 1000);
	assert_int_equal(pp_processes_bytes(table) - before, 1000 * sizeof(struct pp_process));
	assert_in_range(sizeof(struct pp_process), 0, 512);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fork_shares_until_changed),	TEST(test_exec_is_another_life),
		TEST(test_threads_end_one_by_one),	TEST(test_lives_without_main_thread),
		TEST(test_records_older_than_the_life), TEST(test_comm),
		TEST(test_sample_makes_a_life),		TEST(test_reused_pid_without_records),
		TEST(test_exec_without_record),		TEST(test_the_dead_are_freed),
		TEST(test_reference_taken_while_dead),	TEST(test_number_is_bounded),
		TEST(test_memory_is_bounded),		TEST(test_memory_is_shared),
		TEST(test_losses_without_end),		TEST(test_forks_are_cheap),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
