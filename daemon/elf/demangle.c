/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/demangle.h"

#include <libiberty/demangle.h>
#include <string.h>

static size_t copy_cut(const char *name, size_t len, char *buf, size_t size)
{
	if (len < size) {
		memcpy(buf, name, len);
		buf[len] = 0;
		return len;
	}
	memcpy(buf, name, size - 4);
	memcpy(buf + size - 4, "...", 4);
	return size - 1;
}

size_t pp_demangle(const char *raw, char *buf, size_t size)
{
	const char *version = *raw ? strchr(raw + 1, '@') : NULL;
	size_t len = version ? (size_t)(version - raw) : strlen(raw);
	_cleanup_free_ char *plain = NULL;

	/* _Z: C++ and Rust's older form; _R: Rust's v0. */
	if (len > 2 && raw[0] == '_' && (raw[1] == 'Z' || raw[1] == 'R')) {
		_cleanup_free_ char *mangled = strndup(raw, len);

		if (mangled)
			plain = cplus_demangle(mangled, DMGL_AUTO);
	}
	return plain ? copy_cut(plain, strlen(plain), buf, size) : copy_cut(raw, len, buf, size);
}
