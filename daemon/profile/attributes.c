/* SPDX-License-Identifier: GPL-2.0-only */
#include "attributes.h"

#include <string.h>

#define SET_FRAMES 3 /* states, thread, task */

/* The offset of the frame of states. */
#define STATES(gil, gc)	   ((uint64_t)(gil) << 8 | (gc))
#define STATES_GIL(offset) ((uint8_t)((offset) >> 8))
#define STATES_GC(offset)  ((uint8_t)(offset))

int pp_attributes_get(struct pp_store *s, const struct pp_attributes *a, uint32_t *ret)
{
	uint32_t path[SET_FRAMES];
	size_t nr = 0;
	int r;

	r = pp_frames_unnamed(s->frames, PP_KIND_STATES, 0, STATES(a->gil, a->gc), &path[nr++]);
	if (r >= 0 && a->thread)
		r = pp_frames_get(s->frames, PP_KIND_THREAD, a->thread, 0, 0, &path[nr++]);
	if (a->task != PP_FRAME_UNKNOWN)
		path[nr++] = a->task;
	return r < 0 ? r : pp_stacks_get(s->stacks, path, nr, ret);
}

struct pp_attributes pp_attributes_read(const struct pp_store *s, const struct pp_stacks *stacks,
					uint32_t id)
{
	struct pp_attributes a = { .task = PP_FRAME_UNKNOWN };
	uint32_t path[SET_FRAMES];
	size_t nr = pp_stacks_path(stacks, id, path, ARRAY_SIZE(path));

	for (size_t i = 0; i < nr; i++) {
		uint32_t final = pp_frames_final(s->frames, path[i]);
		const struct pp_frame *f = pp_frames_describe(s->frames, final);

		if (f->kind == PP_KIND_STATES) {
			a.gil = STATES_GIL(f->offset);
			a.gc = STATES_GC(f->offset);
		} else if (f->kind == PP_KIND_THREAD) {
			a.thread = f->name;
		} else if (final != PP_FRAME_SHIM) {
			a.task = final;
		}
	}
	return a;
}

static const char *const gils[] = {
	[PP_GIL_NONE] = NULL,	      [PP_GIL_UNKNOWN] = "unknown", [PP_GIL_RELEASED] = "released",
	[PP_GIL_WAITING] = "waiting", [PP_GIL_HELD] = "held",
};
_Static_assert(ARRAY_SIZE(gils) == PP_GIL_MAX, "every state has its word");

const char *pp_gil_text(enum pp_gil gil)
{
	return (unsigned int)gil < PP_GIL_MAX ? gils[gil] : NULL;
}

enum pp_gil pp_gil_of_text(const char *text)
{
	unsigned int gil = 0;

	while (gil < PP_GIL_MAX && (!gils[gil] || strcmp(gils[gil], text) != 0))
		gil++;
	return (enum pp_gil)gil;
}

const char *pp_gc_text(enum pp_gc gc)
{
	static const char *const texts[] = {
		[PP_GC_NONE] = NULL,
		[PP_GC_UNKNOWN] = "unknown",
		[PP_GC_IDLE] = "idle",
		[PP_GC_RUNNING] = "running",
	};

	return (unsigned int)gc < PP_GC_MAX ? texts[gc] : NULL;
}
