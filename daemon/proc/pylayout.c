/* SPDX-License-Identifier: GPL-2.0-only */
#include "proc/pylayout.h"

#include "proc/code.h"

#include <string.h>

#define COOKIE	   "xdebugpy"
#define COOKIE_LEN 8

#define MINOR_MIN 8
#define MINOR_MAX 15
#define MINOR(v)  ((v) >> 16 & 0xff)

/* Larger than any structure that is read; what is beyond is no offset. */
#define OBJECT_MAX  1024
#define RUNTIME_MAX 65535

/* ---- What is known by version ---------------------------------------------------------------- */

/* In the order of struct pp_layout's members from state_frame to frame_owner. */
#define CHAIN(frame_, thread_, chunk_, cframe_frame_, cframe_previous_, code_, previous_,    \
	      position_, owner_)                                                             \
	.state_frame = (frame_), .state_thread = (thread_), .state_chunk = (chunk_),         \
	.cframe_frame = (cframe_frame_), .cframe_previous = (cframe_previous_),              \
	.frame_code = (code_), .frame_previous = (previous_), .frame_position = (position_), \
	.frame_owner = (owner_)

#define OBJECTS	 .form = PP_FRAMES_OBJECTS, .position_bytes = 4
#define CFRAMES	 .form = PP_FRAMES_CFRAMES, .position_bytes = 8
#define BOTH	 .form = PP_FRAMES_BOTH, .position_bytes = 8
#define ENTRIES	 .form = PP_FRAMES_ENTRIES, .position_bytes = 8
#define TAGGED	 .code_tag = 7 /* a stack reference: its low bits say how it is counted */
#define SENTINEL .sentinel = 1

/* Before 3.12 there is one GIL, in front of the runtime's current thread state. */
#define STATIC_GIL .current_gil = -216

/* From 3.13 on: the interpreter's pointer to its GIL, and its collector's word. It describes both
 * itself; what stock builds say is here, so that each of them is the layout that is known. */
#define COLLECTOR(gc_) .interp_gil = 16, .interp_gc = (gc_)

/* Where the interpreter describes itself, offsets of what it leaves out: of the thread state the
 * task that runs, of that its coroutine (the module _asyncio describes them), and of a coroutine
 * its frame. */
#define TASKS(state_, coro_, frame_) \
	.state_task = (state_), .task_coro = (coro_), .coro_frame = (frame_)

static const struct pp_pylayout known[MINOR_MAX - MINOR_MIN + 1] = {
	/* 3.8 */
	{
		.chain = { CHAIN(24, 176, 0, 0, 0, 32, 24, 104, 0), OBJECTS, STATIC_GIL,
			   .current_gc = -824 },
		.runtime_interpreters = 32,
		.runtime_current = 1368,
		.interp_threads = 8,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.9 */
	{
		.chain = { CHAIN(24, 176, 0, 0, 0, 32, 24, 104, 0), OBJECTS, STATIC_GIL,
			   .interp_gc = 816 },
		.runtime_interpreters = 32,
		.runtime_current = 568,
		.interp_threads = 8,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.10 */
	{
		.chain = { CHAIN(24, 176, 0, 0, 0, 32, 24, 96, 0), OBJECTS, STATIC_GIL,
			   .interp_gc = 816 },
		.runtime_interpreters = 32,
		.runtime_current = 568,
		.interp_threads = 8,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.11 */
	{
		.chain = { CHAIN(56, 152, 296, 8, 16, 32, 48, 56, 69), CFRAMES, STATIC_GIL,
			   .interp_gc = 848 },
		.runtime_interpreters = 40,
		.runtime_current = 576,
		.interp_threads = 16,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.12 */
	{
		.chain = { CHAIN(56, 136, 232, 0, 8, 0, 8, 56, 70), BOTH, .interp_gil = 384,
			   .interp_gc = 312 },
		.runtime_interpreters = 40,
		.interp_threads = 72,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.13 */
	{
		.chain = { CHAIN(72, 152, 232, 0, 0, 0, 8, 56, 70), ENTRIES, COLLECTOR(7600) },
		.runtime_interpreters = 632,
		.interp_next = 7264,
		.interp_threads = 7344,
		.interp_next_code = 0x4268,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.14 */
	{
		.chain = { CHAIN(72, 152, 232, 0, 0, 0, 8, 56, 74), ENTRIES, TAGGED,
			   COLLECTOR(7600), TASKS(872, 128, 72) },
		.runtime_interpreters = 808,
		.interp_next = 7272,
		.interp_threads = 7344,
		.interp_next_code = 0x37b0,
		.state_next = 8,
		.state_interp = 16,
		.has_key = 1,
	},
	/* 3.15 */
	{
		.chain = { CHAIN(72, 176, 256, 0, 0, 0, 8, 56, 74), ENTRIES, TAGGED, SENTINEL,
			   COLLECTOR(7512), TASKS(1032, 128, 72), .state_requested = 40 },
		.runtime_interpreters = 936,
		.interp_next = 7264,
		.interp_threads = 7336,
		.interp_next_code = 0x37b8,
		.state_next = 8,
		.state_interp = 16,
	},
};

/* ---- What an interpreter says of itself ------------------------------------------------------ */

/* Where in _Py_DebugOffsets the sections are (bytes), and members that moved within theirs. */
struct positions {
	uint16_t size; /* of it all */
	uint16_t interpreters_head, interp_next, interp_threads, interp_gc, interp_gil;
	uint16_t state, state_next, state_thread, state_chunk; /* state: its size */
	uint16_t frame, frame_owner;			       /* frame: its size */
	uint16_t code, object, type, bytes, str, gc;	       /* their sizes */
};

#define FREE_THREADED 16 /* a u64 of its own in all versions */
#define RUNTIME_SIZE  24

static const struct positions *positions_of(unsigned int minor)
{
	static const struct positions v13 = { 584, 40,	64,  72,  80,  112, 152, 168, 192,
					      208, 224, 264, 272, 352, 368, 512, 536, 568 };
	static const struct positions v14 = { 760, 40,	64,  72,  88,  120, 176, 192, 216,
					      232, 248, 288, 312, 400, 416, 592, 616, 648 };
	static const struct positions v15 = { 888, 40,	64,  72,  88,  120, 176, 192, 240,
					      256, 312, 352, 376, 464, 480, 688, 712, 752 };

	return minor == 13 ? &v13 : minor == 14 ? &v14 : minor == 15 ? &v15 : NULL;
}

/* A description in the making of a layout: each member is checked as it is taken. */
struct reading {
	const uint8_t *debug;
	bool bad;
};

static uint64_t word(const struct reading *d, unsigned int position)
{
	uint64_t value;

	memcpy(&value, d->debug + position, sizeof(value));
	return value;
}

/* Takes the offset that is described there, of a member of `bytes` below `limit`. */
static void take(struct reading *d, unsigned int position, uint64_t limit, uint64_t bytes,
		 uint16_t *ret)
{
	uint64_t value = word(d, position);

	if (value > limit || value + bytes > limit)
		d->bad = true;
	else
		*ret = (uint16_t)value;
}

/* Code objects are read by a layout of their own: it must be what is described. */
static bool agrees(struct reading *d, const struct positions *at, const struct pp_code_offsets *l)
{
	return word(d, at->code + 8) == l->filename && word(d, at->code + 16) == l->name &&
	       word(d, at->code + 24) == l->qualname && word(d, at->code + 32) == l->table &&
	       word(d, at->code + 40) == l->first_line &&
	       word(d, at->code + 72) == l->instructions && word(d, at->object + 8) == l->type &&
	       word(d, at->type + 8) == l->type_name && word(d, at->bytes + 8) == l->bytes_length &&
	       word(d, at->bytes + 16) == l->bytes_data && word(d, at->str + 8) == l->str_state &&
	       word(d, at->str + 16) == l->str_length && word(d, at->str + 24) == l->str_ascii;
}

/* The GIL, and the collector's word in the interpreter. Without a GIL neither says anything of a
 * thread. */
static void take_collector(struct reading *d, const struct positions *at, struct pp_layout *c)
{
	uint64_t gc = word(d, at->interp_gc), collecting = word(d, at->gc + 8);

	take(d, at->interp_gil, RUNTIME_MAX, 8, &c->interp_gil);
	if (gc > RUNTIME_MAX || collecting > RUNTIME_MAX || gc + collecting > RUNTIME_MAX)
		d->bad = true;
	else
		c->interp_gc = (uint16_t)(gc + collecting);
}

static int take_description(struct reading *d, const struct positions *at, struct pp_pylayout *l)
{
	uint64_t state = MIN(word(d, at->state), (uint64_t)OBJECT_MAX);
	const struct pp_code_offsets *code;
	struct pp_layout *c = &l->chain;

	l->free_threaded = word(d, FREE_THREADED) != 0;
	code = pp_code_offsets_find(l->version, l->free_threaded);
	if (!code)
		return l->free_threaded ? -EOPNOTSUPP : -ENOENT;
	take(d, at->interpreters_head, word(d, RUNTIME_SIZE), 8, &l->runtime_interpreters);
	take(d, at->interp_next, RUNTIME_MAX, 8, &l->interp_next);
	take(d, at->interp_threads, RUNTIME_MAX, 8, &l->interp_threads);
	take(d, at->state_next, state, 8, &l->state_next);
	take(d, at->state_next + 8, state, 8, &l->state_interp);
	take(d, at->state_next + 16, state, 8, &c->state_frame);
	take(d, at->state_thread, state, 8, &c->state_thread);
	take(d, at->state_chunk, state, 24, &c->state_chunk);
	take(d, at->frame + 8, PP_PYFRAME_BYTES_MAX, 8, &c->frame_previous);
	take(d, at->frame + 16, PP_PYFRAME_BYTES_MAX, 8, &c->frame_code);
	take(d, at->frame + 24, PP_PYFRAME_BYTES_MAX, 8, &c->frame_position);
	take(d, at->frame_owner, PP_PYFRAME_BYTES_MAX, 1, &c->frame_owner);
	if (l->free_threaded)
		c->state_task = c->state_requested = c->interp_gil = c->interp_gc =
			0; /* elsewhere */
	else
		take_collector(d, at, c);
	return d->bad || !agrees(d, at, code) ? -EBADMSG : 0;
}

uint32_t pp_pylayout_version(const void *debug, size_t len)
{
	uint64_t version;

	if (len < 16 || memcmp(debug, COOKIE, COOKIE_LEN) != 0)
		return 0;
	memcpy(&version, (const uint8_t *)debug + COOKIE_LEN, sizeof(version));
	return version >> 24 == 3 ? (uint32_t)version : 0;
}

/* What is read of the thread state and of a frame: from the first to the last member of interest.
 */
static int bound_reads(struct pp_layout *c)
{
	unsigned int first = MIN(c->state_frame, c->state_thread);
	unsigned int last = MAX(c->state_frame, c->state_thread) + 8U;
	unsigned int frame = MAX(c->frame_code, c->frame_previous) + 8U;

	if (c->state_chunk) {
		first = MIN(first, (unsigned int)c->state_chunk);
		last = MAX(last, c->state_chunk + 24U);
	}
	frame = MAX(frame, c->frame_position + 8U);
	frame = MAX(frame, c->frame_owner + 1U);
	frame = (frame + 7) & ~7U;
	if (c->state_interp) {
		first = MIN(first, (unsigned int)c->state_interp);
		last = MAX(last, c->state_interp + 8U);
	}
	if (last - first > PP_STATE_BYTES_MAX || frame > PP_PYFRAME_BYTES_MAX)
		return -EBADMSG;
	c->state_first = (uint16_t)first;
	c->state_bytes = (uint16_t)(last - first);
	c->frame_bytes = (uint16_t)frame;
	return 0;
}

/* What BPF takes of code objects. */
static void take_prints(const struct pp_code_offsets *code, struct pp_layout *c)
{
	c->object_type = code->type;
	c->print_first = code->print_first;
	c->print_words = (uint8_t)code->print_words;
	c->print_number = code->version;
	c->print_name = code->qualname ?: code->name;
	c->print_file = code->filename;
	c->str_length = code->str_length;
	c->str_state = code->str_state;
	c->str_kind = code->str_kind;
	c->str_ascii = code->str_ascii;
	c->str_compact = code->str_compact;
}

/* Completes what the table or the description has said. */
static int complete(struct pp_pylayout *l)
{
	l->chain.state_interp = l->state_interp;
	take_prints(pp_code_offsets_find(l->version, l->free_threaded), &l->chain);
	return bound_reads(&l->chain);
}

bool pp_pylayout_known(unsigned int minor, struct pp_layout *ret)
{
	struct pp_pylayout l;

	if (minor < MINOR_MIN || minor > MINOR_MAX)
		return false;
	l = known[minor - MINOR_MIN];
	l.version = 3U << 24 | minor << 16;
	if (complete(&l) < 0)
		return false;
	*ret = l.chain;
	return true;
}

int pp_pylayout_find(uint32_t version, const void *debug, size_t len, struct pp_pylayout *ret)
{
	uint32_t described = pp_pylayout_version(debug, len);
	struct reading d = { .debug = debug };
	const struct positions *at;
	int r;

	if (described)
		version = described;
	if (version >> 24 != 3 || MINOR(version) < MINOR_MIN || MINOR(version) > MINOR_MAX)
		return -ENOENT;
	*ret = known[MINOR(version) - MINOR_MIN];
	ret->version = version;
	at = positions_of(MINOR(version));
	/* A version that should describe itself and does not is another than it seems. */
	if (!at != !described || (at && len < at->size))
		return -EBADMSG;
	if (at) {
		r = take_description(&d, at, ret);
		if (r < 0)
			return r;
	}
	return complete(ret);
}
