/* SPDX-License-Identifier: GPL-2.0-only */
/* What the worker answered, taken apart as a stranger's. */
#include "elf/worker_private.h"

#include "base/counters.h"
#include "base/fd.h"
#include "elf/cursor.h"
#include "elf/table.h"

#include <string.h>
#include <sys/mman.h>

#define BAD_ENTRIES_MAX (4U << 20) /* of one file: more than cfi.c reads */

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
	       strcmp(i->debuglink, "..") != 0 && i->has_symtab <= 1 && i->table_cached <= 1 &&
	       segments_valid(i);
}

int pp_worker_check_loaded(const void *data, size_t len, const int *fds, size_t nr_fds,
			   struct pp_elf_info *ret)
{
	_cleanup_image_ struct pp_table_image image = { 0 };
	struct pp_wire_loaded reply;

	if (len != sizeof(reply))
		return -EPROTO;
	memcpy(&reply, data, sizeof(reply));
	if (reply.error)
		return reported_error(reply.error);
	if (!info_valid(&reply.info) || reply.has_table > 1 || nr_fds != reply.has_table ||
	    reply.cache_bad > 1 || reply.info.table_cached > reply.has_table)
		return -EPROTO;
	reply.info.table_hash = 0;
	if (reply.has_table) {
		if (pp_table_image_map(&image, fds[0], true) < 0)
			return -EPROTO;
		reply.info.table_hash = pp_table_image_hash(&image);
	}
	pp_count_add(PP_C_tablefiles_bad, reply.cache_bad);
	*ret = reply.info;
	return 0;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/*
 * Takes the names apart into text (NUL-terminated strings) and names. Each must be short, free of
 * NULs and of a function that does hold the address asked for.
 */
static bool parse_names(struct pp_cursor c, const struct pp_worker_call *call,
			struct pp_elf_name *names, char *text)
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
		if (head.len && (call->request.addresses[i] < head.start ||
				 call->request.addresses[i] - head.start >= head.size))
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

int pp_worker_check_names(const struct pp_worker_call *call, const void *data, size_t len,
			  const int *fds, size_t nr_fds)
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
