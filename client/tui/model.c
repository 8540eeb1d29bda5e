/* SPDX-License-Identifier: GPL-2.0-only */
/* The lines of top: functions, processes, the call tree, one function's lines of code, or groups by
 * an attribute. */
#include "model.h"

#include "base/array.h"

#include <stdio.h>
#include <string.h>

#define LINES_MAX (1U << 20)

void pp_top_init(struct pp_top *t)
{
	*t = (struct pp_top){ .by_self = true, .page = 1 };
}

void pp_top_done(struct pp_top *t)
{
	free(t->lines);
	pp_u64map_done(&t->toggled);
}

/* ---- What is counted ---------------------------------------------------------------------------
 */

static bool in_focus(const struct pp_top *t, const struct pp_profile *p, const struct pp_entry *e)
{
	if (t->focused && p->processes[e->process].id != t->focus)
		return false;
	return !t->within || p->attributes[e->attributes].texts[t->within_by] == t->value;
}

static bool keep_focused(const struct pp_profile *p, const struct pp_entry *e, void *arg)
{
	return in_focus(arg, p, e);
}

static bool contains(const struct pp_top *t, const char *text)
{
	return strcasestr(text, t->filter);
}

static bool frame_matches(const struct pp_top *t, const struct pp_profile *p, uint32_t frame)
{
	const struct pp_frame *f = &p->frames[frame];

	/* What the page says of it: a Python function's file, the module of any other. */
	return !*t->filter || contains(t, pp_profile_text(p, f->name)) ||
	       contains(t, pp_profile_text(p, f->kind == PP_KIND_PYTHON ? f->file : f->module));
}

static bool process_matches(const struct pp_top *t, const struct pp_profile *p, uint32_t process)
{
	const struct pp_process *pr = &p->processes[process];
	char pid[24];

	snprintf(pid, sizeof(pid), "%lld", (long long)pr->pid);
	return !*t->filter || contains(t, pp_profile_text(p, pr->comm)) ||
	       contains(t, pp_profile_text(p, pr->unit)) ||
	       contains(t, pp_profile_text(p, pr->slice)) ||
	       contains(t, pp_profile_text(p, pr->container)) ||
	       contains(t, pp_profile_text(p, pr->pod)) || contains(t, pid);
}

static int add_line(struct pp_top *t, const struct pp_top_line *line)
{
	int r = pp_array_grow(&t->lines, &t->lines_cap, t->nr_lines + 1, sizeof(*t->lines),
			      LINES_MAX);

	if (r >= 0)
		t->lines[t->nr_lines++] = *line;
	return r;
}

/* ---- Functions ---------------------------------------------------------------------------------
 */

static int make_table(struct pp_top *t, const struct pp_profile *p, unsigned int view,
		      struct pp_table **ret)
{
	return pp_table_new(ret, p,
			    &(struct pp_table_options){
				    .view = view,
				    .group = PP_GROUP_SYMBOL,
				    .by_self = t->by_self,
				    .keep = keep_focused,
				    .arg = t,
			    });
}

static int update_functions(struct pp_top *t, const struct pp_profile *p)
{
	_cleanup_(pp_table_freep) struct pp_table *table = NULL;
	int r;

	r = make_table(t, p, t->view, &table);
	if (r < 0)
		return r;
	t->total = table->total;
	for (size_t i = 0; i < table->nr_rows && r >= 0; i++) {
		const struct pp_row *row = &table->rows[i];

		/* That stacks were cut is no function; the page's title says how many were not. */
		if (!row->self && p->frames[row->frame].kind == PP_KIND_NOTE)
			continue;
		if (frame_matches(t, p, row->frame))
			r = add_line(t, &(struct pp_top_line){ .total = row->total,
							       .self = row->self,
							       .frame = row->frame });
	}
	return r;
}

/* The lines of one function: where its samples were taken, and from where it called. What the
 * interpreter, C code and the kernel cost is the line's for which they work. */
static int update_lines(struct pp_top *t, const struct pp_profile *p)
{
	_cleanup_(pp_table_freep) struct pp_table *table = NULL;
	int r;

	r = make_table(t, p, PP_VIEW_PYTHON | PP_VIEW_LINES, &table);
	if (r < 0)
		return r;
	t->total = table->total;
	for (size_t i = 0; i < table->nr_rows && r >= 0; i++) {
		const struct pp_row *row = &table->rows[i];

		if (p->functions[row->frame] == t->function)
			r = add_line(t, &(struct pp_top_line){ .total = row->total,
							       .self = row->self,
							       .id = row->frame,
							       .frame = row->frame });
	}
	return r;
}

/* ---- Processes ---------------------------------------------------------------------------------
 */

static int by_weight(const void *va, const void *vb)
{
	const struct pp_top_line *a = va, *b = vb;

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	return a->value < b->value ? -1 : a->value > b->value;
}

static int update_processes(struct pp_top *t, const struct pp_profile *p)
{
	_cleanup_free_ uint64_t *weights = calloc(p->nr_processes + 1, sizeof(*weights));
	int r = 0;

	if (!weights)
		return -ENOMEM;
	for (size_t i = 0; i < p->nr_entries; i++) {
		uint64_t weight = pp_profile_weight(p, &p->entries[i]);

		weights[p->entries[i].process] += weight;
		t->total += weight;
	}
	for (uint32_t i = 0; i < p->nr_processes && r >= 0; i++)
		if (weights[i] && process_matches(t, p, i))
			r = add_line(t, &(struct pp_top_line){ .total = weights[i],
							       .self = weights[i],
							       .process = i,
							       .id = i + 1 });
	if (t->nr_lines)
		qsort(t->lines, t->nr_lines, sizeof(*t->lines), by_weight);
	return r;
}

/* ---- Groups ------------------------------------------------------------------------------------
 */

static int update_groups(struct pp_top *t, const struct pp_profile *p)
{
	_cleanup_free_ uint64_t *weights = calloc(p->nr_texts, sizeof(*weights));
	int r = 0;

	if (!weights)
		return -ENOMEM;
	for (size_t i = 0; i < p->nr_entries; i++) {
		const struct pp_entry *e = &p->entries[i];

		if (!in_focus(t, p, e))
			continue;
		weights[p->attributes[e->attributes].texts[t->by]] += pp_profile_weight(p, e);
		t->total += pp_profile_weight(p, e);
	}
	for (uint32_t i = 0; i < p->nr_texts && r >= 0; i++)
		if (weights[i] && (!*t->filter || contains(t, pp_profile_text(p, i))))
			r = add_line(t, &(struct pp_top_line){ .total = weights[i],
							       .self = weights[i],
							       .value = i,
							       .id = i + 1 });
	if (t->nr_lines)
		qsort(t->lines, t->nr_lines, sizeof(*t->lines), by_weight);
	return r;
}

/* ---- The call tree -----------------------------------------------------------------------------
 */

static bool stack_matches(const struct pp_top *t, const struct pp_profile *p,
			  const struct pp_stack *stack)
{
	for (size_t i = 0; i < stack->len; i++)
		if (frame_matches(t, p, stack->frames[i]))
			return true;
	return false;
}

static uint32_t nr_shown(const struct pp_top *t, const struct pp_calltree *tree,
			 const struct pp_calltree_node *n)
{
	uint32_t nr = 0;

	while (nr < n->nr_children &&
	       100.0 * (double)tree->nodes[tree->order[n->first + nr]].total >=
		       PP_TOP_TREE_LEAST * (double)t->total)
		nr++;
	return nr;
}

/* Lines for the children of n, whose path hashes to path. Only where ways part they move right. */
static int add_branches(struct pp_top *t, const struct pp_calltree *tree,
			const struct pp_calltree_node *n, uint64_t path, uint32_t depth)
{
	uint32_t nr = nr_shown(t, tree, n);
	int r = 0;

	for (uint32_t i = 0; i < nr && r >= 0; i++) {
		const struct pp_calltree_node *c = &tree->nodes[tree->order[n->first + i]];
		struct pp_top_line line = {
			.total = c->total,
			.self = c->self,
			.id = pp_mix(path ^ c->frame),
			.frame = c->frame,
			.depth = depth,
			.branch = nr_shown(t, tree, c) > 0,
		};
		uint64_t one;

		line.closed = line.branch && t->closed != pp_u64map_get(&t->toggled, line.id, &one);
		r = add_line(t, &line);
		if (r >= 0 && !line.closed)
			r = add_branches(t, tree, c, line.id, depth + (nr_shown(t, tree, c) > 1));
	}
	return r;
}

static int update_tree(struct pp_top *t, const struct pp_profile *p)
{
	_cleanup_(pp_calltree_freep) struct pp_calltree *tree = NULL;
	_cleanup_stack_ struct pp_stack stack = { 0 };
	int r;

	r = pp_calltree_new(&tree);
	for (size_t i = 0; i < p->nr_entries && r >= 0; i++) {
		const struct pp_entry *e = &p->entries[i];

		if (!in_focus(t, p, e))
			continue;
		t->total += pp_profile_weight(p, e);
		r = pp_stack_get(&stack, p, e, t->view);
		if (r >= 0 && stack_matches(t, p, &stack))
			r = pp_calltree_add(tree, stack.frames, stack.len, pp_profile_weight(p, e));
	}
	if (r >= 0)
		r = pp_calltree_sort(tree, p);
	return r < 0 ? r : add_branches(t, tree, &tree->nodes[0], 0, 0);
}

/* ---- Cursor and keys ---------------------------------------------------------------------------
 */

/* Keeps cursor and page within the lines, and the cursor on the page. */
static void settle(struct pp_top *t)
{
	size_t last = t->nr_lines ? t->nr_lines - 1 : 0;
	size_t bottom = t->nr_lines > t->page ? t->nr_lines - t->page : 0;

	t->cursor = MIN(t->cursor, last);
	if (t->top > t->cursor)
		t->top = t->cursor;
	if (t->cursor >= t->top + t->page)
		t->top = t->cursor - t->page + 1;
	t->top = MIN(t->top, bottom);
}

void pp_top_resize(struct pp_top *t, size_t page)
{
	t->page = page;
	settle(t);
}

int pp_top_update(struct pp_top *t, const struct pp_profile *p)
{
	static int (*const update[])(struct pp_top * t, const struct pp_profile *p) = {
		[PP_TOP_FUNCTIONS] = update_functions, [PP_TOP_PROCESSES] = update_processes,
		[PP_TOP_TREE] = update_tree,	       [PP_TOP_LINES] = update_lines,
		[PP_TOP_GROUPS] = update_groups,
	};
	uint64_t id = t->cursor < t->nr_lines ? t->lines[t->cursor].id : 0;
	int r;

	t->profile = p;
	t->nr_lines = 0;
	t->total = 0;
	r = update[t->mode](t, p);
	/* From the first line the cursor does not follow: one looks at the top there. */
	for (size_t i = 0; t->cursor && id && i < t->nr_lines; i++)
		if (t->lines[i].id == id) {
			t->cursor = i;
			break;
		}
	settle(t);
	return r;
}

static bool set_mode(struct pp_top *t, enum pp_top_mode mode)
{
	t->mode = mode;
	t->nr_lines = t->cursor = t->top = t->shift = 0;
	return true;
}

static bool edit_filter(struct pp_top *t, unsigned int key)
{
	size_t len = strlen(t->filter);

	if (key == PP_KEY_ENTER) {
		t->editing = false;
	} else if (key == PP_KEY_ESCAPE) {
		t->editing = false;
		t->filter[0] = 0;
	} else if (key == PP_KEY_BACKSPACE) {
		while (len && ((uint8_t)t->filter[len - 1] & 0xc0) == 0x80)
			len--; /* UTF-8 continuation bytes */
		t->filter[len ? len - 1 : 0] = 0;
	} else if (key >= ' ' && key < 0x100 && len < PP_TOP_FILTER_MAX) {
		t->filter[len] = (char)key;
		t->filter[len + 1] = 0;
	}
	t->cursor = t->top = 0;
	return true;
}

static bool move(struct pp_top *t, unsigned int key)
{
	switch (key) {
	case PP_KEY_UP:
		t->cursor -= t->cursor > 0;
		break;
	case PP_KEY_DOWN:
		t->cursor++;
		break;
	case PP_KEY_PAGE_UP:
		t->cursor -= MIN(t->cursor, t->page);
		break;
	case PP_KEY_PAGE_DOWN:
		t->cursor += t->page;
		break;
	case PP_KEY_HOME:
		t->cursor = t->shift = 0;
		break;
	case PP_KEY_END:
		t->cursor = t->nr_lines;
		break;
	case PP_KEY_LEFT:
		t->shift -= MIN(t->shift, (size_t)8);
		break;
	case PP_KEY_RIGHT:
		t->shift += 8;
		break;
	}
	settle(t);
	return false;
}

static bool show_lines(struct pp_top *t)
{
	uint32_t frame;

	if (t->mode == PP_TOP_PROCESSES || t->mode == PP_TOP_GROUPS || t->cursor >= t->nr_lines)
		return false;
	frame = t->lines[t->cursor].frame;
	if (t->profile->frames[frame].kind != PP_KIND_PYTHON)
		return false;
	t->function = t->profile->functions[frame];
	return set_mode(t, PP_TOP_LINES);
}

void pp_top_group(struct pp_top *t, enum pp_attribute by)
{
	t->by = by;
	set_mode(t, PP_TOP_GROUPS);
}

/* By the first attribute, or the next. */
static bool show_groups(struct pp_top *t)
{
	pp_top_group(t, t->mode == PP_TOP_GROUPS ? (t->by + 1) % PP_ATTRIBUTES : t->by);
	return true;
}

/* Enter: into the process, the group or the function, or opens and closes the branch. */
static bool enter(struct pp_top *t)
{
	const struct pp_top_line *line;
	uint64_t one;

	if (t->cursor >= t->nr_lines)
		return false;
	line = &t->lines[t->cursor];
	if (t->mode == PP_TOP_PROCESSES) {
		t->focused = true;
		t->focus = t->profile->processes[line->process].id;
		t->filter[0] = 0;
		return set_mode(t, PP_TOP_FUNCTIONS);
	}
	if (t->mode == PP_TOP_GROUPS) {
		t->within = true;
		t->within_by = t->by;
		t->value = line->value;
		t->filter[0] = 0;
		return set_mode(t, PP_TOP_FUNCTIONS);
	}
	if (t->mode == PP_TOP_FUNCTIONS)
		return show_lines(t);
	if (t->mode != PP_TOP_TREE || !line->branch)
		return false;
	if (pp_u64map_get(&t->toggled, line->id, &one))
		pp_u64map_del(&t->toggled, line->id);
	else
		(void)pp_u64map_put(&t->toggled, line->id, 1);
	return true;
}

static bool close_all(struct pp_top *t, bool closed)
{
	t->closed = closed;
	pp_u64map_clear(&t->toggled);
	return true;
}

/* Back to everything: the function first, then the filter, the group, the process. */
static bool leave(struct pp_top *t)
{
	if (t->mode == PP_TOP_LINES)
		return set_mode(t, PP_TOP_FUNCTIONS);
	if (*t->filter)
		t->filter[0] = 0;
	else if (t->within)
		t->within = false;
	else
		t->focused = false;
	t->cursor = t->top = 0;
	return true;
}

bool pp_top_key(struct pp_top *t, unsigned int key)
{
	if (t->help) {
		t->help = false;
		return false;
	}
	if (t->editing)
		return edit_filter(t, key);
	switch (key) {
	case 'q':
		t->quit = true;
		return false;
	case 'h':
	case '?':
		t->help = true;
		return false;
	case 'f':
		return set_mode(t, PP_TOP_FUNCTIONS);
	case 'p':
		return set_mode(t, PP_TOP_PROCESSES);
	case 't':
		return set_mode(t, PP_TOP_TREE);
	case 'l':
		return show_lines(t);
	case 'b':
		return show_groups(t);
	case PP_KEY_TAB:
		return set_mode(t, (enum pp_top_mode)((t->mode + 1) % 3));
	case 's':
		t->by_self = !t->by_self;
		return true;
	case '/':
		t->editing = true;
		t->filter[0] = 0;
		return true;
	case ' ':
		t->paused = !t->paused;
		return !t->paused;
	case 'k':
		t->view ^= PP_VIEW_NO_KERNEL;
		return true;
	case 'n':
		t->view ^= PP_VIEW_NO_NATIVE;
		return true;
	case 'y':
		t->view ^= PP_VIEW_PYTHON;
		return true;
	case '-':
	case '+':
		return close_all(t, key == '-');
	case PP_KEY_ENTER:
		return enter(t);
	case PP_KEY_ESCAPE:
		return leave(t);
	default:
		return move(t, key);
	}
}
