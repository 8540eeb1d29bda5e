/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mangled name may stand for one that is exponentially longer, by referring back to its own
 * parts. So what the demangler prints is taken piece by piece: what is beyond the buffer is
 * dropped, and one that goes on for very long is stopped. What it allocates while it prints is
 * little, and lost with a name that is stopped.
 */
#include "elf/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

/* Far more than is ever shown of a name. */
#define PRINTED_MAX (64 * KIB)

struct printed {
	char *buf;
	size_t size, len; /* len goes on counting beyond size */
	jmp_buf stop;
};

static void on_piece(const char *piece, size_t len, void *opaque)
{
	struct printed *p = opaque;

	if (p->len < p->size)
		memcpy(p->buf + p->len, piece, MIN(len, p->size - p->len));
	p->len += len;
	if (p->len > PRINTED_MAX)
		longjmp(p->stop, 1);
}

/* Ends what is in buf; len: what it would be if it were not cut. */
static size_t cut(char *buf, size_t size, size_t len)
{
	if (len < size) {
		buf[len] = 0;
		return len;
	}
	memcpy(buf + size - 4, "...", 4);
	return size - 1;
}

/* _Z: C++ and Rust's older form; _R: Rust's v0. Returns the name's length, 0 where this is no such
 * name after all. */
static size_t demangle(const char *mangled, struct printed *p)
{
	if (setjmp(p->stop)) /* NOLINT(cert-err52-cpp): the library has no other way out */
		return p->len;
	if (rust_demangle_callback(mangled, DMGL_NO_OPTS, on_piece, p))
		return p->len;
	p->len = 0;
	return cplus_demangle_v3_callback(mangled, DMGL_NO_OPTS, on_piece, p) ? p->len : 0;
}

size_t pp_demangle(const char *raw, char *buf, size_t size)
{
	const char *version = *raw ? strchr(raw + 1, '@') : NULL;
	size_t len = version ? (size_t)(version - raw) : strlen(raw), plain = 0;

	if (len > 2 && raw[0] == '_' && (raw[1] == 'Z' || raw[1] == 'R')) {
		struct printed p = { .buf = buf, .size = size };
		_cleanup_free_ char *mangled = strndup(raw, len);

		plain = mangled ? demangle(mangled, &p) : 0;
	}
	if (!plain)
		memcpy(buf, raw, MIN(len, size));
	return cut(buf, size, plain ? plain : len);
}
