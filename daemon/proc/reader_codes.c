/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: a process's code objects, named.
 *
 * The process may be at work meanwhile, and may have put anything where its code objects are
 * supposed to be. So nothing is followed further than one step from a code object, every object's
 * type is looked at, every length has a bound, and each thing is read once: what was checked is
 * what is used.
 *
 * A code object may end while it is read, and its strings with it. So it is looked at before and
 * after: if it was the same one, and there were references to it, then what was read between is
 * its own. One that is being made has a reference first and its fields a moment later, and until
 * then those of the one before: so strings must have references too, and all are looked at once
 * more at the end. Whether it is the one that was sampled is the daemon's to judge, by its number
 * (3.12 and later) or its print: for that, the number that the next one will get is read before all
 * else.
 *
 * An exec leaves another program in the process. The memory that was opened stays that of one; that
 * it is the right one is told by a random word of it. Where that is not known, the program must at
 * least be the same user's: what is asked for is what the one before has written, and it must not
 * have us read sudo's memory.
 */
#include "proc/reader_wire.h"

#include "base/clock.h"

#include <fcntl.h>
#include <string.h>

#define HEADER_MAX 256 /* bytes of a code object, up to its instructions */
#define FIRST_READ 512 /* of a string: most are shorter, and one read does */
/* The standard library's longest line table has 18 KB. What lies beyond this has no line. */
#define TABLE_MAX  (256 * KIB)
#define LENGTH_MAX (1 << 30) /* of a string that is believed at all */
#define COPIES_MAX 1024	     /* of a code's instructions, one a thread */
/* A process whose memory is slow (swapped out) gets its answer in parts: well before the deadline,
 * which would cost it its names for good. */
#define TIME_MAX_NS (200 * NSEC_PER_MSEC)

/* In the runtime's `interpreters`: head, main, and then how many there ever were. */
#define INTERPRETERS_EVER 16

#define ADDRESS_END (1ULL << 56) /* user space is below, with five levels of page tables too */

/* tp_flags, the same since 3.0. */
#define BYTES_SUBCLASS (1UL << 27)
#define STR_SUBCLASS   (1UL << 28)

/* A code object as it was read. */
struct code {
	uint64_t address;
	uint64_t name, file, table, copies;
	uint64_t bytes; /* of instructions */
	uint64_t words; /* its lasting ones, mixed */
	uint32_t number;
	uint32_t first_line;
};

/* What is kept from item to item of one request. */
struct memory {
	int fd;
	const struct pp_code_offsets *layout;
	uint64_t code_type, str_type, bytes_type; /* found to be what they are; 0: none yet */
	struct code last;			  /* the last that was named; address 0: none */
	size_t table_len;			  /* of its line table */
	bool table_read, table_good;
	size_t names, name_len, file_len; /* of `last`, at this place of the answer */
	uint32_t print;			  /* of `last` */
	uint8_t table[TABLE_MAX];
	uint8_t string[sizeof(uint32_t) * PP_CODE_TEXT_MAX + FIRST_READ];
};

/* ---- Memory ---------------------------------------------------------------------------------- */

/* As much of [address, address + len) as there is; 0: nothing. */
static size_t read_some(const struct memory *m, uint64_t address, void *to, size_t len)
{
	ssize_t n;

	if (!address || address >= ADDRESS_END)
		return 0;
	n = pread(m->fd, to, len, (off_t)address);
	return n < 0 ? 0 : (size_t)n;
}

static bool read_all(const struct memory *m, uint64_t address, void *to, size_t len)
{
	return read_some(m, address, to, len) == len;
}

static uint64_t u64_at(const uint8_t *data, size_t offset)
{
	uint64_t v;

	memcpy(&v, data + offset, sizeof(v));
	return v;
}

static uint32_t u32_at(const uint8_t *data, size_t offset)
{
	uint32_t v;

	memcpy(&v, data + offset, sizeof(v));
	return v;
}

static bool is_aligned(uint64_t address)
{
	return address % sizeof(uint64_t) == 0;
}

/* Whether type is one of those with this flag; *known spares the next look. */
static bool has_flag(const struct memory *m, uint64_t type, uint64_t flag, uint64_t *known)
{
	uint64_t flags;

	if (type == *known)
		return true;
	if (!is_aligned(type) ||
	    !read_all(m, type + m->layout->type_flags, &flags, sizeof(flags)) || !(flags & flag))
		return false;
	*known = type;
	return true;
}

static bool is_code_type(struct memory *m, uint64_t type)
{
	static const char name[] = "code";
	char text[sizeof(name)];
	uint64_t at;

	if (m->code_type)
		return type == m->code_type;
	if (!is_aligned(type) || !read_all(m, type + m->layout->type_name, &at, sizeof(at)) ||
	    !read_all(m, at, text, sizeof(text)) || memcmp(text, name, sizeof(name)) != 0)
		return false;
	m->code_type = type;
	return true;
}

/* ---- Code objects ---------------------------------------------------------------------------- */

static size_t header_size(const struct pp_code_offsets *l)
{
	/* The table lies behind the names and what else is read but for the copies. */
	return MAX(l->table, l->copies) + sizeof(uint64_t);
}

/* Whether there are references to it. Who has none is being freed, or has been: then its first word
 * is an address or 0. Above the count there are flags, in the uppermost bits only. */
static bool is_alive(const struct pp_code_offsets *l, const uint8_t *data)
{
	uint64_t refs = u64_at(data, 0);

	if (l->refs)
		return u32_at(data, l->refs) || (int64_t)u64_at(data, l->refs + 4U) >> 2;
	return (uint32_t)refs && !(refs >> 32 & 0xffff);
}

static enum pp_code_error read_code(struct memory *m, uint64_t address, struct code *ret)
{
	const struct pp_code_offsets *l = m->layout;
	uint8_t data[HEADER_MAX];

	if (!is_aligned(address))
		return PP_CODE_NOT_CODE;
	if (!read_all(m, address, data, header_size(l)))
		return PP_CODE_UNREADABLE;
	if (!is_code_type(m, u64_at(data, l->type)) || !is_alive(l, data))
		return PP_CODE_NOT_CODE;
	*ret = (struct code){
		.address = address,
		.name = u64_at(data, l->qualname ?: l->name),
		.file = u64_at(data, l->filename),
		.table = u64_at(data, l->table),
		.copies = l->copies ? u64_at(data, l->copies) : 0,
		.number = l->version ? u32_at(data, l->version) : 0,
		.first_line = u32_at(data, l->first_line),
	};
	if (l->units)
		ret->bytes = 2 * MIN(u64_at(data, l->units), (uint64_t)INT32_MAX);
	for (size_t i = 0; i < l->print_words; i++)
		ret->words = pp_print_mix(ret->words, u64_at(data, l->print_first + 8 * i));
	return PP_CODE_FOUND;
}

/* Copies of instructions come and go. */
static bool is_same(const struct code *a, const struct code *b)
{
	return a->address == b->address && a->name == b->name && a->file == b->file &&
	       a->table == b->table && a->bytes == b->bytes && a->words == b->words &&
	       a->number == b->number && a->first_line == b->first_line;
}

/* Without the GIL a thread may run its own copy of the instructions: a count and pointers. */
static bool find_copy(const struct memory *m, const struct code *c, uint64_t position, int64_t *ret)
{
	uint64_t list[1 + COPIES_MAX];
	size_t n;

	if (!c->copies || !is_aligned(c->copies))
		return false;
	n = read_some(m, c->copies, list, sizeof(list)) / sizeof(list[0]);
	if (!n)
		return false;
	n = MIN(n - 1, list[0]);
	for (size_t i = 1; i <= n; i++)
		if (position >= list[i] && position - list[i] < c->bytes) {
			*ret = (int64_t)(position - list[i]);
			return true;
		}
	return false;
}

/* From a position to the offset in bytes of the instruction, or -2: before the first one. */
static bool find_offset(const struct memory *m, const struct code *c, uint64_t position,
			int64_t *ret)
{
	uint64_t start = c->address + m->layout->instructions;

	if (!m->layout->instructions) {
		*ret = (int64_t)(int32_t)position * m->layout->scale;
		return *ret >= -2;
	}
	*ret = (int64_t)(position - start);
	if (*ret >= -2 && *ret < (int64_t)c->bytes)
		return true;
	return find_copy(m, c, position, ret);
}

static bool read_table(struct memory *m, const struct code *c)
{
	const struct pp_code_offsets *l = m->layout;
	uint8_t head[64];
	uint64_t len;

	if (!is_aligned(c->table) ||
	    !read_all(m, c->table, head, l->bytes_length + sizeof(uint64_t)) ||
	    !has_flag(m, u64_at(head, l->type), BYTES_SUBCLASS, &m->bytes_type))
		return false;
	len = u64_at(head, l->bytes_length);
	m->table_len = read_some(m, c->table + l->bytes_data, m->table,
				 MIN(len, (uint64_t)sizeof(m->table)));
	/* What is cut tells of its beginning only; this kind does not tell where it ends. */
	return l->lines != PP_CODE_LNOTAB || m->table_len == len;
}

static uint32_t find_line(struct memory *m, const struct code *c, int64_t offset)
{
	if (!m->table_read)
		m->table_good = read_table(m, c);
	m->table_read = true;
	if (!m->table_good)
		return 0;
	return pp_code_line(m->layout->lines, m->table, m->table_len, c->first_line, offset);
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* UTF-8 of one character. A lone surrogate of U+DC80 to U+DCFF stands for a byte that was none
 * (surrogateescape); others are kept in three bytes, which are no UTF-8 either. */
static size_t encode(uint32_t c, uint8_t out[static 4])
{
	if (c < 0x80 || (c >= 0xdc80 && c <= 0xdcff)) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | (c >> 18 & 7));
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

static uint32_t character(const uint8_t *data, size_t i, size_t kind)
{
	uint32_t c = 0;

	memcpy(&c, data + i * kind, kind); /* little-endian, as the process is */
	return c;
}

/* Adds at most PP_CODE_TEXT_MAX bytes of a str's characters to out. */
static int add_characters(struct pp_buf *out, const uint8_t *data, size_t nr, size_t kind)
{
	size_t end = out->len + PP_CODE_TEXT_MAX;
	int r = 0;

	for (size_t i = 0; i < nr && r >= 0; i++) {
		uint8_t utf8[4];
		size_t n = encode(character(data, i, kind), utf8);

		if (out->len + n > end)
			break;
		r = pp_buf_add(out, utf8, n);
	}
	return r;
}

static uint64_t mix_text(uint64_t h, const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = 0;

		memcpy(&word, text + i, MIN(len - i, sizeof(word)));
		h = pp_print_mix(h, word);
	}
	return h;
}

/* The print of the str at address, whose first bytes are in m->string: as BPF makes it. */
static uint32_t text_print(const struct memory *m, uint64_t address, uint64_t length, uint32_t bits,
			   size_t start)
{
	uint64_t bytes = length * (bits & 7), h = pp_print_mix(length, bits & 31);
	uint8_t end[PP_PRINT_TEXT];

	h = mix_text(h, m->string + start, MIN(bytes, (uint64_t)PP_PRINT_TEXT));
	if (bytes > PP_PRINT_TEXT) {
		if (!read_all(m, address + start + bytes - PP_PRINT_TEXT, end, sizeof(end)))
			return 0;
		h = mix_text(h, end, sizeof(end));
	}
	return pp_print_fold(h);
}

/* Appends the str at address. Returns its print, or 0 where there is none. */
static uint32_t read_string(struct memory *m, uint64_t address, struct pp_buf *out)
{
	const struct pp_code_offsets *l = m->layout;
	size_t got, start, kind;
	uint64_t length, shown;
	uint32_t bits;

	if (!is_aligned(address))
		return 0;
	got = read_some(m, address, m->string, FIRST_READ);
	if (got < l->str_ascii ||
	    !has_flag(m, u64_at(m->string, l->type), STR_SUBCLASS, &m->str_type) ||
	    !is_alive(l, m->string))
		return 0;
	length = u64_at(m->string, l->str_length);
	bits = u32_at(m->string, l->str_state) >> l->str_kind;
	kind = bits & 7;
	/* Others have their characters elsewhere; the compiler makes none of those. */
	if (!(bits & 8) || (kind != 1 && kind != 2 && kind != 4) || length > LENGTH_MAX)
		return 0;
	start = bits & 16 ? l->str_ascii : l->str_compact;
	shown = MIN(length, (uint64_t)PP_CODE_TEXT_MAX);
	if (start + shown * kind > got)
		got = read_some(m, address, m->string, start + shown * kind);
	if (start + shown * kind > got || add_characters(out, m->string + start, shown, kind) < 0)
		return 0;
	return text_print(m, address, length, bits, start);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static uint32_t fold_words(const struct code *c)
{
	return pp_print_fold(pp_print_mix(c->words, c->bytes));
}

/* Names tell one code object from another where it has no number. */
static uint32_t print_of(const struct code *c, uint32_t name, uint32_t file)
{
	uint64_t h = c->words;

	if (!c->number)
		h = pp_print_mix(h, (uint64_t)name << 32 | file);
	return pp_print_fold(h);
}

static enum pp_code_error read_names(struct memory *m, const struct code *c, struct pp_buf *out)
{
	size_t start = out->len, middle = start;
	uint32_t name, file = 0;

	name = read_string(m, c->name, out);
	middle = out->len;
	if (name)
		file = read_string(m, c->file, out);
	if (!name || !file) {
		out->len = start;
		return PP_CODE_BAD_NAME;
	}
	m->names = start;
	m->name_len = middle - start;
	m->file_len = out->len - middle;
	m->print = print_of(c, name, file);
	m->last = *c;
	m->table_read = false;
	return PP_CODE_FOUND;
}

/* The names of the code object read before. */
static int repeat_names(struct memory *m, struct pp_buf *out)
{
	size_t len = m->name_len + m->file_len, from = m->names;
	int r;

	r = pp_buf_reserve(out, len);
	if (r < 0)
		return r;
	m->names = out->len;
	return pp_buf_add(out, out->data + from, len);
}

/* What there is to say of code object c, if it stays meanwhile. Items of one stand together: its
 * names are read once for them. */
static enum pp_code_error describe(struct memory *m, const struct pp_code_item *item,
				   const struct code *c, struct pp_code_record *r,
				   struct pp_buf *out)
{
	enum pp_code_error error = PP_CODE_FOUND;
	int64_t offset;

	if (!m->last.address || !is_same(&m->last, c))
		error = read_names(m, c, out);
	else if (repeat_names(m, out) < 0)
		error = PP_CODE_UNREADABLE;
	if (error != PP_CODE_FOUND)
		return error;
	*r = (struct pp_code_record){ .number = c->number,
				      .print = m->print,
				      .words = fold_words(c),
				      .first_line = c->first_line };
	if (!find_offset(m, c, item->position, &offset))
		return PP_CODE_ASTRAY;
	r->name_len = (uint32_t)m->name_len;
	r->file_len = (uint32_t)m->file_len;
	r->line = find_line(m, c, offset);
	return PP_CODE_FOUND;
}

static enum pp_code_error answer(struct memory *m, const struct pp_code_item *item,
				 struct pp_code_record *r, struct pp_buf *out)
{
	struct code before, after;
	enum pp_code_error error = read_code(m, item->code, &before);
	size_t start = out->len;

	if (error != PP_CODE_FOUND)
		return error;
	if (item->known && item->known == before.number) {
		r->number = before.number;
		r->print = print_of(&before, 0, 0);
		return PP_CODE_KNOWN;
	}
	error = describe(m, item, &before, r, out);
	if (read_code(m, item->code, &after) != PP_CODE_FOUND || !is_same(&before, &after)) {
		*r = (struct pp_code_record){ 0 };
		error = PP_CODE_CHANGED;
	}
	if (error != PP_CODE_FOUND) {
		out->len = start;
		m->last.address = 0;
	}
	return error;
}

/* Appends the item's record; the record's place is kept while its texts are written. */
static int add_record(struct memory *m, const struct pp_code_item *item, struct pp_buf *out)
{
	struct pp_code_record r = { 0 };
	size_t at = out->len;
	enum pp_code_error error;
	int e;

	e = pp_buf_add(out, &r, sizeof(r));
	if (e < 0)
		return e;
	error = answer(m, item, &r, out);
	r.error = error;
	memcpy(out->data + at, &r, sizeof(r));
	return 0;
}

/* Whether the code object of a record is still the one that it is of. */
static bool is_still(struct memory *m, const struct pp_code_item *item,
		     const struct pp_code_record *r)
{
	struct code c;

	return read_code(m, item->code, &c) == PP_CODE_FOUND && c.number == r->number &&
	       fold_words(&c) == r->words;
}

/* Looks once more at what has been named. */
static void confirm(struct memory *m, const struct pp_code_item *items, struct pp_buf *out)
{
	struct pp_code_record r;

	for (size_t at = 0; at < out->len; at += sizeof(r) + r.name_len + r.file_len, items++) {
		memcpy(&r, out->data + at, sizeof(r));
		if (r.error != PP_CODE_FOUND || is_still(m, items, &r))
			continue;
		r.error = PP_CODE_CHANGED;
		memcpy(out->data + at, &r, sizeof(r));
	}
}

static int add_records(struct memory *m, const struct pp_code_item *items, size_t nr,
		       struct pp_buf *out)
{
	uint64_t until = pp_now_ns() + TIME_MAX_NS;
	int r = 0;

	for (size_t i = 0; i < nr && r >= 0; i++) {
		size_t before = out->len;

		if (i && pp_now_ns() > until)
			break;
		r = add_record(m, &items[i], out);
		if (i && out->len > PP_READER_TEXT_MAX) {
			out->len = before;
			break;
		}
	}
	return r;
}

/* Whether the process runs the program that it is said to. */
static bool is_image(const struct memory *m, const struct pp_code_runtime *rt)
{
	uint64_t image;

	return !rt->image_at ||
	       (read_all(m, rt->image_at, &image, sizeof(image)) && image == rt->image);
}

/* The number of the next code object, which `next` was before all was read. Numbers tell when code
 * objects were made as long as one interpreter makes them. */
static uint32_t judge_numbers(const struct memory *m, const struct pp_code_runtime *rt,
			      uint32_t next)
{
	uint64_t count;

	if (rt->interpreters &&
	    (!read_all(m, rt->interpreters + INTERPRETERS_EVER, &count, sizeof(count)) ||
	     count != 1))
		return 0;
	return next;
}

int pp_reader_do_codes(const struct pp_opened *o, const struct pp_reader_request *q,
		       const struct pp_code_item *items, size_t nr, struct pp_reader_answer *a)
{
	const struct pp_code_runtime *rt = &q->runtime;
	_cleanup_buf_ struct pp_buf out = PP_BUF(0);
	_cleanup_free_ struct memory *m = calloc(1, sizeof(*m));
	_cleanup_close_ int fd = openat(o->dir, "mem", O_RDONLY | O_CLOEXEC);
	uint32_t next = 0;
	int r;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (!m)
		return -ENOMEM;
	m->fd = fd;
	m->layout = pp_code_offsets_find(rt->version, rt->threaded);
	m->code_type = rt->code_type;
	if (!m->layout)
		return -EOPNOTSUPP;
	if (!is_image(m, rt) || (!rt->image_at && q->uid && !pp_reader_is_users(o, q->uid)))
		return -ESRCH;
	if (rt->next_code && !read_all(m, rt->next_code, &next, sizeof(next)))
		next = 0;
	r = add_records(m, items, nr, &out);
	confirm(m, items, &out);
	a->head.next_code = judge_numbers(m, rt, next);
	return r < 0 ? r : pp_reader_add_text(a, out.data ?: (uint8_t *)"", out.len);
}
