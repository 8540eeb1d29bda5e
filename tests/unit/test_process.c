/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of processes: mappings, records, samples that contradict them, scans, bounds. */
#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "bpf/pp_types.h"
#include "proc/processes.h"
#include "proc/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <cmocka.h>

#define PAGE 4096ULL
#define MS   NSEC_PER_MSEC

/* ---- Fixture: a table whose hooks keep count ---------------------------------------------------
 */

static struct pp_processes *table;
static struct {
	int new, fork, exec, mapping, scanned, exit, free;
	int objects; /* references to objects */
	struct pp_process *last, *other;
	struct pp_map map;
} seen;

static void on_new(void *userdata, struct pp_process *p)
{
	(void)userdata;
	seen.new ++;
	seen.last = p;
}

static void on_fork(void *userdata, struct pp_process *parent, struct pp_process *child)
{
	(void)userdata;
	seen.fork++;
	seen.other = parent;
	seen.last = child;
}

static void on_exec(void *userdata, struct pp_process *old, struct pp_process *next)
{
	(void)userdata;
	assert_false(old->alive);
	seen.exec++;
	seen.other = old;
	seen.last = next;
}

static void on_mapping(void *userdata, struct pp_process *p, struct pp_map *map)
{
	(void)userdata;
	seen.mapping++;
	seen.last = p;
	seen.map = *map;
}

static void on_scanned(void *userdata, struct pp_process *p)
{
	(void)userdata;
	seen.scanned++;
	seen.last = p;
}

static void on_exit_hook(void *userdata, struct pp_process *p)
{
	(void)userdata;
	assert_false(p->alive);
	seen.exit++;
	seen.last = p;
}

static void on_free(void *userdata, struct pp_process *p)
{
	(void)userdata;
	(void)p;
	seen.free++;
}

static void object_ref(void *userdata, void *object)
{
	(void)userdata;
	assert_non_null(object);
	seen.objects++;
}

static void object_unref(void *userdata, void *object)
{
	(void)userdata;
	assert_non_null(object);
	seen.objects--;
}

static const struct pp_processes_hooks hooks = {
	.on_new = on_new,
	.on_fork = on_fork,
	.on_exec = on_exec,
	.on_mapping = on_mapping,
	.on_scanned = on_scanned,
	.on_exit = on_exit_hook,
	.on_free = on_free,
	.object_ref = object_ref,
	.object_unref = object_unref,
};

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	memset(pp_counters, 0, sizeof(pp_counters));
	return pp_processes_new(&table, NULL, &hooks, NULL);
}

static int teardown(void **state)
{
	(void)state;
	table = pp_processes_free(table);
	assert_int_equal(seen.objects, 0);
	assert_int_equal(seen.free, seen.new + seen.fork + seen.exec);
	return 0;
}

/* ---- Records -----------------------------------------------------------------------------------
 */

static void do_life(const struct pp_life *life)
{
	assert_return_code(pp_processes_life(table, life), 0);
}

static void do_fork(pid_t parent, pid_t child, uint64_t time_ns)
{
	do_life(&(struct pp_life){ .kind = PP_LIFE_FORK,
				   .time_ns = time_ns,
				   .pid = child,
				   .tid = child,
				   .ppid = parent });
}

static void do_thread(pid_t pid, pid_t tid, uint64_t time_ns)
{
	do_life(&(struct pp_life){
		.kind = PP_LIFE_FORK, .time_ns = time_ns, .pid = pid, .tid = tid, .ppid = pid });
}

static void do_exec(pid_t pid, const char *comm, uint64_t time_ns)
{
	struct pp_life life = { .kind = PP_LIFE_EXEC, .time_ns = time_ns, .pid = pid, .tid = pid };

	strncpy(life.comm, comm, sizeof(life.comm) - 1);
	do_life(&life);
}

static void do_exit(pid_t pid, pid_t tid, uint64_t time_ns)
{
	do_life(&(struct pp_life){
		.kind = PP_LIFE_EXIT, .time_ns = time_ns, .pid = pid, .tid = tid });
}

static void do_mmap(pid_t pid, uint64_t start, uint64_t pages, uint64_t pgoff, uint64_t ino,
		    const char *path, uint64_t time_ns)
{
	do_life(&(struct pp_life){ .kind = PP_LIFE_MMAP,
				   .time_ns = time_ns,
				   .pid = pid,
				   .tid = pid,
				   .start = start,
				   .len = pages * PAGE,
				   .pgoff = pgoff * PAGE,
				   .dev_major = 8,
				   .dev_minor = 1,
				   .ino = ino,
				   .path = path });
}

static struct pp_process *of(pid_t pid)
{
	return pp_processes_by_pid(table, pid);
}

static struct pp_process *sample(pid_t pid, uint64_t start_ns, uint32_t exec_id, uint64_t time_ns)
{
	return pp_processes_sample(table, pid, start_ns, exec_id, "sampled", time_ns);
}

#define assert_map(p, i, s, e, off)                                               \
	do {                                                                      \
		assert_true((i) < pp_process_nr_maps(p));                         \
		assert_int_equal((p)->maps->maps[i].start, s);                    \
		assert_int_equal((p)->maps->maps[i].end, e);                      \
		assert_int_equal((p)->maps->maps[i].pgoff, (uint64_t)(off)*PAGE); \
	} while (0)

/* ---- Mappings ----------------------------------------------------------------------------------
 */

static void test_mapping_fields(void **state)
{
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	do_mmap(10, 0x10000, 4, 2, 77, "/lib/a.so", 110);
	p = of(10);
	assert_map(p, 0, 0x10000, 0x14000, 2);
	assert_int_equal(p->maps->maps[0].dev, makedev(8, 1));
	assert_int_equal(p->maps->maps[0].ino, 77);
	assert_int_equal(p->maps->maps[0].kind, PP_MAP_FILE);
	assert_string_equal(p->maps->maps[0].path->text, "/lib/a.so");
	assert_int_equal(seen.mapping, 1);
	assert_true(p->dirty);
	p->dirty = false;
	do_mmap(10, 0x10000, 4, 2, 77, "/lib/a.so", 120); /* told again */
	assert_int_equal(seen.mapping, 1);
	assert_false(p->dirty);
	assert_ptr_equal(pp_process_map_at(p, 0x10000), &p->maps->maps[0]);
	assert_ptr_equal(pp_process_map_at(p, 0x13fff), &p->maps->maps[0]);
	assert_null(pp_process_map_at(p, 0x14000));
	assert_null(pp_process_map_at(p, 0xffff));
	/* Deleted or not, it is the same path. */
	do_mmap(10, 0x20000, 1, 0, 78, "/lib/b.so (deleted)", 130);
	assert_string_equal(pp_process_map_at(p, 0x20000)->path->text, "/lib/b.so");
}

static void test_mapping_kinds(void **state)
{
	static const struct {
		const char *path;
		uint64_t ino;
		enum pp_map_kind kind;
	} kinds[] = {
		{ "//anon", 0, PP_MAP_ANON },
		{ "", 0, PP_MAP_ANON },
		{ "[heap]", 0, PP_MAP_ANON },
		{ "[stack]", 0, PP_MAP_ANON },
		{ "[anon:cpython:perf_jit_trampoline]", 0, PP_MAP_ANON },
		{ "/dev/zero (deleted)", 5, PP_MAP_ANON },
		{ "/SYSV00000000 (deleted)", 5, PP_MAP_ANON },
		{ "/anon_hugepage (deleted)", 5, PP_MAP_ANON },
		{ "[vdso]", 0, PP_MAP_VDSO },
		{ "[uprobes]", 0, PP_MAP_SPECIAL },
		{ "anon_inode:[perf_event]", 9, PP_MAP_SPECIAL },
		{ "/memfd:jit (deleted)", 9, PP_MAP_FILE },
		{ "/usr/bin/x", 9, PP_MAP_FILE },
	};

	(void)state;
	do_fork(1, 10, 100);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		do_mmap(10, (2 * i + 1) * 0x10000, 1, 3, kinds[i].ino, kinds[i].path, 200 + i);
		assert_int_equal(seen.map.kind, kinds[i].kind);
		assert_int_equal(seen.map.pgoff, kinds[i].kind == PP_MAP_ANON ? 0 : 3 * PAGE);
	}
}

static void test_arenas_merge(void **state)
{
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	do_mmap(10, 0x10000, 16, 0x10, 0, "//anon", 110);
	do_mmap(10, 0x30000, 16, 0x30, 0, "//anon", 120);
	assert_int_equal(pp_process_nr_maps(p), 2);
	do_mmap(10, 0x20000, 16, 0x20, 0, "//anon", 130); /* fills the gap */
	assert_int_equal(pp_process_nr_maps(p), 1);
	assert_map(p, 0, 0x10000, 0x40000, 0);
	assert_int_equal(seen.map.start, 0x10000);
	/* A named one is another mapping, and so is a file. */
	do_mmap(10, 0x40000, 16, 0, 0, "[anon:other]", 140);
	do_mmap(10, 0x0f000, 1, 0, 7, "/lib/x", 150);
	assert_int_equal(pp_process_nr_maps(p), 3);
	do_mmap(10, 0x12000, 1, 0, 0, "//anon", 160); /* within: known */
	assert_int_equal(pp_process_nr_maps(p), 3);
}

static void test_mapping_splits(void **state)
{
	struct pp_process *p;
	int object;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	do_mmap(10, 0x10000, 16, 0, 77, "/lib/a.so", 110);
	p->maps->maps[0].object = &object;
	seen.objects++;
	do_mmap(10, 0x14000, 4, 9, 78, "/lib/b.so", 120);
	assert_int_equal(pp_process_nr_maps(p), 3);
	assert_map(p, 0, 0x10000, 0x14000, 0);
	assert_map(p, 1, 0x14000, 0x18000, 9);
	assert_map(p, 2, 0x18000, 0x20000, 8);
	assert_ptr_equal(p->maps->maps[0].object, &object);
	assert_null(p->maps->maps[1].object);
	assert_ptr_equal(p->maps->maps[2].object, &object);
	assert_int_equal(seen.objects, 2);
	/* The whole again, grown: it is the same file at the same place. */
	do_mmap(10, 0x10000, 32, 0, 77, "/lib/a.so", 130);
	assert_int_equal(pp_process_nr_maps(p), 1);
	assert_ptr_equal(p->maps->maps[0].object, &object);
	assert_int_equal(seen.objects, 1);
	/* Elsewhere in the file: another matter. */
	do_mmap(10, 0x10000, 32, 5, 77, "/lib/a.so", 140);
	assert_int_equal(pp_process_nr_maps(p), 1);
	assert_null(p->maps->maps[0].object);
	assert_int_equal(seen.objects, 0);
}

/* Against a model that keeps a file and an offset for every page. */
static void test_mappings_against_model(void **state)
{
	enum { PAGES = 64 };
	struct {
		uint64_t ino, pgoff;
	} model[PAGES] = { 0 };
	struct pp_process *p;

	(void)state;
	srand(1);
	do_fork(1, 10, 100);
	p = of(10);
	for (int round = 0; round < 20000; round++) {
		uint64_t first = (uint64_t)rand() % PAGES;
		uint64_t n = 1 + (uint64_t)rand() % MIN(PAGES - first, 12ULL);
		uint64_t ino = (uint64_t)rand() % 4, pgoff = ino ? (uint64_t)rand() % 8 : 0;

		do_mmap(10, (1 + first) * PAGE, n, pgoff, ino, ino ? "/f" : "//anon",
			200 + (uint64_t)round);
		for (uint64_t i = 0; i < n; i++) {
			model[first + i].ino = ino + 1;
			model[first + i].pgoff = ino ? pgoff + i : 0;
		}
		for (uint64_t i = 0; i < PAGES; i++) {
			struct pp_map *map = pp_process_map_at(p, (1 + i) * PAGE + 5);

			assert_int_equal(!!map, !!model[i].ino);
			if (!map)
				continue;
			assert_int_equal(map->ino, model[i].ino - 1);
			if (map->ino)
				assert_int_equal(map->pgoff + (1 + i) * PAGE - map->start,
						 model[i].pgoff * PAGE);
		}
		for (uint32_t i = 1; i < p->maps->len; i++)
			assert_true(p->maps->maps[i - 1].end <= p->maps->maps[i].start);
	}
}

static void test_mapping_refusals(void **state)
{
	struct pp_process *p;

	(void)state;
	do_fork(1, 10, 100);
	p = of(10);
	do_mmap(10, 0x1000, 0, 0, 7, "/f", 110);
	do_mmap(10, UINT64_MAX - PAGE, 2, 0, 7, "/f", 110);
	do_mmap(10, 1ULL << 63, 2, 0, 7, "/f", 110);
	assert_int_equal(pp_counters[PP_C_mappings_malformed], 3);
	assert_int_equal(pp_process_nr_maps(p), 0);
	for (uint64_t i = 0; i < PP_MAPPINGS_MAX + 10; i++)
		do_mmap(10, (1 + 2 * i) * PAGE, 1, i, 7, "/f", 200 + i);
	assert_in_range(pp_process_nr_maps(p), PP_MAPPINGS_MAX - 3, PP_MAPPINGS_MAX);
	assert_int_equal(pp_counters[PP_C_mappings_cut],
			 PP_MAPPINGS_MAX + 10 - pp_process_nr_maps(p));
}

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

/* ---- Scans -------------------------------------------------------------------------------------
 */

static struct pp_scan scan_of(const char *maps)
{
	return (struct pp_scan){ .start_ticks = 7,
				 .ppid = 1,
				 .nspid = 3,
				 .ruid = 1,
				 .euid = 2,
				 .suid = 3,
				 .fsuid = 4,
				 .dumpable = true,
				 .comm = "scanned",
				 .cmdline = "a b",
				 .exe = "/bin/a",
				 .cgroup = "0::/system.slice/a.service\n",
				 .maps = maps,
				 .maps_len = strlen(maps) };
}

/* Ends the scan of p, and merges it. */
static void finish(struct pp_process *p, const struct pp_scan *scan)
{
	pp_processes_scanned(table, p, 0, scan);
	assert_null(pp_processes_take_scan(table, pp_now_ns()));
}

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
		TEST(test_mapping_fields),
		TEST(test_mapping_kinds),
		TEST(test_arenas_merge),
		TEST(test_mapping_splits),
		TEST(test_mappings_against_model),
		TEST(test_mapping_refusals),
		TEST(test_fork_shares_until_changed),
		TEST(test_exec_is_another_life),
		TEST(test_threads_end_one_by_one),
		TEST(test_lives_without_main_thread),
		TEST(test_records_older_than_the_life),
		TEST(test_comm),
		TEST(test_sample_makes_a_life),
		TEST(test_reused_pid_without_records),
		TEST(test_exec_without_record),
		TEST(test_scan_gives_facts),
		TEST(test_scans_are_repeated),
		TEST(test_scan_under_newer_records),
		TEST(test_scan_across_an_exec),
		TEST(test_scan_of_a_main_thread_that_ended),
		TEST(test_scan_failures),
		TEST(test_the_dead_are_freed),
		TEST(test_reference_taken_while_dead),
		TEST(test_number_is_bounded),
		TEST(test_memory_is_bounded),
		TEST(test_forks_are_cheap),
		TEST(test_a_real_machine),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
