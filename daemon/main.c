/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofd: options, and the choice between the daemon and its child processes. */
#include "base/child.h"
#include "base/log.h"
#include "elf/tablecache.h"
#include "elf/worker.h"
#include "manager.h"
#include "proc/reader.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* Where every CPU is busy a daemon of ordinary priority is scheduled late: names and unwind tables
 * of new processes then come after their first samples. It runs for a few ms a second. */
#define NICENESS (-15)

/* Larger blocks are mappings of their own. */
#define HEAP_BLOCK_MAX (128 * (int)KIB)

#define DEFAULT_SOCKET	  "/run/pyprof/io.pyprof.Profiler"
#define DEFAULT_STATE_DIR "/var/lib/pyprof"

enum {
	EXIT_USAGE = 2,
	EXIT_NOT_PERMITTED = 4,
};

static void print_help(void)
{
	printf("pyprofd - samples every process of the machine and names its Python functions\n\n"
	       "Usage: pyprofd [OPTION]...\n\n"
	       "  --socket PATH       serve here (" DEFAULT_SOCKET ")\n"
	       "  --state-dir DIR     keep state here (" DEFAULT_STATE_DIR ")\n"
	       "  --frequency HZ      samples per second and CPU, 1 to %d (%d)\n"
	       "  --event EVENT       cpu-clock, or cycles where there is a counter (cpu-clock)\n"
	       "  --tables MIB        memory for unwind tables (%llu)\n"
	       "  --records FORM      how samples come from the kernel: delta, whole, or check,\n"
	       "                      which compares the two (delta)\n"
	       "  --measure           time every stack walk (see pyprofctl status)\n"
	       "  --debug             log more\n"
	       "  --version, --help\n\n"
	       "Runs in the foreground and logs to stderr; SIGTERM stops it.\n",
	       PP_FREQUENCY_MAX, PP_DEFAULT_FREQUENCY, PP_DEFAULT_TABLES_BYTES / MIB);
}

static bool parse_number(const char *text, unsigned long least, unsigned long most,
			 unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	return !errno && end != text && !*end && *ret >= least && *ret <= most;
}

static bool parse_records(const char *text, enum pp_records_mode *ret)
{
	static const char *const names[] = {
		[PP_RECORDS_DELTA] = "delta",
		[PP_RECORDS_WHOLE] = "whole",
		[PP_RECORDS_CHECK] = "check",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum pp_records_mode)i;
			return true;
		}
	return false;
}

enum option_id {
	OPT_SOCKET = 256,
	OPT_STATE_DIR,
	OPT_FREQUENCY,
	OPT_EVENT,
	OPT_TABLES,
	OPT_RECORDS,
	OPT_MEASURE,
	OPT_DEBUG,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "frequency", required_argument, NULL, OPT_FREQUENCY },
	{ "event", required_argument, NULL, OPT_EVENT },
	{ "tables", required_argument, NULL, OPT_TABLES },
	{ "records", required_argument, NULL, OPT_RECORDS },
	{ "measure", no_argument, NULL, OPT_MEASURE },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static int usage(const char *what, const char *value)
{
	pp_log(PP_LOG_ERROR, "%s: %s (see pyprofd --help)", what, value);
	return EXIT_USAGE;
}

/* Applies one option. Returns -1 to go on, or the exit code. */
static int apply_option(struct pp_manager_config *c, int id)
{
	unsigned long n;

	switch (id) {
	case OPT_SOCKET:
		c->socket = optarg;
		return -1;
	case OPT_STATE_DIR:
		c->state_dir = optarg;
		return -1;
	case OPT_FREQUENCY:
		if (!parse_number(optarg, 1, PP_FREQUENCY_MAX, &n))
			return usage("--frequency wants a whole number from 1 to 9999, not",
				     optarg);
		c->frequency = (unsigned int)n;
		return -1;
	case OPT_EVENT:
		if (strcmp(optarg, pp_event_name(PP_EVENT_CYCLES)) == 0)
			c->event = PP_EVENT_CYCLES;
		else if (strcmp(optarg, pp_event_name(PP_EVENT_CPU_CLOCK)) == 0)
			c->event = PP_EVENT_CPU_CLOCK;
		else
			return usage("--event is cpu-clock or cycles, not", optarg);
		return -1;
	case OPT_TABLES:
		if (!parse_number(optarg, 1, 128, &n))
			return usage("--tables wants MiB from 1 to 128, not", optarg);
		c->tables_bytes = n * MIB;
		return -1;
	case OPT_RECORDS:
		if (!parse_records(optarg, &c->records))
			return usage("--records is delta, whole or check, not", optarg);
		return -1;
	case OPT_MEASURE:
		c->measure = true;
		return -1;
	case OPT_DEBUG:
		pp_log_set_level(PP_LOG_DEBUG);
		return -1;
	case OPT_VERSION:
		puts("pyprofd " PP_VERSION);
		return EXIT_SUCCESS;
	case OPT_HELP:
		print_help();
		return EXIT_SUCCESS;
	default:
		return EXIT_USAGE; /* getopt has said why */
	}
}

/*
 * What is freed goes back to the kernel. glibc would raise both limits by itself, to the size of
 * the largest block ever freed: what a table of many MB took while it was read or grew would stay
 * resident for good. Large arrays grow by mremap() then, which copies nothing.
 */
static void keep_heap_small(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MAX);
	(void)mallopt(M_TRIM_THRESHOLD, HEAP_BLOCK_MAX);
}

static int run_child(const char *role)
{
	if (strcmp(role, "reader") == 0)
		return pp_reader_main(PP_CHILD_SOCKET);
	if (strcmp(role, "worker") == 0)
		return pp_worker_main(PP_CHILD_SOCKET);
	if (strcmp(role, "tables") == 0)
		return pp_tablecache_main(PP_CHILD_SOCKET);
	return usage("no such child", role);
}

/* Whether /proc has the pids that the kernel's samples have. */
static bool in_first_pid_namespace(void)
{
	static const char first[] = "pid:[4026531836]"; /* PROC_PID_INIT_INO */
	char name[64];
	ssize_t n = readlink("/proc/self/ns/pid", name, sizeof(name));

	return n < 0 || ((size_t)n == strlen(first) && memcmp(name, first, strlen(first)) == 0);
}

/* A descriptor for each Python's map, and for each file being read. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_daemon(const struct pp_manager_config *config)
{
	_cleanup_(pp_manager_freep) struct pp_manager *m = NULL;
	const char *problem;
	int r;

	/* Inherited by the children. Where it is not permitted things only come later. */
	(void)setpriority(PRIO_PROCESS, 0, NICENESS);
	raise_descriptors();
	r = pp_manager_new(&m, config, &problem);
	if (r < 0) {
		if (problem)
			pp_log_errno(PP_LOG_ERROR, r, "cannot start: %s", problem);
		else
			pp_log_errno(PP_LOG_ERROR, r, "cannot start");
		return r == -EPERM || r == -EACCES ? EXIT_NOT_PERMITTED : EXIT_FAILURE;
	}
	pp_log(PP_LOG_INFO, "sampling at %u Hz, serving %s", config->frequency,
	       config->socket ?: "the socket systemd passed");
	r = pp_manager_run(m);
	if (r < 0)
		pp_log_errno(PP_LOG_ERROR, r, "the event loop failed");
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	struct pp_manager_config config = {
		.state_dir = DEFAULT_STATE_DIR,
		.frequency = PP_DEFAULT_FREQUENCY,
		.event = PP_EVENT_CPU_CLOCK,
		.tables_bytes = PP_DEFAULT_TABLES_BYTES,
	};
	int id, r;

	keep_heap_small();
	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return run_child(argv[2]);
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = apply_option(&config, id);
		if (r >= 0)
			return r;
	}
	if (optind < argc)
		return usage("unexpected argument", argv[optind]);
	if (geteuid() != 0) {
		pp_log(PP_LOG_ERROR, "pyprofd samples the whole machine and must be started by "
				     "root: sudo pyprofd");
		return EXIT_NOT_PERMITTED;
	}
	if (!in_first_pid_namespace()) {
		pp_log(PP_LOG_ERROR,
		       "pyprofd is in a PID namespace, a container's perhaps, where "
		       "processes have other numbers than the kernel's samples: run it "
		       "on the host, or the container with --pid=host");
		return EXIT_FAILURE;
	}
	if (!config.socket && sd_listen_fds(0) <= 0)
		config.socket = DEFAULT_SOCKET;
	signal(SIGPIPE, SIG_IGN);
	return run_daemon(&config);
}
