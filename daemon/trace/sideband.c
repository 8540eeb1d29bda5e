/* SPDX-License-Identifier: GPL-2.0-only */
#include "trace/sideband.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/counters.h"
#include "trace/cpus.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/*
 * Per CPU. An exec with its libraries is about 30 records of 130 bytes; this holds the records of
 * 60 of them, so a burst survives the few ms until the daemon runs.
 */
#define RING_BYTES (256 * KIB)
#define PAGE	   4096ULL
#define RECORD_MAX 8192 /* a path is at most 4096 bytes; the kernel's header.size is 16 bits */
/* The kernel tells of a loss by a record, but only with the next one that does fit: on a CPU that
 * goes quiet, never. A ring that has no room for any record may have refused one. */
#define NEARLY_FULL (RING_BYTES - RECORD_MAX)

struct cpu_ring {
	int fd;
	struct perf_event_mmap_page *page; /* followed by RING_BYTES of data */
};

struct pp_sideband {
	struct cpu_ring *rings; /* per possible CPU */
	unsigned int cpus;
	int epoll_fd;
	bool lost;	       /* records were dropped on our side, or may have been */
	bool running;	       /* the rings there were at first are open */
	struct pp_buf records; /* struct pp_life; path is an offset into paths, plus one */
	struct pp_buf paths;
};

/* What follows every record with sample_id_all and the sample_type below. */
struct sample_id {
	uint32_t pid, tid;
	uint64_t time;
	uint32_t cpu, reserved;
};

struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	uint32_t maj, min;
	uint64_t ino, ino_generation;
	uint32_t prot, flags;
	char filename[];
};

struct comm_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	char comm[];
};

struct task_record {
	struct perf_event_header header;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time;
};

struct lost_record {
	struct perf_event_header header;
	uint64_t id, lost;
};

static int open_event(unsigned int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static uint64_t ring_head(const struct cpu_ring *ring)
{
	return __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
}

static void stop_cpu(struct pp_sideband *s, struct cpu_ring *ring)
{
	if (ring->page) {
		s->lost |= ring_head(ring) != ring->page->data_tail;
		munmap(ring->page, PAGE + RING_BYTES);
	}
	if (ring->fd >= 0)
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, ring->fd, NULL);
	ring->page = NULL;
	ring->fd = pp_close(ring->fd);
}

static int start_cpu(struct pp_sideband *s, unsigned int cpu)
{
	struct cpu_ring *ring = &s->rings[cpu];
	struct epoll_event ev = { .events = EPOLLIN };
	void *p;
	int r;

	r = open_event(cpu);
	if (r < 0)
		return r;
	ring->fd = r;
	p = mmap(NULL, PAGE + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (p == MAP_FAILED || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, ring->fd, &ev) < 0) {
		r = -errno;
		ring->fd = pp_close(ring->fd);
		return r;
	}
	ring->page = p;
	return 0;
}

int pp_sideband_follow(struct pp_sideband *s)
{
	_cleanup_(pp_cpus_done) struct pp_cpus online = { 0 };
	int r = pp_cpus_online(&online, s->cpus);

	if (r < 0)
		return r;
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++) {
		bool has = s->rings[cpu].fd >= 0;

		if (has && !online.is[cpu])
			stop_cpu(s, &s->rings[cpu]);
		if (has || !online.is[cpu])
			continue;
		r = start_cpu(s, cpu);
		if (r < 0 && r != -ENODEV)
			return r;
		/* It has run unseen since it came, if not from the beginning. */
		s->lost |= s->running;
	}
	s->running = true;
	return 0;
}

int pp_sideband_new(struct pp_sideband **ret, unsigned int cpus)
{
	_cleanup_(pp_sideband_freep) struct pp_sideband *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->epoll_fd = -1;
	s->rings = calloc(cpus, sizeof(*s->rings));
	if (!s->rings)
		return -ENOMEM;
	s->cpus = cpus;
	for (unsigned int cpu = 0; cpu < cpus; cpu++)
		s->rings[cpu].fd = -1;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return -errno;
	r = pp_sideband_follow(s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct pp_sideband *pp_sideband_free(struct pp_sideband *s)
{
	if (!s)
		return NULL;
	for (unsigned int cpu = 0; cpu < s->cpus; cpu++)
		stop_cpu(s, &s->rings[cpu]);
	pp_close(s->epoll_fd);
	pp_buf_done(&s->records);
	pp_buf_done(&s->paths);
	free(s->rings);
	free(s);
	return NULL;
}

int pp_sideband_fd(const struct pp_sideband *s)
{
	return s->epoll_fd;
}

static void copy_comm(char to[16], const char *from, size_t max)
{
	size_t n = strnlen(from, MIN(max, (size_t)15));

	memcpy(to, from, n);
	to[n] = '\0';
}

/* Fills l from a record with its sample_id cut off; returns false for what is of no interest. The
 * path is left as an offset: the buffer it goes into still moves. */
static int decode(struct pp_sideband *s, const struct perf_event_header *h, size_t size,
		  struct pp_life *l)
{
	const struct mmap2_record *m = (const void *)h;
	const struct comm_record *c = (const void *)h;
	const struct task_record *t = (const void *)h;
	int r;

	switch (h->type) {
	case PERF_RECORD_MMAP2:
		if (size <= sizeof(*m))
			return 0;
		l->kind = PP_LIFE_MMAP;
		l->pid = (pid_t)m->pid;
		l->tid = (pid_t)m->tid;
		l->start = m->addr;
		l->len = m->len;
		l->pgoff = m->pgoff;
		l->dev_major = m->maj;
		l->dev_minor = m->min;
		l->ino = m->ino;
		l->prot = m->prot;
		l->path = (const char *)(s->paths.len + 1);
		r = pp_buf_add(&s->paths, m->filename, strnlen(m->filename, size - sizeof(*m)));
		return r < 0 ? r : (r = pp_buf_add(&s->paths, "", 1)) < 0 ? r : 1;
	case PERF_RECORD_COMM:
		l->kind = h->misc & PERF_RECORD_MISC_COMM_EXEC ? PP_LIFE_EXEC : PP_LIFE_COMM;
		l->pid = (pid_t)c->pid;
		l->tid = (pid_t)c->tid;
		copy_comm(l->comm, c->comm, size - sizeof(*c));
		return 1;
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		l->kind = h->type == PERF_RECORD_FORK ? PP_LIFE_FORK : PP_LIFE_EXIT;
		l->pid = (pid_t)t->pid;
		l->tid = (pid_t)t->tid;
		l->ppid = (pid_t)t->ppid;
		return 1;
	case PERF_RECORD_LOST:
		l->kind = PP_LIFE_LOST;
		pp_count_add(PP_C_sideband_lost, ((const struct lost_record *)h)->lost);
		return 1;
	default:
		return 0;
	}
}

static int add_record(struct pp_sideband *s, const struct perf_event_header *h)
{
	struct sample_id id;
	struct pp_life l = { 0 };
	int r;

	if (h->size < sizeof(*h) + sizeof(id))
		return 0;
	memcpy(&id, (const char *)h + h->size - sizeof(id), sizeof(id));
	l.time_ns = id.time;
	r = decode(s, h, h->size - sizeof(id), &l);
	l.order = (uint32_t)(s->records.len / sizeof(l));
	return r <= 0 ? r : pp_buf_add(&s->records, &l, sizeof(l));
}

/* The kernel writes the head after the data, and overwrites only what the tail has released. */
static int read_ring(struct pp_sideband *s, struct cpu_ring *ring)
{
	const uint8_t *data = (const uint8_t *)ring->page + PAGE;
	uint64_t head = ring_head(ring), tail = ring->page->data_tail;
	_Alignas(8) uint8_t copy[RECORD_MAX];
	int r = 0;

	s->lost |= head - tail > NEARLY_FULL;
	while (tail < head && r >= 0) {
		const struct perf_event_header *h = (const void *)(data + tail % RING_BYTES);
		size_t size = h->size, left = RING_BYTES - tail % RING_BYTES;

		if (size < sizeof(*h) || size > RECORD_MAX || size > head - tail) {
			pp_count(PP_C_sideband_lost);
			s->lost = true;
			break;
		}
		if (size > left) { /* wraps round the end */
			memcpy(copy, h, left);
			memcpy(copy + left, data, size - left);
			h = (const void *)copy;
		}
		r = add_record(s, h);
		tail += size;
	}
	__atomic_store_n(&ring->page->data_tail, head, __ATOMIC_RELEASE);
	return r;
}

static int by_time(const void *pa, const void *pb)
{
	const struct pp_life *a = pa, *b = pb;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static void finish(struct pp_sideband *s)
{
	struct pp_life *records = (struct pp_life *)s->records.data;
	size_t n = s->records.len / sizeof(*records);

	for (size_t i = 0; i < n; i++)
		if (records[i].path)
			records[i].path =
				(const char *)s->paths.data + (uintptr_t)records[i].path - 1;
	if (n > 1)
		qsort(records, n, sizeof(*records), by_time);
}

int pp_sideband_read(struct pp_sideband *s, const struct pp_life **ret, size_t *ret_n)
{
	struct pp_life lost = { .kind = PP_LIFE_LOST, .time_ns = pp_now_ns() };
	int r = 0;

	s->records.len = 0;
	s->paths.len = 0;
	*ret_n = 0;
	if (s->lost) {
		r = pp_buf_add(&s->records, &lost, sizeof(lost));
		s->lost = r < 0;
	}
	for (unsigned int cpu = 0; cpu < s->cpus && r >= 0; cpu++)
		if (s->rings[cpu].page)
			r = read_ring(s, &s->rings[cpu]);
	if (r < 0) {
		s->lost = true;
		return r;
	}
	finish(s);
	*ret = (const struct pp_life *)s->records.data;
	*ret_n = s->records.len / sizeof(struct pp_life);
	return 0;
}
