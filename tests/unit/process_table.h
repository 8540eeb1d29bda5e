/* SPDX-License-Identifier: GPL-2.0-only */
/* A table of processes whose hooks keep count, and the records that feed it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "bpf/pp_types.h"
#include "proc/processes.h"
#include "proc/reader.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

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

static inline void on_new(void *userdata, struct pp_process *p)
{
	(void)userdata;
	seen.new ++;
	seen.last = p;
}

static inline void on_fork(void *userdata, struct pp_process *parent, struct pp_process *child)
{
	(void)userdata;
	seen.fork++;
	seen.other = parent;
	seen.last = child;
}

static inline void on_exec(void *userdata, struct pp_process *old, struct pp_process *next)
{
	(void)userdata;
	assert_false(old->alive);
	seen.exec++;
	seen.other = old;
	seen.last = next;
}

static inline void on_mapping(void *userdata, struct pp_process *p, struct pp_map *map)
{
	(void)userdata;
	seen.mapping++;
	seen.last = p;
	seen.map = *map;
}

static inline void on_scanned(void *userdata, struct pp_process *p)
{
	(void)userdata;
	seen.scanned++;
	seen.last = p;
}

static inline void on_exit_hook(void *userdata, struct pp_process *p)
{
	(void)userdata;
	assert_false(p->alive);
	seen.exit++;
	seen.last = p;
}

static inline void on_free(void *userdata, struct pp_process *p)
{
	(void)userdata;
	(void)p;
	seen.free++;
}

static inline void object_ref(void *userdata, void *object)
{
	(void)userdata;
	assert_non_null(object);
	seen.objects++;
}

static inline void object_unref(void *userdata, void *object)
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

static inline int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	memset(pp_counters, 0, sizeof(pp_counters));
	return pp_processes_new(&table, NULL, &hooks, NULL);
}

static inline int teardown(void **state)
{
	(void)state;
	table = pp_processes_free(table);
	assert_int_equal(seen.objects, 0);
	assert_int_equal(seen.free, seen.new + seen.fork + seen.exec);
	return 0;
}

/* ---- Records -----------------------------------------------------------------------------------
 */

static inline void do_life(const struct pp_life *life)
{
	assert_return_code(pp_processes_life(table, life), 0);
}

static inline void do_fork(pid_t parent, pid_t child, uint64_t time_ns)
{
	do_life(&(struct pp_life){ .kind = PP_LIFE_FORK,
				   .time_ns = time_ns,
				   .pid = child,
				   .tid = child,
				   .ppid = parent });
}

static inline void do_thread(pid_t pid, pid_t tid, uint64_t time_ns)
{
	do_life(&(struct pp_life){
		.kind = PP_LIFE_FORK, .time_ns = time_ns, .pid = pid, .tid = tid, .ppid = pid });
}

static inline void do_exec(pid_t pid, const char *comm, uint64_t time_ns)
{
	struct pp_life life = { .kind = PP_LIFE_EXEC, .time_ns = time_ns, .pid = pid, .tid = pid };

	strncpy(life.comm, comm, sizeof(life.comm) - 1);
	do_life(&life);
}

static inline void do_exit(pid_t pid, pid_t tid, uint64_t time_ns)
{
	do_life(&(struct pp_life){
		.kind = PP_LIFE_EXIT, .time_ns = time_ns, .pid = pid, .tid = tid });
}

static inline void do_mmap(pid_t pid, uint64_t start, uint64_t pages, uint64_t pgoff, uint64_t ino,
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

static inline struct pp_process *of(pid_t pid)
{
	return pp_processes_by_pid(table, pid);
}

static inline struct pp_process *sample(pid_t pid, uint64_t start_ns, uint32_t exec_id,
					uint64_t time_ns)
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

/* ---- Scans -------------------------------------------------------------------------------------
 */

static inline struct pp_scan scan_of(const char *maps)
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
static inline void finish(struct pp_process *p, const struct pp_scan *scan)
{
	pp_processes_scanned(table, p, 0, scan);
	assert_null(pp_processes_take_scan(table, pp_now_ns()));
}
