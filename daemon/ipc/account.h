/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each uid uses of the service, and how much it may. A caller can only ever exhaust its own
 * account; root's is larger, for root can stop the daemon anyway and runs the tools that watch
 * whole machines.
 */
#pragma once

#include "base/u64map.h"
#include <sys/types.h>

#define PP_ACCOUNT_CONNECTIONS 32	  /* a handful of tools, each with two */
#define PP_ACCOUNT_STREAMS     8	  /* each costs a selection per interval */
#define PP_ACCOUNT_QUEUED      (32 * MIB) /* replies on their way: two of the largest */
#define PP_ACCOUNT_HELD	       (64 * MIB) /* profiles held open: some sixty of a busy machine's */
#define PP_ACCOUNT_HELD_FILES  256	  /* each is an inode and a watch */
#define PP_ACCOUNT_ROOT_FACTOR 8
#define PP_CONNECTIONS_MAX     1024 /* of all uids: bounds descriptors and memory */

struct pp_account {
	uid_t uid;
	unsigned int refs;
	unsigned int connections, streams, held_files;
	size_t queued, held; /* bytes */
};

struct pp_accounts {
	struct pp_u64map by_uid;
};

/* The uid's account, with a reference for the caller; NULL on -ENOMEM. */
struct pp_account *pp_accounts_get(struct pp_accounts *a, uid_t uid);
void pp_accounts_put(struct pp_accounts *a, struct pp_account *account);
void pp_accounts_done(struct pp_accounts *a);

/* A limit of the list above, for this account. */
static inline size_t pp_account_limit(const struct pp_account *account, size_t limit)
{
	return account->uid == 0 ? limit * PP_ACCOUNT_ROOT_FACTOR : limit;
}
