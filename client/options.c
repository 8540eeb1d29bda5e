/* SPDX-License-Identifier: GPL-2.0-only */
/* Arguments common to the subcommands, and how they are refused. */
#include "commands.h"

#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

static void say(const char *format, va_list ap)
{
	fputs("pyprofctl: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
}

int pp_fail(int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
	return code;
}

void pp_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

int pp_fail_errno(int r, const char *doing)
{
	return pp_fail(PP_EXIT_FAILED, "%s: %s", doing,
		       r == -ENOSPC || r == -ENOBUFS ? "the profile is too large for this program"
						     : strerror(-r));
}

static int set_color(struct pp_global *g, const char *arg)
{
	if (strcmp(arg, "always") == 0)
		g->color = true;
	else if (strcmp(arg, "never") == 0)
		g->color = false;
	else if (strcmp(arg, "auto") != 0)
		return pp_fail(PP_EXIT_USAGE, "--color: %s is not always, never or auto", arg);
	return -1;
}

int pp_common_option(struct pp_global *g, int c, const char *usage)
{
	switch (c) {
	case PP_OPT_SOCKET:
		g->socket = optarg;
		return -1;
	case PP_OPT_JSON:
		g->json = true;
		return -1;
	case PP_OPT_COLOR:
		return set_color(g, optarg);
	case 'h':
		fputs(usage, stdout);
		return PP_EXIT_DONE;
	default:
		fputs("Try --help.\n", stderr); /* getopt has said what is wrong */
		return PP_EXIT_USAGE;
	}
}

int pp_parse_number(const char *option, const char *arg, int64_t min, int64_t max, int64_t *ret)
{
	char *end;
	intmax_t n;

	errno = 0;
	n = strtoimax(arg, &end, 10);
	if (errno || end == arg || *end || n < min || n > max)
		return pp_fail(PP_EXIT_USAGE,
			       "%s: %s is not a whole number from %" PRId64 " to %" PRId64, option,
			       arg, min, max);
	*ret = n;
	return 0;
}

static bool parse_real(const char *arg, double *ret)
{
	char *end;

	errno = 0;
	*ret = strtod(arg, &end);
	return !errno && end != arg && !*end && isfinite(*ret);
}

int pp_parse_seconds(const char *option, const char *arg, int64_t max_s, int64_t *ret_ms)
{
	double s;

	if (!parse_real(arg, &s) || s < 0.001 || s > (double)max_s)
		return pp_fail(PP_EXIT_USAGE,
			       "%s: %s is not a number of seconds above 0 and up to %" PRId64,
			       option, arg, max_s);
	*ret_ms = llround(s * 1000);
	return 0;
}

int pp_parse_percent(const char *option, const char *arg, double *ret)
{
	if (!parse_real(arg, ret) || *ret < 0 || *ret > 100)
		return pp_fail(PP_EXIT_USAGE, "%s: %s is not a percentage", option, arg);
	return 0;
}

int pp_finish_stdout(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
	int r;

	if (fflush(stdout) != EOF && !ferror(stdout))
		return PP_EXIT_DONE;
	r = -errno;
	if (poll(&out, 1, 0) > 0 && (out.revents & POLLERR))
		return PP_EXIT_FAILED;
	return pp_fail(PP_EXIT_FAILED, "writing to stdout: %s", strerror(-r));
}

int pp_print_json(json_t *j)
{
	if (!j)
		return pp_fail_errno(-ENOMEM, "JSON");
	json_dumpf(j, stdout, JSON_INDENT(2));
	json_decref(j);
	putchar('\n');
	return pp_finish_stdout();
}
