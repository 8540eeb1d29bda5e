/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames that pcs of one place (a file, a process's generated code, the kernel) were resolved
 * to, and those whose names are being looked up. Keys are whatever identifies a pc there: an offset
 * in the file, an address.
 */
#pragma once

#include "base/u64map.h"

struct pp_store;

/* Distinct pcs of one place: code that is really executed is far less, even in a browser. */
#define PP_PCS_MAX 262144

struct pp_pending_pc {
	uint64_t key;
	uint64_t time_ns; /* when it was sampled */
	uint32_t frame;
	bool late; /* its name may come at any time: nobody waits for it */
};

struct pp_pcs {
	struct pp_u64map frames; /* key -> frame */
	struct pp_pending_pc *pending;
	size_t nr_pending, pending_cap;
};

bool pp_pcs_get(const struct pp_pcs *p, uint64_t key, uint32_t *ret_frame);
/* Keeps a frame. A cache that is full forgets all but what is pending, and begins anew. */
void pp_pcs_put(struct pp_pcs *p, uint64_t key, uint32_t frame);
/* Keeps a frame whose name is to be looked up. -ENOMEM, or -ENOSPC where all that the
 * cache holds is pending. */
int pp_pcs_put_pending(struct pp_pcs *p, uint64_t key, uint32_t frame, uint64_t time_ns);
/* Forgets the frame of a key; its next sample makes another. */
void pp_pcs_drop(struct pp_pcs *p, uint64_t key);
/* Forgets pending entry i, which is replaced by the last one. */
void pp_pcs_drop_pending(struct pp_pcs *p, size_t i);
/* Pending entries that were sampled up to time_ns and are worth waiting for. */
size_t pp_pcs_pending(const struct pp_pcs *p, uint64_t time_ns);
/* After a collection: forgets frames that are gone. */
void pp_pcs_swept(struct pp_pcs *p, struct pp_store *store);
/* Forgets everything but what is pending. */
void pp_pcs_forget(struct pp_pcs *p);
/* The next sample of each key makes another frame; what is pending goes on waiting by itself. */
void pp_pcs_renew(struct pp_pcs *p);
/* Gives up on what is pending, and frees. */
void pp_pcs_done(struct pp_pcs *p, struct pp_store *store);
