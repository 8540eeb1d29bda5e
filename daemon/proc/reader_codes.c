/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: a process's code objects, named.
 *
 * The process may be at work meanwhile, and may have put anything where its code objects are
 * supposed to be. So nothing is followed further than one step from a code object, every object's
 * type is looked at, every length has a bound, and each thing is read once: what was checked is
 * what is used. That costs about six reads a code object.
 *
 * What keeps an address from naming the wrong function: the position must lie within the code; where
 * the interpreter numbers its code objects, in the order in which they are made, the sample says
 * what the next one's number was, and who has that or a higher one was not there yet; and
 * `identity` is made of what tells one code object from the next at the same place. From 3.12 on
 * that is a number never used twice (co_version); before, the pointers to its parts, which live as
 * long as it does.
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

#define ADDRESS_END (1ULL << 56) /* user space is below, with five levels of page tables too */

/* tp_flags, the same since 3.0. */
#define BYTES_SUBCLASS (1UL << 27)
#define STR_SUBCLASS   (1UL << 28)

/* A code object as it was read. */
struct code {
	uint64_t address, identity;
	uint64_t name, file, table, copies;
	uint64_t bytes; /* of instructions */
	uint32_t version;
	uint32_t first_line;
};

/* What is kept from item to item of one request. */
struct memory {
	int fd;
	const struct pp_code_offsets *layout;
	uint64_t next_code;		    /* address of that number; 0: none */
	uint64_t code_type, str_type, bytes_type; /* found to be what they are; 0: none yet */
	struct code last;			  /* address 0: none */
	uint64_t last_table;			  /* whose line table is in `table` */
	size_t table_len;
	bool table_good;
	size_t names, name_len, file_len; /* of `last`, at this place of the answer */
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

/* Mixes the same in every process: a reader that died is followed by another. */
static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

static enum pp_code_error read_code(struct memory *m, uint64_t address, struct code *ret)
{
	const struct pp_code_offsets *l = m->layout;
	uint8_t data[HEADER_MAX];

	if (!is_aligned(address))
		return PP_CODE_NOT_CODE;
	if (!read_all(m, address, data, header_size(l)))
		return PP_CODE_UNREADABLE;
	if (!is_code_type(m, u64_at(data, l->type)))
		return PP_CODE_NOT_CODE;
	*ret = (struct code){
		.address = address,
		.name = u64_at(data, l->qualname ?: l->name),
		.file = u64_at(data, l->filename),
		.table = u64_at(data, l->table),
		.copies = l->copies ? u64_at(data, l->copies) : 0,
		.first_line = u32_at(data, l->first_line),
	};
	if (l->units)
		ret->bytes = 2 * MIN(u64_at(data, l->units), (uint64_t)INT32_MAX);
	ret->identity = mix(mix(mix(ret->name, ret->file), ret->table), ret->first_line);
	if (l->version) {
		ret->version = u32_at(data, l->version);
		ret->identity = mix(ret->identity, ret->version);
	}
	return PP_CODE_FOUND;
}

/*
 * Whether the code object was made after the sample: its number was given out between then and now.
 * A number beyond that is none that was counted there: another interpreter's, or the word is not
 * the one that is meant. That tells nothing.
 */
static bool is_later(const struct memory *m, const struct code *c, uint32_t next_code)
{
	uint32_t now;

	return next_code && c->version >= next_code && m->next_code &&
	       read_all(m, m->next_code, &now, sizeof(now)) && c->version < now;
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
	if (m->last_table != c->address) {
		m->table_good = read_table(m, c);
		m->last_table = c->address;
	}
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

/* Appends the str at address. Returns whether there is one. */
static bool read_string(struct memory *m, uint64_t address, struct pp_buf *out)
{
	const struct pp_code_offsets *l = m->layout;
	size_t got, start, kind, bits;
	uint64_t length;

	if (!is_aligned(address))
		return false;
	got = read_some(m, address, m->string, FIRST_READ);
	if (got < l->str_ascii ||
	    !has_flag(m, u64_at(m->string, l->type), STR_SUBCLASS, &m->str_type))
		return false;
	length = u64_at(m->string, l->str_length);
	bits = u32_at(m->string, l->str_state) >> l->str_kind;
	kind = bits & 7;
	/* Others have their characters elsewhere; the compiler makes none of those. */
	if (!(bits & 8) || (kind != 1 && kind != 2 && kind != 4) || length > LENGTH_MAX)
		return false;
	start = bits & 16 ? l->str_ascii : l->str_compact;
	length = MIN(length, (uint64_t)PP_CODE_TEXT_MAX);
	if (start + length * kind > got)
		got = read_some(m, address, m->string, start + length * kind);
	return start + length * kind <= got &&
	       add_characters(out, m->string + start, length, kind) >= 0;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static enum pp_code_error read_names(struct memory *m, const struct code *c, struct pp_buf *out)
{
	size_t start = out->len, middle;

	if (!read_string(m, c->name, out))
		return PP_CODE_BAD_NAME;
	middle = out->len;
	if (!read_string(m, c->file, out)) {
		out->len = start;
		return PP_CODE_BAD_NAME;
	}
	m->names = start;
	m->name_len = middle - start;
	m->file_len = out->len - middle;
	m->last = *c;
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

/* Items of one code object stand together: it is read once for them. */
static enum pp_code_error describe(struct memory *m, const struct pp_code_item *item,
				   bool identity_only, struct pp_code_record *r, struct pp_buf *out)
{
	bool again = m->last.address && m->last.address == item->code;
	enum pp_code_error error = PP_CODE_FOUND;
	struct code c = m->last;
	int64_t offset;

	if (!again)
		error = read_code(m, item->code, &c);
	if (error != PP_CODE_FOUND)
		return error;
	r->identity = c.identity;
	r->first_line = c.first_line;
	if (identity_only)
		return PP_CODE_FOUND;
	if (is_later(m, &c, item->next_code))
		return PP_CODE_LATER;
	if (!find_offset(m, &c, item->position, &offset))
		return PP_CODE_ASTRAY;
	if (!again)
		error = read_names(m, &c, out);
	else if (repeat_names(m, out) < 0)
		error = PP_CODE_UNREADABLE;
	if (error != PP_CODE_FOUND)
		return error;
	r->name_len = (uint32_t)m->name_len;
	r->file_len = (uint32_t)m->file_len;
	r->line = find_line(m, &c, offset);
	return PP_CODE_FOUND;
}

/* Appends the item's record; the record's place is kept while its texts are written. */
static int add_record(struct memory *m, const struct pp_code_item *item, bool identity_only,
		      struct pp_buf *out)
{
	struct pp_code_record r = { 0 };
	size_t at = out->len;
	int e;

	e = pp_buf_add(out, &r, sizeof(r));
	if (e < 0)
		return e;
	r.error = describe(m, item, identity_only, &r, out);
	memcpy(out->data + at, &r, sizeof(r));
	return 0;
}

static int add_records(struct memory *m, const struct pp_reader_request *q,
		       const struct pp_code_item *items, size_t nr, struct pp_buf *out)
{
	const size_t most = sizeof(struct pp_code_record) + 2UL * PP_CODE_TEXT_MAX;
	uint64_t until = pp_now_ns() + TIME_MAX_NS;
	int r = 0;

	for (size_t i = 0; i < nr && r >= 0; i++) {
		if (out->len + most > PP_READER_TEXT_MAX || pp_now_ns() > until)
			break;
		r = add_record(m, &items[i], q->identities_only, out);
	}
	return r;
}

int pp_reader_do_codes(const struct pp_opened *o, const struct pp_reader_request *q,
		       const struct pp_code_item *items, size_t nr, struct pp_reader_answer *a)
{
	const struct pp_code_runtime *rt = &q->runtime;
	_cleanup_buf_ struct pp_buf out = PP_BUF(0);
	_cleanup_free_ struct memory *m = calloc(1, sizeof(*m));
	_cleanup_close_ int fd = openat(o->dir, "mem", O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (!m)
		return -ENOMEM;
	m->fd = fd;
	m->layout = pp_code_offsets_find(rt->version, rt->threaded);
	m->code_type = rt->code_type;
	m->next_code = rt->next_code;
	if (!m->layout)
		return -EOPNOTSUPP;
	if (rt->generation &&
	    !read_all(m, rt->generation, &a->head.generation, sizeof(a->head.generation)))
		return -ESRCH; /* it has no memory any more */
	if (!q->generation || q->generation != a->head.generation)
		r = add_records(m, q, items, nr, &out);
	return r < 0 ? r : pp_reader_add_text(a, out.data ?: (uint8_t *)"", out.len);
}
