/* SPDX-License-Identifier: GPL-2.0-only */
/* GetStatus: how well the daemon is doing, in one sentence and in every figure there is. */
#include "api/internal.h"

#include "base/counters.h"
#include "base/fd.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

/* A Python counts as named from here on: what is missing is its first moments. */
#define NAMED_SHARE 0.9

struct census {
	struct pp_api *api;
	unsigned int processes, pythons, named, sampled;
};

static bool count(const struct pp_process *p, void *arg)
{
	struct census *c = arg;
	struct pp_api_python py = { 0 };

	if (!p->alive)
		return true;
	c->processes++;
	c->api->backend.python(c->api->backend.userdata, p, &py);
	if (!py.is_python)
		return true;
	c->pythons++;
	c->sampled += py.frames > 0;
	c->named += py.frames && (double)py.named >= NAMED_SHARE * (double)py.frames;
	return true;
}

static void verdict(const struct pp_api_status *s, const struct census *c, char *text, size_t size)
{
	uint64_t taken = s->samples + s->lost;
	double lost = taken ? 100.0 * (double)s->lost / (double)taken : 0;
	char pythons[96];

	if (!c->pythons)
		snprintf(pythons, sizeof(pythons), "no Python is running");
	else if (!c->sampled)
		snprintf(pythons, sizeof(pythons), "%u Python%s, none has used CPU yet", c->pythons,
			 c->pythons == 1 ? "" : "s");
	else
		snprintf(pythons, sizeof(pythons), "%u of %u busy Python%s named", c->named,
			 c->sampled, c->sampled == 1 ? "" : "s");
	snprintf(text, size, "%u Hz on %u CPU%s (%s); %s; %llu samples, %.2f%% lost", s->frequency,
		 s->cpus, s->cpus == 1 ? "" : "s", s->event, pythons,
		 (unsigned long long)s->samples, lost);
}

static json_t *counter_json(const char *name, uint64_t value, const char *text)
{
	return json_pack("{s:s, s:I, s:s}", "name", name, "value", (json_int_t)value, "text",
			 text ?: "");
}

static json_t *counters_json(const struct pp_api_status *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->nr_counters; i++)
		json_array_append_new(array, counter_json(s->counters[i].name, s->counters[i].value,
							  s->counters[i].text));
	for (enum pp_counter i = 0; i < PP_C_MAX; i++)
		json_array_append_new(array, counter_json(pp_counter_name(i), pp_counters[i],
							  pp_counter_text(i)));
	return array;
}

static json_t *truncated_json(const struct pp_api_status *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->nr_truncated; i++)
		json_array_append_new(array,
				      counter_json(s->truncated[i].name, s->truncated[i].value,
						   s->truncated[i].text));
	return array;
}

static json_t *cpus_json(const struct pp_api_status *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->nr_per_cpu; i++) {
		const struct pp_api_cpu *c = &s->per_cpu[i];

		json_array_append_new(array,
				      json_pack("{s:i, s:I, s:I, s:I, s:I}", "cpu", (int)c->cpu,
						"expected", (json_int_t)c->expected, "runs",
						(json_int_t)c->runs, "sent", (json_int_t)c->sent,
						"skipped", (json_int_t)c->skipped));
	}
	return array;
}

static json_t *features_json(const struct pp_api_status *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->nr_features; i++)
		json_array_append_new(array, json_string(s->features[i]));
	return array;
}

/* The second number of statm is resident pages. */
static uint64_t rss_bytes(void)
{
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128] = "", *second;

	if (fd < 0 || pp_read_full(fd, text, sizeof(text) - 1) < 0)
		return 0;
	(void)strtoull(text, &second, 10);
	return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of the daemon and of its children that have ended, with what BPF took on others' time. */
static uint64_t cpu_usec(const struct pp_api_status *s)
{
	static const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
	uint64_t usec = s->bpf_usec;

	for (size_t i = 0; i < ARRAY_SIZE(whose); i++) {
		struct rusage u;

		if (getrusage(whose[i], &u) < 0)
			continue;
		usec += (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC;
		usec += (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	}
	return usec;
}

static json_t *figures_json(const struct pp_api_status *s, const struct census *c)
{
	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:s}",
			 "uptime_ns", (json_int_t)s->uptime_ns, "event", s->event, "frequency",
			 (json_int_t)s->frequency, "cpus", (json_int_t)s->cpus, "processes",
			 (json_int_t)c->processes, "pythons", (json_int_t)c->pythons,
			 "pythons_named", (json_int_t)c->named, "samples", (json_int_t)s->samples,
			 "complete", (json_int_t)s->complete, "lost", (json_int_t)s->lost,
			 "sessions", (json_int_t)s->sessions, "rss_bytes", (json_int_t)rss_bytes(),
			 "bpf_bytes", (json_int_t)s->bpf_bytes, "cpu_usec", (json_int_t)cpu_usec(s),
			 "longest_turn_usec", (json_int_t)s->longest_turn_usec, "kernel",
			 s->kernel);
}

int pp_api_get_status(struct pp_call *call, json_t *parameters, void *userdata)
{
	struct pp_api *api = userdata;
	const char *bad = pp_params_parse(parameters, NULL, 0);
	struct census census = { .api = api };
	struct pp_api_status status = { 0 };
	char text[256];
	json_t *json;
	int r;

	if (bad)
		return pp_call_invalid(call, bad);
	api->backend.status(api->backend.userdata, &status);
	api->backend.each_process(api->backend.userdata, count, &census);
	verdict(&status, &census, text, sizeof(text));
	json = figures_json(&status, &census);
	if (!json)
		return -ENOMEM;
	r = json_object_set_new(json, "version", json_string(api->backend.version));
	r |= json_object_set_new(json, "pid", json_integer(getpid()));
	r |= json_object_set_new(json, "verdict", json_string(text));
	r |= json_object_set_new(json, "features", features_json(&status));
	r |= json_object_set_new(json, "truncated", truncated_json(&status));
	r |= json_object_set_new(json, "per_cpu", cpus_json(&status));
	r |= json_object_set_new(json, "counters", counters_json(&status));
	if (r) {
		json_decref(json);
		return -ENOMEM;
	}
	return pp_call_reply(call, json);
}
