/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/version.h"

#include <stdio.h>
#include <string.h>

#define LEVEL_ALPHA 0xa
#define LEVEL_BETA  0xb
#define LEVEL_RC    0xc
#define LEVEL_FINAL 0xf
#define MAJOR_MIN   2
#define MAJOR_MAX   4
#define MINOR_MAX   63 /* plausible for a long time */

/* Skips prefix. */
static bool skip(const char **p, const char *prefix)
{
	size_t len = strlen(prefix);

	if (strncmp(*p, prefix, len) != 0)
		return false;
	*p += len;
	return true;
}

/* A decimal number of one or two digits. */
static bool number(const char **p, uint32_t *ret)
{
	uint32_t n = 0;
	int digits = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++, digits++) {
		if (digits == 2)
			return false;
		n = n * 10 + (uint32_t)(**p - '0');
	}
	*ret = n;
	return digits > 0;
}

/* "3.13", "3", or nothing, and the ABI's flags: t (free-threaded), d (debug), m (until 3.7). */
static bool version(const char **p, uint32_t *ret)
{
	uint32_t major = 0, minor = 0;

	if (number(p, &major)) {
		if (major < MAJOR_MIN || major > MAJOR_MAX)
			return false;
		if (skip(p, ".") && !number(p, &minor))
			return false;
	}
	*p += strspn(*p, "tdmu");
	*ret = PP_PYVERSION(major, minor);
	return minor <= MINOR_MAX;
}

bool pp_pyversion_from_path(const char *path, uint32_t *ret)
{
	const char *slash = strrchr(path, '/'), *p = slash ? slash + 1 : path;
	bool library = skip(&p, "lib");
	uint32_t v;

	if (!skip(&p, "python") || !version(&p, &v))
		return false;
	/* libpython3.so is no interpreter: it only leads to one. */
	if (library && (!((v >> 16) & 0xff) || !skip(&p, ".so")))
		return false;
	if (library)
		p += strspn(p, ".0123456789");
	else
		skip(&p, "-dbg");
	skip(&p, " (deleted)");
	if (*p)
		return false;
	*ret = v;
	return true;
}

bool pp_pyversion_valid(uint32_t v)
{
	uint32_t major = v >> 24, minor = (v >> 16) & 0xff, level = (v >> 4) & 0xf;

	return major >= MAJOR_MIN && major <= MAJOR_MAX && minor <= MINOR_MAX &&
	       (level == LEVEL_ALPHA || level == LEVEL_BETA || level == LEVEL_RC ||
		level == LEVEL_FINAL);
}

const char *pp_pyversion_text(uint32_t v, char text[static PP_PYVERSION_TEXT_MAX])
{
	unsigned int major = v >> 24, minor = (v >> 16) & 0xff, micro = (v >> 8) & 0xff;
	unsigned int level = (v >> 4) & 0xf, serial = v & 0xf;
	const char *name = level == LEVEL_ALPHA ? "a" : level == LEVEL_BETA ? "b" : "rc";
	size_t size = PP_PYVERSION_TEXT_MAX;

	if (!major)
		snprintf(text, size, "unknown");
	else if (!level && !minor)
		snprintf(text, size, "%u", major);
	else if (!level)
		snprintf(text, size, "%u.%u", major, minor);
	else if (level == LEVEL_FINAL)
		snprintf(text, size, "%u.%u.%u", major, minor, micro);
	else
		snprintf(text, size, "%u.%u.%u%s%u", major, minor, micro, name, serial);
	return text;
}
