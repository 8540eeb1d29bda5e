/* SPDX-License-Identifier: GPL-2.0-only */
/* The manager's answers to the API about Pythons: see api/backend.h. */
#include "manager_private.h"

#include "base/clock.h"
#include "files.h"
#include "interps.h"
#include "pythons.h"
#include "python/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char growth_remedy[] =
	"compile such code once and keep it: each eval, exec, namedtuple or dataclass makes new "
	"code, whose stubs and names stay";

static struct pp_growth_alarm alarm_of(const struct pp_python *py, uint64_t now_ns)
{
	if (!py->pymap || !py->process->alive)
		return (struct pp_growth_alarm){ 0 };
	return pp_pymap_alarm(py->pymap, now_ns);
}

static const char *growth_problem(struct pp_manager *m, const struct pp_growth_alarm *a)
{
	const struct pp_grower *g = a->grower;

	snprintf(m->growth_text, sizeof(m->growth_text),
		 "it keeps making code: %.*s (%.*s), %" PRIu64 " entries and %" PRIu64
		 " KiB of perf map a minute",
		 (int)g->name_len, g->name, (int)g->file_len, g->file, a->entries,
		 a->bytes / (uint64_t)KIB);
	return m->growth_text;
}

static void get_python(void *userdata, const struct pp_process *p, struct pp_api_python *ret)
{
	const struct pp_python *py = p->python;
	struct pp_manager *m = userdata;
	uint64_t now_ns = pp_now_ns();
	char version[PP_PYVERSION_TEXT_MAX];
	struct pp_remedy_facts facts;
	enum pp_trampolines trampolines;
	struct pp_growth_alarm alarm;
	struct pp_remedy remedy;

	if (!py || !py->is_python)
		return;
	ret->is_python = true;
	if (py->version)
		memccpy(ret->version, pp_pyversion_text(py->version, version), '\0',
			sizeof(ret->version) - 1);
	facts = pp_python_facts(py, now_ns);
	trampolines = pp_remedy_trampolines(&facts);
	remedy = pp_remedy_find(&facts);
	ret->trampolines = pp_trampolines_text(trampolines);
	ret->map_path = py->path;
	ret->map_entries = facts.entries;
	ret->named_by = pp_named_by_text(pp_coverage_named_by(&py->coverage));
	ret->frames = py->coverage.shown + py->coverage.missing;
	ret->named = py->coverage.shown;
	ret->problem = remedy.problem;
	ret->remedy = remedy.remedy;
	ret->all_named = pp_remedy_is_walked(&facts) ||
			 (!remedy.problem && trampolines != PP_TRAMPOLINES_UNKNOWN &&
			  trampolines != PP_TRAMPOLINES_OFF);
	alarm = alarm_of(py, now_ns);
	if (alarm.severe && !remedy.problem) {
		ret->problem = growth_problem(m, &alarm);
		ret->remedy = growth_remedy;
	}
}

static void examine(void *userdata, const struct pp_process *p)
{
	struct pp_manager *m = userdata;

	if (p->python)
		pp_pythons_examine(m->pythons, p->python, pp_now_ns());
}

static size_t examining(void *userdata)
{
	struct pp_manager *m = userdata;

	return pp_pythons_examining(m->pythons);
}

/* The file that holds the interpreter: by its contents, else by its name. */
static const struct pp_map *find_interpreter(const struct pp_process *p)
{
	const struct pp_map *named = NULL;
	uint32_t version;

	for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
		const struct pp_map *map = &p->maps->maps[i];
		const struct pp_object *o = map->object;

		if (map->kind != PP_MAP_FILE || !map->path)
			continue;
		if (o && o->state == PP_OBJECT_READY && pp_elf_has_python(&o->info.python))
			return map;
		if (!named && pp_pyversion_from_path(map->path->text, &version))
			named = map;
	}
	return named;
}

static void fill_build(const struct pp_process *p, struct pp_api_diagnosis *ret)
{
	const struct pp_map *map = find_interpreter(p);
	const struct pp_object *o = map ? map->object : NULL;

	ret->frame_pointers = -1;
	if (!map)
		return;
	ret->interpreter = map->path->text;
	if (!o || o->state != PP_OBJECT_READY)
		return;
	ret->build_id_len = MIN((size_t)o->info.build_id_len, sizeof(ret->build_id));
	memcpy(ret->build_id, o->info.build_id, ret->build_id_len);
	if (o->has_table)
		ret->frame_pointers = o->info.frame_pointers / 1000.0;
}

static const char *state_text(enum pp_pymap_state state)
{
	static const char *const texts[] = {
		[PP_PYMAP_IDLE] = "idle", [PP_PYMAP_WANTED] = "wanted",
		[PP_PYMAP_OPEN] = "open", [PP_PYMAP_REFUSED] = "refused",
		[PP_PYMAP_GONE] = "gone",
	};

	return texts[state];
}

static void fill_alarm(const struct pp_python *py, uint64_t now_ns, struct pp_api_diagnosis *ret)
{
	struct pp_growth_alarm a = alarm_of(py, now_ns);

	if (!a.grower)
		return;
	ret->alarm.name = a.grower->name;
	ret->alarm.name_len = a.grower->name_len;
	ret->alarm.file = a.grower->file;
	ret->alarm.file_len = a.grower->file_len;
	ret->alarm.entries = a.entries;
	ret->alarm.bytes = a.bytes;
	ret->alarm.severe = a.severe;
}

static void diagnosis(void *userdata, const struct pp_process *p, struct pp_api_diagnosis *ret)
{
	const struct pp_python *py = p->python;
	uint64_t now_ns = pp_now_ns();
	struct pp_remedy_facts facts;
	struct pp_growth_rate rate;

	(void)userdata;
	if (!py)
		return;
	facts = pp_python_facts(py, now_ns);
	fill_build(p, ret);
	ret->unwalked = pp_inspect_answer_text(pp_interps_problem(p));
	ret->stub = py->exam.stub.form ? pp_stub_text(py->exam.stub.form) : NULL;
	ret->endbr = py->exam.stub.endbr;
	ret->map_state = state_text(facts.map);
	if (facts.map == PP_PYMAP_REFUSED)
		ret->map_reason = pp_pymap_reason_text(facts.reason);
	else if (facts.map_full)
		ret->map_reason = "the perf map is larger than what is kept";
	ret->map_bytes = py->exam.done_ns ? py->exam.map_bytes : -1;
	ret->map_live = pp_python_live(py);
	ret->unnamed = py->coverage.unnamed;
	ret->bare = py->coverage.bare;
	if (!py->pymap)
		return;
	rate = pp_pymap_growth(py->pymap, now_ns);
	ret->growth_entries = rate.entries;
	ret->growth_bytes = rate.bytes;
	fill_alarm(py, now_ns, ret);
}

void pp_manager_fill_diagnosis(struct pp_api_backend *b)
{
	b->python = get_python;
	b->examine = examine;
	b->examining = examining;
	b->diagnosis = diagnosis;
}
