/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk of the interpreter's own frames, before that of the native stack.
 *
 * A thread's state is found in the thread's own memory (struct pp_interp), and believed only if it
 * names this very thread: a wrong place leads nowhere. From its current frame on, frames are linked
 * to their callers. One native activation of the evaluation loop runs a run of them, and from 3.11
 * on has an object on its own stack frame that the chain passes through: the entry frame, or in
 * 3.11 the cframe. The addresses of these objects are the *marks*: the native walk, which comes
 * next, knows an evaluation loop by the mark that lies in its frame.
 *
 * Frames lie on the data stack, leaf at the highest address: one window of 4 KB, cut at the start
 * of the stack's chunk, holds some 35. What is on the C stack comes in the native walk's window,
 * which begins at the leaf and often holds all of both; generators' frames are read one by one.
 * Code objects are read only where the interpreter does not number them, for their prints.
 *
 * What is read is written by the process itself, which may be in the middle of a call. 3.11 and
 * 3.12 publish a cframe before they have set its frame, which then is what an earlier call left
 * there. So the first frame must lie below the data stack's top and have a code object, and what
 * the first run ends with must be what the cframe before it says; else the chain begins with that
 * one. A chain that makes no sense is dropped as a whole.
 *
 * For the verifier, as in unwind.bpf.h: steps are global functions, verified once.
 */
#pragma once

#include "unwind.bpf.h"

#define NO_MARK		(~0ULL)
#define STACK_SPAN	(64ULL << 20) /* above rsp: likely this thread's stack */
#define CFRAME_BYTES	24
#define CFRAME_SPAN	(1ULL << 20) /* between two on one stack: C may use much in between */
#define STATE_SPAN	1024
#define CHUNK_HEAD_MAX	64 /* in front of a chunk's first frame */
#define RESTARTS_MAX	8
#define FRAMES_PER_CALL 32 /* the data stack's window holds some 35 */
/* Frames, their entry frames, and some that a restart drops. */
#define CHAIN_STEPS_MAX (2 * PP_PYTHON_FRAMES_MAX + 64)

/* enum _frameowner */
#define OWNER_THREAD	  0
#define OWNER_GENERATOR	  1
#define OWNER_INTERPRETER 3 /* and above: an entry frame */

#define CHAIN_AT_MAX (2 * WINDOW_BYTES) /* power of two above every place in the window */
#define CHAIN_AT(w, type, at, offset) \
	(*(type *)&(w)->window[((at) & (CHAIN_AT_MAX - 1)) + ((offset) & (PP_STATE_BYTES_MAX - 1))])

static __always_inline bool in_chunk(const struct pp_chain *c, __u64 address)
{
	return address >= c->chunk_start && address < c->chunk_end;
}

/* 3.11 and 3.12: the outermost cframe is a part of the thread state. */
static __always_inline bool in_state(const struct pp_chain *c, __u64 address)
{
	return address - c->state < STATE_SPAN;
}

static __always_inline bool on_stack(const struct pp_walk *w, __u64 address)
{
	return address - w->sp < STACK_SPAN;
}

/* Where in the window `bytes` at address are, or -1: of what it holds. */
static __always_inline int chain_find(struct pp_walk *w, __u64 address, __u32 bytes)
{
	struct pp_chain *c = &w->chain;
	__u64 offset = address - c->data_start;

	if (offset < c->data_len && offset + bytes <= c->data_len)
		return CHAIN_DATA + offset;
	offset = address - w->window_start;
	if (offset < w->window_len && offset + bytes <= w->window_len)
		return offset;
	offset = address - c->other_start;
	if (offset < c->other_len && offset + bytes <= c->other_len)
		return CHAIN_OTHER + offset;
	return -1;
}

/* Reads what holds `bytes` at address into its part of the window; where there, or -1. */
__noinline int chain_load(__u64 address, __u32 bytes)
{
	struct pp_walk *w = this_walk();
	struct pp_chain *c;
	__u64 size;

	if (!w || bytes > PP_PYFRAME_BYTES_MAX || address & 7 || address >= USER_ADDRESS_MAX)
		return -1;
	c = &w->chain;
	if (in_chunk(c, address)) {
		size = address + bytes - c->chunk_start;
		if (size > DATA_BYTES)
			size = DATA_BYTES;
		c->data_start = address + bytes - size;
		c->data_len = 0;
		BOUND(size, 2 * DATA_BYTES - 1);
		if (bpf_probe_read_user(&w->window[CHAIN_DATA], size, (void *)c->data_start))
			return -1;
		c->data_len = size;
		return CHAIN_DATA + size - bytes;
	}
	if (on_stack(w, address) && !refill(address) && chain_find(w, address, bytes) >= 0)
		return chain_find(w, address, bytes);
	size = bytes;
	c->other_start = address;
	c->other_len = 0;
	BOUND(size, 2 * PP_PYFRAME_BYTES_MAX - 1);
	if (bpf_probe_read_user(&w->window[CHAIN_OTHER], size, (void *)address))
		return -1;
	c->other_len = size;
	return CHAIN_OTHER;
}

static __always_inline int chain_hold(struct pp_walk *w, __u64 address, __u32 bytes)
{
	int at = address & 7 ? -1 : chain_find(w, address, bytes);

	return at < 0 ? chain_load(address, bytes) : at;
}

static __always_inline __u64 user_word(__u64 address)
{
	__u64 value = 0;

	if (bpf_probe_read_user(&value, sizeof(value), (void *)address))
		return 0;
	return value;
}

/*
 * The number of the next code object: those that are running have lower ones. Who reads them later
 * knows by it which were made since.
 */
static __always_inline void take_next_code(struct pp_walk *w)
{
	__u32 number;

	if (w->chain.next_code &&
	    !bpf_probe_read_user(&number, sizeof(number), (void *)w->chain.next_code))
		w->sample.next_code = number;
}

/* ---- Prints ---------------------------------------------------------------------------------- */

#define OBJECT_AT(w, type, offset) (*(type *)&(w)->object[(offset) & (OBJECT_BYTES - 1)])

static __always_inline struct pp_print *print_at(struct pp_walk *w, __u64 address)
{
	return &w->prints[(address >> 4 ^ address >> 10) & (PRINTS_MAX - 1)];
}

/* Mixes `bytes` of w->object at an offset, at most PP_PRINT_TEXT. */
static __always_inline __u64 mix_text(struct pp_walk *w, __u64 h, __u64 offset, __u64 bytes)
{
	for (__u64 i = 0; i < PP_PRINT_TEXT; i += 8) {
		__u64 left = bytes - i, word;

		if (bytes <= i)
			break;
		word = OBJECT_AT(w, __u64, offset + i);
		if (left < 8)
			word &= (1ULL << (left * 8 & 63)) - 1;
		h = pp_print_mix(h, word);
	}
	return h;
}

/* Reads the first bytes of a str into w->object. */
static __always_inline int read_str(struct pp_walk *w, __u64 address, const __u32 bytes)
{
	__u64 left = 4096 - (address & 4095);

	if (!bpf_probe_read_user(w->object, bytes, (void *)address))
		return 0;
	/* What lies behind it may not be there. */
	if (left >= bytes)
		return -1;
	BOUND(left, OBJECT_BYTES - 1);
	return bpf_probe_read_user(w->object, left, (void *)address);
}

/* The print of a str's text, or 0. */
__noinline __u32 text_print(__u64 address)
{
	struct pp_walk *w = this_walk();
	__u64 bytes, start, h;
	struct pp_print *p;
	struct pp_layout *l;
	__u32 bits;

	if (!w || address & 7 || !address || address >= USER_ADDRESS_MAX)
		return 0;
	p = print_at(w, address);
	if (p->address == address && p->walk == w->chain.walk)
		return p->print;
	l = &w->chain.layout;
	if (read_str(w, address, SHORT_STR_BYTES))
		return 0;
	bytes = OBJECT_AT(w, __u64, l->str_length);
	bits = OBJECT_AT(w, __u32, l->str_state) >> (l->str_kind & 31) & 31;
	h = pp_print_mix(bytes, bits);
	bytes *= bits & 7;
	start = bits & 16 ? l->str_ascii : l->str_compact;
	if (start + bytes > SHORT_STR_BYTES && read_str(w, address, OBJECT_BYTES))
		return 0;
	h = mix_text(w, h, start, bytes);
	if (bytes > PP_PRINT_TEXT) {
		if (bpf_probe_read_user(w->object, PP_PRINT_TEXT,
					(void *)(address + start + bytes - PP_PRINT_TEXT)))
			return 0;
		h = mix_text(w, h, 0, PP_PRINT_TEXT);
	}
	p->address = address;
	p->walk = w->chain.walk;
	p->print = pp_print_fold(h);
	return p->print;
}

/* The print of a code object, or 0. */
__noinline __u32 code_print(__u64 code)
{
	struct pp_walk *w = this_walk();
	struct pp_layout *l;
	struct pp_print *p;
	__u64 size, h = 0, name, file;
	__u32 of_name, of_file;

	if (!w)
		return 0;
	p = print_at(w, code);
	if (p->address == code && p->walk == w->chain.walk)
		return p->print;
	l = &w->chain.layout;
	size = l->print_words * 8;
	if (size > PP_PRINT_WORDS_MAX * 8)
		size = PP_PRINT_WORDS_MAX * 8;
	BOUND(size, OBJECT_BYTES - 1);
	if (bpf_probe_read_user(w->object, size, (void *)(code + l->print_first)))
		return 0;
	for (int i = 0; i < PP_PRINT_WORDS_MAX; i++) {
		if (i >= l->print_words)
			break;
		h = pp_print_mix(h, OBJECT_AT(w, __u64, i * 8));
	}
	if (!l->print_number || !OBJECT_AT(w, __u32, l->print_number - l->print_first)) {
		name = OBJECT_AT(w, __u64, l->print_name - l->print_first);
		file = OBJECT_AT(w, __u64, l->print_file - l->print_first);
		of_name = text_print(name);
		of_file = text_print(file);
		if (!of_name || !of_file)
			return 0;
		h = pp_print_mix(h, (__u64)of_name << 32 | of_file);
	}
	p->address = code;
	p->walk = w->chain.walk;
	p->print = pp_print_fold(h);
	return p->print;
}

/* ---- The beginning --------------------------------------------------------------------------- */

/* The chain begins at the cframe's frame. */
static __always_inline int enter_cframe(struct pp_walk *w, __u64 cframe)
{
	int at = chain_hold(w, cframe, CFRAME_BYTES);

	if (at < 0)
		return PP_CHAIN_UNREADABLE;
	w->chain.cframe = cframe;
	w->chain.frame = CHAIN_AT(w, __u64, at, w->chain.layout.cframe_frame);
	return PP_CHAIN_NONE;
}

/* The chain begins at the thread state's frame. NONE: it does; else how it has ended. */
__noinline int enter_state(__u64 state)
{
	struct pp_walk *w = this_walk();
	struct pp_layout *l;
	struct pp_chain *c;
	__u64 size, first;

	if (!w)
		return PP_CHAIN_NO_STATE;
	c = &w->chain;
	l = &c->layout;
	size = l->state_bytes;
	first = l->state_first;
	if (size > PP_STATE_BYTES_MAX)
		size = PP_STATE_BYTES_MAX;
	BOUND(size, 2 * PP_STATE_BYTES_MAX - 1);
	c->other_len = 0;
	if (bpf_probe_read_user(&w->window[CHAIN_OTHER], size, (void *)(state + first)) ||
	    CHAIN_AT(w, __u64, CHAIN_OTHER, l->state_thread - first) != c->fsbase)
		return PP_CHAIN_FOREIGN;
	c->chunk_start = c->chunk_end = c->top = 0;
	if (l->state_chunk) {
		c->chunk_start = CHAIN_AT(w, __u64, CHAIN_OTHER, l->state_chunk - first);
		c->top = CHAIN_AT(w, __u64, CHAIN_OTHER, l->state_chunk - first + 8);
		c->chunk_end = CHAIN_AT(w, __u64, CHAIN_OTHER, l->state_chunk - first + 16);
	}
	c->own_interp = CHAIN_AT(w, __u64, CHAIN_OTHER, l->state_interp - first);
	/* Of another interpreter's code objects that number says nothing. */
	if (c->interp.numbered_interp && c->own_interp != c->interp.numbered_interp)
		c->next_code = 0;
	c->frame = CHAIN_AT(w, __u64, CHAIN_OTHER, l->state_frame - first);
	c->cframe = c->first_cframe = 0;
	c->state = state;
	if (c->frame && (l->form == PP_FRAMES_CFRAMES || l->form == PP_FRAMES_BOTH))
		c->first_cframe = c->frame;
	return c->first_cframe ? enter_cframe(w, c->first_cframe) : PP_CHAIN_NONE;
}

/* Finds the thread's state and goes there. As enter_state. */
__noinline int chain_begin(void)
{
	struct pp_walk *w = this_walk();
	__u64 base, state, current;
	struct pp_chain *c;

	if (!w)
		return PP_CHAIN_NO_STATE;
	c = &w->chain;
	c->next_code = c->interp.next_code;
	c->data_len = c->other_len = c->outer = c->run_frames = c->restarts = 0;
	base = c->fsbase;
	if (c->interp.block)
		base = user_word(base + c->interp.block);
	state = user_word(base + c->interp.slot[0]);
	if (!state && c->interp.slot[1])
		state = user_word(base + c->interp.slot[1]);
	if (!state)
		return PP_CHAIN_NO_STATE;
	if (c->interp.current) {
		current = user_word(c->interp.current);
		if (current && current != state && enter_state(current) == PP_CHAIN_NONE) {
			c->outer = state;
			return PP_CHAIN_NONE;
		}
	}
	return enter_state(state);
}

/* ---- Frame by frame -------------------------------------------------------------------------- */

/* Where nothing else tells of which code object the frame is, its print goes with it. */
static __always_inline __u64 add_print(struct pp_walk *w, __u64 code, __u64 position)
{
	__u64 place = position;

	if (w->chain.layout.position_bytes != 4) {
		place = position - code;
		if ((__s64)place != (__s32)place)
			place = PP_PYFRAME_FAR;
	}
	return (__u64)code_print(code) << 32 | (__u32)place;
}

static __always_inline void push_pyframe(struct pp_walk *w, __u64 code, __u64 position)
{
	__u64 at = words(w);

	BOUND(at, PCS_MAX - 1);
	w->pcs[at] = code;
	at = words(w) + 1;
	BOUND(at, PCS_MAX - 1);
	w->pcs[at] = position;
	w->sample.nr_python++;
}

/* The run is over: its last frame is marked, or where there is none, that. */
static __always_inline void end_run(struct pp_walk *w)
{
	__u64 at = words(w) - 2;

	BOUND(at, PCS_MAX - 1);
	if (w->chain.run_frames)
		w->pcs[at] |= PP_PYFRAME_LAST;
	else
		push_pyframe(w, PP_PYFRAME_LAST, 0);
	w->chain.run_frames = 0;
}

static __always_inline void add_mark(struct pp_walk *w, __u64 mark)
{
	__u64 at = w->nr_marks++;

	BOUND(at, PP_PYTHON_FRAMES_MAX - 1);
	w->marks[at] = mark;
}

/* The chain has ended; of one that is not right nothing stays. */
static __always_inline int chain_ended(struct pp_walk *w, enum pp_chain_end end)
{
	w->sample.chain_end = end;
	if (end != PP_CHAIN_COMPLETE && end != PP_CHAIN_DEPTH)
		w->sample.nr_python = w->nr_marks = 0;
	return 1;
}

/* The frame that the cframe before this one has; 0 where there is none. The cframe becomes it. */
static __always_inline __u64 leave_cframe(struct pp_walk *w)
{
	struct pp_layout *l = &w->chain.layout;
	int at = chain_hold(w, w->chain.cframe, CFRAME_BYTES);
	__u64 previous;

	if (at < 0)
		return 0;
	previous = CHAIN_AT(w, __u64, at, l->cframe_previous);
	at = previous ? chain_hold(w, previous, CFRAME_BYTES) : -1;
	w->chain.cframe = previous;
	return at < 0 ? 0 : CHAIN_AT(w, __u64, at, l->cframe_frame);
}

/*
 * Looks for a cframe on the stack from an address on: a frame, and a cframe that is further out.
 * What looks like one may be none; the run that it leads to tells. 0: there is none within a
 * window.
 */
__noinline __u64 find_cframe(__u64 from)
{
	struct pp_walk *w = this_walk();
	struct pp_chain *c;

	if (!w)
		return 0;
	c = &w->chain;
	c->other_len = 0;
	if (bpf_probe_read_user(&w->window[CHAIN_OTHER], OTHER_BYTES, (void *)from))
		return 0;
	c->other_start = from;
	c->other_len = OTHER_BYTES;
	for (int i = 0; i < OTHER_BYTES - CFRAME_BYTES; i += 8) {
		__u64 cframe = from + i;
		__u64 frame = CHAIN_AT(w, __u64, CHAIN_OTHER + i, c->layout.cframe_frame);
		__u64 outer = CHAIN_AT(w, __u64, CHAIN_OTHER + i, c->layout.cframe_previous);

		if (!frame || (frame | outer) & 7 || frame >= USER_ADDRESS_MAX ||
		    (in_chunk(c, frame) ? frame >= c->top : on_stack(w, frame)))
			continue;
		if (outer - cframe < CFRAME_SPAN || in_state(c, outer))
			return cframe;
	}
	return 0;
}

/*
 * What was read is no frame. In the first run, that may be a cframe that has neither a frame nor
 * the cframe before it yet: then the chain begins with that one, which what was left there may
 * still lead to, and else is the next on the stack.
 */
static __always_inline int chain_broken(struct pp_walk *w, enum pp_chain_end why)
{
	struct pp_chain *c = &w->chain;
	bool outermost = false;

	if (!c->first_cframe || w->nr_marks || c->restarts >= RESTARTS_MAX)
		return chain_ended(w, why);
	c->run_frames = 0;
	w->sample.nr_python = 0;
	if (!c->restarts++) {
		c->scanned = c->cframe = c->first_cframe;
		c->frame = leave_cframe(w);
		if (c->frame)
			return 0;
		/* Before the outermost, or so it seems. */
		outermost = in_state(c, c->cframe);
	}
	c->cframe = find_cframe(c->scanned + 8);
	if (!c->cframe)
		return chain_ended(w, outermost ? PP_CHAIN_COMPLETE : why);
	c->scanned = c->cframe;
	return enter_cframe(w, c->cframe) == PP_CHAIN_NONE ? 0 : chain_ended(w, why);
}

/* The data stack grows by chunks: a frame that lies in none that is known may lie in the one
 * before.
 */
static __always_inline void follow_chunk(struct pp_chain *c, __u64 frame)
{
	__u64 head[2]; /* the chunk before, its size */

	if (!c->chunk_start || bpf_probe_read_user(head, 8, (void *)c->chunk_start) ||
	    frame < head[0] || bpf_probe_read_user(&head[1], 8, (void *)(head[0] + 8)) ||
	    frame - head[0] >= head[1])
		return;
	c->chunk_start = head[0];
	c->chunk_end = head[0] + head[1];
}

/* Passes an entry frame, which the evaluation loop has on its stack. */
static __always_inline int pass_entry(struct pp_walk *w, __u64 previous)
{
	struct pp_chain *c = &w->chain;

	if (c->layout.sentinel && !previous) {
		if (c->run_frames)
			end_run(w);
		c->frame = 0;
		return 0;
	}
	/* 3.12: is the first run really the innermost? */
	if (c->cframe && !w->nr_marks && leave_cframe(w) != previous)
		return chain_broken(w, PP_CHAIN_MALFORMED);
	if (w->nr_marks >= PP_PYTHON_FRAMES_MAX)
		return chain_ended(w, PP_CHAIN_DEPTH);
	end_run(w);
	add_mark(w, c->frame);
	c->frame = previous;
	return 0;
}

/* 3.11: the frame just pushed is the last of the cframe's run. */
static __always_inline int pass_cframe(struct pp_walk *w, __u64 previous)
{
	struct pp_chain *c = &w->chain;
	__u64 cframe = c->cframe;

	if (leave_cframe(w) != previous)
		return chain_broken(w, PP_CHAIN_MALFORMED);
	/* The thread's outermost frame lies at the bottom. Another may seem to be that while it is
	 * being made. */
	if (!previous && in_chunk(c, c->frame) && c->frame - c->chunk_start > CHUNK_HEAD_MAX)
		return chain_ended(w, PP_CHAIN_MALFORMED);
	end_run(w);
	add_mark(w, cframe);
	c->frame = previous;
	return 0;
}

/* Whether the frame that a cframe leads to is left over from an earlier call. */
static __always_inline bool is_stale(struct pp_walk *w, __u64 frame, __u64 code)
{
	struct pp_chain *c = &w->chain;

	if (!c->cframe || w->sample.nr_python || w->nr_marks)
		return false;
	if (in_chunk(c, frame) && frame >= c->top)
		return true;
	return c->interp.code_type &&
	       user_word(code + c->layout.object_type) != c->interp.code_type;
}

/*
 * Takes those of the next frames that are as most are: the interpreter's own, on the data stack and
 * in its window, of code objects that need no print or have one from before. Where one is not, it
 * and what makes it special are chain_step's.
 */
__noinline int chain_frames(void)
{
	struct pp_walk *w = this_walk();
	struct pp_layout *l;
	struct pp_chain *c;
	__u64 frame, at;
	__u32 n = 0;

	if (!w)
		return 0;
	c = &w->chain;
	l = &c->layout;
	/* The first frame is doubted where there are cframes. */
	if (l->form < PP_FRAMES_CFRAMES || l->position_bytes != 8 ||
	    (c->cframe && !w->sample.nr_python && !w->nr_marks))
		return 0;
	frame = c->frame;
	at = words(w);
	for (int i = 0; i < FRAMES_PER_CALL; i++) {
		__u64 offset = frame - c->data_start, code, previous, position, flags = 0;
		struct pp_print *p;

		if (offset >= c->data_len || offset + l->frame_bytes > c->data_len ||
		    !in_chunk(c, frame) || w->sample.nr_python + n >= PP_PYTHON_FRAMES_MAX)
			break;
		offset += CHAIN_DATA;
		code = CHAIN_AT(w, __u64, offset, l->frame_code) & ~(__u64)l->code_tag;
		previous = CHAIN_AT(w, __u64, offset, l->frame_previous);
		position = CHAIN_AT(w, __u64, offset, l->frame_position);
		if (CHAIN_AT(w, __u8, offset, l->frame_owner) != OWNER_THREAD || !code ||
		    code & 7 || code >= USER_ADDRESS_MAX)
			break;
		if (l->form == PP_FRAMES_CFRAMES) {
			if (CHAIN_AT(w, __u8, offset, l->frame_owner - 1))
				break;
		} else if (!previous) {
			break;
		}
		if (!w->sample.next_code) {
			__s64 place = position - code;

			p = print_at(w, code);
			if (p->address != code || p->walk != c->walk || place != (__s32)place)
				break;
			position = (__u64)p->print << 32 | (__u32)place;
			flags = PP_PYFRAME_PRINT;
		}
		BOUND(at, PCS_MAX - 1);
		w->pcs[at] = code | flags;
		at++;
		BOUND(at, PCS_MAX - 1);
		w->pcs[at] = position;
		at++;
		n++;
		frame = previous;
	}
	c->frame = frame;
	c->run_frames += n;
	w->sample.nr_python += n;
	return 0;
}

/* Takes the next frame. 0: go on; 1: the chain has ended, how is in sample.chain_end. */
__noinline int chain_step(void)
{
	struct pp_walk *w = this_walk();
	__u64 frame, code, previous, position, flags;
	struct pp_layout *l;
	struct pp_chain *c;
	__u32 owner;
	int at;

	if (!w)
		return 1;
	c = &w->chain;
	l = &c->layout;
	frame = c->frame;
	if (!frame && c->outer) {
		frame = c->outer;
		c->outer = 0;
		return enter_state(frame) == PP_CHAIN_NONE ? 0 : chain_ended(w, PP_CHAIN_MALFORMED);
	}
	if (!frame)
		return chain_ended(w, PP_CHAIN_COMPLETE);
	at = chain_hold(w, frame, l->frame_bytes);
	if (at < 0)
		return chain_broken(w, PP_CHAIN_UNREADABLE);
	previous = CHAIN_AT(w, __u64, at, l->frame_previous);
	owner = l->frame_owner ? CHAIN_AT(w, __u8, at, l->frame_owner) : OWNER_THREAD;
	if (owner >= OWNER_INTERPRETER && l->form >= PP_FRAMES_BOTH)
		return pass_entry(w, previous);
	code = CHAIN_AT(w, __u64, at, l->frame_code) & ~(__u64)l->code_tag;
	if (!code || code & 7 || code >= USER_ADDRESS_MAX ||
	    (!previous && l->form >= PP_FRAMES_BOTH) || is_stale(w, frame, code))
		return chain_broken(w, PP_CHAIN_MALFORMED);
	if (w->sample.nr_python >= PP_PYTHON_FRAMES_MAX)
		return chain_ended(w, PP_CHAIN_DEPTH);
	position = l->position_bytes == 4 ? (__u64)CHAIN_AT(w, __s32, at, l->frame_position)
					  : CHAIN_AT(w, __u64, at, l->frame_position);
	flags = owner == OWNER_GENERATOR ? PP_PYFRAME_GENERATOR : 0;
	if (!w->sample.next_code) {
		position = add_print(w, code, position);
		flags |= PP_PYFRAME_PRINT;
	}
	push_pyframe(w, code | flags, position);
	c->run_frames++;
	if (l->form == PP_FRAMES_OBJECTS)
		end_run(w);
	else if (owner == OWNER_THREAD && !in_chunk(c, frame))
		follow_chunk(c, frame);
	if (l->form == PP_FRAMES_CFRAMES && CHAIN_AT(w, __u8, at, l->frame_owner - 1))
		return pass_cframe(w, previous);
	c->frame = previous;
	return 0;
}

/* ---- Marks in the native walk ---------------------------------------------------------------- */

static __always_inline void begin_marks(struct pp_walk *w)
{
	w->at_mark = 0;
	w->mark = w->nr_marks ? w->marks[0] : NO_MARK;
}

/* The mark lies in the frame recorded last: it is an evaluation loop's. */
__noinline int place_mark(void)
{
	struct pp_walk *w = this_walk();
	__u64 at;

	if (!w || w->mark == NO_MARK)
		return 0;
	at = words(w) - 1;
	BOUND(at, PCS_MAX - 1);
	w->pcs[at] |= PP_PC_EVAL;
	at = ++w->at_mark;
	BOUND(at, PP_PYTHON_FRAMES_MAX - 1);
	w->mark = w->at_mark < w->nr_marks ? w->marks[at] : NO_MARK;
	return 0;
}
