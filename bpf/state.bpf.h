/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interpreter says of the thread besides its frames: the GIL, the garbage collector, the
 * asyncio task. A few words, read once the thread's state is found and before its frames are.
 *
 * The GIL names the last thread state that took it, and whether it is taken. A thread that does not
 * hold it waits for it where it says so itself (3.15), or where it sleeps in the kernel on one of
 * the GIL's own futexes: its condition variable or its mutex. Else it runs without.
 */
#pragma once

#include "chain.bpf.h"

/* The GIL's structure, the same from 3.8 to 3.15. */
#define GIL_HOLDER 8 /* the thread state; what follows says whether that still has it */
#define GIL_BYTES  208

/* ABI. */
#define SYSCALL_FUTEX	  202
#define FUTEX_COMMAND	  0x7f
#define FUTEX_WAIT	  0
#define FUTEX_WAIT_BITSET 9

static __always_inline __u64 futex_waited_for(const struct pp_regs *regs)
{
	__u32 command = regs->si & FUTEX_COMMAND;

	if (regs->orig_ax != SYSCALL_FUTEX ||
	    (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET))
		return 0;
	return regs->di;
}

/* Address of the thread's GIL, or 0. */
static __always_inline __u64 gil_of(struct pp_walk *w)
{
	const struct pp_chain *c = &w->chain;
	const struct pp_layout *l = &c->layout;

	if (!l->interp_gil)
		return l->current_gil ? c->interp.current + l->current_gil : 0;
	if (w->gil_gen != w->gen || w->gil_interp != c->own_interp || !w->gil) {
		w->gil = user_word(c->own_interp + l->interp_gil);
		w->gil_interp = c->own_interp;
		w->gil_gen = w->gen;
	}
	return w->gil;
}

static __always_inline __u32 look_at_gil(struct pp_walk *w)
{
	const struct pp_chain *c = &w->chain;
	__u64 gil = gil_of(w);
	struct {
		__u64 holder;
		__s32 locked;
		__u32 pad;
	} is;
	__u32 requested = 0;

	if (!gil || bpf_probe_read_user(&is, sizeof(is), (void *)(gil + GIL_HOLDER)))
		return PP_GIL_UNKNOWN;
	if (is.locked > 0 && is.holder == c->state)
		return PP_GIL_HELD;
	if (c->layout.state_requested)
		bpf_probe_read_user(&requested, sizeof(requested),
				    (void *)(c->state + c->layout.state_requested));
	return requested || w->futex - gil < GIL_BYTES ? PP_GIL_WAITING : PP_GIL_RELEASED;
}

static __always_inline __u32 look_at_gc(const struct pp_walk *w)
{
	const struct pp_chain *c = &w->chain;
	const struct pp_layout *l = &c->layout;
	__u32 collecting;
	__u64 at = 0;

	if (l->interp_gc)
		at = c->own_interp + l->interp_gc;
	else if (l->current_gc)
		at = c->interp.current + l->current_gc;
	if (!at || w->sample.gil == PP_GIL_UNKNOWN)
		return PP_GC_UNKNOWN;
	if (w->sample.gil != PP_GIL_HELD)
		return PP_GC_IDLE;
	if (bpf_probe_read_user(&collecting, sizeof(collecting), (void *)at))
		return PP_GC_UNKNOWN;
	return collecting ? PP_GC_RUNNING : PP_GC_IDLE;
}

/* The code of the coroutine of the task that the thread runs. Whether it is one, who reads it
 * finds out. */
static __always_inline __u64 look_for_task(const struct pp_chain *c)
{
	const struct pp_layout *l = &c->layout;
	__u64 task, coro, code;

	if (!l->state_task)
		return 0;
	task = user_word(c->state + l->state_task);
	coro = task ? user_word(task + l->task_coro) : 0;
	if (!coro)
		return 0;
	code = user_word(coro + l->coro_frame + l->frame_code) & ~(__u64)l->code_tag;
	return code & 7 || code >= USER_ADDRESS_MAX ? 0 : code;
}

/* Notes it all, whatever the beginning of the chain was like. */
__noinline int take_state(void)
{
	struct pp_walk *w = this_walk();

	if (!w)
		return 0;
	if (w->sample.chain_end == PP_CHAIN_NO_STATE)
		return 0;
	w->sample.gil = PP_GIL_UNKNOWN;
	w->sample.gc = PP_GC_UNKNOWN;
	if (w->sample.chain_end == PP_CHAIN_FOREIGN)
		return 0;
	w->sample.gil = look_at_gil(w);
	w->sample.gc = look_at_gc(w);
	w->sample.task = look_for_task(&w->chain);
	return 0;
}
