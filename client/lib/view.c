/* SPDX-License-Identifier: GPL-2.0-only */
/* Which frames of a stack a view shows. */
#include "view.h"

#include "base/array.h"

void pp_stack_done(struct pp_stack *s)
{
	free(s->frames);
	*s = (struct pp_stack){ 0 };
}

static bool shown(enum pp_kind kind, unsigned int view)
{
	if (kind == PP_KIND_NOTE)
		return true;
	if (view & PP_VIEW_PYTHON)
		return kind == PP_KIND_PYTHON;
	if (kind == PP_KIND_KERNEL)
		return !(view & PP_VIEW_NO_KERNEL);
	if (kind == PP_KIND_NATIVE || kind == PP_KIND_UNKNOWN)
		return !(view & PP_VIEW_NO_NATIVE);
	return true;
}

static int push(struct pp_stack *s, uint32_t frame)
{
	int r;

	r = pp_array_grow(&s->frames, &s->cap, s->len + 1, sizeof(*s->frames), PP_STACK_MAX);
	if (r < 0)
		return r;
	s->frames[s->len++] = frame;
	return 0;
}

static uint32_t nothing_left(unsigned int view)
{
	if (view & PP_VIEW_PYTHON)
		return PP_FRAME_OUTSIDE;
	return view & ~(unsigned int)PP_VIEW_LINES ? PP_FRAME_HIDDEN : PP_FRAME_NONE;
}

int pp_stack_get(struct pp_stack *s, const struct pp_profile *p, const struct pp_entry *e,
		 unsigned int view)
{
	int r;

	s->len = 0;
	for (uint32_t n = e->node; n; n = p->nodes[n].parent) {
		uint32_t frame = p->nodes[n].frame;

		if (!shown((enum pp_kind)p->frames[frame].kind, view))
			continue;
		r = push(s, view & PP_VIEW_LINES ? frame : p->functions[frame]);
		if (r < 0)
			return r;
	}
	if (!s->len) {
		r = push(s, nothing_left(view));
		if (r < 0)
			return r;
	}
	if (e->note) {
		r = push(s, e->note);
		if (r < 0)
			return r;
	}
	for (size_t i = 0, k = s->len - 1; i < k; i++, k--) {
		uint32_t frame = s->frames[i];

		s->frames[i] = s->frames[k];
		s->frames[k] = frame;
	}
	return 0;
}
