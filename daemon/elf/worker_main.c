/* SPDX-License-Identifier: GPL-2.0-only */
/* The worker's own side: it sits in the sandbox, takes a request, looks at one file, answers. */
#include "elf/worker.h"

#include "base/child.h"
#include "base/envelope.h"
#include "base/fd.h"
#include "base/log.h"
#include "elf/cfi_gaps.h"
#include "elf/identity.h"
#include "elf/sandbox.h"
#include "elf/symbols.h"
#include "elf/table.h"
#include "elf/tablefile.h"
#include "elf/worker_wire.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/*
 * Symbol tables of the files last asked about are kept: names are asked for in many small batches
 * while a program warms up. libpython takes half a megabyte.
 */
#define CACHE_FILES 8
#define CACHE_BYTES (16 * MIB) /* the last one used stays, whatever its size */

struct cached {
	struct pp_file_key key;
	bool with_debug; /* the debug file belongs to it and is in the table */
	bool asked_debug;
	struct pp_symbols *symbols;
	uint64_t last_used;
};

struct server {
	int sock;
	timer_t timer; /* of CPU time: kills */
	struct cached cache[CACHE_FILES];
	uint64_t clock;
};

struct request {
	struct pp_wire_request *head;
	int fds[PP_PASS_FDS_MAX];
	size_t nr_fds;
};

/* Takes files out of their envelopes. */
static int open_files(struct request *q)
{
	for (size_t i = 0; i < q->nr_fds; i++) {
		int fd = pp_envelope_open(q->fds[i]);

		if (fd == -ENOTSOCK)
			continue;
		if (fd < 0)
			return fd;
		pp_close(q->fds[i]);
		q->fds[i] = fd;
	}
	return 0;
}

/* Before the answer goes out: closing may hang, and must be this request's fault. */
static void close_files(struct request *q)
{
	while (q->nr_fds)
		pp_close(q->fds[--q->nr_fds]);
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* The table as a sealed memory file; -ENODATA without one. */
static int make_table(struct pp_elf *elf, struct pp_elf_info *info)
{
	_cleanup_cfi_ struct pp_cfi cfi = { 0 };
	_cleanup_buf_ struct pp_buf image = PP_BUF(PP_TABLE_IMAGE_MAX);
	int r;

	r = pp_cfi_read(&cfi, elf);
	if (r == 0)
		info->frame_pointers = pp_cfi_frame_pointers(&cfi);
	if (r == 0)
		r = pp_cfi_fill_gaps(&cfi, elf);
	if (r == 0)
		r = pp_table_build(&image, &cfi);
	if (r == -ENOBUFS)
		r = -E2BIG;
	/* A file whose unwind information cannot be used still has names. */
	info->bad_entries = r == -EBADMSG || r == -E2BIG ? MAX(cfi.nr_bad, (size_t)1) : cfi.nr_bad;
	if (r == -EBADMSG || r == -E2BIG)
		return -ENODATA;
	if (r < 0)
		return r;
	return pp_memfd_sealed("pyprofd-table", image.data, image.len);
}

static int read_whole(int fd, uint8_t **ret, size_t *ret_size)
{
	off_t size = lseek(fd, 0, SEEK_END);
	_cleanup_free_ uint8_t *data = NULL;

	if (size < 0 || size > (off_t)PP_TABLEFILE_MAX)
		return -EBADMSG;
	data = malloc(MAX((size_t)size, (size_t)1));
	if (!data)
		return -ENOMEM;
	if (pread(fd, data, (size_t)size, 0) != size)
		return -EBADMSG;
	*ret = TAKE_PTR(data);
	*ret_size = (size_t)size;
	return 0;
}

/* The table from the cache's file; -EBADMSG and the like where it is of no use. */
static int read_table(int fd, const struct pp_file_key *key, struct pp_elf_info *info)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct pp_tablefile_header h;
	struct pp_table_image image;
	size_t size;
	int r;

	r = read_whole(fd, &data, &size);
	if (r == 0)
		r = pp_tablefile_read(&image, &h, data, size, key, info->table_source);
	if (r == 0)
		r = pp_memfd_sealed("pyprofd-table", image.data, image.size);
	if (r < 0)
		return r;
	info->table_cached = 1;
	info->frame_pointers = h.frame_pointers;
	info->bad_entries = h.bad_entries;
	return r;
}

static int load(const struct request *q, struct pp_wire_loaded *reply)
{
	_cleanup_elf_ struct pp_elf *elf = NULL;
	int r, fd = -ENODATA;

	r = pp_elf_new_fd(&elf, q->fds[0]);
	if (r == 0)
		r = pp_identify(elf, &reply->info);
	if (r < 0)
		return r;
	if (pp_tablefile_source(elf, &reply->info.table_source) == 0 && q->nr_fds > 1) {
		fd = read_table(q->fds[1], &q->head->key, &reply->info);
		reply->cache_bad = fd == -EBADMSG;
	}
	if (fd < 0)
		fd = make_table(elf, &reply->info);
	if (fd < 0 && fd != -ENODATA)
		return fd;
	reply->has_table = fd >= 0;
	return fd;
}

static int serve_load(struct server *s, struct request *q)
{
	struct pp_wire_loaded reply = { 0 };
	_cleanup_close_ int table = -1;

	table = load(q, &reply);
	close_files(q);
	if (table < 0 && table != -ENODATA)
		reply.error = table;
	malloc_trim(0);
	return pp_send_fds(s->sock, &reply, sizeof(reply), &table, table >= 0);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void forget(struct cached *c)
{
	pp_symbols_free(c->symbols);
	*c = (struct cached){ 0 };
}

/* Forgets the least recently used ones until what is held is in bounds; `keep` stays. */
static void trim_cache(struct server *s, const struct cached *keep)
{
	for (;;) {
		struct cached *oldest = NULL;
		size_t bytes = 0;

		for (size_t i = 0; i < CACHE_FILES; i++) {
			struct cached *c = &s->cache[i];

			if (!c->symbols)
				continue;
			bytes += pp_symbols_memory(c->symbols);
			if (c != keep && (!oldest || c->last_used < oldest->last_used))
				oldest = c;
		}
		if (bytes <= CACHE_BYTES || !oldest)
			break;
		forget(oldest);
	}
	malloc_trim(0);
}

static struct cached *find_cached(struct server *s, const struct pp_file_key *key, bool debug)
{
	for (size_t i = 0; i < CACHE_FILES; i++) {
		struct cached *c = &s->cache[i];

		if (c->symbols && c->asked_debug == debug && pp_file_key_equal(&c->key, key))
			return c;
	}
	return NULL;
}

static struct cached *free_slot(struct server *s)
{
	struct cached *oldest = &s->cache[0];

	for (size_t i = 0; i < CACHE_FILES; i++) {
		if (!s->cache[i].symbols)
			return &s->cache[i];
		if (s->cache[i].last_used < oldest->last_used)
			oldest = &s->cache[i];
	}
	forget(oldest);
	return oldest;
}

static int get_symbols(struct server *s, const struct pp_file_key *key, struct pp_elf *elf,
		       struct pp_elf *debug, struct cached **ret)
{
	struct cached *c = find_cached(s, key, debug);
	int r;

	if (!c) {
		bool matches = debug && pp_debug_file_matches(elf, debug);

		c = free_slot(s);
		r = pp_symbols_new(&c->symbols, elf, matches ? debug : NULL);
		if (r < 0)
			return r;
		c->key = *key;
		c->asked_debug = debug;
		c->with_debug = matches;
		trim_cache(s, c);
	}
	c->last_used = ++s->clock;
	*ret = c;
	return 0;
}

static int add_name(struct pp_buf *out, const struct pp_symbol_hit *hit)
{
	struct pp_wire_name head = { .start = hit->start,
				     .size = hit->size,
				     .len = (uint16_t)strlen(hit->name) };
	int r = pp_buf_add(out, &head, sizeof(head));

	return r < 0 ? r : pp_buf_add(out, hit->name, head.len);
}

static int find_names(struct server *s, const struct request *q, struct pp_buf *out)
{
	_cleanup_elf_ struct pp_elf *elf = NULL, *debug = NULL;
	struct cached *c;
	int r;

	r = pp_elf_new_fd(&elf, q->fds[0]);
	if (r < 0)
		return r;
	/* A debug file that cannot be read is as good as none. */
	if (q->nr_fds > 1 && pp_elf_new_fd(&debug, q->fds[1]) < 0)
		debug = NULL;
	r = get_symbols(s, &q->head->key, elf, debug, &c);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < q->head->nr_addresses && r == 0; i++) {
		struct pp_symbol_hit hit;

		if (!pp_symbols_lookup(c->symbols, elf, c->with_debug ? debug : NULL,
				       q->head->addresses[i], &hit))
			hit = (struct pp_symbol_hit){ 0 };
		r = add_name(out, &hit);
	}
	return r;
}

static int serve_names(struct server *s, struct request *q)
{
	_cleanup_buf_ struct pp_buf out = { 0 };
	struct pp_wire_named reply = { .nr = q->head->nr_addresses };
	_cleanup_close_ int file = -1;
	int r;

	r = pp_buf_add(&out, &reply, sizeof(reply));
	if (r == 0)
		r = find_names(s, q, &out);
	close_files(q);
	if (r == 0 && out.len > PP_CHILD_MESSAGE_MAX) {
		file = pp_memfd_sealed("pyprofd-names", out.data + sizeof(reply),
				       out.len - sizeof(reply));
		r = MIN(file, 0);
	}
	if (r < 0) {
		reply.error = r;
		return pp_send_fds(s->sock, &reply, sizeof(reply), NULL, 0);
	}
	reply.bytes = (uint32_t)(out.len - sizeof(reply));
	reply.in_file = file >= 0;
	memcpy(out.data, &reply, sizeof(reply));
	return pp_send_fds(s->sock, out.data, file >= 0 ? sizeof(reply) : out.len, &file,
			   file >= 0);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static bool request_valid(const struct request *q, size_t len)
{
	const struct pp_wire_request *h = q->head;

	if (len < sizeof(*h) || h->nr_addresses > PP_WORKER_ADDRESSES_MAX ||
	    len != sizeof(*h) + h->nr_addresses * sizeof(h->addresses[0]))
		return false;
	return q->nr_fds >= 1 && (h->kind == PP_WIRE_LOAD || h->kind == PP_WIRE_NAMES);
}

/* Begins the time that one request may take. */
static int start_timer(struct server *s)
{
	const struct itimerspec budget = { .it_value = { PP_WORKER_CPU_NS / NSEC_PER_SEC,
							 PP_WORKER_CPU_NS % NSEC_PER_SEC } };

	return timer_settime(s->timer, 0, &budget, NULL) < 0 ? -errno : 0;
}

/* Returns 1 after a request, 0 when the daemon is gone, or a negative errno. */
static int serve_one(struct server *s, void *buf, size_t size)
{
	struct request q = { .head = buf };
	ssize_t len;
	int r;

	len = pp_recv_fds(s->sock, buf, size, q.fds, &q.nr_fds);
	if (len <= 0)
		return (int)len;
	r = start_timer(s);
	if (!request_valid(&q, (size_t)len))
		r = -EPROTO; /* the daemon is not like that: give up */
	if (r == 0)
		r = open_files(&q);
	if (r == 0)
		r = q.head->kind == PP_WIRE_LOAD ? serve_load(s, &q) : serve_names(s, &q);
	close_files(&q);
	return r < 0 ? r : 1;
}

int pp_worker_main(int sock)
{
	struct server s = { .sock = sock };
	_cleanup_free_ void *buf = malloc(PP_CHILD_MESSAGE_MAX);
	struct sigevent kill = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	int r;

	if (!buf || timer_create(CLOCK_PROCESS_CPUTIME_ID, &kill, &s.timer) < 0)
		return EXIT_FAILURE;
	r = pp_sandbox_enter(sock);
	if (r < 0) {
		pp_log_errno(PP_LOG_ERROR, r, "worker: cannot enter the sandbox");
		return EXIT_FAILURE;
	}
	do
		r = serve_one(&s, buf, PP_CHILD_MESSAGE_MAX);
	while (r > 0);
	for (size_t i = 0; i < CACHE_FILES; i++)
		forget(&s.cache[i]);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
