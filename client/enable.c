/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pyprofctl enable, disable: ask a running CPython, 3.14 or later, to turn its perf trampolines on
 * or off, by its own interface for debuggers (PEP 768).
 *
 * It is done here and not in the daemon: it makes another process run code, so it must be somebody
 * who may do that by their own right, which the kernel checks at every step. A daemon of root's
 * that did so on a client's word would be a way to act as anybody. The daemon is not even asked; it
 * sees the trampolines as it sees any others.
 *
 * A process's trampolines are turned on once only. CPython counts the functions that have one, by a
 * watcher of code objects of which each activation adds another: after a second one (measured with
 * 3.14.8 and 3.15.0) it unmaps trampolines that are still in use, and crashes. Turning them off
 * once is safe, also while functions run in them: what is mapped stays mapped.
 */
#include "commands.h"

#include "base/clock.h"
#include "lib/clean.h"
#include "remote/arenas.h"
#include "remote/request.h"
#include "remote/script.h"

#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static const char enable_usage[] =
	"usage: pyprofctl enable PID [--yes] [--timeout SECONDS] [--undo] [--json]\n\n"
	"Asks a running CPython, 3.14 or later, to turn its perf trampolines on, as\n"
	"sys.activate_stack_trampoline(\"perf\") does, and says what that does to it. Functions "
	"get\n"
	"theirs when they are next called. pyprofd does not need them where `pyprofctl ps` says\n"
	"that the interpreter names the functions; other profilers do.\n\n"
	"It takes the right to debug the process: its user or root, and what\n"
	"kernel.yama.ptrace_scope allows. The process can forbid it, with\n"
	"PYTHON_DISABLE_REMOTE_DEBUG=1.\n\n"
	"      --yes             do not ask\n"
	"      --timeout SECS    how long to wait for it to run Python code (10)\n"
	"      --undo            turn them off: pyprofctl disable\n"
	"      --json            the result as JSON; wants --yes\n";

static const char disable_usage[] =
	"usage: pyprofctl disable PID [--yes] [--timeout SECONDS] [--json]\n\n"
	"Asks a running CPython, 3.14 or later, to turn its perf trampolines off, as\n"
	"sys.deactivate_stack_trampoline() does. Calls from then on go without; calls that run\n"
	"keep theirs until they return, and the memory and the perf map stay. They cannot be\n"
	"turned on again. `pyprofctl enable --help` says who may do it.\n\n"
	"      --yes             do not ask\n"
	"      --timeout SECS    how long to wait for it to run Python code (10)\n"
	"      --json            the result as JSON; wants --yes\n";

#define TIMEOUT_MAX_S 3600
#define TICK_MS	      10
/* A process that is idle has not answered by then, nor will soon: said once. */
#define IDLE_MS 1000
/* From taking up the request to the answer: what the script does takes microseconds. */
#define ANSWER_MS 5000

struct change {
	bool on, yes;
	int64_t pid, timeout_ms;
	struct pp_target target;
	struct pp_runtime runtime;
	sigset_t ends; /* signals that end the wait */
};

static const char *verb(const struct change *c)
{
	return c->on ? "on" : "off";
}

static int pid_of(const struct change *c)
{
	return (int)c->target.pid;
}

/* ---- May it be done, and shall it ------------------------------------------------------------ */

static int check(struct change *c)
{
	enum pp_runtime_answer answer;
	int had;

	answer = pp_runtime_find(&c->target, &c->runtime);
	if (answer != PP_RUNTIME_OK)
		return pp_fail(PP_EXIT_FAILED, "process %d (%s) %s", pid_of(c), c->target.comm,
			       pp_runtime_answer_text(answer));
	had = pp_arenas_find(&c->target);
	if (had < 0)
		return pp_fail_errno(had, "its mappings");
	if (c->on && had)
		return pp_fail(PP_EXIT_FAILED,
			       "process %d has its trampolines on, or had them on once: turned on "
			       "a second time they would crash it",
			       pid_of(c));
	if (!c->on && !had)
		return pp_fail(PP_EXIT_FAILED,
			       "process %d has no trampolines: there is nothing to turn off",
			       pid_of(c));
	return 0;
}

static void state(const struct change *c)
{
	const struct passwd *pw = getpwuid(c->target.uid);
	uint32_t v = c->runtime.offsets.version;

	fprintf(stderr,
		"Process %d (%s), CPython %u.%u.%u, of user %s, is asked to turn its perf "
		"trampolines %s:\n"
		"  - its threads are stopped for a moment, while the request is written to its "
		"memory;\n"
		"    a few system calls (epoll_wait, ...) may return EINTR for it;\n"
		"  - its main thread runs a script of a few lines, with all rights of the process, "
		"as "
		"soon\n"
		"    as it runs Python code; audit hooks see it;\n",
		pid_of(c), c->target.comm, v >> 24, v >> 16 & 0xff, v >> 8 & 0xff,
		pw ? pw->pw_name : "?", verb(c));
	if (c->on)
		fputs("  - each function gets a trampoline and a line in /tmp/perf-PID.map when it "
		      "is next\n"
		      "    called; calls between Python functions cost more while they are on;\n"
		      "  - `pyprofctl disable` turns them off, but never on again. If the program "
		      "itself\n"
		      "    turns them on later, it may crash: CPython bears that once in a life.\n",
		      stderr);
	else
		fputs("  - calls from then on go without; calls that run keep theirs until they "
		      "return;\n"
		      "  - they cannot be turned on again. If the program itself does so, it may "
		      "crash.\n",
		      stderr);
}

/* Whether to go on: -1, or the exit code to end with. */
static int ask(const struct change *c)
{
	char line[16];

	if (c->yes)
		return -1;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return pp_fail(PP_EXIT_USAGE, "there is no terminal to ask at; say --yes");
	fputs("Go on? [y/N] ", stderr);
	fflush(stderr);
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return -1;
	return pp_fail(PP_EXIT_FAILED, "nothing was done");
}

/* ---- The wait for its answer ----------------------------------------------------------------- */

static void note_idle(const struct change *c)
{
	char s = pp_target_state(&c->target, c->target.pid);

	pp_note("the request waits: the main thread of process %d %s", pid_of(c),
		s == 'T' || s == 't'   ? "is stopped"
		: s == 'S' || s == 'D' ? "sleeps in a system call, and runs no Python code now"
				       : "is busy outside Python's eval loop");
}

/* Takes the request back after a wait that was too long, or that a signal ended. Returns -1 where
 * it is too late, because the script runs. */
static int give_up(const struct change *c, bool interrupted)
{
	int r = pp_request_withdraw(&c->target, &c->runtime);

	if (r == 0)
		return -1;
	if (r == -ESRCH || !pp_target_alive(&c->target))
		return pp_fail(PP_EXIT_NO_PROCESS, "process %d has ended", pid_of(c));
	if (r < 0)
		return pp_fail(PP_EXIT_FAILED,
			       "process %d could not be stopped to take the request back (%s); it "
			       "will find no script, and say so on its standard error",
			       pid_of(c), strerror(-r));
	if (interrupted)
		return pp_fail(PP_EXIT_FAILED, "interrupted; the request was taken back");
	return pp_fail(PP_EXIT_FAILED,
		       "process %d has run no Python code in its main thread for %.1f s; the "
		       "request was taken back, nothing was changed",
		       pid_of(c), (double)c->timeout_ms / 1000);
}

/* Waits for the answer to a request that stands. Returns -1 with it in text, or an exit code. */
static int await(const struct change *c, const struct pp_script *script, char *text)
{
	const struct timespec tick = { .tv_nsec = TICK_MS * (long)NSEC_PER_MSEC };
	uint64_t start = pp_now_ns(), taken = 0;
	bool interrupted = false, noted = false;
	int r;

	while (!pp_script_answer(script, text)) {
		uint64_t now = pp_now_ns();

		if (!pp_target_alive(&c->target))
			return pp_fail(PP_EXIT_NO_PROCESS, "process %d ended before it answered",
				       pid_of(c));
		if (!taken && !pp_runtime_is_pending(&c->target, &c->runtime))
			taken = now;
		if (taken && now - taken > ANSWER_MS * NSEC_PER_MSEC)
			return pp_fail(
				PP_EXIT_FAILED,
				"process %d has taken up the request, but not answered: its "
				"standard error may say why (an audit hook that forbids it?)",
				pid_of(c));
		if (!taken && !noted && now - start > IDLE_MS * NSEC_PER_MSEC) {
			note_idle(c);
			noted = true;
		}
		if (!taken &&
		    (interrupted || now - start > (uint64_t)c->timeout_ms * NSEC_PER_MSEC)) {
			r = give_up(c, interrupted);
			if (r >= 0)
				return r;
			taken = now;
		}
		interrupted |= sigtimedwait(&c->ends, NULL, &tick) > 0;
	}
	return -1;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static int report(const struct change *c, const struct pp_global *g, const char *answer)
{
	_cleanup_buf_ struct pp_buf clean = { 0 };
	bool was = strncmp(answer, "was ", 4) == 0;

	if (strcmp(answer + (was ? 4 : 0), verb(c)) != 0) {
		if (pp_text_clean(&clean, answer, strlen(answer)) < 0 ||
		    pp_buf_add(&clean, "", 1) < 0)
			return pp_fail_errno(-ENOMEM, "answer");
		return pp_fail(PP_EXIT_FAILED, "process %d did not turn its trampolines %s: %s",
			       pid_of(c), verb(c), (const char *)clean.data);
	}
	if (g->json)
		return pp_print_json(json_pack("{s:I, s:b, s:b}", "pid", (json_int_t)pid_of(c),
					       "trampolines", c->on, "changed", !was));
	printf("The trampolines of process %d %s %s.\n", pid_of(c), was ? "were already" : "are",
	       verb(c));
	return pp_finish_stdout();
}

static int change(struct change *c, const struct pp_global *g)
{
	_cleanup_script_ struct pp_script script = PP_SCRIPT;
	char answer[PP_ANSWER_MAX];
	int r;

	/* From here on nothing is left half done. */
	sigemptyset(&c->ends);
	sigaddset(&c->ends, SIGINT);
	sigaddset(&c->ends, SIGTERM);
	sigaddset(&c->ends, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &c->ends, NULL) < 0)
		return pp_fail_errno(-errno, "signals");
	r = pp_script_new(&script, &c->target, c->on);
	if (!r)
		r = pp_request_put(&c->target, &c->runtime, script.path);
	if (!r)
		r = await(c, &script, answer);
	return r >= 0 ? r : report(c, g, answer);
}

static int parse(struct change *c, struct pp_global *g, int argc, char **argv)
{
	enum { OPT_YES = PP_OPT_OWN, OPT_UNDO, OPT_TIMEOUT };
	static const struct option options[] = {
		PP_COMMON_OPTIONS,
		{ "yes", no_argument, NULL, OPT_YES },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "undo", no_argument, NULL, OPT_UNDO },
		{ 0 },
	};
	const char *name = c->on ? "enable" : "disable";
	const char *usage = c->on ? enable_usage : disable_usage;
	int k, r;

	while ((k = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		r = 0;
		if (k == OPT_YES)
			c->yes = true;
		else if (k == OPT_UNDO)
			c->on = false;
		else if (k == OPT_TIMEOUT)
			r = pp_parse_seconds("--timeout", optarg, TIMEOUT_MAX_S, &c->timeout_ms);
		else if ((r = pp_common_option(g, k, usage)) >= 0)
			return r;
		if (r > 0)
			return r;
	}
	if (argc - optind != 1)
		return pp_fail(PP_EXIT_USAGE, "%s takes one PID", name);
	if (g->json && !c->yes)
		return pp_fail(PP_EXIT_USAGE, "--json asks nothing; say --yes");
	return pp_parse_number(name, argv[optind], 1, INT_MAX, &c->pid) ?: -1;
}

static int run(struct pp_global *g, int argc, char **argv, bool on)
{
	struct change c = { .on = on, .timeout_ms = 10000, .target = PP_TARGET };
	int r;

	r = parse(&c, g, argc, argv);
	if (r >= 0)
		return r;
	r = pp_target_open(&c.target, (pid_t)c.pid);
	if (!r)
		r = check(&c);
	if (!r) {
		state(&c);
		r = ask(&c);
	}
	if (r < 0)
		r = change(&c, g);
	pp_target_done(&c.target);
	return r;
}

int pp_cmd_enable(struct pp_global *g, int argc, char **argv)
{
	return run(g, argc, argv, true);
}

int pp_cmd_disable(struct pp_global *g, int argc, char **argv)
{
	return run(g, argc, argv, false);
}
