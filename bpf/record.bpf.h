/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The record of a sample, and what it may leave out.
 *
 * Samples of one thread are much alike: the same names, the same outer frames, another leaf. Both
 * halves keep, in a slot, what the last record said of a thread on a CPU, and the next says how
 * many of its outermost frames are the same and sends the others. The slot's words are kept root
 * first: the outer part that two stacks share is a common beginning, and only what is behind it is
 * written again. What is compared is what was sent, word by word. So a record is right whatever
 * thread the slot is of, and whatever became of its tid, its program or its code in between: they
 * only make the common part short.
 *
 * The halves stay in step because records of one CPU are read in the order they were sent in, and
 * each has the slot's next number. Where the ring has no room the slot is emptied, and the next
 * record leaves nothing out.
 *
 * Kernel stacks are sent as they are: they are few, short and all different.
 */
#pragma once

#include "unwind.bpf.h"

/* Set before load. */
const volatile __u32 records = PP_RECORDS_DELTA;

/* A daemon that drains the ring by time needs no waking, which costs more than a walk. One that has
 * gone to sleep is woken once. */
static __always_inline __u64 wakeup(__u32 tgid)
{
	__u32 zero = 0;
	struct pp_drain *d = bpf_map_lookup_elem(&drain, &zero);

	if (!d || !d->asleep || tgid == d->tgid)
		return BPF_RB_NO_WAKEUP;
	d->asleep = 0;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline struct pp_slot *this_slot(const struct pp_walk *w)
{
	__u32 slot = w->slot;

	return bpf_map_lookup_elem(&slots, &slot);
}

/*
 * Chooses the thread's slot, and touches where the comparison will begin: by then it is in the
 * cache, and nothing waited for it.
 */
static __always_inline void choose_slot(struct pp_walk *w)
{
	struct pp_slot *slot;

	w->sample.cpu = bpf_get_smp_processor_id();
	if (records == PP_RECORDS_WHOLE)
		return;
	w->slot = w->sample.cpu * PP_SLOTS + w->sample.tid % PP_SLOTS;
	slot = this_slot(w);
	if (!slot)
		return;
	(void)*(volatile __u32 *)&slot->seq;
	(void)*(volatile __u64 *)slot->python;
	(void)*(volatile __u64 *)slot->user;
}

static __always_inline void empty_slot(struct pp_slot *slot)
{
	slot->who[0] = 0;
	slot->nr_python = slot->nr_user = 0;
}

/*
 * Gives the slot nr words of the record, those before `end`, the last first; nr_kept are there
 * already. Returns how many at the beginning were the same. The count goes through memory, so that
 * the verifier does not know it and follows one way on and not PP_SLOT_USER_MAX, which is the
 * larger of the two bounds.
 */
static __noinline __u32 keep(struct pp_walk *w, __u64 *words, __u32 nr_kept, __u64 end, __u32 nr)
{
	__u64 at, to;
	__u32 same;

	if (nr_kept > nr)
		nr_kept = nr;
	for (same = 0; same < PP_SLOT_USER_MAX && same < nr_kept; same++) {
		at = end - 1 - same;
		BOUND(at, PCS_MAX - 1);
		if (w->pcs[at] != words[same])
			break;
	}
	*(volatile __u32 *)&w->same = same;
	same = *(volatile __u32 *)&w->same;
	for (__u32 i = 0; i < PP_SLOT_USER_MAX; i++) {
		to = same + i;
		at = end - 1 - to;
		if (to >= nr)
			break;
		BOUND(to, PP_SLOT_USER_MAX - 1);
		BOUND(at, PCS_MAX - 1);
		words[to] = w->pcs[at];
	}
	return same;
}

/* Gives the slot the outermost frames, and notes those it had. */
static __always_inline void keep_frames(struct pp_walk *w, struct pp_slot *slot)
{
	__u32 nr = w->sample.nr_user;

	if (nr > PP_SLOT_USER_MAX)
		nr = PP_SLOT_USER_MAX;
	w->sample.kept_user = keep(w, slot->user, slot->nr_user, words(w), nr);
	slot->nr_user = nr;
	nr = w->sample.nr_python;
	if (nr > PP_SLOT_PYTHON_MAX)
		nr = PP_SLOT_PYTHON_MAX;
	nr *= 2;
	w->sample.kept_python = keep(w, slot->python, slot->nr_python,
				     (__u64)w->sample.nr_kernel + 2 * w->sample.nr_python, nr) /
				2;
	slot->nr_python = nr;
}

/* Takes the Python frames kept from between the others and the user frames. Where these are more
 * than it moves, the Python frames stay. */
static __always_inline void close_gap(struct pp_walk *w)
{
	__u32 nr = w->sample.nr_user - w->sample.kept_user;
	__u64 to, from;

	if (nr > PP_SLOT_USER_MAX) {
		w->sample.kept_python = 0;
		return;
	}
	from = (__u64)w->sample.nr_kernel + 2 * w->sample.nr_python;
	to = from - 2 * w->sample.kept_python;
	for (__u32 i = 0; i < PP_SLOT_USER_MAX && i < nr; i++, from++, to++) {
		BOUND(from, PCS_MAX - 1);
		BOUND(to, PCS_MAX - 1);
		w->pcs[to] = w->pcs[from];
	}
}

/* Whether the slot says who was running; then it does. */
static __always_inline bool keep_who(const struct pp_walk *w, struct pp_slot *slot)
{
	const __u64 *who = (const __u64 *)&w->sample;
	__u64 other = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < PP_SLOT_WHO_WORDS; i++) {
		other |= slot->who[i] ^ who[i];
		slot->who[i] = who[i];
	}
	return !other;
}

/* Hands the record to the ring: the sample from a byte on, and so many words. Returns 0, or that
 * there is no room. */
static __always_inline long output(struct pp_walk *w, __u64 from, __u64 nr_words)
{
	__u64 size = sizeof(w->sample) - from + nr_words * sizeof(__u64);

	if (size > sizeof(w->sample) + sizeof(w->pcs))
		size = sizeof(w->sample) + sizeof(w->pcs);
	return bpf_ringbuf_output(&ring, (char *)&w->sample + from, size, wakeup(w->sample.tgid));
}

static __always_inline long send_whole(struct pp_walk *w)
{
	w->sample.form = PP_FORM_WHOLE;
	w->sample.slot = w->sample.seq = 0;
	w->sample.kept_python = w->sample.kept_user = 0;
	return output(w, 0, words(w));
}

/* Sends the sample. 0, or it is lost: the ring has no room. */
static __always_inline long send(struct pp_walk *w)
{
	struct pp_slot *slot;
	__u64 from, nr;

	w->sample.short_form = PP_FORM_SHORT;
	if (records != PP_RECORDS_DELTA) {
		long r = send_whole(w);

		if (records == PP_RECORDS_WHOLE)
			return r;
	}
	w->sample.form = PP_FORM_FULL;
	w->sample.slot = w->slot % PP_SLOTS;
	slot = this_slot(w);
	if (!slot)
		return -1;
	w->sample.seq = ++slot->seq;
	if (w->sample.seq % PP_SLOT_RENEWAL == 0)
		empty_slot(slot);
	keep_frames(w, slot);
	close_gap(w);
	from = keep_who(w, slot) ? offsetof(struct pp_sample, short_form) : 0;
	nr = words(w) - w->sample.kept_user - 2 * w->sample.kept_python;
	if (!output(w, from, nr))
		return 0;
	empty_slot(slot);
	return -1;
}
