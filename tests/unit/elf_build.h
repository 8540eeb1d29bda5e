/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF files made on the spot: a scratch directory, commands run in it, source text compiled. */
#pragma once

#include "base/macro.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static char scratch_dir[64];

static _unused_ int scratch_setup(void **state)
{
	(void)state;
	strcpy(scratch_dir, "/tmp/pyprof-test-XXXXXX");
	return mkdtemp(scratch_dir) ? 0 : -1;
}

/* Runs a shell command line in the scratch directory; it must succeed. */
static _unused_ _printf_(1, 2) void scratch_run(const char *format, ...)
{
	char command[4096];
	va_list ap;
	int n = snprintf(command, sizeof(command), "cd %s && { ", scratch_dir);

	va_start(ap, format);
	n += vsnprintf(command + n, sizeof(command) - (size_t)n, format, ap);
	va_end(ap);
	snprintf(command + n, sizeof(command) - (size_t)n, "; }");
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static _unused_ int scratch_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", scratch_dir);
	return system(command);
}

static _unused_ void scratch_write(const char *name, const void *data, size_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", scratch_dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
}

static _unused_ void scratch_source(const char *name, const char *text)
{
	scratch_write(name, text, strlen(text));
}

static _unused_ int scratch_open(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), *name == '/' ? "%.0s%s" : "%s/%s", scratch_dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("cannot open %s", path);
	return fd;
}

/* The address that nm gives a symbol in a file of the scratch directory. */
static _unused_ uint64_t scratch_address(const char *file, const char *symbol)
{
	char command[512];
	unsigned long address = 0;
	FILE *p;

	snprintf(command, sizeof(command),
		 "nm %s/%s 2>/dev/null | awk '$3 == \"%s\" { print $1; exit }'", scratch_dir, file,
		 symbol);
	p = popen(command, "r");
	assert_non_null(p);
	if (fscanf(p, "%lx", &address) != 1)
		fail_msg("no symbol %s in %s", symbol, file);
	pclose(p);
	return address;
}
