/* SPDX-License-Identifier: GPL-2.0-only */
/* What lower rooms report goes to those above: the manager's hooks. */
#include "manager_private.h"

#include "codes.h"
#include "files.h"
#include "interps.h"
#include "kernel.h"
#include "proc/reader.h"
#include "pythons.h"
#include "resolve.h"
#include "sessions.h"
#include "unwind.h"

/*
 * Unwind tables are loaded for the files that samples touch, which costs a new file's first stacks;
 * of Pythons, which are what this is about, for every file they map.
 */
static void want_python(struct pp_manager *m, struct pp_process *p)
{
	struct pp_python *py = p->python;

	if (py && py->is_python)
		pp_unwind_want(m->unwind, p);
}

static void on_fork(void *userdata, struct pp_process *parent, struct pp_process *child)
{
	struct pp_manager *m = userdata;

	pp_unwind_forked(m->unwind, parent, child);
	pp_interps_forked(m->interps, parent, child);
	pp_pythons_forked(m->pythons, parent, child, child->born_ns);
	pp_codes_forked(m->codes, parent, child);
	pp_sessions_forked(m->sessions, parent, child);
}

static void on_exec(void *userdata, struct pp_process *old, struct pp_process *next)
{
	struct pp_manager *m = userdata;

	pp_unwind_ended(m->unwind, old);
	pp_pythons_execed(m->pythons, old, next);
}

static void on_mapping(void *userdata, struct pp_process *p, struct pp_map *map)
{
	struct pp_manager *m = userdata;

	pp_pythons_mapping(m->pythons, p, map);
	pp_unwind_mapped(m->unwind, p, map);
	want_python(m, p);
}

static void on_memory(void *userdata, struct pp_process *p, const struct pp_map *map)
{
	struct pp_manager *m = userdata;

	pp_pythons_memory(m->pythons, p, map);
	pp_unwind_refresh(m->unwind, p);
}

static void on_scanned(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	for (size_t i = 0; i < pp_process_nr_maps(p); i++)
		pp_pythons_mapping(m->pythons, p, &p->maps->maps[i]);
	pp_pythons_scanned(p);
	pp_unwind_scanned(m->unwind, p);
	want_python(m, p);
}

static void on_process_exit(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	pp_unwind_ended(m->unwind, p);
	pp_pythons_exited(m->pythons, p);
	pp_sessions_exited(m->sessions, p);
	pp_reader_forget(m->reader, p->pid);
}

static void on_process_free(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	pp_unwind_gone(m->unwind, p);
	pp_pythons_gone(m->pythons, p);
	pp_codes_gone(m->codes, p);
	pp_interps_gone(m->interps, p);
}

static void object_ref(void *userdata, void *object)
{
	(void)userdata;
	pp_object_pin(object);
}

static void object_unref(void *userdata, void *object)
{
	(void)userdata;
	pp_object_unpin(object);
}

static void learn_python(struct pp_manager *m, struct pp_process *p, const struct pp_object *o)
{
	if (o->state != PP_OBJECT_READY || !pp_elf_has_python(&o->info.python))
		return;
	pp_pythons_version(m->pythons, p, o->info.python.version);
	want_python(m, p);
	pp_interps_object(m->interps, p, o);
}

static void on_object(void *userdata, struct pp_process *p, struct pp_object *o)
{
	struct pp_manager *m = userdata;

	learn_python(m, p, o);
	pp_unwind_touch(m->unwind, p);
	pp_manager_pump_soon(m);
}

static void on_loaded(void *userdata, struct pp_object *o, int table_fd)
{
	struct pp_manager *m = userdata;
	struct pp_process *p = NULL;

	pp_unwind_loaded(m->unwind, o, table_fd);
	pp_manager_pump_soon(m);
	if (o->state != PP_OBJECT_READY || !pp_elf_has_python(&o->info.python))
		return;
	while ((p = pp_processes_next(m->processes, p)))
		for (size_t i = 0; i < pp_process_nr_maps(p); i++)
			if (p->maps->maps[i].object == o) {
				learn_python(m, p, o);
				break;
			}
}

static void on_object_free(void *userdata, struct pp_object *o)
{
	struct pp_manager *m = userdata;

	pp_unwind_object_free(m->unwind, o);
	pp_interps_object_free(m->interps, o);
}

static void on_interp(void *userdata, struct pp_process *p, const struct pp_code_runtime *runtime)
{
	struct pp_manager *m = userdata;

	if (runtime) {
		(void)pp_codes_runtime(m->codes, p, runtime);
		pp_pythons_inspected(p, runtime->version);
	}
	pp_unwind_refresh(m->unwind, p);
	pp_manager_pump_soon(m);
}

const struct pp_processes_hooks pp_manager_processes_hooks = {
	.on_fork = on_fork,
	.on_exec = on_exec,
	.on_mapping = on_mapping,
	.on_memory = on_memory,
	.on_scanned = on_scanned,
	.on_exit = on_process_exit,
	.on_free = on_process_free,
	.object_ref = object_ref,
	.object_unref = object_unref,
};

static void on_unnumbered(void *userdata, struct pp_process *p)
{
	struct pp_manager *m = userdata;

	pp_interps_unnumbered(m->interps, p);
}

static void on_settled(_unused_ void *userdata, struct pp_process *p, uint64_t samples, bool named)
{
	struct pp_python *py = p->python;

	if (py && py->is_python)
		pp_coverage_settle(&py->coverage, samples, named);
}

const struct pp_interps_hooks pp_manager_interps_hooks = { on_interp };
const struct pp_codes_hooks pp_manager_codes_hooks = { on_unnumbered, on_settled };
const struct pp_files_hooks pp_manager_files_hooks = { on_object, on_loaded, on_object_free };

void pp_manager_ref_process(void *userdata, uint64_t id)
{
	struct pp_manager *m = userdata;
	struct pp_process *p = pp_processes_by_id(m->processes, (uint32_t)id);

	if (p)
		pp_process_ref(p);
}

void pp_manager_unref_process(void *userdata, uint64_t id)
{
	struct pp_manager *m = userdata;

	pp_process_unref(pp_processes_by_id(m->processes, (uint32_t)id));
}

void pp_manager_swept(void *userdata, struct pp_store *store)
{
	struct pp_manager *m = userdata;

	(void)store;
	pp_files_swept(m->files);
	pp_pythons_swept(m->pythons);
	pp_codes_swept(m->codes);
	pp_kernel_swept(m->kernel);
	pp_resolve_swept(m->resolve);
}
