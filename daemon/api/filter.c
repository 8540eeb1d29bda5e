/* SPDX-License-Identifier: GPL-2.0-only */
/* Which processes and samples a caller wants, and which of them are the caller's to see. */
#include "api/internal.h"

#include "proc/cgroup.h"

#include <limits.h>
#include <string.h>

#define CONTAINER_ID_SHORT 12 /* digits, of docker ps and podman ps */

#define ANCESTORS_MAX 1024 /* a longer line of parents can only be a loop of reused pids */

/* Keeps a copy of a name that was given. */
static int keep(char **at, const char *name)
{
	*at = name ? strndup(name, PP_SCOPE_TEXT_MAX) : NULL;
	return name && !*at ? -ENOMEM : 0;
}

int pp_scope_parse(struct pp_scope *ret, json_t *object, const char **ret_bad)
{
	_cleanup_scope_ struct pp_scope f = { .uid = -1 };
	const char *command = NULL, *unit = NULL, *slice = NULL, *container = NULL, *pod = NULL;
	const char *gil = NULL, *thread = NULL, *task = NULL;
	int64_t pid = 0;
	const struct pp_param params[] = {
		{ "pid", PP_PARAM_INT, .min = 1, .max = INT_MAX, .target = &pid },
		{ "tree", PP_PARAM_BOOL, .target = &f.tree },
		{ "command", PP_PARAM_STRING, .target = &command },
		{ "unit", PP_PARAM_STRING, .target = &unit },
		{ "slice", PP_PARAM_STRING, .target = &slice },
		{ "container", PP_PARAM_STRING, .target = &container },
		{ "pod", PP_PARAM_STRING, .target = &pod },
		{ "uid", PP_PARAM_INT, .min = 0, .max = UINT32_MAX, .target = &f.uid },
		{ "python", PP_PARAM_BOOL, .target = &f.python },
		{ "gil", PP_PARAM_STRING, .target = &gil },
		{ "gc", PP_PARAM_BOOL, .target = &f.gc },
		{ "thread", PP_PARAM_STRING, .target = &thread },
		{ "task", PP_PARAM_STRING, .target = &task },
	};

	*ret_bad = pp_params_parse(object, params, ARRAY_SIZE(params));
	if (!*ret_bad && f.tree && !pid)
		*ret_bad = "tree";
	f.gil = gil ? pp_gil_of_text(gil) : PP_GIL_NONE;
	if (!*ret_bad && f.gil == PP_GIL_MAX)
		*ret_bad = "gil";
	if (*ret_bad)
		return -EINVAL;
	f.pid = (pid_t)pid;
	if (keep(&f.command, command) < 0 || keep(&f.unit, unit) < 0 || keep(&f.slice, slice) < 0 ||
	    keep(&f.container, container) < 0 || keep(&f.pod, pod) < 0 ||
	    keep(&f.thread, thread) < 0 || keep(&f.task, task) < 0)
		return -ENOMEM;
	*ret = f;
	f = (struct pp_scope){ 0 };
	return 0;
}

void pp_scope_done(struct pp_scope *f)
{
	free(f->command);
	free(f->unit);
	free(f->slice);
	free(f->container);
	free(f->pod);
	free(f->thread);
	free(f->task);
	*f = (struct pp_scope){ .uid = -1 };
}

static bool wants_tree(const struct pp_scope *f)
{
	return f && f->pid && f->tree;
}

static bool note_parent(const struct pp_process *p, void *arg)
{
	struct pp_choice *c = arg;

	return pp_u64map_put(&c->parents, (uint64_t)p->pid, (uint64_t)p->ppid) >= 0;
}

void pp_choice_begin(struct pp_choice *c)
{
	if ((!c->any_pid && wants_tree(c->first)) || wants_tree(c->second))
		c->api->backend.each_process(c->api->backend.userdata, note_parent, c);
}

void pp_choice_end(struct pp_choice *c)
{
	pp_u64map_done(&c->parents);
}

static bool descends(const struct pp_choice *c, pid_t pid, pid_t ancestor)
{
	uint64_t at = (uint64_t)pid;

	for (unsigned int i = 0; i < ANCESTORS_MAX; i++) {
		if (at == (uint64_t)ancestor)
			return true;
		if (!pp_u64map_get(&c->parents, at, &at) || !at)
			return false;
	}
	return false;
}

static bool is_python(struct pp_api *api, const struct pp_process *p)
{
	struct pp_api_python python = { 0 };

	api->backend.python(api->backend.userdata, p, &python);
	return python.is_python;
}

static bool is_named(const struct pp_atom *atom, const char *wanted)
{
	return !wanted || (atom && strcmp(wanted, atom->text) == 0);
}

/* An id is also known by its beginning, as the engines' own tools show it. */
static bool is_container(const struct pp_atom *atom, const char *wanted)
{
	size_t len = wanted ? strlen(wanted) : 0;

	if (wanted && atom && atom->len == PP_CONTAINER_ID_LEN && len >= CONTAINER_ID_SHORT)
		return strncmp(wanted, atom->text, len) == 0;
	return is_named(atom, wanted);
}

static bool matches(const struct pp_choice *c, const struct pp_scope *f, bool any_pid,
		    const struct pp_process *p)
{
	if (!f)
		return true;
	if (f->pid && !any_pid && p->pid != f->pid && !(f->tree && descends(c, p->pid, f->pid)))
		return false;
	if (f->uid >= 0 && (!p->has_ids || p->euid != (uid_t)f->uid))
		return false;
	if (f->command && strncmp(f->command, p->comm, sizeof(p->comm)) != 0)
		return false;
	if (!is_named(p->unit, f->unit) || !is_named(p->slice, f->slice) ||
	    !is_container(p->container, f->container) || !is_named(p->pod, f->pod))
		return false;
	return !f->python || is_python(c->api, p);
}

enum pp_want pp_choice_want(void *userdata, uint64_t process)
{
	struct pp_choice *c = userdata;
	const struct pp_process *p;

	p = c->api->backend.process(c->api->backend.userdata, (uint32_t)process);
	if (!p && c->viewer.rank == PP_RANK_OTHER)
		return PP_WANT_HIDDEN;
	if (!p)
		return c->first || c->second ? PP_WANT_NO : PP_WANT_YES;
	/* Rights come first: a filter must not tell about what is hidden. */
	if (!pp_api_sees(&c->viewer, p))
		return PP_WANT_HIDDEN;
	if (!matches(c, c->first, c->any_pid, p) || !matches(c, c->second, false, p))
		return PP_WANT_NO;
	return PP_WANT_YES;
}

static bool fits(const struct pp_scope *f, struct pp_store *store, const struct pp_attributes *a)
{
	const char *thread, *task;

	if (!f)
		return true;
	if ((f->gil != PP_GIL_NONE && a->gil != f->gil) || (f->gc && a->gc != PP_GC_RUNNING))
		return false;
	thread = pp_strings_text(store->strings, a->thread, NULL);
	if (f->thread && strcmp(f->thread, thread) != 0)
		return false;
	task = pp_strings_text(store->strings, pp_frames_describe(store->frames, a->task)->name,
			       NULL);
	return !f->task || (a->task != PP_FRAME_UNKNOWN && strcmp(f->task, task) == 0);
}

bool pp_choice_fits(void *userdata, struct pp_store *store, const struct pp_attributes *a)
{
	const struct pp_choice *c = userdata;

	return fits(c->first, store, a) && fits(c->second, store, a);
}

struct search {
	const struct pp_viewer *viewer;
	pid_t pid;
	bool known, seen;
};

static bool look(const struct pp_process *p, void *arg)
{
	struct search *s = arg;

	/* Without ids it has not been looked at yet: /proc says more. */
	if (p->pid == s->pid && p->has_ids) {
		s->known = true;
		s->seen |= pp_api_sees(s->viewer, p);
	}
	return !s->seen;
}

int pp_api_check_pid(struct pp_api *api, struct pp_call *call, const struct pp_viewer *viewer,
		     pid_t pid)
{
	struct search s = { .viewer = viewer, .pid = pid };
	struct pp_policy_subject subject;
	int r;

	if (!pid)
		return 0;
	api->backend.each_process(api->backend.userdata, look, &s);
	if (s.seen)
		return 0;
	r = pp_policy_read_subject(pid, &subject);
	if (r < 0 && !s.known)
		(void)pp_api_no_such_process(call, pid);
	else if (r < 0 || !pp_policy_sees(viewer->rank, viewer->uid, &subject))
		(void)pp_api_not_permitted(call, "this process is not yours: use sudo, or become a "
						 "member of group " PP_POLICY_GROUP);
	else
		return 0;
	return 1;
}
