/* SPDX-License-Identifier: GPL-2.0-only */
/* Sessions, spans and their figures. */
#include "session.h"

#include "base/fd.h"
#include "lib/percent.h"
#include "lib/pprof.h"
#include "print.h"

#include <inttypes.h>
#include <string.h>

#define PROMPT_MS 5000 /* for what the daemon answers at once */

void pp_capture_done(struct pp_capture *c)
{
	pp_buf_done(&c->pprof);
}

static int64_t integer(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* The daemon's version, or NULL; owned by reply. */
static const char *daemon_version(struct pp_client *c, struct pp_reply *reply)
{
	if (pp_client_call(c, "org.varlink.service.GetInfo", NULL, PROMPT_MS, reply) < 0 ||
	    reply->error)
		return NULL;
	return json_string_value(json_object_get(reply->parameters, "version"));
}

int pp_session_connect(struct pp_client **ret, const struct pp_global *g)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	const char *version;
	int r;

	r = pp_connection_open(&c, g->socket);
	if (r)
		return r;
	version = daemon_version(c, &reply);
	if (version && strcmp(version, PP_VERSION) != 0)
		pp_note("the daemon is version %s, this program is " PP_VERSION
			"; restart the daemon after an update",
			version);
	*ret = TAKE_PTR(c);
	return 0;
}

int pp_session_print_versions(const struct pp_global *g)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	const char *path = pp_connection_path(g->socket), *version = NULL;

	if (pp_client_new(&c, path) >= 0)
		version = daemon_version(c, &reply);
	if (g->json)
		return pp_print_json(
			json_pack("{s:s, s:s?}", "pyprofctl", PP_VERSION, "pyprofd", version));
	printf("pyprofctl " PP_VERSION "\n");
	if (!c)
		printf("pyprofd is not reachable at %s\n", path);
	else
		printf("pyprofd %s%s\n", version ?: "gave no version",
		       version && strcmp(version, PP_VERSION) != 0 ? " (differs)" : "");
	return pp_finish_stdout();
}

bool pp_filter_option(struct pp_filter *f, int c)
{
	switch (c) {
	case PP_OPT_UNIT:
		f->unit = optarg;
		return true;
	case PP_OPT_SLICE:
		f->slice = optarg;
		return true;
	case PP_OPT_CONTAINER:
		f->container = optarg;
		return true;
	case PP_OPT_POD:
		f->pod = optarg;
		return true;
	case PP_OPT_GIL:
		f->attributes[PP_ATTRIBUTE_GIL] = optarg;
		return true;
	case PP_OPT_GC:
		f->attributes[PP_ATTRIBUTE_GC] = "running";
		return true;
	case PP_OPT_THREAD:
		f->attributes[PP_ATTRIBUTE_THREAD] = optarg;
		return true;
	case PP_OPT_TASK:
		f->attributes[PP_ATTRIBUTE_TASK] = optarg;
		return true;
	default:
		return false;
	}
}

bool pp_filter_has_label(const struct pp_filter *f)
{
	return f->unit || f->slice || f->container || f->pod;
}

bool pp_filter_has_attribute(const struct pp_filter *f)
{
	for (size_t a = 0; a < PP_ATTRIBUTES; a++)
		if (f->attributes[a])
			return true;
	return false;
}

int pp_filter_check(const struct pp_filter *f)
{
	const char *gil = f->attributes[PP_ATTRIBUTE_GIL];

	if (!gil || pp_attribute_can_be(PP_ATTRIBUTE_GIL, gil))
		return 0;
	return pp_fail(PP_EXIT_USAGE, "--gil: %s is none of held, waiting, released, unknown", gil);
}

json_t *pp_filter_json(const struct pp_filter *f)
{
	const struct {
		const char *key, *name;
	} names[] = {
		{ "command", f->command },
		{ "unit", f->unit },
		{ "slice", f->slice },
		{ "container", f->container },
		{ "pod", f->pod },
		{ "gil", f->attributes[PP_ATTRIBUTE_GIL] },
		{ "thread", f->attributes[PP_ATTRIBUTE_THREAD] },
		{ "task", f->attributes[PP_ATTRIBUTE_TASK] },
	};
	json_t *j = json_object();
	int r = j ? 0 : -1;

	if (f->pid && r >= 0)
		r = json_object_set_new(j, "pid", json_integer(f->pid));
	if (f->tree && r >= 0)
		r = json_object_set_new(j, "tree", json_true());
	for (size_t i = 0; i < ARRAY_SIZE(names) && r >= 0; i++)
		if (names[i].name)
			r = json_object_set_new(j, names[i].key, json_string(names[i].name));
	if (f->uid >= 0 && r >= 0)
		r = json_object_set_new(j, "uid", json_integer(f->uid));
	if (f->python && r >= 0)
		r = json_object_set_new(j, "python", json_true());
	if (f->attributes[PP_ATTRIBUTE_GC] && r >= 0)
		r = json_object_set_new(j, "gc", json_true());
	if (r >= 0)
		return j;
	json_decref(j);
	return NULL;
}

/* Names on a command line may be any bytes, but the interface speaks UTF-8. */
static int make_parameters(json_t **ret, const struct pp_filter *f)
{
	json_t *filter = pp_filter_json(f);

	if (!filter)
		return pp_fail(PP_EXIT_USAGE, "the names to filter by must be UTF-8 text");
	*ret = json_pack("{s:o}", "filter", filter);
	return *ret ? 0 : pp_fail_errno(-ENOMEM, "request");
}

int pp_session_start(struct pp_client *c, const struct pp_filter *f, unsigned int frequency,
		     int64_t *ret_session, unsigned int *ret_frequency)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	json_t *parameters;
	int r;

	r = make_parameters(&parameters, f);
	if (r)
		return r;
	json_object_set_new(parameters, "frequency", json_integer(frequency));
	r = pp_connection_call(c, "StartSession", parameters, &reply);
	if (r)
		return r;
	*ret_session = integer(reply.parameters, "session");
	*ret_frequency = (unsigned int)integer(reply.parameters, "frequency");
	if (*ret_frequency != frequency)
		pp_note("sampling at %u Hz instead of %u: more is for root and group pyprof",
			*ret_frequency, frequency);
	return 0;
}

int pp_session_start_live(struct pp_client *c, const struct pp_filter *f, int64_t *ret_session,
			  unsigned int *ret_frequency)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	json_t *parameters;
	int r;

	r = make_parameters(&parameters, f);
	if (r)
		return r;
	json_object_set_new(parameters, "frequency", json_integer(PP_FREQUENCY_LIVE));
	/* Any failure but that of the rate comes again, and is told then. */
	if (pp_client_call(c, PP_INTERFACE ".StartSession", parameters, PROMPT_MS, &reply) < 0 ||
	    reply.error)
		return pp_session_start(c, f, PP_FREQUENCY_DEFAULT, ret_session, ret_frequency);
	*ret_session = integer(reply.parameters, "session");
	*ret_frequency = (unsigned int)integer(reply.parameters, "frequency");
	return 0;
}

static void read_figures(struct pp_figures *f, const json_t *o)
{
	const struct {
		const char *key;
		int64_t *value;
	} members[] = {
		{ "start_ns", &f->start_ns },
		{ "end_ns", &f->end_ns },
		{ "samples", &f->samples },
		{ "complete", &f->complete },
		{ "lost", &f->lost },
		{ "cpu_ns", &f->cpu_ns },
		{ "python_frames", &f->python_frames },
		{ "python_named", &f->python_named },
		{ "frequency", &f->frequency },
		{ "processes", &f->processes },
		{ "hidden", &f->hidden },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		*members[i].value = integer(o, members[i].key);
}

/* A reply with a ProfileInfo and, in a sealed memory file, its pprof. */
static int take_capture(struct pp_reply *reply, struct pp_capture *ret)
{
	int r;

	read_figures(&ret->figures, json_object_get(reply->parameters, "profile"));
	if (reply->fd < 0)
		return ret->figures.samples ? pp_fail(PP_EXIT_FAILED,
						      "the daemon sent no profile with its reply")
					    : 0;
	if (pp_memfd_check_sealed(reply->fd) < 0 || lseek(reply->fd, 0, SEEK_SET) < 0)
		return pp_fail(PP_EXIT_FAILED, "the daemon's profile is not a sealed memory file");
	r = pp_pprof_load(&ret->pprof, reply->fd);
	return r < 0 ? pp_fail_errno(r, "reading the profile") : 0;
}

int pp_session_stop(struct pp_client *c, int64_t session, struct pp_capture *ret)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	int r;

	r = pp_connection_call(c, "ReadSession",
			       json_pack("{s:I, s:b}", "session", (json_int_t)session, "stop", 1),
			       &reply);
	return r ?: take_capture(&reply, ret);
}

int pp_session_held(struct pp_client *c, const struct pp_filter *f, int64_t since_ms,
		    struct pp_capture *ret)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	json_t *parameters;
	int r;

	r = make_parameters(&parameters, f);
	if (r)
		return r;
	if (since_ms >= 0)
		json_object_set_new(parameters, "since_ms", json_integer(since_ms));
	r = pp_connection_call(c, "GetProfile", parameters, &reply);
	return r ?: take_capture(&reply, ret);
}

int pp_capture_profile(const struct pp_capture *c, struct pp_profile **ret)
{
	int r = pp_pprof_read(ret, c->pprof.data, c->pprof.len);

	return r < 0 ? pp_fail_errno(r, "the daemon's profile") : 0;
}

json_t *pp_figures_json(const struct pp_figures *f)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "start_ns",
			 (json_int_t)f->start_ns, "end_ns", (json_int_t)f->end_ns, "samples",
			 (json_int_t)f->samples, "complete", (json_int_t)f->complete, "lost",
			 (json_int_t)f->lost, "cpu_ns", (json_int_t)f->cpu_ns, "python_frames",
			 (json_int_t)f->python_frames, "python_named", (json_int_t)f->python_named,
			 "frequency", (json_int_t)f->frequency, "processes",
			 (json_int_t)f->processes, "hidden", (json_int_t)f->hidden);
}

int pp_figures_text(const struct pp_figures *f, char *text, size_t size)
{
	int n = snprintf(text, size, "%" PRId64 " sample%s, %.2f%% complete, %" PRId64 " lost",
			 f->samples, f->samples == 1 ? "" : "s",
			 pp_percent_down((uint64_t)f->complete, (uint64_t)f->samples, 2), f->lost);

	if (f->python_frames > 0 && n > 0 && (size_t)n < size)
		n += snprintf(
			text + n, size - (size_t)n, ", %.2f%% of Python frames named",
			pp_percent_down((uint64_t)f->python_named, (uint64_t)f->python_frames, 2));
	return n;
}

void pp_figures_note_hidden(const struct pp_figures *f)
{
	if (f->hidden > 0)
		pp_note("you see %" PRId64 " of %" PRId64 " processes; root and members of group "
			"pyprof see all",
			f->processes, f->processes + f->hidden);
}

int pp_session_no_samples(const struct pp_figures *f, const struct pp_filter *filter)
{
	if (filter->pid && !pp_filter_has_attribute(filter))
		return pp_fail(PP_EXIT_NO_SAMPLES,
			       "no samples: process %" PRId64 " used no CPU in this span",
			       filter->pid);
	pp_figures_note_hidden(f);
	if (filter->command || pp_filter_has_label(filter) || pp_filter_has_attribute(filter) ||
	    filter->uid >= 0 || filter->python)
		return pp_fail(
			PP_EXIT_NO_SAMPLES,
			"no samples: nothing that the filter lets through used CPU in this span");
	return pp_fail(PP_EXIT_NO_SAMPLES,
		       "no samples: nothing that you may see used CPU in this span");
}
