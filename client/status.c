/* SPDX-License-Identifier: GPL-2.0-only */
/* pyprofctl status: the verdict first, then what it rests on: loss by CPU, and every counter. */
#include "commands.h"

#include "print.h"
#include "session.h"

#include <inttypes.h>
#include <string.h>

static const char usage[] =
	"usage: pyprofctl status [--json]\n\n"
	"Says in one line how the daemon is doing: rate, CPUs, Pythons named, samples lost. Then "
	"what\n"
	"it costs, the loss by CPU, why stacks were not complete, and every counter.\n";

static void print_facts(const json_t *s)
{
	_cleanup_buf_ struct pp_buf a = { 0 }, b = { 0 };
	double uptime = (double)pp_print_integer(s, "uptime_ns") / 1e9;
	double cpu = (double)pp_print_integer(s, "cpu_usec") / 1e6;

	printf("  daemon     version %s, pid %" PRId64 ", up %.0f s\n",
	       pp_print_text(&a, s, "version", "?"), pp_print_integer(s, "pid"), uptime);
	printf("  sampling   %s at %" PRId64 " Hz on %" PRId64 " CPUs, %" PRId64 " sessions\n",
	       pp_print_text(&a, s, "event", "?"), pp_print_integer(s, "frequency"),
	       pp_print_integer(s, "cpus"), pp_print_integer(s, "sessions"));
	printf("  processes  %" PRId64 ", of them %" PRId64 " Pythons, %" PRId64 " named\n",
	       pp_print_integer(s, "processes"), pp_print_integer(s, "pythons"),
	       pp_print_integer(s, "pythons_named"));
	printf("  samples    %" PRId64 ", %" PRId64 " complete, %" PRId64 " lost\n",
	       pp_print_integer(s, "samples"), pp_print_integer(s, "complete"),
	       pp_print_integer(s, "lost"));
	printf("  cost       %.3f s CPU (%.2f%% of one), %.1f MiB resident, %.1f MiB of BPF maps, "
	       "longest turn %.1f ms\n",
	       cpu, uptime > 0 ? 100 * cpu / uptime : 0,
	       (double)pp_print_integer(s, "rss_bytes") / (double)MIB,
	       (double)pp_print_integer(s, "bpf_bytes") / (double)MIB,
	       (double)pp_print_integer(s, "longest_turn_usec") / 1e3);
	printf("  kernel     %s:", pp_print_text(&b, s, "kernel", "?"));
	for (size_t i = 0; i < json_array_size(json_object_get(s, "features")); i++) {
		json_t *o =
			json_pack("{s:O}", "f", json_array_get(json_object_get(s, "features"), i));

		printf(" %s", pp_print_text(&a, o, "f", "?"));
		json_decref(o);
	}
	putchar('\n');
}

static int print_cpus(const json_t *list)
{
	static const char *const keys[] = { "cpu", "expected", "runs", "sent", "skipped" };
	_cleanup_cells_ struct pp_cells t = { .columns = ARRAY_SIZE(keys) };
	const json_t *cpu;
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_SIZE(keys) && r >= 0; i++)
		r = pp_cells_add(&t, keys[i]);
	json_array_foreach (list, i, cpu)
		for (size_t k = 0; k < ARRAY_SIZE(keys) && r >= 0; k++)
			r = pp_cells_addf(&t, "%" PRId64, pp_print_integer(cpu, keys[k]));
	if (r < 0)
		return pp_fail_errno(r, "table");
	puts("\nper CPU");
	for (i = 0; i <= json_array_size(list); i++) {
		fputs("  ", stdout);
		pp_cells_write_row(&t, i, ~0U, stdout);
	}
	return 0;
}

/* The list of counters `key` under a heading. */
static int print_counters(const json_t *s, const char *key, const char *heading)
{
	const json_t *list = json_object_get(s, key), *counter;
	_cleanup_cells_ struct pp_cells t = { .columns = 3 };
	_cleanup_buf_ struct pp_buf buf = { 0 };
	size_t i;
	int r = 0;

	json_array_foreach (list, i, counter) {
		if (r >= 0)
			r = pp_cells_add(&t, pp_print_text(&buf, counter, "name", "?"));
		if (r >= 0)
			r = pp_cells_addf(&t, "%" PRId64, pp_print_integer(counter, "value"));
		if (r >= 0)
			r = pp_cells_add(&t, pp_print_text(&buf, counter, "text", ""));
	}
	if (r < 0)
		return pp_fail_errno(r, "table");
	printf("\n%s\n", heading);
	for (i = 0; i < json_array_size(list); i++) {
		fputs("  ", stdout);
		pp_cells_write_row(&t, i, 1U << 1, stdout);
	}
	return 0;
}

static int print(const struct pp_global *g, const json_t *s)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	int r;

	printf("%s%s%s\n\n", pp_color(g->color, PP_BOLD), pp_print_text(&buf, s, "verdict", "?"),
	       pp_color(g->color, PP_RESET));
	print_facts(s);
	r = print_cpus(json_object_get(s, "per_cpu"));
	if (!r)
		r = print_counters(s, "truncated", "stacks that are not complete, by reason");
	if (!r)
		r = print_counters(s, "counters", "counters");
	return r ?: pp_finish_stdout();
}

int pp_cmd_status(struct pp_global *g, int argc, char **argv)
{
	static const struct option options[] = { PP_COMMON_OPTIONS, { 0 } };
	_cleanup_(pp_client_freep) struct pp_client *c = NULL;
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	int k, r;

	while ((k = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		r = pp_common_option(g, k, usage);
		if (r >= 0)
			return r;
	}
	if (optind < argc)
		return pp_fail(PP_EXIT_USAGE, "status takes no arguments (%s)", argv[optind]);
	r = pp_session_connect(&c, g);
	if (!r)
		r = pp_connection_call(c, "GetStatus", NULL, &reply);
	if (r)
		return r;
	return g->json ? pp_print_json(json_incref(reply.parameters)) : print(g, reply.parameters);
}
