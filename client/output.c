/* SPDX-License-Identifier: GPL-2.0-only */
/* Files written whole or not at all. */
#include "output.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

static int refuse(const char *path, int r)
{
	return pp_fail(PP_EXIT_FAILED, "cannot write %s: %s; say another place with -o", path,
		       strerror(-r));
}

/* The mode that open(2) would have given. */
static mode_t new_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static int open_beside(struct pp_output *o)
{
	int fd;

	if (asprintf(&o->temporary, "%s.XXXXXX", o->path) < 0) {
		o->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(o->temporary, O_CLOEXEC);
	if (fd < 0) {
		int r = -errno;

		free(o->temporary);
		o->temporary = NULL;
		return r;
	}
	if (fchmod(fd, new_mode()) < 0 || !(o->file = fdopen(fd, "w"))) {
		int r = -errno;

		pp_close(fd);
		return r;
	}
	return 0;
}

int pp_output_check(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	struct stat st;

	if (!copy)
		return pp_fail_errno(-ENOMEM, path);
	if (strcmp(path, "-") == 0)
		return 0;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		if (S_ISDIR(st.st_mode))
			return refuse(path, -EISDIR);
		return access(path, W_OK) < 0 ? refuse(path, -errno) : 0;
	}
	return access(dirname(copy), W_OK | X_OK) < 0 ? refuse(path, -errno) : 0;
}

int pp_output_open(struct pp_output *o, const char *path)
{
	struct stat st;
	int r;

	*o = (struct pp_output){ 0 };
	if (strcmp(path, "-") == 0) {
		o->file = stdout;
		return 0;
	}
	o->path = strdup(path);
	if (!o->path)
		return pp_fail_errno(-ENOMEM, path);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		o->file = fopen(path, "we");
		return o->file ? 0 : refuse(path, -errno);
	}
	r = open_beside(o);
	return r < 0 ? refuse(path, r) : 0;
}

int pp_output_commit(struct pp_output *o)
{
	const char *name = o->path ?: "the standard output";

	if (ferror(o->file) || fflush(o->file) == EOF)
		return pp_fail(PP_EXIT_FAILED, "writing to %s failed: %s", name, strerror(errno));
	if (o->file == stdout)
		return 0;
	if (o->temporary && fsync(fileno(o->file)) < 0)
		return refuse(name, -errno);
	if (fclose(o->file) == EOF) {
		o->file = NULL;
		return refuse(name, -errno);
	}
	o->file = NULL;
	if (o->temporary && rename(o->temporary, o->path) < 0)
		return refuse(name, -errno);
	free(o->temporary);
	o->temporary = NULL;
	return 0;
}

void pp_output_done(struct pp_output *o)
{
	if (o->file && o->file != stdout)
		fclose(o->file);
	if (o->temporary)
		unlink(o->temporary);
	free(o->temporary);
	free(o->path);
}
