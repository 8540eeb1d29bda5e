/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofctl doctor: a close look at Pythons, what keeps their functions unnamed, and the remedy. */
#include "commands.h"

#include "print.h"
#include "session.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

static const char usage[] =
	"usage: pyprofctl doctor [PID] [--json]\n\n"
	"Looks closely at one Python, or at all that you may see: which build it is, what names\n"
	"its functions (interpreter: its own frames are read; trampoline; both; none), whether "
	"its\n"
	"trampolines are on (off, on, inherited by a fork, late, partial), their form and whether\n"
	"the interpreter keeps frame pointers, the state of its perf map and how fast that grows,\n"
	"how much of what it ran lately had names, and where that is not all, why, and a "
	"remedy.\n\n"
	"trampolines (a Python whose own frames are read needs none):\n"
	"  off        none\n"
	"  inherited  on, as its parent's were when it was forked\n"
	"  late       on, but functions run that were called before\n"
	"  partial    on, but not in every thread or interpreter, or not all the time\n"
	"  unknown    it has hardly run since it is looked at\n\n"
	"A map grows when code is made. Where the same function is made again and again (eval, "
	"exec,\n"
	"namedtuple), it is named: neither the file nor the code's memory ever shrinks.\n\n"
	"Of a process that is no Python it says which file it maps keeps stacks from being "
	"walked,\n"
	"where there is one.\n\n"
	"exit codes: 0 every Python looked at is named, 7 not every one is, or there is such a "
	"file;\n"
	"others as pyprofctl --help has them\n";

/* From here on code is taken for keeping frame pointers: prologues and the PLT have none yet. */
#define FRAME_POINTERS_MIN 0.8

#define LABEL "  %-14s "

static double real(const json_t *o, const char *key)
{
	const json_t *value = json_object_get(o, key);

	return json_is_number(value) ? json_number_value(value) : -1;
}

/* Rounded down: what is not all does not read 100%. */
static double percent(double share)
{
	return (double)(int64_t)(share * 1000) / 10;
}

static void print_size(int64_t bytes)
{
	if (bytes < (int64_t)KIB)
		printf("%" PRId64 " bytes", bytes);
	else if (bytes < (int64_t)MIB)
		printf("%.1f KiB", (double)bytes / KIB);
	else
		printf("%.1f MiB", (double)bytes / MIB);
}

static void print_build(const json_t *d, const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	double fp = real(d, "frame_pointers");

	printf(LABEL "%s", "Python", pp_print_text(&buf, p, "python", "unknown"));
	if (json_object_get(d, "interpreter"))
		printf(", %s", pp_print_text(&buf, d, "interpreter", ""));
	if (json_object_get(d, "build_id"))
		printf(", build-id %s", pp_print_text(&buf, d, "build_id", ""));
	putchar('\n');
	if (fp < 0)
		return;
	printf(LABEL "%s (%.1f%% of its code, by its unwind table)\n", "frame pointers",
	       fp >= FRAME_POINTERS_MIN ? "yes" : "no", percent(fp));
}

static void print_named_by(const json_t *d, const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };

	printf(LABEL "%s", "named by", pp_print_text(&buf, p, "named_by", "none"));
	if (json_object_get(d, "unwalked"))
		printf(" (its own frames are not read: %s)",
		       pp_print_text(&buf, d, "unwalked", ""));
	putchar('\n');
}

static void print_trampolines(const json_t *d, const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	const char *stub = json_string_value(json_object_get(d, "stub"));

	printf(LABEL "%s", "trampolines", pp_print_text(&buf, p, "trampolines", "unknown"));
	if (stub)
		printf(", %s form%s", strcmp(stub, "push") == 0 ? "push %rbp" : "sub $8,%rsp",
		       json_is_true(json_object_get(d, "endbr")) ? " with endbr64" : "");
	putchar('\n');
}

static void print_map(const json_t *d, const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	const char *state = json_string_value(json_object_get(d, "map_state")) ?: "idle";
	int64_t entries = pp_print_integer(p, "map_entries");
	int64_t bytes = json_is_integer(json_object_get(d, "map_bytes"))
				? pp_print_integer(d, "map_bytes")
				: -1;
	double live = real(d, "map_live");

	printf(LABEL, "perf map");
	if (strcmp(state, "idle") == 0 && !entries) {
		puts("none is needed yet: it has no generated code");
		return;
	}
	if (json_object_get(p, "map_path"))
		printf("%s, ", pp_print_text(&buf, p, "map_path", ""));
	fputs(pp_print_text(&buf, d, json_object_get(d, "map_reason") ? "map_reason" : "map_state",
			    ""),
	      stdout);
	if (bytes >= 0) {
		fputs(", ", stdout);
		print_size(bytes);
	}
	printf(", %" PRId64 " entries", entries);
	if (live >= 0)
		printf(" (%.1f%% of them live)", percent(live));
	if (entries) {
		printf(", %" PRId64 " and ", pp_print_integer(d, "growth_entries"));
		print_size(pp_print_integer(d, "growth_bytes"));
		fputs(" more in the last minute", stdout);
	}
	putchar('\n');
}

static void print_coverage(const json_t *d, const json_t *p, bool named)
{
	int64_t frames = pp_print_integer(d, "frames"), bare = pp_print_integer(d, "frames_bare");
	int64_t unnamed = pp_print_integer(d, "frames_unnamed");
	double coverage = real(p, "coverage");

	printf(LABEL, "named");
	if (coverage < 0) {
		printf("no Python frame was seen in its %" PRId64 " samples\n",
		       pp_print_integer(p, "samples"));
		return;
	}
	printf("%.1f%% of %" PRId64 " Python frames", percent(coverage), frames);
	/* What trampolines lack matters where they alone would give the names. */
	if (bare && !named)
		printf(", %.1f%% without trampoline", percent((double)bare / (double)frames));
	if (unnamed && !named)
		printf(", %.1f%% not in the map", percent((double)unnamed / (double)frames));
	putchar('\n');
}

static void print_alarm(const json_t *d, bool color)
{
	_cleanup_buf_ struct pp_buf name = { 0 }, file = { 0 };
	const json_t *a = json_object_get(d, "alarm");

	if (!a)
		return;
	printf("%s" LABEL "%s (%s) keeps being created: %" PRId64 " entries and ",
	       pp_color(color, PP_RED), "growth", pp_print_text(&name, a, "name", "?"),
	       pp_print_text(&file, a, "file", "?"), pp_print_integer(a, "entries"));
	print_size(pp_print_integer(a, "bytes"));
	printf(" in the last minute%s\n", pp_color(color, PP_RESET));
}

/* The file that keeps its stacks from being walked, if there is one. */
static void print_file(const json_t *p)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };

	if (!json_object_get(p, "file_problem"))
		return;
	printf(LABEL "%s\n", "problem", pp_print_text(&buf, p, "file_problem", ""));
	printf(LABEL "%s\n", "remedy", pp_print_text(&buf, p, "file_remedy", ""));
}

/* Which process, and in a word how it is. */
static void print_process(const json_t *p, bool good, const char *word, bool color)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	const char *command = pp_print_text(&buf, p, "command", "");

	if (!*command)
		command = pp_print_text(&buf, p, "comm", "?");
	printf("%s%" PRId64 "%s %s: %s%s%s\n", pp_color(color, PP_BOLD), pp_print_integer(p, "pid"),
	       pp_color(color, PP_RESET), command, pp_color(color, good ? PP_GREEN : PP_RED), word,
	       pp_color(color, PP_RESET));
}

static void print_one(const json_t *d, bool color)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	const json_t *p = json_object_get(d, "process");
	bool named = json_is_true(json_object_get(d, "named"));

	print_process(p, named, named ? "named" : "not all named", color);
	print_build(d, p);
	print_named_by(d, p);
	print_trampolines(d, p);
	print_map(d, p);
	print_coverage(d, p, named);
	print_alarm(d, color);
	if (json_object_get(p, "problem"))
		printf(LABEL "%s\n", "problem", pp_print_text(&buf, p, "problem", ""));
	else if (!named)
		printf(LABEL "%s\n", "problem", "not known: it has hardly run so far");
	if (json_object_get(p, "remedy"))
		printf(LABEL "%s\n", "remedy", pp_print_text(&buf, p, "remedy", ""));
	print_file(p);
}

static int print(const struct pp_global *g, const json_t *parameters, int64_t pid)
{
	const json_t *pythons = json_object_get(parameters, "pythons"), *d;
	size_t i, nr = json_array_size(pythons), named = 0;
	int r;

	json_array_foreach (pythons, i, d)
		named += json_is_true(json_object_get(d, "named"));
	if (g->json) {
		r = pp_print_json(json_deep_copy(parameters));
		return r ? r : named < nr ? PP_EXIT_UNNAMED : PP_EXIT_DONE;
	}
	json_array_foreach (pythons, i, d) {
		if (i)
			putchar('\n');
		print_one(d, g->color);
	}
	if (!nr)
		puts(pp_print_integer(parameters, "hidden") > 0
			     ? "No Python is running that you may see."
			     : "No Python is running.");
	else if (!pid)
		printf("\n%zu Python%s, %zu named.\n", nr, nr == 1 ? "" : "s", named);
	if (pp_print_integer(parameters, "hidden") > 0)
		pp_note("%" PRId64 " processes are not yours, and were not looked at; root and "
			"members of group pyprof see all",
			pp_print_integer(parameters, "hidden"));
	r = pp_finish_stdout();
	return r ? r : named < nr ? PP_EXIT_UNNAMED : PP_EXIT_DONE;
}

/* A process that is no Python: what there is to say of its files, if anything. */
static int look_at_files(const struct pp_global *g, struct pp_client *c, int64_t pid)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	int r = pp_connection_call(c, "ListProcesses", NULL, &reply);
	const json_t *p;
	size_t i;

	if (r)
		return r;
	json_array_foreach (json_object_get(reply.parameters, "processes"), i, p) {
		if (pp_print_integer(p, "pid") != pid || !json_object_get(p, "file_problem"))
			continue;
		if (g->json) {
			r = pp_print_json(json_pack("{s:[], s:O}", "pythons", "process", p));
			return r ? r : PP_EXIT_UNNAMED;
		}
		print_process(p, false, "no Python", g->color);
		print_file(p);
		r = pp_finish_stdout();
		return r ? r : PP_EXIT_UNNAMED;
	}
	return pp_fail(PP_EXIT_NO_PROCESS,
		       "process %" PRId64 " is no Python; `pyprofctl ps` lists those there are",
		       pid);
}

static int look(const struct pp_global *g, int64_t pid)
{
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	int r;

	r = pp_session_connect(&c, g);
	if (!r)
		r = pp_connection_call(c, "Diagnose",
				       pid ? json_pack("{s:I}", "pid", (json_int_t)pid) : NULL,
				       &reply);
	if (r)
		return r;
	if (pid && !json_array_size(json_object_get(reply.parameters, "pythons")))
		return look_at_files(g, c, pid);
	return print(g, reply.parameters, pid);
}

int pp_cmd_doctor(struct pp_global *g, int argc, char **argv)
{
	static const struct option options[] = { PP_COMMON_OPTIONS, { 0 } };
	int64_t pid = 0;
	int k, r;

	while ((k = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if ((r = pp_common_option(g, k, usage)) >= 0)
			return r;
	if (argc - optind > 1)
		return pp_fail(PP_EXIT_USAGE, "doctor takes one PID, or none (%s)",
			       argv[optind + 1]);
	if (optind < argc) {
		r = pp_parse_number("doctor", argv[optind], 1, INT_MAX, &pid);
		if (r)
			return r;
	}
	return look(g, pid);
}
