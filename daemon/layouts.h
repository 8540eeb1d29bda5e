/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layouts of interpreters' frames that BPF has, by places; each is an entry's as long as it is
 * counted for one. What processes say of themselves may be false, and each may say another thing:
 * those layouts that are known have places that none of them takes, no user gets more than a few,
 * and the others' are given away again.
 *
 * A place that is given away has a new id, and BPF believes a place only if it has the id that the
 * process's entry names: so nobody is walked by another's layout before BPF has his new entry.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

#include <sys/types.h>

struct pp_layouts;
struct pp_bpf;

int pp_layouts_new(struct pp_layouts **ret, struct pp_bpf *bpf);
struct pp_layouts *pp_layouts_free(struct pp_layouts *ls);
PP_DEFINE_CLEANUP(struct pp_layouts *, pp_layouts_free)

/* The id of a layout, 0 where there is no room for another of this user. One that was not there
 * stays only if an entry gets it next. */
uint32_t pp_layouts_get(struct pp_layouts *ls, const struct pp_layout *layout, uid_t uid);
/* The layout in an entry is another; 0: none. */
void pp_layouts_move(struct pp_layouts *ls, uint32_t from, uint32_t to);
/* Whether it is one of those that stay. */
bool pp_layouts_is_fixed(const struct pp_layouts *ls, uint32_t id);
