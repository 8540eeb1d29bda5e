/* SPDX-License-Identifier: GPL-2.0-only */
/* A report as JSON. */
#include "report.h"

#include "lib/calltree.h"

static const char *const kinds[] = {
	[PP_KIND_NATIVE] = "native", [PP_KIND_PYTHON] = "python",   [PP_KIND_KERNEL] = "kernel",
	[PP_KIND_JIT] = "jit",	     [PP_KIND_UNKNOWN] = "unknown", [PP_KIND_NOTE] = "note",
};

static int set_frame(json_t *o, const struct pp_profile *p, uint32_t frame)
{
	_cleanup_buf_ struct pp_buf symbol = { 0 };
	int r;

	r = pp_profile_symbol(p, frame, &symbol);
	if (r < 0)
		return r;
	if (json_object_set_new(o, "symbol", json_stringn((char *)symbol.data, symbol.len)) < 0 ||
	    json_object_set_new(o, "kind", json_string(kinds[p->frames[frame].kind])) < 0 ||
	    json_object_set_new(o, "module",
				json_string(pp_profile_text(p, p->frames[frame].module))) < 0)
		return -ENOMEM;
	if (p->frames[frame].line &&
	    json_object_set_new(o, "line", json_integer(p->frames[frame].line)) < 0)
		return -ENOMEM;
	return 0;
}

static int set_weights(json_t *o, uint64_t total, uint64_t self, uint64_t whole)
{
	if (json_object_set_new(o, "total", json_real(pp_percent(total, whole))) < 0 ||
	    json_object_set_new(o, "self", json_real(pp_percent(self, whole))) < 0)
		return -ENOMEM;
	return 0;
}

/* null: nothing is said. */
static int set_attributes(json_t *o, const struct pp_profile *p, const struct pp_row *row,
			  unsigned int group)
{
	int r = 0;

	for (unsigned int a = 0; a < PP_ATTRIBUTES && r == 0; a++) {
		uint32_t text = row->attributes.texts[a];

		if (group & PP_GROUP_ATTRIBUTE(a))
			r = json_object_set_new(o, pp_attribute_name((enum pp_attribute)a),
						text ? json_string(pp_profile_text(p, text))
						     : json_null());
	}
	return r;
}

static int add_row(json_t *rows, const struct pp_profile *p, const struct pp_row *row,
		   const struct pp_report_options *o, uint64_t whole)
{
	json_t *j = json_object();
	int r;

	if (json_array_append_new(rows, j) < 0)
		return -ENOMEM;
	r = set_weights(j, row->total, row->self, whole);
	if (r < 0)
		return r;
	if (json_object_set_new(j, "self_samples", json_integer((json_int_t)row->self_samples)) <
		    0 ||
	    json_object_set_new(j, "total_samples", json_integer((json_int_t)row->total_samples)) <
		    0)
		return -ENOMEM;
	if ((o->group & PP_GROUP_PID) && json_object_set_new(j, "pid", json_integer(row->pid)) < 0)
		return -ENOMEM;
	if ((o->group & PP_GROUP_COMM) &&
	    json_object_set_new(j, "command", json_string(pp_profile_text(p, row->comm))) < 0)
		return -ENOMEM;
	if (set_attributes(j, p, row, o->group) < 0)
		return -ENOMEM;
	if (o->group & PP_GROUP_SYMBOL)
		return set_frame(j, p, row->frame);
	if ((o->group & PP_GROUP_OBJECT) &&
	    json_object_set_new(j, "module", json_string(pp_profile_text(p, row->module))) < 0)
		return -ENOMEM;
	return 0;
}

static int add_rows(json_t *rows, const struct pp_profile *p, const struct pp_report_options *o)
{
	_cleanup_(pp_table_freep) struct pp_table *t = NULL;
	int r;

	r = pp_table_new(&t, p, &(struct pp_table_options){ .view = o->view, .group = o->group });
	for (size_t i = 0; r >= 0 && i < t->nr_rows; i++) {
		if (pp_percent(t->rows[i].total, t->total) < o->percent_limit)
			break;
		if (pp_report_has(p, o, t->rows[i].sample))
			r = add_row(rows, p, &t->rows[i], o, t->total);
	}
	return r;
}

/* Nodes stand in a list, callers first, and say where in it their caller is: stacks are deeper than
 * what most JSON readers take as nesting. */
static int add_children(json_t *to, const struct pp_profile *p, const struct pp_calltree *t,
			const struct pp_calltree_node *n, json_int_t parent, double limit)
{
	uint64_t whole = t->nodes[0].total;

	for (uint32_t i = 0; i < n->nr_children; i++) {
		const struct pp_calltree_node *c = &t->nodes[t->order[n->first + i]];
		json_int_t index = (json_int_t)json_array_size(to);
		json_t *j;
		int r;

		if (pp_percent(c->total, whole) < limit)
			break;
		j = json_object();
		if (json_array_append_new(to, j) < 0 ||
		    json_object_set_new(j, "parent",
					parent < 0 ? json_null() : json_integer(parent)) < 0)
			return -ENOMEM;
		r = set_frame(j, p, c->frame);
		if (r >= 0)
			r = set_weights(j, c->total, c->self, whole);
		if (r >= 0)
			r = add_children(to, p, t, c, index, limit);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_tree(json_t *to, const struct pp_profile *p, const struct pp_report_options *o)
{
	_cleanup_(pp_calltree_freep) struct pp_calltree *t = NULL;
	_cleanup_stack_ struct pp_stack stack = { 0 };
	int r;

	r = pp_calltree_new(&t);
	for (size_t i = 0; r >= 0 && i < p->nr_entries; i++) {
		r = pp_stack_get(&stack, p, &p->entries[i], o->view);
		if (r >= 0)
			r = pp_calltree_add(t, stack.frames, stack.len,
					    pp_profile_weight(p, &p->entries[i]));
	}
	if (r >= 0)
		r = pp_calltree_sort(t, p);
	return r < 0 ? r : add_children(to, p, t, &t->nodes[0], -1, o->percent_limit);
}

int pp_report_json(json_t **ret, const struct pp_profile *p, const struct pp_report_options *o)
{
	json_t *j = json_pack("{s:[], s:[]}", "rows", "tree");
	int r;

	if (!j)
		return -ENOMEM;
	r = add_rows(json_object_get(j, "rows"), p, o);
	if (r >= 0 && !o->function)
		r = add_tree(json_object_get(j, "tree"), p, o);
	if (r < 0) {
		json_decref(j);
		return r;
	}
	*ret = j;
	return 0;
}
