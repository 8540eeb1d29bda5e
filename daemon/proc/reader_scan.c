/* SPDX-License-Identifier: GPL-2.0-only */
/* The reader: everything that /proc says about one process, in one reply. */
#include "proc/reader_wire.h"

#include "base/fd.h"
#include "bpf/pp_types.h"
#include "proc/maps.h"

#include <fcntl.h>
#include <string.h>

#define CHUNK (64 * KIB)

int pp_reader_add_text(struct pp_reader_answer *a, const void *text, size_t len)
{
	int r;

	r = pp_buf_add(&a->text, text, len);
	if (r >= 0)
		r = pp_buf_add(&a->text, "", 1);
	if (r < 0)
		return r;
	a->head.text_len[a->nr_texts++] = (uint32_t)len;
	return 0;
}

/* A file of /proc/PID as a text; nothing where it cannot be read (a process that is ending). */
static int add_file(const struct pp_opened *o, const char *name, size_t max, char separator,
		    struct pp_reader_answer *a)
{
	_cleanup_buf_ struct pp_buf text = PP_BUF(0);

	if (pp_reader_slurp(o->dir, name, max, &text) < 0)
		return pp_reader_add_text(a, "", 0);
	while (text.len && separator && !text.data[text.len - 1])
		text.len--;
	for (size_t i = 0; separator && i < text.len; i++)
		if (!text.data[i])
			text.data[i] = (uint8_t)separator;
	return pp_reader_add_text(a, text.data, text.len);
}

static int add_exe(const struct pp_opened *o, struct pp_reader_answer *a)
{
	char path[PP_READER_PATH_MAX];
	ssize_t n = readlinkat(o->dir, "exe", path, sizeof(path));

	return pp_reader_add_text(a, path, n < 0 ? 0 : (size_t)n);
}

static int keep_line(struct pp_buf *out, const char *line, size_t len, uint32_t *lines,
		     uint32_t *cut)
{
	if (!pp_maps_line_is_exec(line, len))
		return 0;
	if (*lines >= PP_MAPPINGS_MAX || out->len + len > PP_SCAN_MAPS_MAX) {
		(*cut)++;
		return 0;
	}
	(*lines)++;
	return pp_buf_add(out, line, len);
}

/* The executable lines of maps. A process that is gone or has no memory has none. */
static int read_maps(const struct pp_opened *o, struct pp_buf *out, uint32_t *cut)
{
	_cleanup_close_ int fd = openat(o->dir, "maps", O_RDONLY | O_CLOEXEC);
	_cleanup_buf_ struct pp_buf in = PP_BUF(0);
	uint32_t lines = 0;
	int r;

	if (fd < 0)
		return 0;
	for (;;) {
		ssize_t n;
		size_t at = 0;
		char *newline;

		r = pp_buf_reserve(&in, CHUNK);
		if (r < 0)
			return r;
		n = read(fd, in.data + in.len, CHUNK);
		if (n <= 0)
			return 0;
		in.len += (size_t)n;
		while ((newline = memchr(in.data + at, '\n', in.len - at))) {
			size_t len = (size_t)((uint8_t *)newline + 1 - (in.data + at));

			r = keep_line(out, (char *)in.data + at, len, &lines, cut);
			if (r < 0)
				return r;
			at += len;
		}
		pp_buf_consume(&in, at);
	}
}

int pp_reader_do_scan(const struct pp_opened *o, struct pp_reader_answer *a)
{
	_cleanup_buf_ struct pp_buf maps = PP_BUF(0);
	struct stat st;
	int r;

	a->head.kernel_thread = o->kernel_thread;
	/* A file there (not the directory) is its user's only if the process is dumpable. */
	a->head.dumpable = !fstatat(o->dir, "stat", &st, 0) && st.st_uid == o->uids[1];
	r = add_file(o, "cmdline", PP_SCAN_TEXT_MAX, ' ', a);
	if (r >= 0)
		r = add_exe(o, a);
	if (r >= 0)
		r = add_file(o, "cgroup", PP_SCAN_CGROUP_MAX, 0, a);
	if (r >= 0)
		r = read_maps(o, &maps, &a->head.maps_cut);
	if (r < 0)
		return r;
	if (a->text.len + maps.len <= PP_READER_TEXT_MAX)
		return pp_reader_add_text(a, maps.data ?: (uint8_t *)"", maps.len);
	a->fd = pp_memfd_sealed("maps", maps.data, maps.len);
	return a->fd < 0 ? a->fd : pp_reader_add_text(a, "", 0);
}
