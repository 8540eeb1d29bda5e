/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: is what the worker found in a file a Python runtime in this process, does the layout
 * of its version hold here, and where do its threads keep their state?
 *
 * The process runs meanwhile and may be anybody's. So every pointer is only an address to read
 * from, every list has a bound, and what is found must agree in several ways: a thread state that
 * the runtime's lists lead to names its interpreter and its thread, that thread has the address of
 * the state in its own memory, and its frame leads to a code object.
 */
#include "proc/pylayout.h"
#include "proc/reader_wire.h"

#include "base/fd.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>

#define INTERPS_MAX 16	/* looked at */
#define THREADS_MAX 256 /* of all interpreters together */
#define AUXV_MAX    64	/* the kernel has some twenty */
#define FRAMES_MAX  4	/* entry frames in front of the first that has code: one, or two */

/*
 * glibc's thread block begins at fsbase. Its first 32 pthread keys are 16 bytes each (a sequence
 * number, the value), the others in blocks of 32 that are allocated as needed. Thread-local
 * variables of the program and its libraries lie below it.
 */
#define TLS_BYTES	256
#define TCB_SELF	16
#define KEYS		0x310
#define KEY_BLOCKS	0x510
#define KEYS_PER_BLOCK	32
#define KEY_BYTES	16
#define KEY_VALUE	8
#define NR_KEY_BLOCKS	32
#define THREAD_BYTES	(TLS_BYTES + KEY_BLOCKS + NR_KEY_BLOCKS * 8)
#define KEY_BLOCK_BYTES (KEYS_PER_BLOCK * KEY_BYTES)

struct inspection {
	int mem;
	struct pp_inspect what;
	struct pp_pylayout layout;
	const struct pp_code_offsets *code;
	struct pp_interp interp;
	struct pp_code_runtime runtime;
	uint64_t image_at, image;
	bool slot_found;
};

static const char *const texts[PP_INSPECT_ANSWERS] = {
#define X(name, text) [PP_INSPECT_##name] = (text),
	PP_INSPECT_REFUSALS(X)
#undef X
};

const char *pp_inspect_answer_text(enum pp_inspect_answer a)
{
	return (unsigned int)a < PP_INSPECT_ANSWERS ? texts[a] : "unknown";
}

/* ---- The process's memory -------------------------------------------------------------------- */

static bool peek(const struct inspection *in, uint64_t address, void *to, size_t len)
{
	return address <= INT64_MAX && pread(in->mem, to, len, (off_t)address) == (ssize_t)len;
}

static uint64_t peek_word(const struct inspection *in, uint64_t address)
{
	uint64_t value;

	return peek(in, address, &value, sizeof(value)) ? value : 0;
}

static uint64_t word_at(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* ---- Where a thread keeps its state ---------------------------------------------------------- */

/* A pthread key's value, in the thread block or in a block that it leads to. */
static bool find_key(const struct inspection *in, const uint8_t *fs, uint64_t state,
		     struct pp_interp *ret)
{
	uint8_t block[KEY_BLOCK_BYTES];

	for (size_t key = 0; key < KEYS_PER_BLOCK; key++)
		if (word_at(fs + KEYS + key * KEY_BYTES + KEY_VALUE) == state) {
			ret->slot[0] = (int32_t)(KEYS + key * KEY_BYTES + KEY_VALUE);
			return true;
		}
	for (size_t n = 1; n < NR_KEY_BLOCKS; n++) {
		uint64_t at = word_at(fs + KEY_BLOCKS + n * 8);

		if (!at || !peek(in, at, block, sizeof(block)))
			continue;
		for (size_t key = 0; key < KEYS_PER_BLOCK; key++)
			if (word_at(block + key * KEY_BYTES + KEY_VALUE) == state) {
				ret->block = (int32_t)(KEY_BLOCKS + n * 8);
				ret->slot[0] = (int32_t)(key * KEY_BYTES + KEY_VALUE);
				return true;
			}
	}
	return false;
}

/*
 * A thread-local variable. There are two that hold the state: one always, one only while the thread
 * holds the GIL. Who has both needs not know which is which: either is right where it is not NULL.
 */
static bool find_variable(const uint8_t *fs, uint64_t state, struct pp_interp *ret)
{
	int n = 0;

	for (int offset = -TLS_BYTES; offset < 0; offset += 8)
		if (word_at(fs + offset) == state && n++ < 2)
			ret->slot[n - 1] = offset;
	return n == 1 || n == 2;
}

static enum pp_inspect_answer find_slot(struct inspection *in, uint64_t state, uint64_t fsbase)
{
	uint8_t memory[THREAD_BYTES], *fs = memory + TLS_BYTES;
	struct pp_interp found = { 0 };
	bool is_better;

	if (!peek(in, fsbase - TLS_BYTES, memory, sizeof(memory)) || word_at(fs) != fsbase ||
	    word_at(fs + TCB_SELF) != fsbase)
		return PP_INSPECT_LIBC;
	if (in->layout.has_key ? !find_key(in, fs, state, &found)
			       : !find_variable(fs, state, &found))
		return PP_INSPECT_SLOT;
	/* One variable is better than two: it is the one that always holds it. */
	is_better = !in->slot_found || !found.slot[1];
	if (is_better)
		in->interp = found;
	in->slot_found = true;
	return PP_INSPECT_OK;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static bool is_code_type(const struct inspection *in, uint64_t type)
{
	char name[sizeof("code")];

	return peek(in, peek_word(in, type + in->code->type_name), name, sizeof(name)) &&
	       !memcmp(name, "code", sizeof(name));
}

/* The current frame of a thread state, or 0. */
static uint64_t current_frame(const struct inspection *in, uint64_t state)
{
	const struct pp_layout *l = &in->layout.chain;
	uint64_t frame = peek_word(in, state + l->state_frame);

	if (frame && (l->form == PP_FRAMES_CFRAMES || l->form == PP_FRAMES_BOTH))
		frame = peek_word(in, frame + l->cframe_frame);
	return frame;
}

/* Learns the type of code objects from the first frame that has one. LAYOUT: what should be a code
 * object is something else. EARLY: there is no frame. */
static enum pp_inspect_answer check_frames(struct inspection *in, uint64_t state)
{
	const struct pp_layout *l = &in->layout.chain;
	uint64_t frame = current_frame(in, state), code, type;
	enum pp_inspect_answer answer = PP_INSPECT_EARLY;

	for (int i = 0; i < FRAMES_MAX && frame; i++) {
		code = peek_word(in, frame + l->frame_code) & ~(uint64_t)l->code_tag;
		type = code ? peek_word(in, code + in->code->type) : 0;
		if (type && (type == in->runtime.code_type ||
			     (!in->runtime.code_type && is_code_type(in, type)))) {
			in->runtime.code_type = type;
			return PP_INSPECT_OK;
		}
		answer = PP_INSPECT_LAYOUT;
		frame = peek_word(in, frame + l->frame_previous);
	}
	return answer;
}

/* ---- Threads --------------------------------------------------------------------------------- */

static enum pp_inspect_answer check_thread(struct inspection *in, uint64_t interp, uint64_t state,
					   bool *frames_seen)
{
	uint64_t fsbase = peek_word(in, state + in->layout.chain.state_thread);
	enum pp_inspect_answer answer;

	if (peek_word(in, state + in->layout.state_interp) != interp)
		return PP_INSPECT_LAYOUT;
	if (!fsbase)
		return PP_INSPECT_EARLY; /* it has no thread yet */
	answer = find_slot(in, state, fsbase);
	if (answer != PP_INSPECT_OK)
		return answer;
	answer = check_frames(in, state);
	*frames_seen |= answer == PP_INSPECT_OK;
	return answer;
}

/* Of what several threads answer, the best counts: the others may be on their way in or out. */
static enum pp_inspect_answer check_threads(struct inspection *in)
{
	uint64_t interp = peek_word(in, in->what.runtime + in->layout.runtime_interpreters);
	enum pp_inspect_answer best = PP_INSPECT_EARLY;
	bool frames_seen = false;
	int threads = 0;

	for (int i = 0; i < INTERPS_MAX && interp; i++) {
		uint64_t state = peek_word(in, interp + in->layout.interp_threads);

		while (state && threads++ < THREADS_MAX) {
			enum pp_inspect_answer answer =
				check_thread(in, interp, state, &frames_seen);

			if (answer != PP_INSPECT_EARLY)
				best = answer;
			if (in->slot_found && frames_seen && !in->interp.slot[1])
				return PP_INSPECT_OK;
			state = peek_word(in, state + in->layout.state_next);
		}
		interp = peek_word(in, interp + in->layout.interp_next);
	}
	return in->slot_found && frames_seen ? PP_INSPECT_OK : best;
}

/*
 * Where code objects get their numbers: of a static variable in 3.12, later of their interpreter's.
 * Then they tell something as long as there is one interpreter only: its address follows that of
 * the first, and how many there ever were that. (Who reads code objects looks there again.)
 */
static void find_numbers(struct inspection *in)
{
	uint64_t list = in->what.runtime + in->layout.runtime_interpreters;
	uint16_t offset = in->layout.interp_next_code;
	uint64_t interp;

	if (!in->image)
		return;
	in->runtime.image_at = in->image_at;
	in->runtime.image = in->image;
	if (!offset) {
		in->runtime.next_code = in->what.next_code;
	} else {
		interp = peek_word(in, list + 8);
		if (!interp || peek_word(in, list + 16) != 1)
			return;
		in->runtime.interpreters = list;
		in->runtime.next_code = interp + offset;
		in->interp.numbered_interp = interp;
	}
	in->interp.next_code = in->runtime.next_code;
}

/* A random word that tells the program that the process runs from those before and after. */
static void find_image(struct inspection *in, int dir)
{
	_cleanup_close_ int fd = openat(dir, "auxv", O_RDONLY | O_CLOEXEC);
	Elf64_auxv_t auxv[AUXV_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, auxv, sizeof(auxv));

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(auxv[0]); i++)
		if (auxv[i].a_type == AT_RANDOM)
			in->image_at = auxv[i].a_un.a_val;
	in->image = peek_word(in, in->image_at);
}

static enum pp_inspect_answer try_version(struct inspection *in, uint32_t version,
					  const void *debug, size_t len)
{
	enum pp_inspect_answer answer;
	int r = pp_pylayout_find(version, debug, len, &in->layout);

	if (r < 0)
		return r == -ENOENT	  ? PP_INSPECT_VERSION
		       : r == -EOPNOTSUPP ? PP_INSPECT_FREE_THREADED
					  : PP_INSPECT_LAYOUT;
	in->code = pp_code_offsets_find(in->layout.version, in->layout.free_threaded);
	if (!in->code)
		return PP_INSPECT_VERSION;
	in->slot_found = false;
	in->interp = (struct pp_interp){ 0 };
	in->runtime = (struct pp_code_runtime){ .version = in->layout.version,
						.threaded = in->layout.free_threaded };
	if (in->what.code_type && is_code_type(in, in->what.code_type))
		in->runtime.code_type = in->what.code_type;
	answer = check_threads(in);
	if (answer == PP_INSPECT_OK && in->layout.runtime_current)
		in->interp.current = in->what.runtime + in->layout.runtime_current;
	if (answer == PP_INSPECT_OK)
		find_numbers(in);
	/* Only where the current frame may be stale is it worth a look. */
	if (answer == PP_INSPECT_OK && in->layout.chain.cframe_previous)
		in->interp.code_type = in->runtime.code_type;
	return answer;
}

static enum pp_inspect_answer inspect(struct inspection *in)
{
	/* Versions that do not describe themselves, of files without symbols: only those have a
	 * section by which their runtime was found. */
	static const uint32_t silent[] = { 0x030c0000, 0x030b0000, 0x030a0000 };
	uint8_t debug[PP_PYLAYOUT_DEBUG_MAX];
	enum pp_inspect_answer answer = PP_INSPECT_EARLY;

	if (!peek(in, in->what.runtime, debug, sizeof(debug)))
		return PP_INSPECT_UNREADABLE;
	if (in->what.version || pp_pylayout_version(debug, sizeof(debug)))
		return try_version(in, in->what.version, debug, sizeof(debug));
	for (size_t i = 0; i < ARRAY_SIZE(silent) && answer != PP_INSPECT_OK; i++)
		answer = try_version(in, silent[i], debug, sizeof(debug));
	return answer == PP_INSPECT_OK ? PP_INSPECT_OK : PP_INSPECT_EARLY;
}

int pp_reader_do_inspect(const struct pp_opened *o, const struct pp_inspect *what,
			 struct pp_reader_answer *a)
{
	_cleanup_close_ int mem = openat(o->dir, "mem", O_RDONLY | O_CLOEXEC);
	struct inspection in = { .mem = mem, .what = *what };
	struct pp_inspected found = { 0 };

	if (mem < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	find_image(&in, o->dir);
	found.answer = inspect(&in);
	if (found.answer == PP_INSPECT_OK) {
		found.interp = in.interp;
		found.layout = in.layout.chain;
		found.runtime = in.runtime;
	}
	return pp_reader_add_text(a, &found, sizeof(found));
}
