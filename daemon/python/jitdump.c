/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small machine that gathers a fixed number of bytes (`need`), looks at them, and then needs
 * more, is done, or passes over a number of bytes it need not see. Only a name is gathered whole,
 * and no longer than PP_PERFMAP_NAME_MAX.
 */
#include "python/jitdump.h"

#include "base/counters.h"
#include "python/perfmaps.h"

#include <elf.h>
#include <string.h>

#define MAGIC	0x4A695444U /* "JiTD", written in the byte order of the machine */
#define VERSION 1
/* A record of a fixed size may be padded by this much. */
#define SLACK		64
#define DEBUG_ENTRY_MIN 17   /* address, line, discriminator, and the NUL of a name */
#define NAME_KEEP	512  /* room kept for the next name */
#define WINDOW_MAX	1024 /* bytes searched at a time after damage */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "which e_machine do jitdumps of this architecture carry?"
#endif

struct header {
	uint32_t magic, version, total_size, machine, pad, pid;
	uint64_t timestamp, flags;
};

enum {
	CODE_LOAD,
	CODE_MOVE,
	CODE_DEBUG_INFO,
	CODE_CLOSE,
	CODE_UNWINDING_INFO,
	CODE_MAX,
};

struct record {
	uint32_t id, total_size;
	uint64_t timestamp;
};

struct load {
	struct record record;
	uint32_t pid, tid;
	uint64_t vma, address, size, index;
	/* the name, its NUL, and size bytes of code */
};

struct move {
	struct record record;
	uint32_t pid, tid;
	uint64_t vma, from, to, size, index;
};

struct debug_info {
	struct record record;
	uint64_t address, nr_entries;
};

struct unwinding_info {
	struct record record;
	uint64_t size, header_size, mapped_size;
};

_Static_assert(sizeof(struct header) == 40 && sizeof(struct record) == 16 &&
		       sizeof(struct load) == 56 && sizeof(struct move) == 64 &&
		       sizeof(struct debug_info) == 32 && sizeof(struct unwinding_info) == 40,
	       "as the format has them");

enum state {
	HEADER,
	RECORD,
	LOAD,
	NAME,
	MOVE,
	DEBUG_INFO,
	UNWINDING_INFO,
	HUNT, /* for a load, after damage */
	FOREIGN,
};

struct pp_jitdump {
	struct pp_perfmaps *all;
	struct pp_perfmap *map;
	enum state state;
	bool known; /* a header was read */
	uint32_t pid;
	uint8_t head[sizeof(struct move)]; /* what was gathered */
	size_t got, need;
	uint64_t skip;
	size_t name_max;    /* NAME: how many bytes may yet belong to it */
	struct pp_buf name; /* accounted for */
	struct pp_jitdump_stats stats;
};

static void expect(struct pp_jitdump *d, enum state state, size_t need)
{
	d->state = state;
	d->need = need;
}

/* The record ends after `skip` more bytes; another follows. */
static void next(struct pp_jitdump *d, uint64_t skip)
{
	d->got = 0;
	d->skip = skip;
	expect(d, RECORD, sizeof(struct record));
}

static void damage(struct pp_jitdump *d)
{
	d->stats.damaged++;
	pp_count(PP_C_jitdump_damaged);
	expect(d, HUNT, 0);
}

/* ---- Entries --------------------------------------------------------------------------------- */

static void bad(struct pp_jitdump *d)
{
	d->stats.bad++;
	pp_count(PP_C_jitdump_records_bad);
}

static void take_load(struct pp_jitdump *d, const struct load *l, const char *name, size_t len)
{
	int r = pp_perfmap_add(d->map, l->address, l->size, name, len);

	if (r == 0)
		d->stats.loads++;
	else if (r == -EINVAL)
		bad(d);
}

static void take_move(struct pp_jitdump *d, const struct move *m)
{
	struct pp_perfmap_entry entry;
	_cleanup_buf_ struct pp_buf name = PP_BUF(0);

	int r = -EINVAL;

	if (pp_perfmap_lookup(d->map, m->from, &entry) && pp_name_write(&name, &entry.name) >= 0)
		r = pp_perfmap_add(d->map, m->to, m->size, (char *)name.data, name.len);
	if (r == 0)
		d->stats.moves++;
	else if (r == -EINVAL)
		bad(d);
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Appends to the name, within the budget of all maps. */
static int name_add(struct pp_jitdump *d, const void *data, size_t len)
{
	size_t before = d->name.cap;
	int r;

	if (d->name.len + len > before && !pp_perfmaps_may_grow(d->all, d->name.len + len))
		return -ENOSPC;
	r = pp_buf_add(&d->name, data, len);
	d->all->used += d->name.cap - before;
	return r;
}

static void name_done(struct pp_jitdump *d)
{
	d->name.len = 0;
	if (d->name.cap <= NAME_KEEP)
		return;
	d->all->used -= d->name.cap;
	pp_buf_done(&d->name);
}

/* Takes what belongs to the name; returns how many bytes of data. */
static size_t feed_name(struct pp_jitdump *d, const char *data, size_t len)
{
	size_t n = MIN(len, d->name_max);
	const char *end = memchr(data, '\0', n);
	size_t more = end ? (size_t)(end - data) : n;
	size_t room = PP_PERFMAP_NAME_MAX + 1 - d->name.len; /* one byte over: it is cut */
	bool refused = name_add(d, data, MIN(more, room)) < 0;
	struct load l;

	d->name_max -= more;
	if (!refused && !end && d->name_max && more < room)
		return more;
	memcpy(&l, d->head, sizeof(l));
	if (refused)
		pp_count(PP_C_perfmap_entries_refused);
	else
		take_load(d, &l, (char *)d->name.data, d->name.len);
	name_done(d);
	next(d, d->name_max + l.size);
	return more;
}

/* ---- States ---------------------------------------------------------------------------------- */

static bool is_header(const void *at)
{
	struct header h;

	memcpy(&h, at, sizeof(h));
	return h.magic == MAGIC && h.version == VERSION &&
	       /* CPython 3.13 leaves the machine out. */
	       (h.machine == MACHINE || h.machine == EM_NONE) && h.total_size >= sizeof(h) &&
	       h.total_size <= PP_JITDUMP_HEADER_MAX;
}

static void on_header(struct pp_jitdump *d)
{
	struct header h;

	if (!is_header(d->head)) {
		pp_count(PP_C_jitdumps_foreign);
		expect(d, FOREIGN, 0);
		return;
	}
	memcpy(&h, d->head, sizeof(h));
	d->known = true;
	d->pid = h.pid;
	next(d, h.total_size - sizeof(h));
}

/* Whether this is beyond doubt the beginning of a load: all that is known of one agrees. */
static bool is_load(const struct pp_jitdump *d, const void *at)
{
	struct load l;

	memcpy(&l, at, sizeof(l));
	return l.record.id == CODE_LOAD && l.record.total_size <= PP_JITDUMP_RECORD_MAX &&
	       l.pid == d->pid && l.size && l.vma == l.address && l.record.total_size > sizeof(l) &&
	       l.size < l.record.total_size - sizeof(l);
}

/* After a fork the beginning of a record may be any bytes, and a wrong length would swallow what
 * follows: all that is known of a record is checked. */
static void on_record(struct pp_jitdump *d)
{
	struct record r;
	bool sized = false;

	memcpy(&r, d->head, sizeof(r));
	if (r.id == MAGIC) {
		expect(d, HEADER, sizeof(struct header));
		return;
	}
	switch (r.id) {
	case CODE_LOAD:
		sized = r.total_size > sizeof(struct load);
		expect(d, LOAD, sizeof(struct load));
		break;
	case CODE_MOVE:
		sized = r.total_size - sizeof(struct move) <= SLACK;
		expect(d, MOVE, sizeof(struct move));
		break;
	case CODE_DEBUG_INFO:
		sized = r.total_size >= sizeof(struct debug_info);
		expect(d, DEBUG_INFO, sizeof(struct debug_info));
		break;
	case CODE_UNWINDING_INFO:
		sized = r.total_size >= sizeof(struct unwinding_info);
		expect(d, UNWINDING_INFO, sizeof(struct unwinding_info));
		break;
	case CODE_CLOSE:
		sized = r.total_size - sizeof(r) <= SLACK;
		if (sized)
			next(d, r.total_size - sizeof(r));
		break;
	default:
		break;
	}
	if (!sized || r.total_size > PP_JITDUMP_RECORD_MAX)
		damage(d);
}

static void on_debug_info(struct pp_jitdump *d)
{
	struct debug_info i;
	size_t rest;

	memcpy(&i, d->head, sizeof(i));
	rest = i.record.total_size - sizeof(i);
	if (i.nr_entries > rest / DEBUG_ENTRY_MIN)
		damage(d);
	else
		next(d, rest);
}

static void on_unwinding_info(struct pp_jitdump *d)
{
	struct unwinding_info u;
	size_t rest;

	memcpy(&u, d->head, sizeof(u));
	rest = u.record.total_size - sizeof(u);
	if (u.header_size > u.size || u.size > rest || rest - u.size > SLACK)
		damage(d);
	else
		next(d, rest);
}

static void on_load(struct pp_jitdump *d)
{
	struct load l;

	memcpy(&l, d->head, sizeof(l));
	if (l.pid != d->pid) {
		damage(d);
		return;
	}
	d->name_max = l.record.total_size - sizeof(l);
	if (!l.size || l.size >= d->name_max) {
		bad(d);
		next(d, d->name_max);
		return;
	}
	d->name_max -= l.size;
	d->state = NAME;
}

static void on_move(struct pp_jitdump *d)
{
	struct move m;

	memcpy(&m, d->head, sizeof(m));
	take_move(d, &m);
	next(d, m.record.total_size - sizeof(m));
}

/* A header that ends beyond the first `got` bytes of window: an earlier one was seen before. */
static bool starts_header(const uint8_t *window, size_t at, size_t got)
{
	return at + sizeof(struct header) > got && is_header(window + at);
}

/* A load, and not one with a header in its first bytes: of that header all bytes are there sooner,
 * and what is found must not depend on where the data was cut. */
static bool starts_load(const struct pp_jitdump *d, const uint8_t *window, size_t at)
{
	if (!is_load(d, window + at))
		return false;
	for (size_t i = 1; i + sizeof(struct header) < sizeof(struct load); i++)
		if (starts_header(window, at + i, d->got))
			return false;
	return true;
}

/*
 * Looks for something to go on from; returns how many bytes of data that took. What was gathered
 * before is none by itself, so what is found ends within data.
 */
static size_t hunt(struct pp_jitdump *d, const uint8_t *data, size_t len)
{
	uint8_t window[WINDOW_MAX];
	size_t n = MIN(len, sizeof(window) - d->got), have = d->got + n, at, keep = 0;

	memcpy(window, d->head, d->got);
	memcpy(window + d->got, data, n);
	for (at = 0; at + sizeof(struct header) <= have; at++) {
		if (starts_header(window, at, d->got))
			keep = sizeof(struct header);
		else if (at + sizeof(struct load) <= have && starts_load(d, window, at))
			keep = sizeof(struct load);
		if (keep)
			break;
	}
	if (keep) {
		expect(d, RECORD, sizeof(struct record));
	} else {
		keep = MIN(have, sizeof(struct load) - 1);
		at = have - keep;
	}
	memcpy(d->head, window + at, keep);
	n = at + keep - d->got;
	d->got = keep;
	return n;
}

static size_t gather(struct pp_jitdump *d, const uint8_t *data, size_t len)
{
	size_t n = d->need > d->got ? MIN(len, d->need - d->got) : 0;

	memcpy(d->head + d->got, data, n);
	d->got += n;
	if (d->got < d->need)
		return n;
	switch (d->state) {
	case HEADER:
		on_header(d);
		break;
	case RECORD:
		on_record(d);
		break;
	case LOAD:
		on_load(d);
		break;
	case MOVE:
		on_move(d);
		break;
	case DEBUG_INFO:
		on_debug_info(d);
		break;
	default:
		on_unwinding_info(d);
		break;
	}
	return n;
}

void pp_jitdump_feed(struct pp_jitdump *d, const void *data, size_t len)
{
	const uint8_t *p = data, *end = p + pp_perfmap_allow(d->map, len);

	while (p < end && d->state != FOREIGN) {
		size_t n = MIN((uint64_t)(end - p), d->skip);

		d->skip -= n;
		p += n;
		if (p == end)
			break;
		switch (d->state) {
		case NAME:
			p += feed_name(d, (const char *)p, (size_t)(end - p));
			break;
		case HUNT:
			p += hunt(d, p, (size_t)(end - p));
			break;
		default:
			p += gather(d, p, (size_t)(end - p));
		}
	}
}

/* ---- The object ------------------------------------------------------------------------------ */

void pp_jitdump_restart(struct pp_jitdump *d)
{
	name_done(d);
	d->known = false;
	next(d, 0);
	expect(d, HEADER, sizeof(struct header));
}

int pp_jitdump_new(struct pp_jitdump **ret, struct pp_perfmaps *all, struct pp_perfmap *map)
{
	struct pp_jitdump *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->all = pp_perfmaps_ref(all);
	d->all->used += sizeof(*d);
	d->map = map;
	pp_jitdump_restart(d);
	*ret = d;
	return 0;
}

struct pp_jitdump *pp_jitdump_free(struct pp_jitdump *d)
{
	if (!d)
		return NULL;
	d->all->used -= sizeof(*d) + d->name.cap;
	pp_buf_done(&d->name);
	pp_perfmaps_free(d->all);
	free(d);
	return NULL;
}

enum pp_jitdump_state pp_jitdump_state(const struct pp_jitdump *d)
{
	if (d->state == FOREIGN)
		return PP_JITDUMP_FOREIGN;
	return d->known ? PP_JITDUMP_GOOD : PP_JITDUMP_EMPTY;
}

const struct pp_jitdump_stats *pp_jitdump_stats(const struct pp_jitdump *d)
{
	return &d->stats;
}
