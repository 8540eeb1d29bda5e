/* SPDX-License-Identifier: GPL-2.0-only */
/* Self and total per function. */
#include "table.h"

#include "base/array.h"
#include "calltree.h"

#include <string.h>

/* A posting per function and stack. */
#define POSTINGS_MAX (256U << 20)

/* The part of a row that makes it: hashed as bytes, so without holes. */
struct row_key {
	int64_t pid;
	uint32_t comm, module, frame, zero;
	struct pp_attributes attributes;
};

struct pp_table *pp_table_free(struct pp_table *t)
{
	if (!t)
		return NULL;
	free(t->rows);
	free(t->postings);
	free(t->seen);
	pp_u64map_done(&t->ids);
	free(t);
	return NULL;
}

static bool is_row(const struct pp_row *row, const struct row_key *key)
{
	return row->pid == key->pid && row->comm == key->comm && row->module == key->module &&
	       row->frame == key->frame &&
	       memcmp(&row->attributes, &key->attributes, sizeof(key->attributes)) == 0;
}

static int new_row(struct pp_table *t, uint64_t hash, const struct row_key *key, uint32_t frame)
{
	int r;

	r = pp_array_grow(&t->rows, &t->rows_cap, t->nr_rows + 1, sizeof(*t->rows),
			  PP_PROFILE_FRAMES_MAX);
	if (r >= 0)
		r = pp_array_grow(&t->seen, &t->seen_cap, t->nr_rows + 1, sizeof(*t->seen),
				  PP_PROFILE_FRAMES_MAX);
	if (r >= 0)
		r = pp_u64map_put(&t->ids, hash, t->nr_rows);
	if (r < 0)
		return r;
	t->rows[t->nr_rows] = (struct pp_row){
		.pid = key->pid,
		.comm = key->comm,
		.module = key->module,
		.frame = key->frame,
		.attributes = key->attributes,
		.sample = frame,
		.depth = UINT32_MAX,
	};
	t->seen[t->nr_rows++] = 0;
	return 0;
}

static int find_row(struct pp_table *t, const struct pp_profile *p, const struct pp_entry *e,
		    unsigned int group, uint32_t frame, uint32_t *ret)
{
	const struct pp_process *process = &p->processes[e->process];
	struct row_key key = {
		.pid = group & PP_GROUP_PID ? process->pid : 0,
		.comm = group & PP_GROUP_COMM ? process->comm : 0,
		.frame = group & PP_GROUP_SYMBOL ? frame : PP_FRAME_NONE,
	};
	uint64_t hash, id;
	int r;

	for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
		if (group & PP_GROUP_ATTRIBUTE(a))
			key.attributes.texts[a] = p->attributes[e->attributes].texts[a];
	if ((group & PP_GROUP_OBJECT) && !(group & PP_GROUP_SYMBOL))
		key.module = p->frames[frame].module;
	for (hash = pp_hash(&key, sizeof(key)); pp_u64map_get(&t->ids, hash, &id); hash++)
		if (is_row(&t->rows[id], &key)) {
			*ret = (uint32_t)id;
			return 0;
		}
	*ret = (uint32_t)t->nr_rows;
	r = new_row(t, hash, &key, frame);
	return r;
}

static int add_entry(struct pp_table *t, const struct pp_profile *p, uint32_t entry,
		     const struct pp_stack *stack, const struct pp_table_options *o)
{
	const struct pp_entry *e = &p->entries[entry];
	uint64_t weight = pp_profile_weight(p, e);
	uint32_t leaf, row;
	int r;

	r = find_row(t, p, e, o->group, stack->frames[stack->len - 1], &leaf);
	if (r < 0)
		return r;
	t->rows[leaf].self += weight;
	t->rows[leaf].self_samples += e->samples;
	t->total += weight;
	for (uint32_t i = 0; i < stack->len; i++) {
		r = find_row(t, p, e, o->group, stack->frames[i], &row);
		if (r < 0)
			return r;
		if (t->seen[row] == entry + 1)
			continue;
		t->seen[row] = entry + 1;
		t->rows[row].total += weight;
		t->rows[row].total_samples += e->samples;
		t->rows[row].depth = MIN(t->rows[row].depth, i);
		if (!o->postings)
			continue;
		r = pp_array_grow(&t->postings, &t->postings_cap, t->nr_postings + 1,
				  sizeof(*t->postings), POSTINGS_MAX);
		if (r < 0)
			return r;
		t->postings[t->nr_postings++] =
			(struct pp_posting){ row, entry, row == leaf ? 0 : i };
	}
	return 0;
}

struct order {
	const struct pp_table *t;
	const struct pp_profile *p;
	bool by_self;
};

/* Heaviest first; of equals the caller first, then by what they show. */
static int by_weight(const void *va, const void *vb, void *arg)
{
	const struct order *o = arg;
	const struct pp_row *a = &o->t->rows[*(const uint32_t *)va];
	const struct pp_row *b = &o->t->rows[*(const uint32_t *)vb];
	uint64_t wa = o->by_self ? a->self : a->total, wb = o->by_self ? b->self : b->total;
	int r;

	if (wa != wb)
		return wa > wb ? -1 : 1;
	wa = o->by_self ? a->total : a->self;
	wb = o->by_self ? b->total : b->self;
	if (o->by_self && wa != wb)
		return wa > wb ? -1 : 1;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	r = pp_frame_compare(o->p, a->sample, b->sample);
	if (!r)
		r = strcmp(pp_profile_text(o->p, a->comm), pp_profile_text(o->p, b->comm));
	for (unsigned int i = 0; !r && i < PP_ATTRIBUTES; i++)
		r = strcmp(pp_profile_text(o->p, a->attributes.texts[i]),
			   pp_profile_text(o->p, b->attributes.texts[i]));
	if (r)
		return r;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static int by_row(const void *va, const void *vb)
{
	const struct pp_posting *a = va, *b = vb;

	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Puts the rows in order and renumbers the postings with them. */
static int sort(struct pp_table *t, const struct pp_profile *p, bool by_self)
{
	_cleanup_free_ uint32_t *order = calloc(t->nr_rows ?: 1, sizeof(*order));
	_cleanup_free_ struct pp_row *rows = calloc(t->nr_rows ?: 1, sizeof(*rows));
	uint32_t *place = t->seen;

	if (!order || !rows)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_rows; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, t->nr_rows, sizeof(*order), by_weight, &(struct order){ t, p, by_self });
	for (size_t i = 0; i < t->nr_rows; i++) {
		rows[i] = t->rows[order[i]];
		place[order[i]] = (uint32_t)i;
	}
	for (size_t i = 0; i < t->nr_postings; i++)
		t->postings[i].row = place[t->postings[i].row];
	if (t->nr_postings)
		qsort(t->postings, t->nr_postings, sizeof(*t->postings), by_row);
	free(t->rows);
	t->rows = TAKE_PTR(rows);
	t->rows_cap = t->nr_rows;
	return 0;
}

int pp_table_new(struct pp_table **ret, const struct pp_profile *p,
		 const struct pp_table_options *options)
{
	_cleanup_(pp_table_freep) struct pp_table *t = calloc(1, sizeof(*t));
	_cleanup_stack_ struct pp_stack stack = { 0 };
	int r;

	if (!t)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->nr_entries; i++) {
		if (options->keep && !options->keep(p, &p->entries[i], options->arg))
			continue;
		r = pp_stack_get(&stack, p, &p->entries[i], options->view);
		if (r >= 0)
			r = add_entry(t, p, i, &stack, options);
		if (r < 0)
			return r;
	}
	r = sort(t, p, options->by_self);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(t);
	return 0;
}
