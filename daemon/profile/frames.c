/* SPDX-License-Identifier: GPL-2.0-only */
#include "frames.h"

#include "base/counters.h"
#include "base/u64map.h"
#include "ids.h"
#include "index.h"

enum {
	STATE_FINAL,   /* in the index */
	STATE_PENDING, /* name being looked up */
	STATE_ALIAS,   /* offset: the frame that has the name */
};

struct pp_frames {
	struct pp_strings *strings;
	struct pp_frame *rows;
	uint32_t rows_cap;
	size_t max, pending;
	struct pp_ids ids;
	struct pp_index index;
};

static uint64_t hash_frame(const struct pp_frame *r)
{
	return pp_mix(pp_mix((uint64_t)r->name << 32 | r->file) ^
		      pp_mix((uint64_t)r->module << 8 | r->kind) ^ r->offset);
}

static uint64_t hash_row(const void *table, uint32_t id)
{
	const struct pp_frames *f = table;

	return hash_frame(&f->rows[id]);
}

static bool equal_row(const void *table, uint32_t id, const void *key)
{
	const struct pp_frames *f = table;
	const struct pp_frame *a = &f->rows[id], *b = key;

	return a->name == b->name && a->file == b->file && a->module == b->module &&
	       a->offset == b->offset && a->kind == b->kind;
}

static int add(struct pp_frames *f, const struct pp_frame *frame, uint32_t *ret)
{
	uint32_t id;
	int r;

	r = pp_array_reserve((void **)&f->rows, sizeof(*f->rows), &f->rows_cap, f->ids.bound);
	if (r < 0)
		return r;
	r = pp_ids_take(&f->ids, f->max, &id);
	if (r == -ENOSPC)
		pp_count(PP_C_frames_refused);
	if (r < 0)
		return r;
	f->rows[id] = *frame;
	*ret = id;
	return 0;
}

static int intern(struct pp_frames *f, const struct pp_frame *frame, uint32_t *ret)
{
	uint64_t hash = hash_frame(frame);
	const uint32_t *slot = pp_index_find(&f->index, hash, equal_row, f, frame);
	int r;

	if (slot && *slot) {
		*ret = *slot - 1;
		return 0;
	}
	r = pp_index_reserve(&f->index, (size_t)f->index.count + 1, hash_row, f);
	if (r < 0)
		return r;
	r = add(f, frame, ret);
	if (r < 0)
		return r;
	pp_index_put(&f->index, hash, *ret, hash_row, f);
	return 0;
}

int pp_frames_new(struct pp_frames **ret, struct pp_strings *strings, size_t max)
{
	struct pp_frames *f = calloc(1, sizeof(*f));
	uint32_t id;
	int r;

	if (!f)
		return -ENOMEM;
	f->strings = strings;
	f->max = max;
	r = intern(f, &(struct pp_frame){ .kind = PP_KIND_UNKNOWN }, &id);
	if (r >= 0) /* like no other: an unknown frame has no line */
		r = intern(f, &(struct pp_frame){ .kind = PP_KIND_UNKNOWN, .offset = UINT64_MAX },
			   &id);
	if (r < 0) {
		pp_frames_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

struct pp_frames *pp_frames_free(struct pp_frames *f)
{
	if (!f)
		return NULL;
	free(f->rows);
	pp_ids_done(&f->ids);
	pp_index_done(&f->index);
	free(f);
	return NULL;
}

int pp_frames_get(struct pp_frames *f, enum pp_kind kind, uint32_t name, uint32_t file,
		  uint32_t module, uint32_t *ret)
{
	return pp_frames_get_line(f, kind, name, file, module, 0, 0, ret);
}

int pp_frames_get_line(struct pp_frames *f, enum pp_kind kind, uint32_t name, uint32_t file,
		       uint32_t module, uint32_t line, uint32_t first_line, uint32_t *ret)
{
	struct pp_frame frame = {
		.kind = (uint8_t)kind, .name = name, .file = file, .module = module
	};

	if (name) {
		frame.line = line;
		frame.first_line = first_line;
	}
	return intern(f, &frame, ret);
}

static struct pp_frame unnamed(enum pp_kind kind, uint32_t module, uint64_t offset)
{
	struct pp_frame frame = { .kind = (uint8_t)kind };

	if (kind == PP_KIND_PYTHON)
		return frame;
	frame.module = module;
	frame.offset = offset;
	return frame;
}

int pp_frames_unnamed(struct pp_frames *f, enum pp_kind kind, uint32_t module, uint64_t offset,
		      uint32_t *ret)
{
	struct pp_frame frame = unnamed(kind, module, offset);

	return intern(f, &frame, ret);
}

void pp_frames_set_note(struct pp_frames *f, uint32_t id, uint32_t note)
{
	if (pp_ids_is_live(&f->ids, id) && f->rows[id].state == STATE_PENDING)
		f->rows[id].file = note;
}

int pp_frames_pending(struct pp_frames *f, enum pp_kind kind, uint32_t module, uint64_t offset,
		      uint32_t *ret)
{
	struct pp_frame frame = unnamed(kind, module, offset);
	int r;

	frame.state = STATE_PENDING;
	r = add(f, &frame, ret);
	if (r < 0)
		return r;
	f->pending++;
	return 0;
}

/* Also shortens the chain of aliases for the next one. */
uint32_t pp_frames_final(struct pp_frames *f, uint32_t id)
{
	uint32_t final = id;

	if (!pp_ids_is_live(&f->ids, id))
		return PP_FRAME_UNKNOWN;
	while (f->rows[final].state == STATE_ALIAS)
		final = (uint32_t)f->rows[final].offset;
	while (f->rows[id].state == STATE_ALIAS) {
		uint32_t next = (uint32_t)f->rows[id].offset;

		f->rows[id].offset = final;
		id = next;
	}
	return final;
}

int pp_frames_resolve(struct pp_frames *f, uint32_t id, uint32_t final)
{
	if (!pp_ids_is_live(&f->ids, id) || f->rows[id].state != STATE_PENDING)
		return -EINVAL;
	final = pp_frames_final(f, final);
	if (final == id)
		return -EINVAL;
	f->rows[id].state = STATE_ALIAS;
	f->rows[id].offset = final;
	f->pending--;
	return 0;
}

int pp_frames_give_up(struct pp_frames *f, uint32_t id)
{
	struct pp_frame frame;
	uint32_t final;
	int r;

	if (!pp_ids_is_live(&f->ids, id) || f->rows[id].state != STATE_PENDING)
		return -EINVAL;
	frame = f->rows[id];
	frame.state = STATE_FINAL;
	r = intern(f, &frame, &final);
	if (r >= 0)
		return pp_frames_resolve(f, id, final);
	/* No room for the frame that it shares with its like: it stays one by itself. */
	f->rows[id].state = STATE_FINAL;
	f->pending--;
	return 0;
}

const struct pp_frame *pp_frames_describe(struct pp_frames *f, uint32_t id)
{
	return &f->rows[pp_frames_final(f, id)];
}

bool pp_frames_is_pending(struct pp_frames *f, uint32_t id)
{
	return f->rows[pp_frames_final(f, id)].state == STATE_PENDING;
}

size_t pp_frames_count(const struct pp_frames *f)
{
	return f->ids.count;
}

size_t pp_frames_count_pending(const struct pp_frames *f)
{
	return f->pending;
}

size_t pp_frames_bytes(const struct pp_frames *f)
{
	return f->rows_cap * sizeof(*f->rows) + pp_ids_bytes(&f->ids) + pp_index_bytes(&f->index);
}

uint32_t pp_frames_bound(const struct pp_frames *f)
{
	return f->ids.bound;
}

void pp_frames_mark(struct pp_frames *f, uint32_t id)
{
	pp_ids_mark(&f->ids, id);
	pp_ids_mark(&f->ids, pp_frames_final(f, id));
}

/* What waits for its name stays; and what a marked alias stands for, which may have got that name
 * since it was marked. */
static void mark_implied(struct pp_frames *f)
{
	for (uint32_t id = 0; id < f->ids.bound; id++) {
		if (!pp_ids_is_live(&f->ids, id))
			continue;
		if (f->rows[id].state == STATE_PENDING)
			pp_ids_mark(&f->ids, id);
		else if (f->rows[id].state == STATE_ALIAS && pp_ids_is_marked(&f->ids, id))
			pp_ids_mark(&f->ids, pp_frames_final(f, id));
	}
}

void pp_frames_sweep(struct pp_frames *f)
{
	pp_ids_mark(&f->ids, PP_FRAME_UNKNOWN);
	pp_ids_mark(&f->ids, PP_FRAME_SHIM);
	mark_implied(f);
	pp_ids_sweep(&f->ids);
	pp_index_reset(&f->index, f->ids.count);
	for (uint32_t id = 0; id < f->ids.bound; id++) {
		const struct pp_frame *row = &f->rows[id];

		if (!pp_ids_is_live(&f->ids, id) || row->state == STATE_ALIAS)
			continue;
		pp_strings_mark(f->strings, row->name);
		pp_strings_mark(f->strings, row->file);
		pp_strings_mark(f->strings, row->module);
		if (row->state == STATE_FINAL)
			pp_index_put(&f->index, hash_frame(row), id, hash_row, f);
	}
	pp_array_trim((void **)&f->rows, sizeof(*f->rows), &f->rows_cap, f->ids.bound);
}

bool pp_frames_is_live(const struct pp_frames *f, uint32_t id)
{
	return pp_ids_is_live(&f->ids, id);
}
