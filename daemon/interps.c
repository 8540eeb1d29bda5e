/* SPDX-License-Identifier: GPL-2.0-only */
#include "interps.h"

#include "base/clock.h"
#include "base/counters.h"
#include "elf/object.h"
#include "layouts.h"
#include "presume.h"
#include "python/version.h"

#include <string.h>

/* An interpreter that is starting is looked at again soon, then ever more rarely. */
#define RETRY_MIN_NS (4 * NSEC_PER_MSEC)
#define RETRY_MAX_NS (2 * NSEC_PER_SEC)
#define TRIES_MAX    16 /* about ten seconds; then only when it is sampled */

enum state {
	WANTED, /* to be inspected, when it is due */
	ASKED,
	KNOWN,
	REFUSED,
};

/* pp_process.interp */
struct interp {
	struct pp_process *process; /* not referenced: it owns this */
	enum state state;
	enum pp_inspect_answer answer; /* the last one */
	struct pp_inspect what;
	uint32_t object;
	struct pp_interp entry; /* layout 0: none */
	struct pp_code_runtime runtime;
	unsigned int tries;
	uint64_t due_ns;
	bool counted;
	struct interp *next_due, **in_due; /* in the list of those to be inspected; NULL: not */
};

struct pp_interps {
	struct pp_reader *reader;
	sd_event_source *timer;
	struct interp *due;
	struct pp_layouts *layouts;
	struct pp_presume *presume;
	struct pp_interps_hooks hooks;
	void *userdata;
};

/* A request to the reader. The process is referenced; its interp lives as long. */
struct request {
	struct pp_interps *interps;
	struct pp_process *process;
	uint32_t object; /* that it is about */
};

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata);

int pp_interps_new(struct pp_interps **ret, sd_event *event, struct pp_bpf *bpf,
		   struct pp_reader *reader, const struct pp_interps_hooks *hooks, void *userdata)
{
	_cleanup_(pp_interps_freep) struct pp_interps *is = calloc(1, sizeof(*is));
	int r;

	if (!is)
		return -ENOMEM;
	is->reader = reader;
	is->hooks = *hooks;
	is->userdata = userdata;
	r = pp_presume_new(&is->presume);
	if (r >= 0)
		r = pp_layouts_new(&is->layouts, bpf);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(event, &is->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
				       on_timer, is);
	if (r >= 0)
		r = sd_event_source_set_enabled(is->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(is);
	return 0;
}

struct pp_interps *pp_interps_free(struct pp_interps *is)
{
	if (!is)
		return NULL;
	pp_presume_free(is->presume);
	pp_layouts_free(is->layouts);
	sd_event_source_unref(is->timer);
	free(is);
	return NULL;
}

struct pp_interp pp_interps_entry(const struct pp_process *p)
{
	const struct interp *in = p->interp;

	return in ? in->entry : (struct pp_interp){ 0 };
}

enum pp_walk pp_interps_walk(const struct pp_process *p)
{
	const struct interp *in = p->interp;

	if (in && in->entry.layout)
		return PP_WALK_YES;
	return pp_interps_problem(p) == PP_INSPECT_OK ? PP_WALK_UNKNOWN : PP_WALK_NO;
}

/* Whether files that are named as an interpreter's are have been read, and none holds one. */
static bool is_stripped(const struct pp_process *p)
{
	bool found = false;
	uint32_t version;

	for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
		const struct pp_map *map = &p->maps->maps[i];
		const struct pp_object *o = map->object;

		if (map->kind != PP_MAP_FILE || !map->path ||
		    !pp_pyversion_from_path(map->path->text, &version))
			continue;
		if (!o || o->state == PP_OBJECT_NEW || o->state == PP_OBJECT_LOADING)
			return false;
		found = true;
	}
	return found;
}

enum pp_inspect_answer pp_interps_problem(const struct pp_process *p)
{
	const struct interp *in = p->interp;

	if (!in)
		return is_stripped(p) ? PP_INSPECT_STRIPPED : PP_INSPECT_OK;
	return in->state == REFUSED ? in->answer : PP_INSPECT_OK;
}

/* ---- What is due ----------------------------------------------------------------------------- */

static void leave_due(struct interp *in)
{
	if (!in->in_due)
		return;
	*in->in_due = in->next_due;
	if (in->next_due)
		in->next_due->in_due = in->in_due;
	in->in_due = NULL;
}

/* The timer rings for the first that is due. */
static void arm(struct pp_interps *is)
{
	uint64_t first_ns = UINT64_MAX;

	for (const struct interp *in = is->due; in; in = in->next_due)
		first_ns = MIN(first_ns, in->due_ns);
	if (first_ns == UINT64_MAX)
		return;
	(void)sd_event_source_set_time(is->timer, first_ns / NSEC_PER_USEC);
	(void)sd_event_source_set_enabled(is->timer, SD_EVENT_ONESHOT);
}

static void inspect_at(struct pp_interps *is, struct interp *in, uint64_t due_ns)
{
	in->state = WANTED;
	in->due_ns = due_ns;
	if (!in->in_due) {
		in->next_due = is->due;
		in->in_due = &is->due;
		if (is->due)
			is->due->in_due = &in->next_due;
		is->due = in;
	}
	arm(is);
}

/* ---- Installing ------------------------------------------------------------------------------ */

static void set_entry(struct pp_interps *is, struct interp *in, const struct pp_interp *entry,
		      const struct pp_code_runtime *runtime)
{
	if (!memcmp(&in->entry, entry, sizeof(*entry)) &&
	    !memcmp(&in->runtime, runtime, sizeof(*runtime)))
		return;
	pp_layouts_move(is->layouts, in->entry.layout, entry->layout);
	in->entry = *entry;
	in->runtime = *runtime;
	is->hooks.on_interp(is->userdata, in->process, entry->layout ? &in->runtime : NULL);
}

/* A new process is as the one before it until it has been inspected. */
static void presume(struct pp_interps *is, struct interp *in)
{
	struct pp_code_runtime runtime;
	struct pp_interp entry;

	if (pp_presume_get(is->presume, in->object, in->process, &in->what, &entry, &runtime))
		set_entry(is, in, &entry, &runtime);
}

/* ---- Inspections ----------------------------------------------------------------------------- */

static void refuse(struct pp_interps *is, struct interp *in)
{
	static const struct pp_interp none;
	static const struct pp_code_runtime no_runtime;

	in->state = REFUSED;
	in->due_ns = pp_now_ns() + RETRY_MAX_NS;
	set_entry(is, in, &none, &no_runtime);
	if (!in->counted)
		pp_count(PP_C_interps_refused);
	in->counted = true;
}

/* One that is of no known kind stays that; the others may only just be starting. */
static bool is_final(enum pp_inspect_answer answer)
{
	return answer == PP_INSPECT_VERSION || answer == PP_INSPECT_FREE_THREADED ||
	       answer == PP_INSPECT_PYPY;
}

static void again(struct pp_interps *is, struct interp *in, uint64_t now_ns)
{
	uint64_t wait_ns = RETRY_MIN_NS << MIN(in->tries, 10U);

	if (is_final(in->answer) || ++in->tries > TRIES_MAX) {
		refuse(is, in);
	} else {
		inspect_at(is, in, now_ns + MIN(wait_ns, (uint64_t)RETRY_MAX_NS));
	}
}

static void know(struct pp_interps *is, struct interp *in, const struct pp_inspected *found)
{
	struct pp_interp entry = found->interp;

	entry.layout = pp_layouts_get(is->layouts, &found->layout, in->process->ruid);
	if (!entry.layout) {
		in->answer = PP_INSPECT_LAYOUTS;
		refuse(is, in);
		return;
	}
	in->state = KNOWN;
	in->tries = 0;
	set_entry(is, in, &entry, &found->runtime);
	/* What is presumed outlasts the process, so its layout must. */
	if (pp_layouts_is_fixed(is->layouts, entry.layout))
		pp_presume_learn(is->presume, in->object, in->process, &in->what, &in->entry,
				 &in->runtime);
}

static void on_inspected(void *userdata, int error, const struct pp_inspected *found)
{
	struct request *rq = userdata;
	struct interp *in = rq->process->interp;
	struct pp_interps *is = rq->interps;

	if (in->state == ASKED && in->object == rq->object && rq->process->alive) {
		in->answer = error ? PP_INSPECT_UNREADABLE : found->answer;
		if (!error && found->answer == PP_INSPECT_OK) {
			know(is, in, found);
		} else {
			again(is, in, pp_now_ns());
		}
	}
	pp_process_unref(rq->process);
	free(rq);
}

static void ask(struct pp_interps *is, struct interp *in, uint64_t now_ns)
{
	struct request *rq = malloc(sizeof(*rq));

	leave_due(in);
	if (!in->process->alive) {
		free(rq);
		return;
	}
	if (!rq) {
		inspect_at(is, in, now_ns + RETRY_MAX_NS);
		return;
	}
	*rq = (struct request){ is, pp_process_ref(in->process), in->object };
	in->state = ASKED;
	if (pp_reader_inspect(is->reader, pp_process_target(in->process), &in->what, on_inspected,
			      rq) >= 0)
		return;
	pp_process_unref(rq->process);
	free(rq);
	in->answer = PP_INSPECT_EARLY;
	again(is, in, now_ns);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
	struct pp_interps *is = userdata;
	uint64_t now_ns = pp_now_ns();

	for (struct interp *in = is->due, *next; in; in = next) {
		next = in->next_due;
		if (in->due_ns <= now_ns)
			ask(is, in, now_ns);
	}
	arm(is);
	return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static struct interp *get_interp(struct pp_process *p)
{
	struct interp *in = p->interp;

	if (in)
		return in;
	in = calloc(1, sizeof(*in));
	if (!in)
		return NULL;
	in->process = p;
	p->interp = in;
	return in;
}

/* From a file's addresses to the process's: by the executable mapping of it that comes first. */
static bool find_bias(const struct pp_process *p, const struct pp_object *o, uint64_t *ret)
{
	uint64_t address;

	for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
		const struct pp_map *map = &p->maps->maps[i];

		if (map->object == o && pp_object_address(o, map->pgoff, &address)) {
			*ret = map->start - address;
			return true;
		}
	}
	return false;
}

void pp_interps_object(struct pp_interps *is, struct pp_process *p, const struct pp_object *o)
{
	const struct pp_elf_python *py = &o->info.python;
	struct interp *in = p->interp;
	struct pp_inspect what = { .version = py->version };
	uint64_t bias, now_ns = pp_now_ns();

	if (!p->alive || !find_bias(p, o, &bias))
		return;
	what.runtime = py->runtime + bias;
	what.code_type = py->code_type ? py->code_type + bias : 0;
	what.next_code = py->next_code ? py->next_code + bias : 0;
	/* A second runtime counts where the first turned out to be none. */
	if (in && in->object && (in->state != REFUSED || in->what.runtime == what.runtime))
		return;
	in = get_interp(p);
	if (!in)
		return;
	in->what = what;
	in->object = o->id;
	in->tries = 0;
	presume(is, in);
	if (!py->runtime) {
		in->answer = PP_INSPECT_PYPY;
		refuse(is, in);
	} else if (in->state == REFUSED && in->due_ns > now_ns) {
		/* Who maps one false runtime after the other waits between them. */
		inspect_at(is, in, in->due_ns);
	} else {
		ask(is, in, now_ns);
	}
}

void pp_interps_object_free(struct pp_interps *is, const struct pp_object *o)
{
	if (o->info.python.runtime)
		pp_presume_forget(is->presume, o->id);
}

/* BPF has given the child what it had of the parent. */
void pp_interps_forked(struct pp_interps *is, struct pp_process *parent, struct pp_process *child)
{
	const struct interp *from = parent->interp;
	struct interp *to;

	if (!from || !(to = get_interp(child)))
		return;
	to->what = from->what;
	to->object = from->object;
	to->answer = from->answer;
	to->state = from->state;
	to->counted = from->counted;
	to->due_ns = from->due_ns;
	set_entry(is, to, &from->entry, &from->runtime);
	if (from->state == WANTED || from->state == ASKED)
		inspect_at(is, to, pp_now_ns() + RETRY_MIN_NS);
}

void pp_interps_unnumbered(struct pp_interps *is, struct pp_process *p)
{
	struct interp *in = p->interp;
	struct pp_code_runtime runtime;
	struct pp_interp entry;

	if (!in || !in->entry.layout)
		return;
	entry = in->entry;
	runtime = in->runtime;
	entry.next_code = runtime.next_code = 0;
	set_entry(is, in, &entry, &runtime);
}

void pp_interps_gone(struct pp_interps *is, struct pp_process *p)
{
	struct interp *in = p->interp;

	if (!in)
		return;
	leave_due(in);
	pp_layouts_move(is->layouts, in->entry.layout, 0);
	free(in);
	p->interp = NULL;
}

void pp_interps_sampled(struct pp_interps *is, struct pp_process *p, enum pp_chain_end end,
			uint64_t now_ns)
{
	struct interp *in = p->interp;

	if (!in || end == PP_CHAIN_COMPLETE || !p->alive || in->due_ns > now_ns)
		return;
	/* It may have begun to run; or have been begun anew, its threads' state in another place.
	 */
	if (!(in->state == REFUSED && !is_final(in->answer)) &&
	    !(in->state == KNOWN && end == PP_CHAIN_FOREIGN))
		return;
	in->due_ns = now_ns + RETRY_MAX_NS;
	ask(is, in, now_ns);
}
