/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory files that callers hold. A sealed memory file passed to a caller stays in memory, at our
 * expense, until the caller lets go of it, however long after it has hung up. So each is charged to
 * the caller's account, and inotify says when its last descriptor and mapping are gone.
 *
 * The file handed out is a second, read-only opening of the same inode. Its inode's mode is taken
 * away, so that a caller cannot open it again through /proc and close that to look released.
 */
#pragma once

#include "ipc/account.h"
#include <systemd/sd-event.h>

struct pp_held;

int pp_held_new(struct pp_held **ret, sd_event *event, struct pp_accounts *accounts);
struct pp_held *pp_held_free(struct pp_held *h);
PP_DEFINE_CLEANUP(struct pp_held *, pp_held_free)

/*
 * Charges a sealed memory file to account. Takes over fd, which must be its only descriptor, also
 * on failure. Returns a descriptor to pass on and close; or -EDQUOT (over the account's limit),
 * -EPERM (not sealed) or another negative errno.
 */
int pp_held_lend(struct pp_held *h, struct pp_account *account, int fd);
