/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofctl report: call trees and tables of what the daemon holds, of a live span, or of a file.
 */
#include "commands.h"

#include "formats/report.h"
#include "lib/label.h"
#include "lib/pprof.h"
#include "session.h"
#include "span.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static const char usage[] =
	"usage: pyprofctl report [--stdio | --flat] [--python] [--lines] [-p PID [--tree]] [FILTER "
	"...]\n"
	"                        [-d SECONDS [-F HZ] | --since SECONDS | -i FILE]\n\n"
	"Shows all that the daemon holds (at most ten minutes), its last SECONDS (--since), the "
	"next\n"
	"SECONDS (-d) or a recorded file (-i).\n\n"
	"      --stdio           functions, each with the tree of what it called (the default)\n"
	"      --flat            one line a function, by its own cost\n"
	"      --python          Python functions only; C code and the kernel cost their caller\n"
	"      --lines           each line of a Python function by itself\n"
	"      --lines-of NAME   only the lines of the Python functions of this qualified name\n"
	"  -p, --pid PID         this process; with --tree its descendants too\n"
	"      --command NAME, --uid UID   filters\n" PP_LABEL_USAGE
	"  -d, --duration SECS   record now, for so long; -F, --frequency HZ: at this rate (99)\n"
	"      --since SECS      what was sampled in the last so many seconds\n"
	"  -i, --input FILE      a pprof file; - is the standard input\n"
	"      --sort KEYS       what makes a row: of comm, dso, sym, pid, gil, gc, thread, task\n"
	"                        (comm,dso,sym)\n"
	"      --percent-limit P hide what is lighter (0.5)\n"
	"      --json            rows and tree as JSON\n";

struct report {
	struct pp_filter filter;
	struct pp_report_options options;
	int64_t duration_ms, since_ms; /* < 0: not given */
	int64_t frequency;
	bool flat;
	const char *input;
};

/* The group that a key of --sort stands for, or 0. */
static unsigned int group_of(const char *key, size_t len)
{
	enum pp_attribute a = pp_attribute_of_name(key, len);
	static const struct {
		const char *name;
		unsigned int group;
	} keys[] = {
		{ "pid", PP_GROUP_PID },    { "comm", PP_GROUP_COMM },
		{ "dso", PP_GROUP_OBJECT }, { "object", PP_GROUP_OBJECT },
		{ "sym", PP_GROUP_SYMBOL }, { "symbol", PP_GROUP_SYMBOL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strlen(keys[i].name) == len && strncmp(keys[i].name, key, len) == 0)
			return keys[i].group;
	return a == PP_ATTRIBUTES ? 0 : PP_GROUP_ATTRIBUTE(a);
}

static int set_group(struct report *rep, const char *arg)
{
	rep->options.group = 0;
	while (*arg) {
		size_t n = strcspn(arg, ",");
		unsigned int group = group_of(arg, n);

		if (!group)
			return pp_fail(PP_EXIT_USAGE,
				       "--sort: %.*s is none of comm, dso, sym, pid, gil, gc, "
				       "thread, task",
				       (int)n, arg);
		rep->options.group |= group;
		arg += n + (arg[n] == ',');
	}
	return rep->options.group ? 0 : pp_fail(PP_EXIT_USAGE, "--sort: no key given");
}

static int check(const struct report *rep)
{
	bool filtered = rep->filter.tree || rep->filter.uid >= 0;

	if ((rep->duration_ms >= 0) + (rep->since_ms >= 0) + !!rep->input > 1)
		return pp_fail(PP_EXIT_USAGE, "-d, --since and -i exclude one another");
	if (rep->frequency && rep->duration_ms < 0)
		return pp_fail(PP_EXIT_USAGE, "-F is for a live span: it wants -d SECONDS");
	if (rep->input && filtered)
		return pp_fail(PP_EXIT_USAGE, "a file says nothing of --tree and --uid");
	if (rep->filter.tree && !rep->filter.pid)
		return pp_fail(PP_EXIT_USAGE, "--tree wants the process at its root: -p PID");
	return pp_filter_check(&rep->filter);
}

enum {
	OPT_STDIO = PP_OPT_OWN,
	OPT_FLAT,
	OPT_PYTHON,
	OPT_LINES,
	OPT_LINES_OF,
	OPT_TREE,
	OPT_COMMAND,
	OPT_UID,
	OPT_SINCE,
	OPT_SORT,
	OPT_LIMIT
};
static const struct option options[] = {
	PP_COMMON_OPTIONS,
	PP_LABEL_OPTIONS,
	{ "stdio", no_argument, NULL, OPT_STDIO },
	{ "flat", no_argument, NULL, OPT_FLAT },
	{ "python", no_argument, NULL, OPT_PYTHON },
	{ "lines", no_argument, NULL, OPT_LINES },
	{ "lines-of", required_argument, NULL, OPT_LINES_OF },
	{ "tree", no_argument, NULL, OPT_TREE },
	{ "command", required_argument, NULL, OPT_COMMAND },
	{ "uid", required_argument, NULL, OPT_UID },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "sort", required_argument, NULL, OPT_SORT },
	{ "percent-limit", required_argument, NULL, OPT_LIMIT },
	{ "pid", required_argument, NULL, 'p' },
	{ "duration", required_argument, NULL, 'd' },
	{ "frequency", required_argument, NULL, 'F' },
	{ "input", required_argument, NULL, 'i' },
	{ 0 },
};

static int parse(struct report *rep, struct pp_global *g, int argc, char **argv)
{
	int c, r;

	while ((c = getopt_long(argc, argv, "p:d:F:i:h", options, NULL)) != -1) {
		r = 0;
		if (c == OPT_STDIO || c == OPT_FLAT)
			rep->flat = c == OPT_FLAT;
		else if (c == OPT_PYTHON)
			rep->options.view |= PP_VIEW_PYTHON;
		else if (c == OPT_LINES)
			rep->options.view |= PP_VIEW_LINES;
		else if (c == OPT_LINES_OF)
			rep->options.function = optarg;
		else if (c == OPT_TREE)
			rep->filter.tree = true;
		else if (c == OPT_COMMAND)
			rep->filter.command = optarg;
		else if (c == OPT_UID)
			r = pp_parse_number("--uid", optarg, 0, UINT32_MAX, &rep->filter.uid);
		else if (c == OPT_SINCE)
			r = pp_parse_seconds("--since", optarg, PP_SECONDS_MAX, &rep->since_ms);
		else if (c == OPT_SORT)
			r = set_group(rep, optarg);
		else if (c == OPT_LIMIT)
			r = pp_parse_percent("--percent-limit", optarg,
					     &rep->options.percent_limit);
		else if (c == 'p')
			r = pp_parse_number("-p", optarg, 1, INT32_MAX, &rep->filter.pid);
		else if (c == 'd')
			r = pp_parse_seconds("-d", optarg, PP_SECONDS_MAX, &rep->duration_ms);
		else if (c == 'F')
			r = pp_parse_number("-F", optarg, 1, PP_FREQUENCY_MAX, &rep->frequency);
		else if (c == 'i')
			rep->input = optarg;
		else if (!pp_filter_option(&rep->filter, c) &&
			 (r = pp_common_option(g, c, usage)) >= 0)
			return r;
		if (r > 0)
			return r;
	}
	if (optind < argc)
		return pp_fail(PP_EXIT_USAGE, "what is %s? A file to read is -i FILE",
			       argv[optind]);
	return check(rep) ?: -1;
}

static bool is_named(const struct pp_profile *p, uint32_t text, const char *wanted)
{
	return !wanted || strcmp(pp_profile_text(p, text), wanted) == 0;
}

static bool keep_entry(const struct pp_profile *p, const struct pp_entry *e, void *arg)
{
	const struct pp_process *process = &p->processes[e->process];
	const struct pp_filter *f = arg;

	for (unsigned int a = 0; a < PP_ATTRIBUTES; a++)
		if (!is_named(p, p->attributes[e->attributes].texts[a], f->attributes[a]))
			return false;
	if (f->pid && process->pid != f->pid)
		return false;
	return is_named(p, process->comm, f->command) && is_named(p, process->unit, f->unit) &&
	       is_named(p, process->slice, f->slice) && is_named(p, process->pod, f->pod) &&
	       pp_label_is_container(pp_profile_text(p, process->container), f->container);
}

static int read_file(struct report *rep, struct pp_figures *f, struct pp_profile **ret)
{
	_cleanup_buf_ struct pp_buf data = { 0 };
	_cleanup_close_ int fd = -1;
	bool standard = strcmp(rep->input, "-") == 0;
	int r;

	if (!standard)
		fd = open(rep->input, O_RDONLY | O_CLOEXEC);
	if (!standard && fd < 0)
		return pp_fail(PP_EXIT_FAILED, "cannot read %s: %s", rep->input, strerror(errno));
	r = pp_pprof_load(&data, standard ? STDIN_FILENO : fd);
	if (r >= 0)
		r = pp_pprof_read(ret, data.data, data.len);
	if (r == -EBADMSG)
		return pp_fail(PP_EXIT_FAILED,
			       "%s is not a pprof file, as `pyprofctl record` without -f writes it",
			       standard ? "the standard input" : rep->input);
	if (r >= 0)
		r = pp_profile_filter(*ret, keep_entry, &rep->filter);
	if (r < 0)
		return pp_fail_errno(r, rep->input);
	f->samples = (int64_t)(*ret)->samples;
	f->complete = f->samples - (int64_t)(*ret)->truncated;
	f->start_ns = (int64_t)(*ret)->time_ns;
	f->end_ns = f->start_ns + (int64_t)(*ret)->duration_ns;
	if ((*ret)->period_ns)
		f->frequency =
			(int64_t)((NSEC_PER_SEC + (*ret)->period_ns / 2) / (*ret)->period_ns);
	if (!f->samples)
		return pp_fail(PP_EXIT_NO_SAMPLES, "%s: no samples%s", rep->input,
			       rep->filter.pid || rep->filter.command ||
					       pp_filter_has_label(&rep->filter) ||
					       pp_filter_has_attribute(&rep->filter)
				       ? " that the filter lets through"
				       : "");
	return 0;
}

static int live(struct report *rep, struct pp_client *c, struct pp_capture *ret)
{
	_cleanup_span_ struct pp_span span = PP_SPAN;
	unsigned int frequency;
	int64_t session;
	int r;

	r = pp_span_new(&span);
	if (!r)
		r = pp_session_start(c, &rep->filter,
				     (unsigned int)(rep->frequency ?: PP_FREQUENCY_DEFAULT),
				     &session, &frequency);
	if (r)
		return r;
	pp_span_wait(&span, rep->duration_ms, c, NULL);
	pp_span_done(&span);
	return pp_session_stop(c, session, ret);
}

static int ask(struct report *rep, const struct pp_global *g, struct pp_figures *f,
	       struct pp_profile **ret)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_capture_ struct pp_capture capture = { 0 };
	int r;

	r = pp_session_connect(&c, g);
	if (r)
		return r;
	r = rep->duration_ms >= 0 ? live(rep, c, &capture)
				  : pp_session_held(c, &rep->filter, rep->since_ms, &capture);
	if (r)
		return r;
	*f = capture.figures;
	if (!f->samples)
		return pp_session_no_samples(f, &rep->filter);
	if (!rep->filter.pid)
		pp_figures_note_hidden(f);
	return pp_capture_profile(&capture, ret);
}

/* Whether a function that is asked for is there at all. */
static bool has_function(const struct report *rep, const struct pp_profile *p)
{
	for (uint32_t i = PP_FRAME_FIRST; i < p->nr_frames; i++)
		if (pp_report_has(p, &rep->options, i))
			return true;
	return false;
}

static void print_head(const struct pp_figures *f)
{
	char figures[160];

	pp_figures_text(f, figures, sizeof(figures));
	printf("# %s", figures);
	if (f->end_ns > f->start_ns)
		printf("; %.1f s", (double)(f->end_ns - f->start_ns) / 1e9);
	if (f->frequency)
		printf(" at %" PRId64 " Hz", f->frequency);
	puts("\n#");
}

static int print(const struct report *rep, const struct pp_global *g, const struct pp_figures *f,
		 const struct pp_profile *p)
{
	json_t *j = NULL;
	int r;

	if (rep->options.function && !has_function(rep, p))
		return pp_fail(PP_EXIT_NO_SAMPLES, "no sample has a Python function %s",
			       rep->options.function);
	if (g->json) {
		r = pp_report_json(&j, p, &rep->options);
		if (r < 0)
			return pp_fail_errno(r, "report");
		json_object_set_new(j, "profile", pp_figures_json(f));
		return pp_print_json(j);
	}
	print_head(f);
	if (rep->options.function)
		r = pp_lines_write(stdout, p, &rep->options);
	else
		r = rep->flat ? pp_flat_write(stdout, p, &rep->options)
			      : pp_tree_write(stdout, p, &rep->options);
	if (r < 0)
		return pp_fail_errno(r, "report");
	return pp_finish_stdout();
}

int pp_cmd_report(struct pp_global *g, int argc, char **argv)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	struct pp_figures figures = { 0 };
	struct report rep = {
		.filter = PP_FILTER,
		.options = { .group = PP_GROUP_COMM | PP_GROUP_OBJECT | PP_GROUP_SYMBOL,
			     .percent_limit = PP_PERCENT_LIMIT_DEFAULT },
		.duration_ms = -1,
		.since_ms = -1,
	};
	int r;

	r = parse(&rep, g, argc, argv);
	if (r >= 0)
		return r;
	if (rep.options.function) {
		rep.options.view = PP_VIEW_PYTHON | PP_VIEW_LINES;
		rep.options.group = PP_GROUP_SYMBOL;
	}
	r = rep.input ? read_file(&rep, &figures, &p) : ask(&rep, g, &figures, &p);
	return r ?: print(&rep, g, &figures, p);
}
