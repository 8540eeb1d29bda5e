/* SPDX-License-Identifier: GPL-2.0-only */
#include "pythons_private.h"

#include "base/counters.h"
#include "base/log.h"
#include "interps.h"
#include "profile/store.h"
#include "python/version.h"

#include <stdio.h>
#include <string.h>

/* How soon a name that is in use is found to have changed, where nothing tells of it. */
#define REFRESH_NS (1 * NSEC_PER_SEC)

#define NOT_FLUSHED "not flushed"

int pp_pythons_new(struct pp_pythons **ret, struct pp_reader *reader, struct pp_store *store,
		   size_t perfmaps_bytes)
{
	_cleanup_(pp_pythons_freep) struct pp_pythons *ps = calloc(1, sizeof(*ps));
	int r;

	if (!ps)
		return -ENOMEM;
	ps->reader = reader;
	ps->store = store;
	pp_list_init(&ps->all);
	pp_list_init(&ps->busy);
	r = pp_perfmaps_new(&ps->maps, perfmaps_bytes);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ps);
	return 0;
}

struct pp_pythons *pp_pythons_free(struct pp_pythons *ps)
{
	if (!ps)
		return NULL;
	pp_perfmaps_free(ps->maps);
	free(ps);
	return NULL;
}

static struct pp_python *get_python(struct pp_pythons *ps, struct pp_process *p)
{
	struct pp_python *py = p->python;

	if (py) {
		pp_pythons_wake(ps, py);
		return py;
	}
	py = calloc(1, sizeof(*py));
	if (!py)
		return NULL;
	py->process = p;
	py->fd = -1;
	pp_list_join(&ps->all, &py->all);
	p->python = py;
	pp_pythons_wake(ps, py);
	return py;
}

void pp_pythons_gone(struct pp_pythons *ps, struct pp_process *p)
{
	struct pp_python *py = p->python;

	if (!py)
		return;
	pp_list_leave(&py->all);
	pp_list_leave(&py->busy);
	pp_pymap_free(py->pymap);
	pp_pcs_done(&py->pcs, ps->store);
	pp_close(py->fd);
	free(py->path);
	free(py);
	p->python = NULL;
}

static void want_map(struct pp_pythons *ps, struct pp_python *py)
{
	if (!py->pymap && pp_pymap_new(&py->pymap, ps->maps) < 0)
		return;
	pp_pymap_want(py->pymap);
}

/* Its writer maps a jitdump's first page so that profilers notice. Whose it is, and whether it is
 * one, the reader sees. */
static bool is_jitdump(const char *path)
{
	const char *slash = strrchr(path, '/');
	int end = 0;

	return slash && sscanf(slash, "/jit-%*u.dump%n", &end) == 0 && end && !slash[end];
}

void pp_pythons_mapping(struct pp_pythons *ps, struct pp_process *p, const struct pp_map *map)
{
	struct pp_python *py;
	uint32_t version;

	if (map->kind == PP_MAP_ANON) {
		py = get_python(ps, p);
		if (!py)
			return;
		py->arena = true;
		want_map(ps, py);
	} else if (map->kind == PP_MAP_FILE && map->path && is_jitdump(map->path->text)) {
		py = get_python(ps, p);
		if (!py)
			return;
		py->jitdump = true;
		want_map(ps, py);
		if (py->pymap)
			pp_pymap_look_again(py->pymap);
	} else if (map->kind == PP_MAP_FILE && map->path &&
		   pp_pyversion_from_path(map->path->text, &version)) {
		py = get_python(ps, p);
		if (!py)
			return;
		py->is_python = true;
		if (!py->version || version > py->version)
			py->version = version;
	}
}

void pp_pythons_memory(struct pp_pythons *ps, struct pp_process *p, const struct pp_map *map)
{
	struct pp_python *py = get_python(ps, p);

	if (!py || py->over)
		return;
	want_map(ps, py);
	if (py->pymap)
		pp_pymap_mapped(py->pymap, map->start, map->end, map->seen_ns);
}

void pp_pythons_scanned(struct pp_process *p)
{
	struct pp_python *py = p->python;

	for (size_t i = 0; py && py->pymap && i < pp_process_nr_maps(p); i++)
		if (p->maps->maps[i].kind == PP_MAP_ANON)
			pp_pymap_seen(py->pymap, p->maps->maps[i].start, p->maps->maps[i].end);
}

void pp_pythons_version(struct pp_pythons *ps, struct pp_process *p, uint32_t version)
{
	struct pp_python *py = get_python(ps, p);

	if (!py)
		return;
	py->is_python = true;
	if (pp_pyversion_valid(version))
		py->version = version;
}

void pp_pythons_inspected(struct pp_process *p, uint32_t version)
{
	struct pp_python *py = p->python;

	if (py && !py->version)
		py->version = version;
}

void pp_pythons_forked(struct pp_pythons *ps, struct pp_process *parent, struct pp_process *child,
		       uint64_t now_ns)
{
	struct pp_python *from = parent->python, *to;

	if (!from || !(to = get_python(ps, child)))
		return;
	to->is_python = from->is_python;
	to->version = from->version;
	to->arena = from->arena;
	to->inherited = from->arena && from->pymap;
	if (!from->pymap || to->pymap || pp_pymap_new(&to->pymap, ps->maps) < 0)
		return;
	(void)pp_pymap_fork(from->pymap, to->pymap, now_ns);
	pp_pythons_wake(ps, from);
}

/* The next image may append to the same file: what is there now names nothing of its. */
void pp_pythons_execed(struct pp_pythons *ps, struct pp_process *old, struct pp_process *next)
{
	struct pp_python *from = old->python, *to;

	if (!from || !from->pymap)
		return;
	pp_pythons_wake(ps, from);
	to = get_python(ps, next);
	if (!to || to->pymap || pp_pymap_new(&to->pymap, ps->maps) < 0) {
		pp_pymap_exit(from->pymap, next->born_ns);
		return;
	}
	pp_pymap_exec(from->pymap, to->pymap, next->born_ns);
}

void pp_pythons_exited(struct pp_pythons *ps, struct pp_process *p)
{
	struct pp_python *py = p->python;

	if (!py || !py->pymap)
		return;
	pp_pymap_exit(py->pymap, p->exit_ns);
	pp_pythons_wake(ps, py);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static int named_frame(struct pp_pythons *ps, const struct pp_name *name, uint32_t *ret)
{
	if (!ps->named) {
		ps->named = true;
		pp_log(PP_LOG_DEBUG, "the first Python function has its name");
	}
	if (name->kind == PP_NAME_PYTHON)
		return pp_store_python(ps->store, name->name, name->len, name->file, name->file_len,
				       0, 0, ret);
	return pp_store_frame(ps->store, PP_KIND_JIT, name->name, name->len, NULL, 0, "[jit]",
			      strlen("[jit]"), ret);
}

static uint32_t nameless_frame(struct pp_pythons *ps, uint64_t pc, bool stub)
{
	enum pp_kind kind = stub ? PP_KIND_PYTHON : PP_KIND_JIT;
	const char *module = stub ? "[python]" : "[jit]";
	uint32_t id, frame;

	if (pp_strings_get(ps->store->strings, module, strlen(module), &id) < 0 ||
	    pp_frames_unnamed(ps->store->frames, kind, id, pc, &frame) < 0)
		return PP_FRAME_UNKNOWN;
	return frame;
}

static uint32_t unnamed_frame(struct pp_pythons *ps, struct pp_python *py, uint64_t pc, bool stub)
{
	uint32_t frame = nameless_frame(ps, pc, stub);

	if (frame != PP_FRAME_UNKNOWN)
		pp_pcs_put(&py->pcs, pc, frame);
	return frame;
}

/* Other compilers than CPython's reuse memory without mapping it anew: only the file tells. */
static void refresh(struct pp_python *py, bool stub, uint64_t time_ns)
{
	if (stub || !py->pymap || time_ns < py->refresh_ns)
		return;
	py->refresh_ns = time_ns + REFRESH_NS;
	if (pp_pymap_state(py->pymap) == PP_PYMAP_OPEN)
		pp_pymap_refresh(py->pymap, time_ns);
}

static uint32_t pending_frame(struct pp_pythons *ps, struct pp_python *py, uint64_t pc, bool stub,
			      uint64_t time_ns)
{
	enum pp_kind kind = stub ? PP_KIND_PYTHON : PP_KIND_JIT;
	const char *module = stub ? "[python]" : "[jit]";
	uint32_t id, frame;

	if (pp_strings_get(ps->store->strings, module, strlen(module), &id) < 0 ||
	    pp_frames_pending(ps->store->frames, kind, id, pc, &frame) < 0)
		return PP_FRAME_UNKNOWN;
	if (pp_pcs_put_pending(&py->pcs, pc, frame, time_ns) < 0)
		(void)pp_frames_give_up(ps->store->frames, frame);
	return frame;
}

/* The name is somewhere in its writer's memory: shown so, until it comes. */
static void set_late(struct pp_pythons *ps, struct pp_pending_pc *pc)
{
	uint32_t note;

	if (pc->late)
		return;
	pc->late = true;
	pp_count(PP_C_jitdump_unflushed);
	if (pp_strings_get(ps->store->strings, NOT_FLUSHED, strlen(NOT_FLUSHED), &note) == 0)
		pp_frames_set_note(ps->store->frames, pc->frame, note);
}

static uint32_t late_frame(struct pp_pythons *ps, struct pp_python *py, uint64_t pc, bool stub,
			   uint64_t time_ns)
{
	size_t before = py->pcs.nr_pending;
	uint32_t frame = pending_frame(ps, py, pc, stub, time_ns);

	if (py->pcs.nr_pending > before)
		set_late(ps, &py->pcs.pending[before]);
	return frame;
}

uint32_t pp_pythons_frame(struct pp_pythons *ps, struct pp_process *p, uint64_t pc, bool stub,
			  uint64_t time_ns)
{
	struct pp_python *py = get_python(ps, p);
	struct pp_perfmap_entry entry;
	uint32_t frame;

	if (!py)
		return PP_FRAME_UNKNOWN;
	if (stub)
		py->stub_pc = pc;
	if (!py->pymap && !py->over)
		want_map(ps, py);
	if (py->pymap && pp_pymap_generation(py->pymap) != py->generation) {
		py->generation = pp_pymap_generation(py->pymap);
		pp_pcs_renew(&py->pcs);
	}
	if (pp_pcs_get(&py->pcs, pc, &frame)) {
		refresh(py, stub, time_ns);
		return frame;
	}
	if (!py->pymap)
		return unnamed_frame(ps, py, pc, stub);
	switch (pp_pymap_lookup(py->pymap, pc, time_ns, &entry)) {
	case PP_PYMAP_NAMED:
		if (named_frame(ps, &entry.name, &frame) < 0)
			return PP_FRAME_UNKNOWN;
		pp_pcs_put(&py->pcs, pc, frame);
		return frame;
	case PP_PYMAP_PENDING:
		return pending_frame(ps, py, pc, stub, time_ns);
	case PP_PYMAP_AMBIGUOUS: /* not kept: later samples are of the later name */
		pp_count(PP_C_python_ambiguous);
		return nameless_frame(ps, pc, stub);
	case PP_PYMAP_UNFLUSHED:
		return late_frame(ps, py, pc, stub, time_ns);
	case PP_PYMAP_ABSENT:
	default:
		pp_count(PP_C_python_unnamed);
		return unnamed_frame(ps, py, pc, stub);
	}
}

/* What came of a frame that was waiting; whether it waits no more. */
static bool settle_one(struct pp_pythons *ps, struct pp_python *py, struct pp_pending_pc *pc)
{
	enum pp_counter counter = PP_C_python_unnamed;
	struct pp_perfmap_entry entry;
	uint32_t frame, known;
	/* Or a later sample of it is another frame. */
	bool latest = pp_pcs_get(&py->pcs, pc->key, &known) && known == pc->frame;

	switch (pp_pymap_lookup(py->pymap, pc->key, pc->time_ns, &entry)) {
	case PP_PYMAP_PENDING:
		pc->late = false;
		return false;
	case PP_PYMAP_UNFLUSHED:
		set_late(ps, pc);
		return false;
	case PP_PYMAP_NAMED:
		if (named_frame(ps, &entry.name, &frame) == 0 &&
		    pp_frames_resolve(ps->store->frames, pc->frame, frame) == 0) {
			if (latest)
				pp_pcs_put(&py->pcs, pc->key, frame);
			return true;
		}
		break;
	case PP_PYMAP_AMBIGUOUS:
		if (latest) /* later samples are of the later name */
			pp_pcs_drop(&py->pcs, pc->key);
		counter = PP_C_python_ambiguous;
		break;
	case PP_PYMAP_ABSENT:
		break;
	}
	pp_count(counter);
	(void)pp_frames_give_up(ps->store->frames, pc->frame);
	return true;
}

void pp_pythons_settle(struct pp_pythons *ps, struct pp_python *py)
{
	if (pp_pymap_progress(py->pymap) == py->progress)
		return;
	py->progress = pp_pymap_progress(py->pymap);
	for (size_t i = py->pcs.nr_pending; i-- > 0;) {
		struct pp_pending_pc pc = py->pcs.pending[i];

		/* Where it stands in the list changes as names are kept. */
		if (settle_one(ps, py, &pc))
			pp_pcs_drop_pending(&py->pcs, i);
		else
			py->pcs.pending[i] = pc;
	}
}

void pp_pythons_swept(struct pp_pythons *ps)
{
	pp_list_each (struct pp_python, py, &ps->all, all)
		pp_pcs_swept(&py->pcs, ps->store);
}

void pp_pythons_decay(struct pp_pythons *ps)
{
	pp_list_each (struct pp_python, py, &ps->all, all)
		pp_coverage_decay(&py->coverage);
}

size_t pp_pythons_pending(const struct pp_pythons *ps, uint64_t time_ns)
{
	size_t n = 0;

	pp_list_each (const struct pp_python, py, &ps->all, all)
		n += pp_pcs_pending(&py->pcs, time_ns);
	return n;
}

/* A Python that starts has no arena for a moment. */
#define ARENA_NS (2 * NSEC_PER_SEC)

struct pp_remedy_facts pp_python_facts(const struct pp_python *py, uint64_t now_ns)
{
	const struct pp_process *p = py->process;
	struct pp_perfmap_stats stats = { 0 };
	struct pp_remedy_facts facts = {
		.version = py->version,
		.map = py->map_state,
		.reason = py->map_reason,
		.map_full = py->map_full,
		.entries = py->map_entries,
		.coverage = py->coverage,
		.walk = pp_interps_walk(p),
		.unwalked = pp_interps_problem(p),
		.inherited = py->inherited,
		.no_arena = p->maps_known && !py->arena && p->born_ns + ARENA_NS < now_ns,
		.spawned = p->cmdline && pp_remedy_is_spawned(p->cmdline->text, p->cmdline->len),
		.tmp = py->exam.tmp,
	};

	if (py->pymap) {
		pp_perfmap_get_stats(pp_pymap_map(py->pymap), &stats);
		facts.map = pp_pymap_state(py->pymap);
		facts.reason = pp_pymap_reason(py->pymap);
		facts.jitdump = pp_pymap_format(py->pymap) == PP_PYMAP_JITDUMP;
		facts.map_full = stats.full;
		facts.map_shared = pp_pymap_is_shared(py->pymap);
		facts.entries = stats.entries;
	}
	return facts;
}
