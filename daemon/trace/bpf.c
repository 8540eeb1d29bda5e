/* SPDX-License-Identifier: GPL-2.0-only */
#include "trace/bpf.h"

#include "pp.skel.h"
#include "trace/records.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define COUNTS_BYTES (sizeof(uint64_t) * PP_SETS_MAX * PP_COUNT_MAX)
#define CHUNK_BYTES  (PP_CHUNK_WORDS * sizeof(uint32_t))
#define PAGE	     4096ULL

struct pp_bpf {
	struct pyprof_bpf *skel;
	struct ring_buffer *ring;
	struct pp_records *records;
	unsigned int cpus;
	int programs[PP_SETS_MAX];
	uint64_t *counts; /* [cpu][set][what], read-only */
	size_t counts_len;
	uint32_t *rules;
	struct pp_drain *drain;
	struct pp_set_conf *sets;
	unsigned int nr_chunks;
	uint64_t drained_bytes;
	/* of the drain in progress */
	pp_sample_fn fn;
	void *userdata;
};

static int quiet(_unused_ enum libbpf_print_level level, _unused_ const char *format,
		 _unused_ va_list ap)
{
	return 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct pp_bpf *b = ctx;
	const struct pp_sample *s = pp_records_take(b->records, data, size);

	b->drained_bytes += size;
	if (s)
		b->fn(b->userdata, s);
	return 0;
}

static size_t round_up_ring(size_t bytes)
{
	size_t size = PAGE;

	while (size < bytes && size < 256 * MIB)
		size *= 2;
	return size;
}

static const char *load_problem(int r)
{
	if (r == -EPERM || r == -EACCES)
		return "the kernel refused to load BPF programs: run as root with CAP_BPF and "
		       "CAP_PERFMON (or CAP_SYS_ADMIN), outside kernel lockdown "
		       "(see /sys/kernel/security/lockdown)";
	if (r == -ENOENT || r == -ESRCH || access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return "the kernel has no BTF (/sys/kernel/btf/vmlinux): pyprofd needs a kernel "
		       "built with CONFIG_DEBUG_INFO_BTF, 5.10 or later";
	return "the kernel could not load the BPF programs: pyprofd needs Linux 5.10 or later";
}

static void *map_array(int fd, size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int open_and_load(struct pp_bpf *b, const struct pp_bpf_config *config)
{
	struct pyprof_bpf *skel;
	int r;

	skel = b->skel = pyprof_bpf__open();
	if (!skel)
		return -errno;
	skel->rodata->measure = config->measure;
	skel->rodata->records = config->records;
	if ((r = bpf_map__set_max_entries(skel->maps.walks, b->cpus)) < 0 ||
	    (r = bpf_map__set_max_entries(skel->maps.caches, b->cpus)) < 0 ||
	    (r = bpf_map__set_max_entries(skel->maps.counts, b->cpus)) < 0 ||
	    (r = bpf_map__set_max_entries(skel->maps.slots, b->cpus * PP_SLOTS)) < 0 ||
	    (r = bpf_map__set_max_entries(skel->maps.times, config->measure ? b->cpus : 1)) < 0 ||
	    (r = bpf_map__set_max_entries(skel->maps.ring,
					  (uint32_t)round_up_ring(config->ring_bytes))) < 0)
		return r;
	return pyprof_bpf__load(skel);
}

/* Programs that find the epoch they know use what they have from before: so it follows what it
 * stands for. */
static void new_epoch(struct pp_bpf *b, unsigned int i)
{
	uint32_t epoch = b->sets[0].epochs[i] + 1;

	for (unsigned int set = 0; set < PP_SETS_MAX; set++)
		__atomic_store_n(&b->sets[set].epochs[i], epoch, __ATOMIC_RELEASE);
}

static int map_memory(struct pp_bpf *b)
{
	struct pyprof_bpf *skel = b->skel;
	/* An array's elements lie back to back, each rounded up to eight bytes. */
	b->counts_len = (b->cpus * COUNTS_BYTES + PAGE - 1) & ~(PAGE - 1);
	b->counts = map_array(bpf_map__fd(skel->maps.counts), b->counts_len, PROT_READ);
	b->rules = map_array(bpf_map__fd(skel->maps.rules), PP_RULES_MAX * sizeof(uint32_t),
			     PROT_READ | PROT_WRITE);
	b->drain = map_array(bpf_map__fd(skel->maps.drain), PAGE, PROT_READ | PROT_WRITE);
	b->sets = map_array(bpf_map__fd(skel->maps.sets), PAGE, PROT_READ | PROT_WRITE);
	if (!b->counts || !b->rules || !b->drain || !b->sets)
		return -errno;
	b->drain->tgid = (uint32_t)getpid();
	b->ring = ring_buffer__new(bpf_map__fd(skel->maps.ring), on_record, b, NULL);
	return b->ring ? 0 : -errno;
}

int pp_bpf_new(struct pp_bpf **ret, const struct pp_bpf_config *config, const char **ret_problem)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	_cleanup_(pp_bpf_freep) struct pp_bpf *b = NULL;
	int r;

	*ret_problem = NULL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	/* Kernels before 5.11 charge maps to this limit; where it cannot be raised, loading tells.
	 */
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	libbpf_set_print(quiet);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	r = libbpf_num_possible_cpus();
	if (r < 0)
		return r;
	b->cpus = (unsigned int)r;
	r = pp_records_new(&b->records, b->cpus, config->records);
	if (r < 0)
		return r;
	r = open_and_load(b, config);
	if (r < 0) {
		*ret_problem = load_problem(r);
		return r;
	}
	b->programs[0] = bpf_program__fd(b->skel->progs.sample_0);
	b->programs[1] = bpf_program__fd(b->skel->progs.sample_1);
	b->programs[2] = bpf_program__fd(b->skel->progs.sample_2);
	b->programs[3] = bpf_program__fd(b->skel->progs.sample_3);
	r = map_memory(b);
	if (r < 0)
		return r;
	b->skel->links.on_exec = bpf_program__attach(b->skel->progs.on_exec);
	b->skel->links.on_fork = bpf_program__attach(b->skel->progs.on_fork);
	b->skel->links.on_exit = bpf_program__attach(b->skel->progs.on_exit);
	if (!b->skel->links.on_exec || !b->skel->links.on_fork || !b->skel->links.on_exit) {
		*ret_problem = "the kernel's process tracepoints could not be attached";
		return errno ? -errno : -EINVAL;
	}
	*ret = TAKE_PTR(b);
	return 0;
}

struct pp_bpf *pp_bpf_free(struct pp_bpf *b)
{
	if (!b)
		return NULL;
	ring_buffer__free(b->ring);
	pp_records_free(b->records);
	if (b->counts)
		munmap(b->counts, b->counts_len);
	if (b->rules)
		munmap(b->rules, PP_RULES_MAX * sizeof(uint32_t));
	if (b->drain)
		munmap(b->drain, PAGE);
	if (b->sets)
		munmap(b->sets, PAGE);
	pyprof_bpf__destroy(b->skel);
	free(b);
	return NULL;
}

unsigned int pp_bpf_cpus(const struct pp_bpf *b)
{
	return b->cpus;
}

int pp_bpf_sample_program(const struct pp_bpf *b, unsigned int set)
{
	return b->programs[set];
}

uint64_t pp_bpf_count(const struct pp_bpf *b, unsigned int cpu, unsigned int set,
		      enum pp_count what)
{
	const volatile uint64_t *counts = b->counts;

	return counts[((size_t)cpu * PP_SETS_MAX + set) * PP_COUNT_MAX + what];
}

uint64_t pp_bpf_counts(const struct pp_bpf *b, unsigned int set, enum pp_count what)
{
	uint64_t sum = 0;

	for (unsigned int cpu = 0; cpu < b->cpus; cpu++)
		sum += pp_bpf_count(b, cpu, set, what);
	return sum;
}

int pp_bpf_drain(struct pp_bpf *b, pp_sample_fn fn, void *userdata)
{
	b->fn = fn;
	b->userdata = userdata;
	return ring_buffer__consume(b->ring);
}

uint64_t pp_bpf_drained_bytes(const struct pp_bpf *b)
{
	return b->drained_bytes;
}

uint64_t pp_bpf_compared(const struct pp_bpf *b)
{
	return pp_records_compared(b->records);
}

int pp_bpf_ring_fd(const struct pp_bpf *b)
{
	return bpf_map__fd(b->skel->maps.ring);
}

void pp_bpf_sleep(struct pp_bpf *b)
{
	__atomic_store_n(&b->drain->asleep, 1, __ATOMIC_SEQ_CST);
}

void pp_bpf_set_filter(struct pp_bpf *b, unsigned int set, enum pp_filter filter)
{
	__atomic_store_n(&b->sets[set].filter, filter, __ATOMIC_RELEASE);
}

int pp_bpf_filter_add(struct pp_bpf *b, unsigned int set, pid_t pid, bool tree)
{
	int fd = bpf_map__fd(b->skel->maps.filter);
	struct pp_filter_entry e = { 0 };
	uint32_t key = (uint32_t)pid;

	(void)bpf_map_lookup_elem(fd, &key, &e);
	e.sets |= 1U << set;
	if (tree)
		e.tree |= 1U << set;
	return bpf_map_update_elem(fd, &key, &e, BPF_ANY);
}

void pp_bpf_filter_remove(struct pp_bpf *b, unsigned int set, pid_t pid)
{
	int fd = bpf_map__fd(b->skel->maps.filter);
	struct pp_filter_entry e;
	uint32_t key = (uint32_t)pid;

	if (bpf_map_lookup_elem(fd, &key, &e) < 0)
		return;
	e.sets &= ~(1U << set);
	e.tree &= ~(1U << set);
	if (e.sets)
		(void)bpf_map_update_elem(fd, &key, &e, BPF_EXIST);
	else
		(void)bpf_map_delete_elem(fd, &key);
}

void pp_bpf_filter_clear(struct pp_bpf *b, unsigned int set)
{
	int fd = bpf_map__fd(b->skel->maps.filter);
	uint32_t key, next, *at = NULL;
	struct pp_filter_entry e;

	/* The successor is fetched before a key goes: deleting restarts an iteration at that key.
	 */
	while (bpf_map_get_next_key(fd, at, &next) == 0) {
		if (at && bpf_map_lookup_elem(fd, &key, &e) == 0 && !e.sets)
			bpf_map_delete_elem(fd, &key);
		key = next;
		at = &key;
		if (bpf_map_lookup_elem(fd, &key, &e) < 0)
			continue;
		e.sets &= ~(1U << set);
		e.tree &= ~(1U << set);
		(void)bpf_map_update_elem(fd, &key, &e, BPF_EXIST);
	}
	if (at && bpf_map_lookup_elem(fd, &key, &e) == 0 && !e.sets)
		bpf_map_delete_elem(fd, &key);
}

void pp_bpf_forget_space(struct pp_bpf *b, pid_t pid)
{
	new_epoch(b, (unsigned int)pid % PP_EPOCHS);
}

int pp_bpf_put_space(struct pp_bpf *b, pid_t pid, const struct pp_space *space)
{
	int r = bpf_map_update_elem(bpf_map__fd(b->skel->maps.spaces), &pid, space, BPF_ANY);

	pp_bpf_forget_space(b, pid);
	return r;
}

bool pp_bpf_get_space(const struct pp_bpf *b, pid_t pid, struct pp_space *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.spaces), &pid, ret) == 0;
}

void pp_bpf_drop_space(struct pp_bpf *b, pid_t pid)
{
	(void)bpf_map_delete_elem(bpf_map__fd(b->skel->maps.spaces), &pid);
	pp_bpf_forget_space(b, pid);
}

void pp_bpf_forget_rules(struct pp_bpf *b)
{
	const struct bpf_map *caches = b->skel->maps.caches;
	_cleanup_free_ void *none = calloc(1, bpf_map__value_size(caches));

	for (unsigned int cpu = 0; none && cpu < b->cpus; cpu++)
		(void)bpf_map_update_elem(bpf_map__fd(caches), &cpu, none, BPF_ANY);
}

int pp_bpf_put_layout(struct pp_bpf *b, uint32_t id, const struct pp_layout *layout)
{
	struct pp_layout_place none = { 0 }, place = { id, *layout };
	int fd = bpf_map__fd(b->skel->maps.layouts), r;
	uint32_t number = id % PP_LAYOUTS_MAX;

	/* Nobody's first: who copies it while it changes finds that out by the id. */
	r = bpf_map_update_elem(fd, &number, &none, BPF_ANY);
	return r < 0 ? r : bpf_map_update_elem(fd, &number, &place, BPF_ANY);
}

int pp_bpf_put_table(struct pp_bpf *b, uint32_t slot, const struct pp_table *table)
{
	return bpf_map_update_elem(bpf_map__fd(b->skel->maps.tables), &slot, table, BPF_ANY);
}

int pp_bpf_new_chunk(struct pp_bpf *b, struct pp_chunk_memory *ret)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	_cleanup_close_ int fd = -1;
	void *words;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "pp_chunk", sizeof(uint32_t), CHUNK_BYTES, 1,
			    &opts);
	if (fd < 0)
		return -errno;
	words = map_array(fd, CHUNK_BYTES, PROT_READ | PROT_WRITE);
	if (!words)
		return -errno;
	*ret = (struct pp_chunk_memory){ words, TAKE_FD(fd) };
	b->nr_chunks++;
	return 0;
}

int pp_bpf_add_chunks(struct pp_bpf *b, uint32_t first, const struct pp_chunk_memory *chunks,
		      uint32_t n)
{
	int store = bpf_map__fd(b->skel->maps.store);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t number = first + i;

		if (bpf_map_update_elem(store, &number, &chunks[i].fd, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

void pp_bpf_free_chunk(struct pp_bpf *b, struct pp_chunk_memory *chunk)
{
	munmap(chunk->words, CHUNK_BYTES);
	pp_close(chunk->fd);
	b->nr_chunks--;
}

uint32_t *pp_bpf_rules(struct pp_bpf *b)
{
	return b->rules;
}

int pp_bpf_kernel_name(struct pp_bpf *b, uint64_t address, struct pp_kernel_name *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &address, .ctx_size_in = sizeof(address));
	uint32_t zero = 0;
	int r;

	r = bpf_prog_test_run_opts(bpf_program__fd(b->skel->progs.name_kernel_pc), &run);
	if (r < 0 || !run.retval)
		return -EOPNOTSUPP;
	r = bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.kernel_name), &zero, ret);
	if (r < 0)
		return r;
	ret->text[sizeof(ret->text) - 1] = '\0';
	/* A C identifier does not begin with a digit. */
	return !ret->text[0] || ret->text[0] == '0' ? -ENOENT : 0;
}

uint64_t pp_bpf_bytes(const struct pp_bpf *b)
{
	uint64_t bytes = (uint64_t)b->nr_chunks * CHUNK_BYTES;
	struct bpf_map *map;

	bpf_object__for_each_map(map, b->skel->obj)
	{
		if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
			bytes += bpf_map__max_entries(map);
		else
			bytes += (uint64_t)bpf_map__max_entries(map) *
				 (bpf_map__key_size(map) + bpf_map__value_size(map));
	}
	return bytes;
}
