/* SPDX-License-Identifier: GPL-2.0-only */
#include "resolve.h"

#include "base/counters.h"
#include "base/log.h"
#include "codes.h"
#include "files.h"
#include "kernel.h"
#include "merge.h"
#include "natives.h"
#include "profile/end.h"
#include "profile/store.h"
#include "python/name.h"
#include "pythons.h"

#include <string.h>

/* Threads whose last stack is remembered, but for those that meet: a power of two. */
#define THREADS 256

/* A disagreement means a defect, here or there: told a few times, and counted. */
#define DISAGREEMENTS_TOLD_MAX 16

struct pp_resolve {
	struct pp_store *store;
	struct pp_files *files;
	struct pp_pythons *pythons;
	struct pp_codes *codes;
	struct pp_kernel *kernel;
	/* What each frame is to the count of coverage: enum pp_pyframe + 1, 0: not looked at. */
	uint8_t *classes;
	uint32_t classes_cap;
	uint32_t last[THREADS]; /* the node of the stack; 0: none since the last collection */
	/* The sample being resolved: its parts, leaf first, and the stack, root first. */
	struct pp_merge_native native[PP_USER_FRAMES_MAX];
	struct pp_merge_python python[PP_PYTHON_FRAMES_MAX];
	uint32_t user[PP_USER_FRAMES_MAX + PP_PYTHON_FRAMES_MAX];
	struct pp_merge_pair pairs[PP_USER_FRAMES_MAX];
	uint32_t frames[PP_STACK_FRAMES_MAX];
	size_t nr;
	unsigned int disagreements_told;
};

int pp_resolve_new(struct pp_resolve **ret, struct pp_store *store, struct pp_files *files,
		   struct pp_pythons *pythons, struct pp_codes *codes, struct pp_kernel *kernel)
{
	struct pp_resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->store = store;
	r->files = files;
	r->pythons = pythons;
	r->codes = codes;
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
	memset(r->last, 0, sizeof(r->last));
}

static uint32_t user_frame(struct pp_resolve *r, struct pp_process *p, uint64_t word, bool exact,
			   uint64_t time_ns)
{
	uint64_t pc = word & PP_PC_ADDRESS;
	enum pp_walker walker = PP_PC_WALKER(word);
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
		pp_object_use(o, p->ruid, time_ns);
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

/* ---- Both stacks ----------------------------------------------------------------------------- */

/* Whether the evaluation loop's code is there. */
static bool is_eval(struct pp_process *p, uint64_t pc)
{
	const struct pp_map *map = pp_process_map_at(p, pc);
	const struct pp_object *o = map ? map->object : NULL;
	uint64_t address;

	return o && o->state == PP_OBJECT_READY && o->info.python.runtime &&
	       pp_object_address(o, pc - map->start + map->pgoff, &address) &&
	       (pp_elf_range_has(&o->info.python.eval, address) ||
		pp_elf_range_has(&o->info.python.eval_cold, address));
}

/* Resolves the native frames. */
static void take_native(struct pp_resolve *r, struct pp_process *p, const struct pp_sample *s)
{
	const __u64 *user = pp_sample_user(s);

	for (size_t i = s->nr_user; i-- > 0;) {
		enum pp_walker walker = PP_PC_WALKER(user[i]);
		uint64_t pc = user[i] & PP_PC_ADDRESS;
		/* What a signal interrupted stands at its pc, and so does what it returns to. */
		bool exact = i == 0 || walker == PP_WALKER_SIGNAL ||
			     PP_PC_WALKER(user[i - 1]) == PP_WALKER_SIGNAL;
		struct pp_merge_native *f = &r->native[i];

		if (walker == PP_WALKER_FP_UNSURE)
			pp_count(PP_C_frames_unsure);
		f->frame = user_frame(r, p, user[i], exact, s->time_ns);
		f->marked = user[i] & PP_PC_EVAL;
		f->kind = walker == PP_WALKER_STUB ? PP_MERGE_STUB : PP_MERGE_OTHER;
		if (f->kind == PP_MERGE_OTHER && p->python && is_eval(p, exact ? pc : pc - 1))
			f->kind = PP_MERGE_EVAL;
	}
}

/* Resolves the chain. */
static void take_python(struct pp_resolve *r, struct pp_process *p, const struct pp_sample *s)
{
	const struct pp_pyframe_raw *raw = pp_sample_python(s);

	for (size_t i = 0; i < s->nr_python; i++) {
		uint64_t code = raw[i].code & PP_PYFRAME_ADDRESS;

		r->python[i] = (struct pp_merge_python){ .last = raw[i].code & PP_PYFRAME_LAST,
							 .empty = !code };
		if (!code)
			continue;
		r->python[i].frame = pp_codes_frame(r->codes, p, &raw[i], s->next_code, s->time_ns);
		r->python[i].empty =
			pp_frames_final(r->store->frames, r->python[i].frame) == PP_FRAME_SHIM;
	}
}

static void count_chain_end(enum pp_chain_end end)
{
	if (end == PP_CHAIN_FOREIGN)
		pp_count(PP_C_chains_foreign);
	else if (end == PP_CHAIN_UNREADABLE)
		pp_count(PP_C_chains_unreadable);
	else if (end == PP_CHAIN_MALFORMED)
		pp_count(PP_C_chains_malformed);
}

static const char *text_of(struct pp_resolve *r, uint32_t string)
{
	size_t len;

	return string ? pp_strings_text(r->store->strings, string, &len) : "?";
}

/* Whether the one is how CPython writes the other into a perf map. */
static bool agree(struct pp_resolve *r, const struct pp_frame *stub, const struct pp_frame *python)
{
	struct pp_name entry = { .has_file = stub->file };
	const char *name, *file = "";
	size_t len, file_len = 0;

	entry.name = pp_strings_text(r->store->strings, stub->name, &entry.len);
	if (stub->file)
		entry.file = pp_strings_text(r->store->strings, stub->file, &entry.file_len);
	name = pp_strings_text(r->store->strings, python->name, &len);
	if (python->file)
		file = pp_strings_text(r->store->strings, python->file, &file_len);
	return pp_name_agrees(&entry, name, len, file, file_len);
}

/* A perf map and the interpreter speak of one activation: they must say the same. */
static void compare(struct pp_resolve *r, const struct pp_process *p, struct pp_merge_pair pair)
{
	struct pp_frame stub, python;

	if (pp_frames_is_pending(r->store->frames, pair.stub) ||
	    pp_frames_is_pending(r->store->frames, pair.python))
		return;
	stub = *pp_frames_describe(r->store->frames, pair.stub);
	python = *pp_frames_describe(r->store->frames, pair.python);
	if (!stub.name || !python.name || (stub.name == python.name && stub.file == python.file) ||
	    agree(r, &stub, &python))
		return;
	pp_count(PP_C_names_disagree);
	if (r->disagreements_told++ >= DISAGREEMENTS_TOLD_MAX)
		return;
	pp_log(PP_LOG_WARNING, "process %d: its perf map says %s in %s, its interpreter %s in %s",
	       (int)p->pid, text_of(r, stub.name), text_of(r, stub.file), text_of(r, python.name),
	       text_of(r, python.file));
}

/* ---- Coverage -------------------------------------------------------------------------------- */

/* Counts how much of the sample in hand is named Python: by trampolines, and in all. */
static void count_coverage(struct pp_resolve *r, const struct pp_sample *s,
			   struct pp_coverage *coverage, const struct pp_merge_output *out)
{
	uint8_t classes[PP_USER_FRAMES_MAX];

	for (size_t i = 0; i < s->nr_user; i++)
		classes[i] = (uint8_t)class_of(r, r->native[i].frame);
	pp_coverage_add(coverage, classes, s->nr_user, 1);
	for (size_t i = 0; i < out->nr; i++) {
		enum pp_pyframe class = class_of(r, out->frames[i]);

		coverage->shown += class == PP_PYFRAME_NAMED;
		coverage->missing += class == PP_PYFRAME_UNNAMED;
	}
	coverage->missing += out->nr_bare;
	coverage->walked += s->nr_python;
}

int pp_resolve_sample(struct pp_resolve *r, struct pp_process *p, const struct pp_sample *s,
		      uint32_t *ret_node)
{
	struct pp_merge_input in = { r->native,
				     s->nr_user,
				     r->python,
				     s->nr_python,
				     pp_end_complete((enum pp_end)s->end),
				     s->chain_end == PP_CHAIN_COMPLETE };
	struct pp_merge_output out = { .frames = r->user, .pairs = r->pairs };
	uint32_t *last = &r->last[s->tid % THREADS];
	const __u64 *kernel = pp_sample_kernel(s);
	struct pp_python *py;
	int result;

	take_native(r, p, s);
	take_python(r, p, s);
	count_chain_end((enum pp_chain_end)s->chain_end);
	if (!pp_merge(&in, &out))
		pp_count(PP_C_chains_unplaced);
	for (size_t i = 0; i < out.nr_pairs; i++) {
		pp_codes_otherwise(r->codes, p, out.pairs[i].python, out.pairs[i].stub);
		compare(r, p, out.pairs[i]);
	}
	py = p->python;
	if (py && py->is_python)
		count_coverage(r, s, &py->coverage, &out);
	r->nr = 0;
	for (size_t i = out.nr; i-- > 0;)
		r->frames[r->nr++] = out.frames[i];
	for (size_t i = s->nr_kernel; i-- > 0;)
		r->frames[r->nr++] = pp_kernel_frame(r->kernel, kernel[i], i == 0, s->time_ns);
	result = pp_stacks_get_near(r->store->stacks, *last, r->frames, r->nr, ret_node);
	if (result == 0)
		*last = *ret_node;
	return result;
}
