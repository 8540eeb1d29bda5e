/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofctl: the table of subcommands and the options that all of them know. */
#include "commands.h"
#include "session.h"

#include <locale.h>
#include <signal.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(struct pp_global *g, int argc, char **argv);
	const char *text;
} commands[] = {
	{ "top", pp_cmd_top, "what the machine is doing now, live" },
	{ "record", pp_cmd_record, "record a span, a process or a command into a file" },
	{ "report", pp_cmd_report, "call trees and tables of what was sampled" },
	{ "ps", pp_cmd_ps, "the Pythons, whether they can be named, and the remedy" },
	{ "doctor", pp_cmd_doctor, "a close look at Pythons: what keeps names away" },
	{ "enable", pp_cmd_enable, "turn a running Python's trampolines on (3.14 and later)" },
	{ "disable", pp_cmd_disable, "turn them off" },
	{ "status", pp_cmd_status, "the daemon's state, loss and every counter" },
};

static void usage(FILE *out)
{
	fputs("usage: pyprofctl [--socket PATH] [--json] [--color auto|always|never] COMMAND "
	      "...\n\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].text);
	fputs("\n`pyprofctl COMMAND --help` says more. The daemon's socket is --socket, else\n"
	      "$PYPROF_SOCKET, else " PP_SOCKET_DEFAULT ".\n\n"
	      "exit codes: 0 done, 1 failed, 2 usage, 3 daemon unreachable, 4 not permitted,\n"
	      "            5 no such process, 6 no samples, 7 not every Python is named\n",
	      out);
}

/* https://no-color.org: any value but an empty one. */
static bool color_wanted(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

int main(int argc, char **argv)
{
	enum { OPT_VERSION = PP_OPT_OWN };
	static const struct option options[] = {
		PP_COMMON_OPTIONS,
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	static char program[] = "pyprofctl";
	struct pp_global g = { .color = color_wanted() };
	bool want_version = false;
	int c, r;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a write error like others */
	argv[0] = program;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return PP_EXIT_DONE;
		}
		if (c == OPT_VERSION) {
			want_version = true;
			continue;
		}
		r = pp_common_option(&g, c, "");
		if (r >= 0)
			return r;
	}
	if (want_version)
		return pp_session_print_versions(&g);
	if (optind == argc) {
		usage(stderr);
		return PP_EXIT_USAGE;
	}
	argc -= optind;
	argv += optind;
	optind = 0; /* glibc: start afresh, also with the '+' */
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, argv[0]) == 0) {
			argv[0] = program; /* for getopt's messages */
			return commands[i].run(&g, argc, argv);
		}
	return pp_fail(PP_EXIT_USAGE, "%s is not a command; `pyprofctl --help` lists them",
		       argv[0]);
}
