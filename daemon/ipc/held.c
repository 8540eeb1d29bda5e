/* SPDX-License-Identifier: GPL-2.0-only */
#include "ipc/held.h"

#include "base/fd.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define EVENTS_SIZE 4096

struct lent {
	struct pp_account *account;
	size_t bytes;
};

struct pp_held {
	int inotify;
	sd_event_source *source;
	struct pp_accounts *accounts;
	struct pp_u64map lent; /* watch descriptor → struct lent */
};

static void release(struct pp_held *h, int wd)
{
	struct lent *l = pp_u64map_get_ptr(&h->lent, (uint64_t)wd);

	if (!l)
		return;
	pp_u64map_del(&h->lent, (uint64_t)wd);
	l->account->held -= l->bytes;
	l->account->held_files--;
	pp_accounts_put(h->accounts, l->account);
	free(l);
}

static int on_closed(sd_event_source *source _unused_, int fd, uint32_t revents _unused_,
		     void *userdata)
{
	struct pp_held *h = userdata;
	union {
		struct inotify_event align;
		char bytes[EVENTS_SIZE];
	} events;
	ssize_t n = read(fd, events.bytes, sizeof(events.bytes));

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(events.bytes + at);

		release(h, e->wd);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return 0;
}

int pp_held_new(struct pp_held **ret, sd_event *event, struct pp_accounts *accounts)
{
	_cleanup_(pp_held_freep) struct pp_held *h = NULL;
	int r;

	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->accounts = accounts;
	h->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (h->inotify < 0)
		return -errno;
	r = sd_event_add_io(event, &h->source, h->inotify, EPOLLIN, on_closed, h);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

struct pp_held *pp_held_free(struct pp_held *h)
{
	uint64_t wd, l;
	size_t i;

	if (!h)
		return NULL;
	while (i = 0, pp_u64map_next(&h->lent, &i, &wd, &l))
		release(h, (int)wd);
	pp_u64map_done(&h->lent);
	sd_event_source_unref(h->source);
	pp_close(h->inotify);
	free(h);
	return NULL;
}

/* Watches the inode and enters the charge. `path` names it through /proc. */
static int charge(struct pp_held *h, struct pp_account *account, const char *path, size_t bytes)
{
	_cleanup_free_ struct lent *l = malloc(sizeof(*l));
	int wd, r;

	if (!l)
		return -ENOMEM;
	wd = inotify_add_watch(h->inotify, path, IN_CLOSE | IN_ONESHOT);
	if (wd < 0)
		return -errno;
	*l = (struct lent){ .account = account, .bytes = bytes };
	r = pp_u64map_put_ptr(&h->lent, (uint64_t)wd, l);
	if (r < 0) {
		inotify_rm_watch(h->inotify, wd);
		return r;
	}
	TAKE_PTR(l);
	account->refs++;
	account->held += bytes;
	account->held_files++;
	return 0;
}

int pp_held_lend(struct pp_held *h, struct pp_account *account, int take_fd)
{
	_cleanup_close_ int first = take_fd, second = -1;
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int64_t size = pp_memfd_check_sealed(first);
	int r;

	if (size < 0)
		return (int)size;
	if (account->held + (size_t)size > pp_account_limit(account, PP_ACCOUNT_HELD) ||
	    account->held_files >= pp_account_limit(account, PP_ACCOUNT_HELD_FILES))
		return -EDQUOT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", first);
	second = open(path, O_RDONLY | O_CLOEXEC);
	if (second < 0)
		return -errno;
	/* Our own closing must not look like the caller's: it comes before the watch. */
	first = pp_close(first);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", second);
	r = charge(h, account, path, (size_t)size);
	if (r < 0)
		return r;
	if (fchmod(second, 0) < 0)
		return -errno;
	return TAKE_FD(second);
}
