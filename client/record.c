/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pyprofctl record: a session of its own rate, over a span, a process or a command, into a file. A
 * command is held until its session samples, so nothing of it is missed.
 */
#include "commands.h"

#include "command.h"
#include "formats/folded.h"
#include "lib/pprof.h"
#include "output.h"
#include "session.h"
#include "span.h"

#include <inttypes.h>
#include <string.h>

static const char usage[] =
	"usage: pyprofctl record [-a | -p PID [--tree]] [-d SECONDS] [-F HZ] [-f FORMAT] [-o "
	"FILE]\n"
	"       pyprofctl record [OPTION ...] -- COMMAND [ARGUMENT ...]\n\n"
	"Records every process of the machine that you may see, one process, or a command with "
	"all\n"
	"its descendants, which runs as it would by itself.\n"
	"Without -d it records until Ctrl-C, which keeps what there is, or until the process "
	"ends.\n\n"
	"  -a, --all             every process (the default)\n"
	"  -p, --pid PID         this process with all its threads\n"
	"      --tree            with -p: its descendants too, later ones as well\n" PP_LABEL_USAGE
	"  -d, --duration SECS   how long\n"
	"  -F, --frequency HZ    samples per second and CPU, 1 to 9999 (99)\n"
	"  -f, --format FORMAT   pprof or folded (pprof)\n"
	"  -o, --output FILE     - is the standard output (pyprof.pb.gz or pyprof.folded)\n"
	"      --python          folded: Python functions only\n"
	"      --lines           folded: with the lines of Python functions, "
	"py::NAME:FILE:LINE\n"
	"      --trampolines     with a COMMAND: PYTHONPERFSUPPORT=1 in its environment, for a "
	"Python\n"
	"                        whose own frames are not walked\n"
	"      --json            the closing figures as JSON\n\n"
	"With a COMMAND the exit code is the command's own, 128 + n if signal n killed it.\n";

struct record {
	struct pp_filter filter;
	int64_t duration_ms; /* < 0: no end */
	int64_t frequency;
	bool all, folded, trampolines;
	unsigned int view;
	const char *output;
	char **command; /* NULL: none */
};

static int set_format(struct record *rec, const char *arg)
{
	rec->folded = strcmp(arg, "folded") == 0;
	if (!rec->folded && strcmp(arg, "pprof") != 0)
		return pp_fail(PP_EXIT_USAGE, "-f: %s is not a format; there are pprof and folded",
			       arg);
	return 0;
}

/* What does not go together. */
static int check(struct record *rec)
{
	if (rec->all && rec->filter.pid)
		return pp_fail(PP_EXIT_USAGE, "-a and -p exclude one another");
	if (rec->command && (rec->all || rec->filter.pid || pp_filter_has_label(&rec->filter)))
		return pp_fail(PP_EXIT_USAGE, "a command is recorded by itself: leave out %s",
			       rec->all		 ? "-a"
			       : rec->filter.pid ? "-p"
						 : "the filter");
	if (rec->trampolines && !rec->command)
		return pp_fail(PP_EXIT_USAGE,
			       "--trampolines is for a command; `pyprofctl enable PID` turns those "
			       "of a running Python on");
	if (rec->filter.tree && !rec->filter.pid)
		return pp_fail(PP_EXIT_USAGE, "--tree wants the process at its root: -p PID");
	if (pp_filter_check(&rec->filter))
		return PP_EXIT_USAGE;
	if (rec->view && !rec->folded)
		return pp_fail(PP_EXIT_USAGE,
			       "%s is for -f folded; a pprof holds everything, "
			       "and `pyprofctl report %s -i FILE` selects",
			       rec->view & PP_VIEW_PYTHON ? "--python" : "--lines",
			       rec->view & PP_VIEW_PYTHON ? "--python" : "--lines");
	if (!rec->output)
		rec->output = rec->folded ? "pyprof.folded" : "pyprof.pb.gz";
	if (!rec->folded && strcmp(rec->output, "-") == 0 && isatty(STDOUT_FILENO))
		return pp_fail(PP_EXIT_USAGE,
			       "a pprof is binary, not for a terminal; say -f folded "
			       "or -o FILE");
	return 0;
}

static int parse(struct record *rec, struct pp_global *g, int argc, char **argv)
{
	enum { OPT_TREE = PP_OPT_OWN, OPT_PYTHON, OPT_LINES, OPT_TRAMPOLINES };
	static const struct option options[] = {
		PP_COMMON_OPTIONS,
		PP_LABEL_OPTIONS,
		{ "all", no_argument, NULL, 'a' },
		{ "pid", required_argument, NULL, 'p' },
		{ "tree", no_argument, NULL, OPT_TREE },
		{ "duration", required_argument, NULL, 'd' },
		{ "frequency", required_argument, NULL, 'F' },
		{ "format", required_argument, NULL, 'f' },
		{ "output", required_argument, NULL, 'o' },
		{ "python", no_argument, NULL, OPT_PYTHON },
		{ "lines", no_argument, NULL, OPT_LINES },
		{ "trampolines", no_argument, NULL, OPT_TRAMPOLINES },
		{ 0 },
	};
	int c, r;

	while ((c = getopt_long(argc, argv, "+ap:d:F:f:o:h", options, NULL)) != -1) {
		r = 0;
		if (c == 'a')
			rec->all = true;
		else if (c == 'p')
			r = pp_parse_number("-p", optarg, 1, INT32_MAX, &rec->filter.pid);
		else if (c == OPT_TREE)
			rec->filter.tree = true;
		else if (c == 'd')
			r = pp_parse_seconds("-d", optarg, PP_SECONDS_MAX, &rec->duration_ms);
		else if (c == 'F')
			r = pp_parse_number("-F", optarg, 1, PP_FREQUENCY_MAX, &rec->frequency);
		else if (c == 'f')
			r = set_format(rec, optarg);
		else if (c == 'o')
			rec->output = optarg;
		else if (c == OPT_PYTHON)
			rec->view |= PP_VIEW_PYTHON;
		else if (c == OPT_LINES)
			rec->view |= PP_VIEW_LINES;
		else if (c == OPT_TRAMPOLINES)
			rec->trampolines = true;
		else if (!pp_filter_option(&rec->filter, c) &&
			 (r = pp_common_option(g, c, usage)) >= 0)
			return r;
		if (r > 0)
			return r;
	}
	if (optind < argc)
		rec->command = argv + optind;
	return check(rec) ?: -1;
}

static int write_output(const struct record *rec, const struct pp_capture *capture,
			const struct pp_profile *p)
{
	_cleanup_output_ struct pp_output o = { 0 };
	int r;

	r = pp_output_open(&o, rec->output);
	if (r)
		return r;
	if (rec->folded) {
		r = pp_folded_write(o.file, p, rec->view);
		if (r < 0)
			return pp_fail_errno(r, "folded stacks");
	} else {
		fwrite(capture->pprof.data, 1, capture->pprof.len, o.file);
	}
	return pp_output_commit(&o);
}

/* Whether Python code ran of which no function could be named. */
static bool nameless_python(const struct pp_figures *f, const struct pp_profile *p)
{
	static const char eval[] = "_PyEval_EvalFrameDefault";

	for (size_t i = PP_FRAME_FIRST; !f->python_frames && i < p->nr_frames; i++)
		if (strncmp(pp_profile_text(p, p->frames[i].name), eval, strlen(eval)) == 0)
			return true;
	return false;
}

/* The closing line: how good it is, where it is, what to do next. */
static int close_line(const struct record *rec, const struct pp_global *g,
		      const struct pp_figures *f, const struct pp_profile *p)
{
	bool to_stdout = strcmp(rec->output, "-") == 0;
	char figures[160];

	if (!rec->filter.pid)
		pp_figures_note_hidden(f);
	if (g->json) {
		json_t *j = pp_figures_json(f);

		if (!j || json_object_set_new(j, "file", json_string(rec->output)) < 0 ||
		    json_dumpf(j, to_stdout ? stderr : stdout, 0) < 0) {
			json_decref(j);
			return pp_fail_errno(-EIO, "JSON");
		}
		json_decref(j);
		fputc('\n', to_stdout ? stderr : stdout);
		return 0;
	}
	pp_figures_text(f, figures, sizeof(figures));
	if (nameless_python(f, p))
		pp_note("%s%s%s; no Python function has a name: `pyprofctl ps` says what to do",
			figures, to_stdout ? "" : "; in ", to_stdout ? "" : rec->output);
	else if (to_stdout)
		pp_note("%s", figures);
	else if (rec->folded)
		pp_note("%s; in %s: now open it with speedscope or flamegraph.pl", figures,
			rec->output);
	else
		pp_note("%s; in %s: now `pyprofctl report -i %s`", figures, rec->output,
			rec->output);
	return 0;
}

static int finish(const struct record *rec, const struct pp_global *g, struct pp_client *c,
		  int64_t session)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = NULL;
	_cleanup_capture_ struct pp_capture capture = { 0 };
	int r;

	r = pp_session_stop(c, session, &capture);
	if (r)
		return r;
	if (!capture.figures.samples && rec->command)
		return pp_fail(PP_EXIT_NO_SAMPLES,
			       "no samples: %s used hardly any CPU; -F %d samples more often",
			       rec->command[0], PP_FREQUENCY_MAX);
	if (!capture.figures.samples)
		return pp_session_no_samples(&capture.figures, &rec->filter);
	r = pp_capture_profile(&capture, &p);
	if (!r)
		r = write_output(rec, &capture, p);
	return r ?: close_line(rec, g, &capture.figures, p);
}

static int record_command(struct record *rec, const struct pp_global *g, struct pp_client *c,
			  struct pp_span *span)
{
	_cleanup_command_ struct pp_command command = PP_COMMAND;
	unsigned int frequency;
	int64_t session;
	int r;

	r = pp_command_hold(&command, rec->command, rec->trampolines, &span->mask);
	if (r)
		return r;
	rec->filter.pid = command.pid;
	rec->filter.tree = true;
	r = pp_session_start(c, &rec->filter, (unsigned int)rec->frequency, &session, &frequency);
	if (!r)
		r = pp_command_start(&command, rec->command[0]);
	if (r)
		return r;
	pp_span_wait(span, rec->duration_ms, c, &command);
	r = finish(rec, g, c, session);
	/* Sampling may have ended before the command. */
	pp_span_wait(span, -1, NULL, &command);
	/* A command that failed is the first thing to know; that its profile failed, the second. */
	return pp_command_exit_code(&command) ?: (r == PP_EXIT_NO_SAMPLES ? 0 : r);
}

static int record_span(struct record *rec, const struct pp_global *g, struct pp_client *c,
		       struct pp_span *span)
{
	unsigned int frequency;
	int64_t session;
	int r;

	if (rec->filter.pid && !rec->filter.tree)
		pp_span_follow(span, (pid_t)rec->filter.pid);
	r = pp_session_start(c, &rec->filter, (unsigned int)rec->frequency, &session, &frequency);
	if (r)
		return r;
	pp_span_wait(span, rec->duration_ms, c, NULL);
	pp_span_done(span);
	return finish(rec, g, c, session);
}

int pp_cmd_record(struct pp_global *g, int argc, char **argv)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_span_ struct pp_span span = PP_SPAN;
	struct record rec = {
		.filter = PP_FILTER,
		.duration_ms = -1,
		.frequency = PP_FREQUENCY_DEFAULT,
	};
	int r;

	r = parse(&rec, g, argc, argv);
	if (r >= 0)
		return r;
	r = pp_output_check(rec.output);
	if (!r)
		r = pp_session_connect(&c, g);
	if (!r)
		r = pp_span_new(&span);
	if (r)
		return r;
	return rec.command ? record_command(&rec, g, c, &span) : record_span(&rec, g, c, &span);
}
