/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofctl top: what the machine is doing now, live on a terminal or once as text. */
#include "commands.h"

#include "formats/report.h"
#include "print.h"
#include "session.h"
#include "span.h"
#include "tui/live.h"
#include "tui/page.h"

#include <string.h>

static const char usage[] =
	"usage: pyprofctl top [-p PID [--tree]] [--python] [--lines] [--by WHAT] [-F HZ] [--window "
	"SECONDS]\n"
	"       pyprofctl top --once [-d SECONDS] [-n ROWS] [--json] ...\n\n"
	"Shows which functions use the CPU, over the last few seconds; h shows the keys. Where "
	"there\n"
	"is no terminal, or with --once, it samples for a moment and prints one page.\n\n"
	"  -p, --pid PID         this process; with --tree its descendants too\n" PP_LABEL_USAGE
	"      --python          Python functions only; C code and the kernel cost their caller\n"
	"      --lines           each line of a Python function by itself\n"
	"      --by WHAT         not functions, but states of the GIL (gil), of the garbage "
	"collector\n"
	"                        (gc), threads (thread), or asyncio tasks (task)\n"
	"  -F, --frequency HZ    samples per second and CPU, 1 to 9999 (499, or 99 where no more "
	"is\n"
	"                        allowed)\n"
	"      --window SECONDS  how far back the page looks (5)\n"
	"      --once            print one page and end\n"
	"  -d, --duration SECS   with --once: how long to sample (2)\n"
	"  -n, --rows ROWS       with --once: how many functions (20)\n";

#define WINDOW_MAX_S 600
#define ROWS_MAX     100000
/* Where nobody says how wide a page is. */
#define PLAIN_WIDTH 120

struct top {
	struct pp_filter filter;
	int64_t frequency; /* 0: as fast as is good to look at */
	int64_t window_ms, duration_ms, rows;
	unsigned int view;
	enum pp_attribute by; /* PP_ATTRIBUTES: by function */
	bool once;
};

static int set_by(struct top *t, const char *arg)
{
	t->by = pp_attribute_of_name(arg, strlen(arg));
	return t->by < PP_ATTRIBUTES
		       ? 0
		       : pp_fail(PP_EXIT_USAGE, "--by: %s is none of gil, gc, thread, task", arg);
}

static int parse(struct top *t, struct pp_global *g, int argc, char **argv)
{
	enum { OPT_TREE = PP_OPT_OWN, OPT_PYTHON, OPT_LINES, OPT_BY, OPT_WINDOW, OPT_ONCE };
	static const struct option options[] = {
		PP_COMMON_OPTIONS,
		PP_LABEL_OPTIONS,
		{ "pid", required_argument, NULL, 'p' },
		{ "tree", no_argument, NULL, OPT_TREE },
		{ "python", no_argument, NULL, OPT_PYTHON },
		{ "lines", no_argument, NULL, OPT_LINES },
		{ "by", required_argument, NULL, OPT_BY },
		{ "frequency", required_argument, NULL, 'F' },
		{ "window", required_argument, NULL, OPT_WINDOW },
		{ "once", no_argument, NULL, OPT_ONCE },
		{ "duration", required_argument, NULL, 'd' },
		{ "rows", required_argument, NULL, 'n' },
		{ 0 },
	};
	int c, r;

	while ((c = getopt_long(argc, argv, "p:F:d:n:h", options, NULL)) != -1) {
		r = 0;
		if (c == 'p')
			r = pp_parse_number("-p", optarg, 1, INT32_MAX, &t->filter.pid);
		else if (c == OPT_TREE)
			t->filter.tree = true;
		else if (c == OPT_PYTHON)
			t->view |= PP_VIEW_PYTHON;
		else if (c == OPT_LINES)
			t->view |= PP_VIEW_LINES;
		else if (c == OPT_BY)
			r = set_by(t, optarg);
		else if (c == 'F')
			r = pp_parse_number("-F", optarg, 1, PP_FREQUENCY_MAX, &t->frequency);
		else if (c == OPT_WINDOW)
			r = pp_parse_seconds("--window", optarg, WINDOW_MAX_S, &t->window_ms);
		else if (c == OPT_ONCE)
			t->once = true;
		else if (c == 'd')
			r = pp_parse_seconds("-d", optarg, PP_SECONDS_MAX, &t->duration_ms);
		else if (c == 'n')
			r = pp_parse_number("-n", optarg, 1, ROWS_MAX, &t->rows);
		else if (!pp_filter_option(&t->filter, c) &&
			 (r = pp_common_option(g, c, usage)) >= 0)
			return r;
		if (r > 0)
			return r;
	}
	if (optind < argc)
		return pp_fail(PP_EXIT_USAGE, "top takes no arguments (%s)", argv[optind]);
	if (t->filter.tree && !t->filter.pid)
		return pp_fail(PP_EXIT_USAGE, "--tree wants the process at its root: -p PID");
	return pp_filter_check(&t->filter) ?: -1;
}

static int print_json(const struct top *t, const struct pp_figures *f, const struct pp_profile *p)
{
	json_t *j;
	int r;

	r = pp_report_json(&j, p,
			   &(struct pp_report_options){
				   .view = t->view,
				   .group = t->by < PP_ATTRIBUTES
						    ? PP_GROUP_ATTRIBUTE(t->by)
						    : PP_GROUP_SYMBOL | PP_GROUP_OBJECT,
				   .percent_limit = PP_PERCENT_LIMIT_DEFAULT,
			   });
	if (r < 0)
		return pp_fail_errno(r, "top");
	json_object_set_new(j, "profile", pp_figures_json(f));
	return pp_print_json(j);
}

/* The process that the page is about, 0: more than one. */
static int64_t only_pid(const struct top *t)
{
	return t->filter.tree ? 0 : t->filter.pid;
}

static int print_page(const struct top *t, const struct pp_figures *f, const struct pp_profile *p,
		      const json_t *processes)
{
	_cleanup_page_ struct pp_page page = { 0 };
	_cleanup_(pp_top_done) struct pp_top model;
	struct pp_page_facts facts = {
		.frequency = (unsigned int)f->frequency,
		.span_ns = (uint64_t)MAX(f->end_ns - f->start_ns, 0),
		.lost = (uint64_t)f->lost,
		.hidden = (uint64_t)f->hidden,
		.processes = processes,
	};
	int r;

	pp_pythons_count(processes, only_pid(t), &facts.pythons);
	pp_top_init(&model);
	model.view = t->view;
	if (t->by < PP_ATTRIBUTES)
		pp_top_group(&model, t->by);
	model.page = (size_t)t->rows;
	r = pp_top_update(&model, p);
	if (r >= 0)
		r = pp_page_make(&page, &model, &facts, pp_print_width(stdout) ?: PLAIN_WIDTH, 0);
	if (r < 0)
		return pp_fail_errno(r, "top");
	for (size_t i = 0; i < page.nr; i++) {
		size_t n = strlen(page.lines[i].text);

		while (n && page.lines[i].text[n - 1] == ' ')
			n--;
		printf("%.*s\n", (int)n, page.lines[i].text);
	}
	return pp_finish_stdout();
}

static int once(const struct top *t, const struct pp_global *g, struct pp_client *c,
		int64_t session)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_capture_ struct pp_capture capture = { 0 };
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	_cleanup_span_ struct pp_span span = PP_SPAN;
	int r;

	r = pp_span_new(&span);
	if (r)
		return r;
	pp_span_wait(&span, t->duration_ms, c, NULL);
	pp_span_done(&span);
	r = pp_session_stop(c, session, &capture);
	if (!r && !capture.figures.samples)
		r = pp_session_no_samples(&capture.figures, &t->filter);
	if (!r)
		r = pp_capture_profile(&capture, &p);
	if (!r)
		r = pp_connection_call(c, "ListProcesses", NULL, &reply);
	if (r)
		return r;
	return g->json ? print_json(t, &capture.figures, p)
		       : print_page(t, &capture.figures, p,
				    json_object_get(reply.parameters, "processes"));
}

int pp_cmd_top(struct pp_global *g, int argc, char **argv)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL, *facts = NULL;
	struct top t = {
		.filter = PP_FILTER,
		.by = PP_ATTRIBUTES,
		.window_ms = 5000,
		.duration_ms = 2000,
		.rows = 20,
	};
	unsigned int frequency;
	int64_t session;
	int r;

	r = parse(&t, g, argc, argv);
	if (r >= 0)
		return r;
	if (g->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		t.once = true;
	r = pp_session_connect(&c, g);
	if (!r && t.frequency)
		r = pp_session_start(c, &t.filter, (unsigned int)t.frequency, &session, &frequency);
	else if (!r)
		r = pp_session_start_live(c, &t.filter, &session, &frequency);
	if (!r && t.once)
		return once(&t, g, c, session);
	if (!r)
		r = pp_connection_open(&facts, g->socket);
	if (r)
		return r;
	return pp_live_run(&(struct pp_live){ .stream = c,
					      .facts = facts,
					      .session = session,
					      .frequency = frequency,
					      .window_ms = t.window_ms,
					      .view = t.view,
					      .by = t.by,
					      .pid = only_pid(&t) },
			   g->color);
}
