/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon's side of the table cache. */
#include "elf/tablecache.h"

#include "base/child.h"
#include "base/counters.h"
#include "base/fd.h"
#include "elf/tablecache_wire.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DEADLINE_MS   2000 /* of a disk; whoever waits does without */
#define QUEUE_MAX     256
#define ABANDONED_MAX 2

struct pp_tablecache {
	struct pp_child *child;
	int dir;
};

struct call {
	pp_tablecache_fn fn; /* NULL: a PUT */
	void *userdata;
};

int pp_tablecache_open_dir(const char *state_dir)
{
	_cleanup_close_ int state = -1, dir = -1;
	struct stat st;

	if (mkdir(state_dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	state = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (state < 0)
		return -errno;
	if (mkdirat(state, "tables", 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(state, "tables", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	return TAKE_FD(dir);
}

int pp_tablecache_new(struct pp_tablecache **ret, sd_event *event, int dir)
{
	static const struct pp_child_config config = {
		.role = "tables",
		.deadline_ms = DEADLINE_MS,
		.idle_ms = PP_CHILD_IDLE_MS,
		.queue_max = QUEUE_MAX,
		.abandoned_max = ABANDONED_MAX,
	};
	struct pp_tablecache *c = calloc(1, sizeof(*c));
	int r = c ? pp_child_new(&c->child, event, &config) : -ENOMEM;

	if (r < 0) {
		free(c);
		return r;
	}
	c->dir = dir;
	*ret = c;
	return 0;
}

struct pp_tablecache *pp_tablecache_free(struct pp_tablecache *c)
{
	if (!c)
		return NULL;
	pp_child_free(c->child);
	pp_close(c->dir);
	free(c);
	return NULL;
}

static void on_reply(void *userdata, int error, const void *data, size_t len, int *fds,
		     size_t nr_fds)
{
	struct pp_tablecache_reply reply = { .error = -EBADMSG };
	struct call *call = userdata;
	int none = -1;

	if (!error && len == sizeof(reply))
		memcpy(&reply, data, sizeof(reply));
	if (!error)
		error = reply.error > 0 || (call->fn && !reply.error && !nr_fds) ? -EBADMSG
										 : reply.error;
	/* With an error they may be the request's own: the directory. */
	if (call->fn)
		call->fn(call->userdata, error, !error ? fds : &none);
	else if (error)
		pp_count(PP_C_tablefiles_failed);
	free(call);
}

static int send_call(struct pp_tablecache *c, const struct pp_tablecache_request *q, int table_fd,
		     pp_tablecache_fn fn, void *userdata)
{
	struct call *call = malloc(sizeof(*call));
	int fds[] = { c->dir, table_fd }, r;

	if (!call)
		return -ENOMEM;
	*call = (struct call){ fn, userdata };
	r = pp_child_call(c->child, 0, q, sizeof(*q), fds, table_fd < 0 ? 1 : 2, on_reply, call);
	if (r < 0)
		free(call);
	return r;
}

int pp_tablecache_get(struct pp_tablecache *c, const struct pp_file_key *key, pp_tablecache_fn fn,
		      void *userdata)
{
	struct pp_tablecache_request q = { .op = PP_TABLECACHE_GET, .header.key = *key };

	return send_call(c, &q, -1, fn, userdata);
}

void pp_tablecache_put(struct pp_tablecache *c, const struct pp_file_key *key,
		       const struct pp_elf_info *info, int table_fd)
{
	struct pp_tablecache_request q = { .op = PP_TABLECACHE_PUT };

	pp_tablefile_describe(&q.header, key, info);
	if (send_call(c, &q, table_fd, NULL, NULL) < 0)
		pp_count(PP_C_tablefiles_failed);
}
