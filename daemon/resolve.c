/* SPDX-License-Identifier: GPL-2.0-only */
#include "resolve.h"

#include "base/counters.h"
#include "kernel.h"
#include "natives.h"
#include "profile/store.h"
#include "pythons.h"

#include <string.h>

struct pp_resolve {
	struct pp_store *store;
	struct pp_files *files;
	struct pp_pythons *pythons;
	struct pp_kernel *kernel;
	/* What each frame is to the count of coverage: enum pp_pyframe + 1, 0: not looked at. */
	uint8_t *classes;
	uint32_t classes_cap;
	/* The stack being resolved, root first. */
	uint32_t frames[PP_STACK_FRAMES_MAX];
	size_t nr;
};

int pp_resolve_new(struct pp_resolve **ret, struct pp_store *store, struct pp_files *files,
		   struct pp_pythons *pythons, struct pp_kernel *kernel)
{
	struct pp_resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->store = store;
	r->files = files;
	r->pythons = pythons;
	r->kernel = kernel;
	*ret = r;
	return 0;
}

struct pp_resolve *pp_resolve_free(struct pp_resolve *r)
{
	if (!r)
		return NULL;
	free(r->classes);
	free(r);
	return NULL;
}

void pp_resolve_swept(struct pp_resolve *r)
{
	if (r->classes)
		memset(r->classes, 0, r->classes_cap);
}

static uint32_t user_frame(struct pp_resolve *r, struct pp_process *p, uint64_t word, bool exact,
			   uint64_t time_ns)
{
	uint64_t pc = word & PP_PC_ADDRESS;
	enum pp_walker walker = (enum pp_walker)(word >> PP_PC_SHIFT);
	struct pp_map *map = pp_process_map_at(p, exact ? pc : pc - 1);
	struct pp_object *o;

	/* A trampoline is known by its code, before its arena may be. */
	if (walker == PP_WALKER_STUB || (map && map->kind == PP_MAP_ANON))
		return pp_pythons_frame(r->pythons, p, exact ? pc : pc - 1,
					walker == PP_WALKER_STUB, time_ns);
	if (!map) /* its address means nothing to anybody, and would be a frame each */
		return PP_FRAME_UNKNOWN;
	o = map->object;
	if (o)
		o->last_used = time_ns;
	return pp_natives_frame(r->store, r->files, p, map, pc, exact, time_ns);
}

static enum pp_pyframe classify(struct pp_resolve *r, uint32_t frame)
{
	const struct pp_frame *f = pp_frames_describe(r->store->frames, frame);
	const char *name;
	size_t len;

	/* One with a note may wait for long. */
	if (f->kind == PP_KIND_PYTHON && pp_frames_is_pending(r->store->frames, frame) && !f->file)
		return PP_PYFRAME_PENDING;
	if (f->kind == PP_KIND_PYTHON)
		return f->name ? PP_PYFRAME_NAMED : PP_PYFRAME_UNNAMED;
	if (f->kind != PP_KIND_NATIVE)
		return PP_PYFRAME_OTHER;
	name = pp_strings_text(r->store->strings, f->name, &len);
	return pp_pyframe_native(name, len);
}

static enum pp_pyframe class_of(struct pp_resolve *r, uint32_t frame)
{
	uint32_t final = pp_frames_final(r->store->frames, frame);
	enum pp_pyframe class;

	if (final < r->classes_cap && r->classes[final])
		return (enum pp_pyframe)(r->classes[final] - 1);
	class = classify(r, final);
	if (pp_frames_is_pending(r->store->frames, final))
		return class;
	if (final >= r->classes_cap) {
		uint32_t cap = MAX(r->classes_cap * 2, (final | 1023) + 1);
		uint8_t *bigger = realloc(r->classes, cap);

		if (!bigger)
			return class;
		memset(bigger + r->classes_cap, 0, cap - r->classes_cap);
		r->classes = bigger;
		r->classes_cap = cap;
	}
	r->classes[final] = (uint8_t)(class + 1);
	return class;
}

/* Counts how much of the stack in hand, its user frames, is named Python. */
static void count_coverage(struct pp_resolve *r, struct pp_coverage *coverage)
{
	uint8_t classes[PP_STACK_FRAMES_MAX];

	for (size_t i = 0; i < r->nr; i++)
		classes[i] = (uint8_t)class_of(r, r->frames[r->nr - 1 - i]);
	pp_coverage_add(coverage, classes, r->nr, 1);
}

int pp_resolve_sample(struct pp_resolve *r, struct pp_process *p, const struct pp_sample *s,
		      uint32_t *ret_node)
{
	const __u64 *user = s->pcs + s->nr_kernel;
	struct pp_python *py;

	r->nr = 0;
	for (size_t i = s->nr_user; i-- > 0;) {
		/* What a signal interrupted stands at its pc, and so does what it returns to. */
		bool exact = i == 0 || user[i] >> PP_PC_SHIFT == PP_WALKER_SIGNAL ||
			     user[i - 1] >> PP_PC_SHIFT == PP_WALKER_SIGNAL;

		if (user[i] >> PP_PC_SHIFT == PP_WALKER_FP_UNSURE)
			pp_count(PP_C_frames_unsure);
		r->frames[r->nr++] = user_frame(r, p, user[i], exact, s->time_ns);
	}
	py = p->python;
	if (py && py->is_python)
		count_coverage(r, &py->coverage);
	for (size_t i = s->nr_kernel; i-- > 0;)
		r->frames[r->nr++] = pp_kernel_frame(r->kernel, s->pcs[i], i == 0, s->time_ns);
	return pp_stacks_get(r->store->stacks, r->frames, r->nr, ret_node);
}
