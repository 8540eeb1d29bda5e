/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon's side: requests go out, answers are taken apart as a stranger's. */
#include "elf/worker.h"

#include "base/child.h"
#include "base/counters.h"
#include "base/fd.h"
#include "elf/cursor.h"
#include "elf/table.h"
#include "elf/worker_wire.h"

#include <string.h>
#include <sys/mman.h>

/* libLLVM's table takes 0.3 s on a slow machine; a file that needs ten times that is given up. */
#define DEADLINE_MS   5000
#define QUEUE_MAX     256
#define ABANDONED_MAX 4

#define BAD_ENTRIES_MAX (4U << 20) /* of one file: what cfi.c reads at most */

struct pp_worker {
	struct pp_child *child;
};

/* One call under way. */
struct call {
	union {
		pp_elf_loaded_fn loaded;
		pp_elf_names_fn named;
	};
	void *userdata;
	size_t nr_addresses;
	uint64_t addresses[];
};

int pp_worker_new(struct pp_worker **ret, sd_event *event)
{
	static const struct pp_child_config config = {
		.role = "worker",
		.deadline_ms = DEADLINE_MS,
		.queue_max = QUEUE_MAX,
		.abandoned_max = ABANDONED_MAX,
	};
	_cleanup_(pp_worker_freep) struct pp_worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = pp_child_new(&w->child, event, &config);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(w);
	return 0;
}

struct pp_worker *pp_worker_free(struct pp_worker *w)
{
	if (!w)
		return NULL;
	pp_child_free(w->child);
	free(w);
	return NULL;
}

/* A call that the child did not answer, or answered with something we do not believe. */
static int failed(int error)
{
	if (error == -EPROTO)
		pp_count(PP_C_worker_refused);
	else if (error == -EPIPE || error == -ETIMEDOUT)
		pp_count(PP_C_worker_failed);
	return error;
}

/* An error it reported must be one of those it may report. */
static int reported_error(int32_t error)
{
	static const int known[] = { -ENOEXEC, -EBADMSG, -ENOMEM, -EIO, -E2BIG };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (error == known[i])
			return error;
	return -EPROTO;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static bool segments_valid(const struct pp_elf_info *i)
{
	if (i->nr_segments > PP_OBJECT_SEGMENTS_MAX)
		return false;
	for (uint32_t n = 0; n < i->nr_segments; n++) {
		const struct pp_elf_segment *s = &i->segments[n];
		uint64_t ignored;

		if (__builtin_add_overflow(s->offset, s->file_size, &ignored) ||
		    __builtin_add_overflow(s->address, s->file_size, &ignored) ||
		    __builtin_add_overflow(s->address, s->memory_size, &ignored))
			return false;
	}
	return true;
}

static bool info_valid(const struct pp_elf_info *i)
{
	size_t link = strnlen(i->debuglink, sizeof(i->debuglink));

	return i->build_id_len <= PP_ELF_BUILD_ID_MAX && i->bad_entries <= BAD_ENTRIES_MAX &&
	       i->frame_pointers <= 1000 && link < sizeof(i->debuglink) &&
	       !memchr(i->debuglink, '/', link) && strcmp(i->debuglink, ".") != 0 &&
	       strcmp(i->debuglink, "..") != 0 && i->is_python <= 1 && i->has_symtab <= 1 &&
	       segments_valid(i);
}

static int check_loaded(const void *data, size_t len, const int *fds, size_t nr_fds,
			struct pp_elf_info *ret)
{
	_cleanup_image_ struct pp_table_image image = { 0 };
	struct pp_wire_loaded reply;

	if (len != sizeof(reply))
		return -EPROTO;
	memcpy(&reply, data, sizeof(reply));
	if (reply.error)
		return reported_error(reply.error);
	if (!info_valid(&reply.info) || reply.has_table > 1 || nr_fds != reply.has_table)
		return -EPROTO;
	reply.info.table_hash = 0;
	if (reply.has_table) {
		if (pp_table_image_map(&image, fds[0], true) < 0)
			return -EPROTO;
		reply.info.table_hash = pp_table_image_hash(&image);
	}
	*ret = reply.info;
	return 0;
}

static void on_loaded(void *userdata, int error, const void *data, size_t len, int *fds,
		      size_t nr_fds)
{
	_cleanup_free_ struct call *call = userdata;
	struct pp_elf_info info;
	int table = -1;

	if (error == 0)
		error = check_loaded(data, len, fds, nr_fds, &info);
	if (error < 0) {
		call->loaded(call->userdata, failed(error), NULL, -1);
		return;
	}
	pp_count_add(PP_C_unwind_entries_bad, info.bad_entries);
	if (nr_fds)
		table = TAKE_FD(fds[0]);
	call->loaded(call->userdata, 0, &info, table);
}

int pp_worker_load(struct pp_worker *w, int fd, const struct pp_file_key *key,
		   pp_elf_loaded_fn loaded, void *userdata)
{
	struct pp_wire_request request = { .kind = PP_WIRE_LOAD, .key = *key };
	_cleanup_free_ struct call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return -ENOMEM;
	call->loaded = loaded;
	call->userdata = userdata;
	r = pp_child_call(w->child, &request, sizeof(request), &fd, 1, on_loaded, call);
	if (r < 0)
		return r;
	TAKE_PTR(call);
	return 0;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/*
 * Takes the names apart into text (NUL-terminated strings) and names. Each must be short, free of
 * NULs and of a function that does hold the address asked for.
 */
static bool parse_names(struct pp_cursor c, const struct call *call, struct pp_elf_name *names,
			char *text)
{
	for (size_t i = 0; i < call->nr_addresses; i++) {
		struct pp_wire_name head;
		const uint8_t *at = c.p;

		if (!pp_cursor_skip(&c, sizeof(head)))
			return false;
		memcpy(&head, at, sizeof(head));
		at = c.p;
		if (head.len >= PP_ELF_NAME_MAX || !pp_cursor_skip(&c, head.len) ||
		    memchr(at, 0, head.len))
			return false;
		if (head.len && (call->addresses[i] < head.start ||
				 call->addresses[i] - head.start >= head.size))
			return false;
		names[i] = (struct pp_elf_name){ .name = text,
						 .start = head.len ? head.start : 0,
						 .size = head.len ? head.size : 0 };
		memcpy(text, at, head.len);
		text[head.len] = 0;
		text += head.len + 1;
	}
	return c.p == c.end;
}

/* The names' bytes: in the message, or in a sealed memory file, which is mapped. */
static int open_names(const struct pp_wire_named *reply, const uint8_t *rest, size_t len, int fd,
		      struct pp_cursor *ret, void **ret_map)
{
	void *p;

	if (!reply->in_file) {
		if (len != reply->bytes)
			return -EPROTO;
		*ret = (struct pp_cursor){ rest, rest + len, false };
		return 0;
	}
	if (fd < 0 || !reply->bytes || reply->bytes > PP_WIRE_NAMES_MAX ||
	    pp_memfd_check_sealed(fd) != (int64_t)reply->bytes)
		return -EPROTO;
	p = mmap(NULL, reply->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct pp_cursor){ p, (uint8_t *)p + reply->bytes, false };
	*ret_map = p;
	return 0;
}

static int check_names(const struct call *call, const void *data, size_t len, const int *fds,
		       size_t nr_fds)
{
	_cleanup_free_ struct pp_elf_name *names = NULL;
	_cleanup_free_ char *text = NULL;
	struct pp_wire_named reply;
	struct pp_cursor c = { 0 };
	void *map = NULL;
	int r;

	if (len < sizeof(reply))
		return -EPROTO;
	memcpy(&reply, data, sizeof(reply));
	if (reply.error)
		return reported_error(reply.error);
	if (reply.nr != call->nr_addresses || reply.in_file > 1 || nr_fds != reply.in_file)
		return -EPROTO;
	r = open_names(&reply, (const uint8_t *)data + sizeof(reply), len - sizeof(reply),
		       nr_fds ? fds[0] : -1, &c, &map);
	if (r < 0)
		return r;
	names = calloc(MAX(call->nr_addresses, (size_t)1), sizeof(*names));
	text = malloc((size_t)reply.bytes + call->nr_addresses + 1);
	if (!names || !text)
		r = -ENOMEM;
	else if (!parse_names(c, call, names, text))
		r = -EPROTO;
	if (map)
		munmap(map, reply.bytes);
	if (r == 0)
		call->named(call->userdata, 0, names, call->nr_addresses);
	return r;
}

static void on_names(void *userdata, int error, const void *data, size_t len, int *fds,
		     size_t nr_fds)
{
	_cleanup_free_ struct call *call = userdata;

	if (error == 0)
		error = check_names(call, data, len, fds, nr_fds);
	if (error < 0)
		call->named(call->userdata, failed(error), NULL, 0);
}

int pp_worker_names(struct pp_worker *w, int fd, const struct pp_file_key *key, int debug_fd,
		    const uint64_t *addresses, size_t n, pp_elf_names_fn named, void *userdata)
{
	_cleanup_free_ struct pp_wire_request *request = NULL;
	_cleanup_free_ struct call *call = NULL;
	size_t bytes = n * sizeof(*addresses);
	int fds[] = { fd, debug_fd }, r;

	if (!n || n > PP_WORKER_ADDRESSES_MAX)
		return -EINVAL;
	request = calloc(1, sizeof(*request) + bytes);
	call = calloc(1, sizeof(*call) + bytes);
	if (!request || !call)
		return -ENOMEM;
	request->kind = PP_WIRE_NAMES;
	request->nr_addresses = (uint32_t)n;
	request->key = *key;
	memcpy(request->addresses, addresses, bytes);
	call->named = named;
	call->userdata = userdata;
	call->nr_addresses = n;
	memcpy(call->addresses, addresses, bytes);
	r = pp_child_call(w->child, request, sizeof(*request) + bytes, fds, debug_fd >= 0 ? 2 : 1,
			  on_names, call);
	if (r < 0)
		return r;
	TAKE_PTR(call);
	return 0;
}
