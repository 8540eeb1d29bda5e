/* SPDX-License-Identifier: GPL-2.0-only */
#include "ipc/account.h"

struct pp_account *pp_accounts_get(struct pp_accounts *a, uid_t uid)
{
	struct pp_account *account = pp_u64map_get_ptr(&a->by_uid, uid);

	if (!account) {
		account = calloc(1, sizeof(*account));
		if (!account)
			return NULL;
		account->uid = uid;
		if (pp_u64map_put_ptr(&a->by_uid, uid, account) < 0) {
			free(account);
			return NULL;
		}
	}
	account->refs++;
	return account;
}

void pp_accounts_put(struct pp_accounts *a, struct pp_account *account)
{
	if (!account || --account->refs)
		return;
	pp_u64map_del(&a->by_uid, account->uid);
	free(account);
}

void pp_accounts_done(struct pp_accounts *a)
{
	uint64_t uid, account;
	size_t i = 0;

	while (pp_u64map_next(&a->by_uid, &i, &uid, &account))
		free((void *)(uintptr_t)account);
	pp_u64map_done(&a->by_uid);
}
