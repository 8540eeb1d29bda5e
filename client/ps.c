/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofctl ps: the Pythons of the machine, and what keeps their functions from being named. */
#include "commands.h"

#include "lib/label.h"
#include "print.h"
#include "session.h"

#include <inttypes.h>
#include <pwd.h>
#include <string.h>

static const char usage[] =
	"usage: pyprofctl ps [--all] [--labels] [--json]\n\n"
	"Lists every Python that you may see: its version, what names its functions\n"
	"(interpreter: its own frames are read; trampoline; both; none, also while it has hardly\n"
	"been sampled), whether it has trampolines (on, inherited, late, partial, off, or unknown\n"
	"while it has hardly run), how many names its perf map has, which share of the Python\n"
	"frames sampled has a name, and where that is not all, what to do about it.\n"
	"`pyprofctl doctor` says more. WHERE is the container, by the beginning of its id, or "
	"else\n"
	"the systemd unit or slice.\n\n"
	"      --all      every process, also those that have ended and are still in the profile\n"
	"      --labels   instead of all that, where each belongs, in full: container, Kubernetes\n"
	"                 pod, unit, slice\n";

/* The columns that hold numbers: pid, entries, named, samples; pid. */
#define NAMES_RIGHT  (1U << 0 | 1U << 5 | 1U << 6 | 1U << 7)
#define LABELS_RIGHT (1U << 0)

struct table {
	const char *const *header;
	size_t columns;
	unsigned int right;
	bool remedies; /* below each row */
	int (*add)(struct pp_cells *t, const json_t *p);
};

static bool wanted(const json_t *p, bool all)
{
	return all || (json_is_true(json_object_get(p, "alive")) &&
		       json_is_string(json_object_get(p, "python")));
}

/* Most samples first. */
static int by_samples(const void *va, const void *vb)
{
	const json_t *a = *(const json_t *const *)va, *b = *(const json_t *const *)vb;
	int64_t sa = pp_print_integer(a, "samples"), sb = pp_print_integer(b, "samples");

	if (sa != sb)
		return sa > sb ? -1 : 1;
	sa = pp_print_integer(a, "pid");
	sb = pp_print_integer(b, "pid");
	return sa < sb ? -1 : sa > sb;
}

static int add_user(struct pp_cells *t, int64_t uid)
{
	const struct passwd *pw = getpwuid((uid_t)uid);

	return pw ? pp_cells_add(t, pw->pw_name) : pp_cells_addf(t, "%" PRId64, uid);
}

static int add_coverage(struct pp_cells *t, const json_t *p)
{
	const json_t *coverage = json_object_get(p, "coverage");
	double percent = json_number_value(coverage) * 100;

	if (!json_is_number(coverage))
		return pp_cells_add(t, "-");
	/* Rounded down: what is not all does not read 100%. */
	return pp_cells_addf(t, "%.1f%%", (double)(int64_t)(percent * 10) / 10);
}

static int add_where(struct pp_cells *t, const json_t *p)
{
	_cleanup_buf_ struct pp_buf container = { 0 }, unit = { 0 }, slice = { 0 };
	struct pp_label label = pp_label_of(pp_print_text(&container, p, "container", ""),
					    pp_print_text(&unit, p, "unit", ""),
					    pp_print_text(&slice, p, "slice", "-"));

	return pp_cells_addf(t, "%.*s", label.len, label.text);
}

static int add_command(struct pp_cells *t, const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	const char *command = pp_print_text(&buf, p, "command", "");

	if (!*command)
		command = pp_print_text(&buf, p, "comm", "?");
	return pp_cells_addf(t, "%s%s", command,
			     json_is_true(json_object_get(p, "alive")) ? "" : " (ended)");
}

static int add_process(struct pp_cells *t, const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	bool python = json_is_string(json_object_get(p, "python"));
	int r;

	r = pp_cells_addf(t, "%" PRId64, pp_print_integer(p, "pid"));
	if (r >= 0)
		r = add_user(t, pp_print_integer(p, "uid"));
	if (r >= 0)
		r = pp_cells_add(t, pp_print_text(&buf, p, "python", "-"));
	if (r >= 0)
		r = pp_cells_add(t, pp_print_text(&buf, p, "named_by", "-"));
	if (r >= 0)
		r = pp_cells_add(t, pp_print_text(&buf, p, "trampolines", "-"));
	if (r >= 0)
		r = python ? pp_cells_addf(t, "%" PRId64, pp_print_integer(p, "map_entries"))
			   : pp_cells_add(t, "-");
	if (r >= 0)
		r = add_coverage(t, p);
	if (r >= 0)
		r = pp_cells_addf(t, "%" PRId64, pp_print_integer(p, "samples"));
	if (r >= 0)
		r = add_where(t, p);
	return r < 0 ? r : add_command(t, p);
}

static int add_labels(struct pp_cells *t, const json_t *p)
{
	static const char *const labels[] = { "container", "pod", "unit", "slice" };
	_cleanup_buf_ struct pp_buf buf = { 0 };
	int r;

	r = pp_cells_addf(t, "%" PRId64, pp_print_integer(p, "pid"));
	if (r >= 0)
		r = add_user(t, pp_print_integer(p, "uid"));
	for (size_t i = 0; i < ARRAY_SIZE(labels) && r >= 0; i++)
		r = pp_cells_add(t, pp_print_text(&buf, p, labels[i], "-"));
	return r < 0 ? r : add_command(t, p);
}

/* The keys are of the members that hold a problem and its remedy. */
static void print_remedy(const json_t *p, const char *problem_key, const char *remedy_key,
			 bool color)
{
	_cleanup_buf_ struct pp_buf problem = { 0 }, remedy = { 0 };
	const char *what = pp_print_text(&problem, p, problem_key, "");
	const char *then = pp_print_text(&remedy, p, remedy_key, "");

	if (*what || *then)
		printf("%s         %s%s%s%s\n", pp_color(color, PP_DIM), what,
		       *what && *then ? ": " : "", then, pp_color(color, PP_RESET));
}

static int print_cells(const struct pp_global *g, struct pp_cells *t, json_t **list, size_t nr,
		       const struct table *table)
{
	int r = 0;

	for (size_t i = 0; i < table->columns && r >= 0; i++)
		r = pp_cells_add(t, table->header[i]);
	for (size_t i = 0; i < nr && r >= 0; i++)
		r = table->add(t, list[i]);
	if (r < 0)
		return pp_fail_errno(r, "table");
	fputs(pp_color(g->color, PP_BOLD), stdout);
	pp_cells_write_row(t, 0, table->right, stdout);
	fputs(pp_color(g->color, PP_RESET), stdout);
	for (size_t i = 0; i < nr; i++) {
		pp_cells_write_row(t, i + 1, table->right, stdout);
		if (!table->remedies)
			continue;
		print_remedy(list[i], "problem", "remedy", g->color);
		print_remedy(list[i], "file_problem", "file_remedy", g->color);
	}
	return PP_EXIT_DONE;
}

static int print_table(const struct pp_global *g, json_t **list, size_t nr, bool labels)
{
	static const char *const names[] = { "PID",	    "USER",    "PYTHON", "NAMED BY",
					     "TRAMPOLINES", "ENTRIES", "NAMED",	 "SAMPLES",
					     "WHERE",	    "COMMAND" };
	static const char *const places[] = { "PID",  "USER",  "CONTAINER", "POD",
					      "UNIT", "SLICE", "COMMAND" };
	static const struct table tables[] = {
		{ names, ARRAY_SIZE(names), NAMES_RIGHT, true, add_process },
		{ places, ARRAY_SIZE(places), LABELS_RIGHT, false, add_labels },
	};
	_cleanup_cells_ struct pp_cells t = {
		.columns = tables[labels].columns,
		.width = pp_print_width(stdout),
	};

	return print_cells(g, &t, list, nr, &tables[labels]);
}

static int print(const struct pp_global *g, json_t *processes, int64_t hidden, bool all,
		 bool labels)
{
	_cleanup_free_ json_t **list = calloc(json_array_size(processes) + 1, sizeof(json_t *));
	size_t nr = 0, i;
	json_t *p;
	int r;

	if (!list)
		return pp_fail_errno(-ENOMEM, "table");
	json_array_foreach (processes, i, p)
		if (wanted(p, all))
			list[nr++] = p;
	qsort(list, nr, sizeof(*list), by_samples);
	if (g->json) {
		json_t *j = json_pack("{s:[], s:I}", "processes", "hidden", (json_int_t)hidden);

		for (i = 0; j && i < nr; i++)
			json_array_append(json_object_get(j, "processes"), list[i]);
		return pp_print_json(j);
	}
	r = nr ? print_table(g, list, nr, labels) : PP_EXIT_DONE;
	if (!nr)
		puts(all	  ? "No processes."
		     : hidden > 0 ? "No Python is running that you may see."
				  : "No Python is running; `pyprofctl ps --all` lists "
				    "every process.");
	if (hidden > 0)
		pp_note("you see %zu of %" PRId64 " processes; root and members of group pyprof "
			"see all",
			json_array_size(processes), (int64_t)json_array_size(processes) + hidden);
	return r ?: pp_finish_stdout();
}

int pp_cmd_ps(struct pp_global *g, int argc, char **argv)
{
	enum { OPT_ALL = PP_OPT_OWN, OPT_LABELS };
	static const struct option options[] = {
		PP_COMMON_OPTIONS,
		{ "all", no_argument, NULL, OPT_ALL },
		{ "labels", no_argument, NULL, OPT_LABELS },
		{ 0 },
	};
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	bool all = false, labels = false;
	int k, r;

	while ((k = getopt_long(argc, argv, "ah", options, NULL)) != -1) {
		if (k == 'a' || k == OPT_ALL)
			all = true;
		else if (k == OPT_LABELS)
			labels = true;
		else if ((r = pp_common_option(g, k, usage)) >= 0)
			return r;
	}
	if (optind < argc)
		return pp_fail(PP_EXIT_USAGE, "ps takes no arguments (%s)", argv[optind]);
	r = pp_session_connect(&c, g);
	if (!r)
		r = pp_connection_call(c, "ListProcesses", NULL, &reply);
	if (r)
		return r;
	return print(g, json_object_get(reply.parameters, "processes"),
		     pp_print_integer(reply.parameters, "hidden"), all, labels);
}
