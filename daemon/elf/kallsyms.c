/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/kallsyms.h"

#include "base/buf.h"

#include <fcntl.h>
#include <string.h>

#define DEFAULT_PATH "/proc/kallsyms"
#define LINE_MAX_LEN 1024
#define READ_BYTES   (64 * KIB)

struct pp_kallsyms {
	char *path;
	struct pp_kernel_table *table; /* in use */
	struct pp_kernel_table *next;  /* being read */
	int fd;
	struct pp_buf pending; /* read, not yet parsed */
};

int pp_kallsyms_new(struct pp_kallsyms **ret, const char *path)
{
	_cleanup_(pp_kallsyms_freep) struct pp_kallsyms *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->fd = -1;
	k->path = strdup(path ? path : DEFAULT_PATH);
	k->table = pp_kernel_table_new();
	if (!k->path || !k->table)
		return -ENOMEM;
	*ret = TAKE_PTR(k);
	return 0;
}

static void stop(struct pp_kallsyms *k)
{
	k->next = pp_kernel_table_free(k->next);
	k->fd = pp_close(k->fd);
	pp_buf_done(&k->pending);
}

struct pp_kallsyms *pp_kallsyms_free(struct pp_kallsyms *k)
{
	if (!k)
		return NULL;
	stop(k);
	pp_kernel_table_free(k->table);
	free(k->path);
	free(k);
	return NULL;
}

static int parse_pending(struct pp_kallsyms *k, bool last)
{
	size_t done = 0;

	while (done < k->pending.len) {
		const char *line = (const char *)k->pending.data + done;
		size_t left = k->pending.len - done;
		const char *nl = memchr(line, '\n', left);
		int r;

		if (!nl && !last && left <= LINE_MAX_LEN)
			break;
		r = pp_kernel_table_add(k->next, line, nl ? (size_t)(nl - line) : left);
		if (r < 0)
			return r;
		done += nl ? (size_t)(nl - line) + 1 : left;
	}
	pp_buf_consume(&k->pending, done);
	return 0;
}

static int finish(struct pp_kallsyms *k)
{
	pp_kernel_table_finish(k->next);
	pp_kernel_table_free(k->table);
	k->table = TAKE_PTR(k->next);
	stop(k);
	return pp_kallsyms_hidden(k) ? -EPERM : 0;
}

int pp_kallsyms_start(struct pp_kallsyms *k)
{
	if (k->next)
		return 0;
	k->fd = open(k->path, O_RDONLY | O_CLOEXEC);
	if (k->fd < 0)
		return -errno;
	k->next = pp_kernel_table_new();
	if (!k->next) {
		stop(k);
		return -ENOMEM;
	}
	return 0;
}

/* Reads once. Returns the bytes read, 0 at the end. */
static ssize_t read_more(struct pp_kallsyms *k)
{
	ssize_t n;
	int r;

	r = pp_buf_reserve(&k->pending, READ_BYTES);
	if (r < 0)
		return r;
	do
		n = read(k->fd, k->pending.data + k->pending.len, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	k->pending.len += (size_t)n;
	return n;
}

int pp_kallsyms_step(struct pp_kallsyms *k, size_t bytes)
{
	size_t done = 0;

	if (!k->next)
		return 0;
	do {
		ssize_t n = read_more(k);
		int r = n < 0 ? (int)n : parse_pending(k, n == 0);

		if (r < 0) {
			stop(k);
			return r;
		}
		if (n == 0)
			return finish(k);
		done += (size_t)n;
	} while (done < bytes);
	return 1;
}

bool pp_kallsyms_loading(const struct pp_kallsyms *k)
{
	return k->next;
}

int pp_kallsyms_load(struct pp_kallsyms *k)
{
	int r;

	r = pp_kallsyms_start(k);
	if (r < 0)
		return r;
	do
		r = pp_kallsyms_step(k, SIZE_MAX);
	while (r == 1);
	return r;
}

bool pp_kallsyms_hidden(const struct pp_kallsyms *k)
{
	return pp_kernel_table_hidden(k->table);
}

bool pp_kallsyms_lookup(const struct pp_kallsyms *k, uint64_t address, struct pp_kernel_symbol *ret,
			bool *ret_stale)
{
	return pp_kernel_table_lookup(k->table, address, ret, ret_stale);
}

size_t pp_kallsyms_count(const struct pp_kallsyms *k)
{
	return pp_kernel_table_count(k->table);
}

size_t pp_kallsyms_memory(const struct pp_kallsyms *k)
{
	return sizeof(*k) + pp_kernel_table_memory(k->table);
}
