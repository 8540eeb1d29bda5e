/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the runtime in a process, and what a request has to be written to. */
#include "runtime.h"

#include <string.h>

#define COOKIE "xdebugpy"

/* PY_VERSION_HEX: major, minor, micro, then four bits of level and four of serial. */
#define MINOR(version) ((version) >> 16 & 0xff)
#define MAJOR(version) ((version) >> 24)
#define LEVEL(version) ((version) >> 4 & 0xf)
#define LEVEL_FINAL    0xf

#define DATA_MAX    (256 * MIB) /* of mapped files' data, looked through */
#define CHUNK	    (64 * KIB)
#define PAGE	    4096
#define INTERPS_MAX 1024      /* followed to the main one, which is the last in the list */
#define SIZE_LIMIT  (1 * MIB) /* of a runtime's structures; the largest has 400 KB */

static const char *const texts[] = {
	[PP_RUNTIME_OK] = "can be asked",
	[PP_RUNTIME_NONE] = "is no CPython of 3.13 or later",
	[PP_RUNTIME_SEVERAL] = "holds more than one CPython; which is meant is not clear",
	[PP_RUNTIME_OLD] = "is a CPython 3.13; only 3.14 and later can be asked while they run",
	[PP_RUNTIME_UNKNOWN] = "is a version of CPython that is not known here",
	[PP_RUNTIME_FREE_THREADED] = "is a free-threaded CPython, where trampolines are not safe",
	[PP_RUNTIME_MALFORMED] = "is a CPython that is not laid out as its version is",
	[PP_RUNTIME_EARLY] = "is a CPython that runs nothing yet; try again",
	[PP_RUNTIME_ENDING] = "is a CPython that is about to end",
	[PP_RUNTIME_DISABLED] =
		"forbids it (PYTHON_DISABLE_REMOTE_DEBUG, -X disable-remote-debug, its build)",
	[PP_RUNTIME_PENDING] = "has a request of another debugger pending",
};
_Static_assert(ARRAY_SIZE(texts) == PP_RUNTIME_ANSWERS, "every answer has its text");

const char *pp_runtime_answer_text(enum pp_runtime_answer a)
{
	return texts[a];
}

/* ---- The table of offsets -------------------------------------------------------------------- */

/* Where in the table things stand, in bytes: the same in the versions known, but for the part that
 * is about requests. */
enum {
	AT_VERSION = 8,
	AT_FREE_THREADED = 16,
	AT_RUNTIME_SIZE = 24,
	AT_RUNTIME_FINALIZING = 32,
	AT_RUNTIME_INTERPRETERS = 40,
	AT_INTERP_SIZE = 48,
	AT_INTERP_ID = 56,
	AT_INTERP_NEXT = 64,
	AT_INTERP_MAIN = 80,
	AT_STATE_SIZE = 176,
	AT_STATE_INTERP = 200,
};

/* In that part, six words. */
enum {
	SUPPORT_BREAKER = 0,
	SUPPORT_SUPPORT = 8,
	SUPPORT_ENABLED = 16,
	SUPPORT_PENDING = 24,
	SUPPORT_PATH = 32,
	SUPPORT_PATH_SIZE = 40,
};

/* A minor's layout does not change once it is released: what it must say. */
static const struct known {
	uint8_t minor;
	uint16_t support; /* where that part begins */
	uint64_t breaker, state_support, enabled;
} known[] = {
	{ 14, 712, 24, 304, 8076 },
	{ 15, 840, 24, 344, 8028 },
};
#define KNOWN_PENDING	0
#define KNOWN_PATH	4
#define KNOWN_PATH_SIZE 512

static uint64_t word(const uint8_t *data, size_t at)
{
	uint64_t value;

	memcpy(&value, data + at, sizeof(value));
	return value;
}

static bool is_within(uint64_t offset, uint64_t bytes, uint64_t size)
{
	return size <= SIZE_LIMIT && offset <= size && bytes <= size - offset;
}

static bool support_agrees(const uint8_t *s, const struct known *k)
{
	return word(s, SUPPORT_BREAKER) == k->breaker &&
	       word(s, SUPPORT_SUPPORT) == k->state_support &&
	       word(s, SUPPORT_ENABLED) == k->enabled &&
	       word(s, SUPPORT_PENDING) == KNOWN_PENDING && word(s, SUPPORT_PATH) == KNOWN_PATH &&
	       word(s, SUPPORT_PATH_SIZE) == KNOWN_PATH_SIZE;
}

static enum pp_runtime_answer parse_known(const uint8_t *data, const struct known *k,
					  struct pp_debug_offsets *o)
{
	uint64_t runtime = word(data, AT_RUNTIME_SIZE), interp = word(data, AT_INTERP_SIZE);
	uint64_t state = word(data, AT_STATE_SIZE);

	if (!support_agrees(data + k->support, k))
		return PP_RUNTIME_MALFORMED;
	o->runtime_finalizing = word(data, AT_RUNTIME_FINALIZING);
	o->runtime_interpreters = word(data, AT_RUNTIME_INTERPRETERS);
	o->interp_id = word(data, AT_INTERP_ID);
	o->interp_next = word(data, AT_INTERP_NEXT);
	o->interp_main = word(data, AT_INTERP_MAIN);
	o->interp_enabled = k->enabled;
	o->state_interp = word(data, AT_STATE_INTERP);
	o->state_breaker = k->breaker;
	o->state_pending = k->state_support + KNOWN_PENDING;
	o->state_path = k->state_support + KNOWN_PATH;
	o->path_size = KNOWN_PATH_SIZE;
	if (!is_within(o->runtime_finalizing, 8, runtime) ||
	    !is_within(o->runtime_interpreters, 8, runtime) ||
	    !is_within(o->interp_id, 8, interp) || !is_within(o->interp_next, 8, interp) ||
	    !is_within(o->interp_main, 8, interp) || !is_within(o->interp_enabled, 4, interp) ||
	    !is_within(o->state_interp, 8, state) || !is_within(o->state_breaker, 8, state) ||
	    !is_within(o->state_path, o->path_size, state))
		return PP_RUNTIME_MALFORMED;
	return PP_RUNTIME_OK;
}

enum pp_runtime_answer pp_debug_offsets_parse(const void *data, struct pp_debug_offsets *ret)
{
	const uint8_t *p = data;
	uint64_t version;

	*ret = (struct pp_debug_offsets){ 0 };
	if (memcmp(p, COOKIE, strlen(COOKIE)) != 0)
		return PP_RUNTIME_NONE;
	version = word(p, AT_VERSION);
	if (MAJOR(version) != 3)
		return PP_RUNTIME_NONE;
	ret->version = (uint32_t)version;
	if (MINOR(version) == 13)
		return PP_RUNTIME_OLD;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (MINOR(version) != known[i].minor || LEVEL(version) != LEVEL_FINAL)
			continue;
		if (word(p, AT_FREE_THREADED))
			return PP_RUNTIME_FREE_THREADED;
		return parse_known(p, &known[i], ret);
	}
	return PP_RUNTIME_UNKNOWN;
}

/* ---- In a process ---------------------------------------------------------------------------- */

static uint64_t peek(const struct pp_target *t, uint64_t address)
{
	uint64_t value;

	return pp_target_read(t, address, &value, sizeof(value)) ? value : 0;
}

/* The interpreter that is numbered 0. */
static uint64_t main_interp(const struct pp_target *t, const struct pp_runtime *rt)
{
	uint64_t interp = peek(t, rt->address + rt->offsets.runtime_interpreters), id;

	for (int i = 0; i < INTERPS_MAX && interp; i++) {
		if (!pp_target_read(t, interp + rt->offsets.interp_id, &id, sizeof(id)))
			return 0;
		if (id == 0)
			return interp;
		interp = peek(t, interp + rt->offsets.interp_next);
	}
	return 0;
}

enum pp_runtime_answer pp_runtime_look(const struct pp_target *t, uint64_t address,
				       struct pp_runtime *ret)
{
	struct pp_debug_offsets *o = &ret->offsets;
	uint8_t data[PP_DEBUG_OFFSETS_MAX];
	enum pp_runtime_answer answer;
	int32_t enabled, pending;
	uint64_t interp;

	*ret = (struct pp_runtime){ .address = address };
	if (!pp_target_read(t, address, data, sizeof(data)))
		return PP_RUNTIME_NONE;
	answer = pp_debug_offsets_parse(data, o);
	if (answer != PP_RUNTIME_OK)
		return answer;
	if (peek(t, address + o->runtime_finalizing))
		return PP_RUNTIME_ENDING;
	interp = main_interp(t, ret);
	ret->state = interp ? peek(t, interp + o->interp_main) : 0;
	if (!ret->state)
		return PP_RUNTIME_EARLY;
	ret->breaker = ret->state + o->state_breaker;
	ret->pending = ret->state + o->state_pending;
	ret->path = ret->state + o->state_path;
	if (peek(t, ret->state + o->state_interp) != interp ||
	    !pp_target_read(t, interp + o->interp_enabled, &enabled, sizeof(enabled)) ||
	    !pp_target_read(t, ret->pending, &pending, sizeof(pending)))
		return PP_RUNTIME_MALFORMED;
	if (enabled == 0)
		return PP_RUNTIME_DISABLED;
	if (pending == 1)
		return PP_RUNTIME_PENDING;
	return enabled == 1 && pending == 0 ? PP_RUNTIME_OK : PP_RUNTIME_MALFORMED;
}

bool pp_runtime_is_pending(const struct pp_target *t, const struct pp_runtime *rt)
{
	int32_t pending;

	return pp_target_read(t, rt->pending, &pending, sizeof(pending)) && pending != 0;
}

struct search {
	const struct pp_target *target;
	struct pp_runtime *found;
	enum pp_runtime_answer answer;
	uint64_t bytes; /* looked through */
	int nr;		/* found */
	uint8_t chunk[CHUNK];
};

/* A cookie that no version follows is some text. */
static void take_cookie(struct search *s, uint64_t address)
{
	struct pp_runtime rt;
	enum pp_runtime_answer answer = pp_runtime_look(s->target, address, &rt);

	if (answer == PP_RUNTIME_NONE)
		return;
	s->nr++;
	s->answer = answer;
	*s->found = rt;
}

static int search_map(const struct pp_map *m, void *arg)
{
	struct search *s = arg;

	/* The data of a file. */
	if (!m->readable || !m->writable || !m->private || !m->inode || m->end > INT64_MAX)
		return 0;
	for (uint64_t at = m->start; at < m->end && s->bytes < DATA_MAX;) {
		ssize_t n = pread(s->target->mem, s->chunk,
				  (size_t)MIN(m->end - at, (uint64_t)CHUNK), (off_t)at);

		for (ssize_t i = 0; i + 8 <= n; i += 8)
			if (memcmp(s->chunk + i, COOKIE, strlen(COOKIE)) == 0)
				take_cookie(s, at + (uint64_t)i);
		/* Pages that cannot be read (behind the end of a file) are passed over. */
		n = n < PAGE ? PAGE : n / PAGE * PAGE;
		at += (uint64_t)n;
		s->bytes += (uint64_t)n;
	}
	return 0;
}

enum pp_runtime_answer pp_runtime_find(const struct pp_target *t, struct pp_runtime *ret)
{
	_cleanup_free_ struct search *s = calloc(1, sizeof(*s));

	if (!s)
		return PP_RUNTIME_NONE;
	s->target = t;
	s->found = ret;
	if (pp_target_maps(t, search_map, s) < 0 || !s->nr)
		return PP_RUNTIME_NONE;
	return s->nr > 1 ? PP_RUNTIME_SEVERAL : s->answer;
}
