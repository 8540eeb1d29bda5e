/* SPDX-License-Identifier: GPL-2.0-only */
#include "trace/events.h"

#include "trace/bpf.h"
#include "trace/cpus.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

struct pp_events {
	struct pp_bpf *bpf;
	unsigned int set, frequency, cpus;
	enum pp_event event;
	uint64_t *gone; /* expected firings of events already closed, per CPU */
	int *fds;	/* per possible CPU, -1: none */
};

static void fill_attr(struct perf_event_attr *attr, enum pp_event event, unsigned int frequency)
{
	*attr = (struct perf_event_attr){
		.size = sizeof(*attr),
		.disabled = 1,
		.exclude_idle = 1, /* cpu-clock fires on idle CPUs otherwise, twice the runs */
		.exclude_guest = 1,
	};
	if (event == PP_EVENT_CYCLES) {
		attr->type = PERF_TYPE_HARDWARE;
		attr->config = PERF_COUNT_HW_CPU_CYCLES;
		attr->freq = 1;
		attr->sample_freq = frequency;
	} else {
		/* A period in ns, not a frequency: the kernel would only turn one into the other.
		 */
		attr->type = PERF_TYPE_SOFTWARE;
		attr->config = PERF_COUNT_SW_CPU_CLOCK;
		attr->sample_period = NSEC_PER_SEC / frequency;
	}
}

static int open_event(enum pp_event event, unsigned int frequency, unsigned int cpu)
{
	struct perf_event_attr attr;
	int fd;

	fill_attr(&attr, event, frequency);
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int pp_event_probe(enum pp_event event)
{
	int fd = open_event(event, 99, 0);

	if (fd < 0)
		return fd == -ENOENT || fd == -ENODEV ? -EOPNOTSUPP : fd;
	pp_close(fd);
	return 0;
}

const char *pp_event_name(enum pp_event event)
{
	return event == PP_EVENT_CYCLES ? "cycles" : "cpu-clock";
}

static int start_cpu(struct pp_events *e, unsigned int cpu)
{
	_cleanup_close_ int fd = open_event(e->event, e->frequency, cpu);

	if (fd < 0)
		return fd;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, pp_bpf_sample_program(e->bpf, e->set)) < 0 ||
	    ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return -errno;
	e->fds[cpu] = TAKE_FD(fd);
	e->cpus++;
	return 0;
}

static void stop_cpu(struct pp_events *e, unsigned int cpu)
{
	e->gone[cpu] = pp_events_expected(e, cpu);
	e->fds[cpu] = pp_close(e->fds[cpu]);
	e->cpus--;
}

int pp_events_follow(struct pp_events *e)
{
	_cleanup_(pp_cpus_done) struct pp_cpus online = { 0 };
	int changed = 0, r;

	r = pp_cpus_online(&online, pp_bpf_cpus(e->bpf));
	if (r < 0)
		return r;
	for (unsigned int cpu = 0; cpu < pp_bpf_cpus(e->bpf); cpu++) {
		bool has = e->fds[cpu] >= 0;

		if (online.is[cpu] == has)
			continue;
		changed++;
		if (has) {
			stop_cpu(e, cpu);
			continue;
		}
		r = start_cpu(e, cpu);
		/* It may have gone again since the list was read. */
		if (r < 0 && r != -ENODEV)
			return r;
	}
	return changed;
}

int pp_events_new(struct pp_events **ret, struct pp_bpf *bpf, unsigned int set, enum pp_event event,
		  unsigned int frequency)
{
	_cleanup_(pp_events_freep) struct pp_events *e = NULL;
	unsigned int cpus = pp_bpf_cpus(bpf);
	int r;

	if (!frequency || frequency > PP_FREQUENCY_MAX)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->bpf = bpf;
	e->set = set;
	e->event = event;
	e->frequency = frequency;
	e->fds = malloc(cpus * sizeof(*e->fds));
	if (!e->fds)
		return -ENOMEM;
	memset(e->fds, -1, cpus * sizeof(*e->fds));
	e->gone = calloc(cpus, sizeof(*e->gone));
	if (!e->gone)
		return -ENOMEM;
	r = pp_events_follow(e);
	if (r < 0)
		return r == -ENOENT ? -EOPNOTSUPP : r;
	*ret = TAKE_PTR(e);
	return 0;
}

struct pp_events *pp_events_free(struct pp_events *e)
{
	if (!e)
		return NULL;
	for (unsigned int cpu = 0; e->fds && cpu < pp_bpf_cpus(e->bpf); cpu++)
		pp_close(e->fds[cpu]);
	free(e->fds);
	free(e->gone);
	free(e);
	return NULL;
}

unsigned int pp_events_frequency(const struct pp_events *e)
{
	return e->frequency;
}

unsigned int pp_events_cpus(const struct pp_events *e)
{
	return e->cpus;
}

uint64_t pp_events_period_ns(const struct pp_events *e)
{
	return NSEC_PER_SEC / e->frequency;
}

uint64_t pp_events_expected(const struct pp_events *e, unsigned int cpu)
{
	uint64_t value;

	if (e->fds[cpu] < 0 || e->event != PP_EVENT_CPU_CLOCK ||
	    read(e->fds[cpu], &value, sizeof(value)) != sizeof(value))
		return e->gone[cpu];
	return e->gone[cpu] + value / pp_events_period_ns(e);
}
