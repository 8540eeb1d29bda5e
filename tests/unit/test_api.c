/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The whole API on a real socket, over a daemon made up of four processes and a real profile.
 * Callers are child processes, as root and as others; the test turns the loop meanwhile.
 */
#include "api/api.h"
#include "api/policy.h"
#include "base/clock.h"
#include "base/fd.h"
#include "ipc/client.h"
#include "pprof.pb-c.h"
#include "proc/process.h"
#include "profile/profile.h"

#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>
#include <cmocka.h>

#define OWN	  65534 /* the unprivileged caller */
#define PERIOD_NS 10101010ULL
#define NAME(n)	  "io.pyprof.Profiler." n

/* In a caller: gives up, saying where. */
#define CHECK(what)                                                        \
	do {                                                               \
		if (!(what)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
			_exit(1);                                          \
		}                                                          \
	} while (0)

struct world {
	sd_event *event;
	struct pp_api *api;
	struct pp_store *store;
	struct pp_profile *always, *session;
	struct pp_process processes[4];
	char dir[32], path[64];
	uint32_t node_py, node_kernel, session_id;
	struct pp_api_session_request request;
	unsigned int stopped, freed, frequency, drains;
	unsigned int examined[4]; /* of each process, how often */
	uint64_t examining_until_ns;
	uint64_t pending_until_ns; /* names are missing until then */
	int start_error;
};

/* ---- The daemon ---- */

static void status(void *userdata, struct pp_api_status *ret)
{
	static const struct pp_api_counter truncated[] = { { "no mapping", 2, "t" } };
	static const struct pp_api_cpu cpus[] = { { 0, 100, 90, 80, 10 } };
	static const char *const features[] = { "ringbuf" };
	struct world *w = userdata;

	*ret = (struct pp_api_status){
		.uptime_ns = 5,
		.event = "cpu-clock",
		.frequency = w->frequency,
		.cpus = 2,
		.samples = 99,
		.complete = 98,
		.lost = 1,
		.kernel = "6.1",
		.features = features,
		.nr_features = 1,
		.truncated = truncated,
		.nr_truncated = 1,
		.per_cpu = cpus,
		.nr_per_cpu = 1,
		.counters = truncated,
		.nr_counters = 1,
	};
}

static void each_process(void *userdata, bool (*fn)(const struct pp_process *p, void *arg),
			 void *arg)
{
	struct world *w = userdata;

	for (size_t i = 0; i < ARRAY_SIZE(w->processes); i++)
		if (!fn(&w->processes[i], arg))
			return;
}

static const struct pp_process *process(void *userdata, uint32_t id)
{
	struct world *w = userdata;

	return id >= 1 && id <= ARRAY_SIZE(w->processes) ? &w->processes[id - 1] : NULL;
}

static void python(void *userdata _unused_, const struct pp_process *p, struct pp_api_python *ret)
{
	if (p->id != 1 && p->id != 2)
		return;
	ret->is_python = true;
	strcpy(ret->version, "3.13.1");
	ret->trampolines = p->id == 1 ? "on" : "off";
	ret->named_by = p->id == 1 ? "interpreter" : "none";
	ret->frames = 200;
	ret->named = p->id == 1 ? 200 : 0;
	ret->all_named = p->id == 1;
	ret->map_path = "/tmp/perf-1.map";
	ret->map_entries = 7;
	if (p->id == 2) {
		ret->problem = "trampolines are off";
		ret->remedy = "start it with -X perf";
	}
}

static struct pp_profile *profile(void *userdata)
{
	return ((struct world *)userdata)->always;
}

static int session_start(void *userdata, const struct pp_api_session_request *request,
			 uint32_t *ret)
{
	struct world *w = userdata;

	if (w->start_error)
		return w->start_error;
	w->request = *request;
	*ret = ++w->session_id;
	return 0;
}

static struct pp_profile *session_profile(void *userdata, uint32_t session _unused_)
{
	return ((struct world *)userdata)->session;
}

static void session_stop(void *userdata, uint32_t session _unused_)
{
	((struct world *)userdata)->stopped++;
}

static void session_free(void *userdata, uint32_t session _unused_)
{
	((struct world *)userdata)->freed++;
}

static void drain(void *userdata)
{
	((struct world *)userdata)->drains++;
}

static uint64_t pending(void *userdata, uint64_t time_ns _unused_)
{
	return pp_now_ns() < ((struct world *)userdata)->pending_until_ns ? 3 : 0;
}

static int set_frequency(void *userdata, unsigned int hz)
{
	((struct world *)userdata)->frequency = hz;
	return 0;
}

static void examine(void *userdata, const struct pp_process *p)
{
	struct world *w = userdata;

	w->examined[p->id - 1]++;
	w->examining_until_ns = pp_now_ns() + 50 * NSEC_PER_MSEC;
}

static size_t examining(void *userdata)
{
	return pp_now_ns() < ((struct world *)userdata)->examining_until_ns ? 1 : 0;
}

/* Known once the look is done. */
static void diagnosis(void *userdata, const struct pp_process *p, struct pp_api_diagnosis *ret)
{
	struct world *w = userdata;

	ret->interpreter = "/usr/bin/python\xff";
	ret->build_id[0] = 0xab;
	ret->build_id_len = 2;
	ret->frame_pointers = 0.25;
	ret->map_state = "open";
	ret->map_bytes = ret->map_live = -1;
	if (pp_now_ns() < w->examining_until_ns)
		return;
	ret->stub = "push";
	ret->endbr = true;
	ret->map_bytes = 4096;
	ret->map_live = 0.5;
	if (p->id != 1)
		return;
	ret->alarm.name = "leak";
	ret->alarm.name_len = 4;
	ret->alarm.file = "/a\n.py";
	ret->alarm.file_len = 6;
	ret->alarm.entries = 600;
}

static uint32_t push(struct world *w, uint32_t parent, enum pp_kind kind, const char *name,
		     const char *module)
{
	uint32_t frame, node;

	assert_int_equal(pp_store_frame(w->store, kind, name, strlen(name), "f.py", 4, module,
					strlen(module), &frame),
			 0);
	assert_int_equal(pp_stacks_child(w->store->stacks, parent, frame, &node), 0);
	return node;
}

static void add(struct pp_profile *p, uint64_t id, uint32_t node, enum pp_end end, unsigned int n)
{
	while (n--)
		assert_int_equal(pp_profile_add(p, pp_now_ns(), id, node, end, PERIOD_NS), 0);
}

static void fill(struct world *w)
{
	const struct pp_profile_config config = { .entries_max = 1000 };
	uint32_t root;

	assert_int_equal(pp_store_new(&w->store), 0);
	assert_int_equal(pp_profile_new(&w->always, w->store, pp_now_ns(), &config), 0);
	assert_int_equal(pp_profile_new(&w->session, w->store, pp_now_ns(), &config), 0);
	root = push(w, 0, PP_KIND_NATIVE, "_start", "/bin/x");
	w->node_py = push(w, root, PP_KIND_PYTHON, "f", "");
	w->node_kernel = push(w, push(w, root, PP_KIND_KERNEL, "do_syscall_64", ""), PP_KIND_KERNEL,
			      "secret_function", "");
	add(w->always, 1, w->node_py, PP_END_ROOT, 10);
	add(w->always, 1, w->node_kernel, PP_END_ROOT, 5);
	add(w->always, 2, w->node_py, PP_END_ROOT, 20);
	add(w->always, 3, w->node_py, PP_END_ROOT, 40);
	add(w->always, 4, w->node_py, PP_END_NO_MAPPING, 80);
}

#define CONTAINER "5ac2f0a4f0cbe1b5e2dd0a56b8b7b7d8a8a0f7d2f2d0a1b2c3d4e5f60718293a"
#define POD	  "3b9d7b4e-1c55-4c3a-9b0e-6f1f0f3f9a11"

static struct pp_atom *label(struct pp_atom *atom, const char *text)
{
	atom->len = (uint32_t)strlen(text);
	strcpy(atom->text, text);
	return atom;
}

/* 1: the caller's Python. 2: root's. 3: the caller's, not dumpable. 4: the caller's child of 1. */
static int set_up(void **state)
{
	static struct {
		struct pp_atom atom;
		char text[80];
	} unit, slice, container, pod, lxc;
	static const pid_t pids[] = { 101, 102, 103, 104 }, parents[] = { 1, 1, 1, 101 };
	static const char *const comms[] = { "python3", "python3", "ssh-agent", "x\xff" };
	struct world *w = calloc(1, sizeof(*w));
	const struct pp_api_backend backend = {
		w,	 "0.1.0",	status,		 each_process, process,	     python,
		profile, session_start, session_profile, session_stop, session_free, drain,
		pending, set_frequency, examine,	 examining,    diagnosis,
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(w->processes); i++) {
		struct pp_process *p = &w->processes[i];
		uid_t uid = i == 1 ? 0 : OWN;

		*p = (struct pp_process){ .id = i + 1,
					  .pid = pids[i],
					  .ppid = parents[i],
					  .alive = true,
					  .has_ids = true,
					  .ruid = uid,
					  .euid = uid,
					  .suid = uid,
					  .dumpable = i != 2 };
		strcpy(p->comm, comms[i]);
	}
	w->processes[0].unit = label(&unit.atom, "a.service");
	w->processes[0].slice = label(&slice.atom, "a.slice");
	w->processes[0].container = label(&container.atom, CONTAINER);
	w->processes[0].pod = label(&pod.atom, POD);
	w->processes[1].container = label(&lxc.atom, "web1web1web1web1");
	w->frequency = 19;
	fill(w);
	strcpy(w->dir, "/tmp/pyprof-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	snprintf(w->path, sizeof(w->path), "%s/socket", w->dir);
	assert_true(sd_event_new(&w->event) >= 0);
	assert_int_equal(pp_api_new(&w->api, w->event, &backend), 0);
	assert_int_equal(pp_api_listen(w->api, w->path), 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	pp_api_free(w->api);
	pp_profile_free(w->always);
	pp_profile_free(w->session);
	pp_store_free(w->store);
	sd_event_unref(w->event);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

/* ---- Callers ---- */

typedef void (*caller_fn)(const char *path);

/* Runs fn as uid in a child; `during` is called about every 10 ms meanwhile. */
static void call_as(struct world *w, uid_t uid, caller_fn fn, void (*during)(struct world *w))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(30);
		if (uid && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
			_exit(99);
		fn(w->path);
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		sd_event_run(w->event, 10 * USEC_PER_MSEC);
		if (during)
			during(w);
	}
	while (sd_event_run(w->event, 10 * USEC_PER_MSEC) > 0)
		;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static struct pp_client *dial(const char *path)
{
	struct pp_client *c;

	CHECK(pp_client_new(&c, path) == 0);
	return c;
}

/* A call whose parameters are given as json_pack() takes them. */
static struct pp_reply ask(struct pp_client *c, const char *method, json_t *parameters)
{
	struct pp_reply r = PP_REPLY;
	char name[128];

	snprintf(name, sizeof(name), NAME("%s"), method);
	CHECK(pp_client_call(c, name, parameters, 10000, &r) == 0);
	return r;
}

static void expect_error(struct pp_client *c, const char *method, json_t *parameters,
			 const char *error)
{
	struct pp_reply r = ask(c, method, parameters);

	if (!r.error || strcmp(r.error, error) != 0)
		fprintf(stderr, "%s: %s instead of %s\n", method, r.error ?: "success", error);
	CHECK(r.error && strcmp(r.error, error) == 0);
	pp_reply_done(&r);
}

static json_int_t figure(const struct pp_reply *r, const char *name)
{
	json_t *info = json_object_get(r->parameters, "profile");

	CHECK(!r->error && json_is_integer(json_object_get(info, name)));
	return json_integer_value(json_object_get(info, name));
}

/* The samples of the pprof that came along, and whether it names a function. */
static int64_t unpack(const struct pp_reply *r, const char *function, bool *ret_named)
{
	static uint8_t plain[1 << 20];
	int64_t size = pp_memfd_check_sealed(r->fd), sum = 0;
	Pprof__Profile *p;
	z_stream z = { 0 };

	CHECK(size > 0 && size == figure(r, "bytes"));
	z.next_in = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, r->fd, 0);
	CHECK(z.next_in != MAP_FAILED);
	z.avail_in = (uInt)size;
	z.next_out = plain;
	z.avail_out = sizeof(plain);
	CHECK(inflateInit2(&z, 31) == Z_OK && inflate(&z, Z_FINISH) == Z_STREAM_END);
	p = pprof__profile__unpack(NULL, z.total_out, plain);
	CHECK(p);
	for (size_t i = 0; i < p->n_sample; i++)
		sum += p->sample[i]->value[0];
	*ret_named = false;
	for (size_t i = 0; i < p->n_string_table; i++)
		*ret_named |= strcmp(p->string_table[i], function) == 0;
	return sum;
}

/* ---- Tests ---- */

static void call_status(const char *path)
{
	struct pp_reply r = ask(dial(path), "GetStatus", NULL);
	const char *verdict, *version;
	int hz, pythons, named;

	CHECK(!r.error);
	CHECK(json_unpack(r.parameters, "{s:s, s:s, s:i, s:i, s:i}", "verdict", &verdict, "version",
			  &version, "frequency", &hz, "pythons", &pythons, "pythons_named",
			  &named) == 0);
	CHECK(strcmp(verdict, "19 Hz on 2 CPUs (cpu-clock); 1 of 2 busy Pythons named; 99 samples, "
			      "1.00% lost") == 0);
	CHECK(strcmp(version, "0.1.0") == 0 && hz == 19 && pythons == 2 && named == 1);
	CHECK(json_array_size(json_object_get(r.parameters, "counters")) > 10);
	CHECK(json_array_size(json_object_get(r.parameters, "per_cpu")) == 1);
	CHECK(json_integer_value(json_object_get(r.parameters, "rss_bytes")) > 100000);
}

static void test_status(void **state)
{
	call_as(*state, OWN, call_status, NULL);
}

static void list_as_root(const char *path)
{
	struct pp_reply r = ask(dial(path), "ListProcesses", NULL);
	json_t *list = json_object_get(r.parameters, "processes"), *p = json_array_get(list, 0);

	CHECK(json_array_size(list) == 4);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "python")), "3.13.1") == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "unit")), "a.service") == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "slice")), "a.slice") == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "container")), CONTAINER) == 0);
	CHECK(strcmp(json_string_value(json_object_get(p, "pod")), POD) == 0);
	CHECK(json_real_value(json_object_get(p, "coverage")) == 1.0);
	CHECK(!json_object_get(p, "remedy"));
	CHECK(strcmp(json_string_value(json_object_get(p, "named_by")), "interpreter") == 0);
	p = json_array_get(list, 1);
	CHECK(json_real_value(json_object_get(p, "coverage")) == 0.0);
	CHECK(json_object_get(p, "coverage") && json_object_get(p, "remedy"));
	p = json_array_get(list, 3);
	CHECK(strcmp(json_string_value(json_object_get(p, "comm")), "x\\xff") == 0);
	CHECK(!json_object_get(p, "python") && !json_object_get(p, "coverage"));
}

static void list_as_other(const char *path)
{
	struct pp_reply r = ask(dial(path), "ListProcesses", NULL);
	json_t *list = json_object_get(r.parameters, "processes");

	CHECK(json_array_size(list) == 2);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 2);
	CHECK(json_integer_value(json_object_get(json_array_get(list, 0), "pid")) == 101);
	CHECK(json_integer_value(json_object_get(json_array_get(list, 1), "pid")) == 104);
}

static void test_list(void **state)
{
	call_as(*state, 0, list_as_root, NULL);
	call_as(*state, OWN, list_as_other, NULL);
}

static void diagnose_as_root(const char *path)
{
	struct pp_reply r = ask(dial(path), "Diagnose", NULL);
	json_t *list = json_object_get(r.parameters, "pythons"), *d = json_array_get(list, 0), *a;

	CHECK(json_array_size(list) == 2);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 0);
	CHECK(json_is_true(json_object_get(d, "named")));
	CHECK(json_integer_value(json_object_get(json_object_get(d, "process"), "pid")) == 101);
	CHECK(strcmp(json_string_value(json_object_get(d, "interpreter")),
		     "/usr/bin/python\\xff") == 0);
	CHECK(strcmp(json_string_value(json_object_get(d, "build_id")), "ab00") == 0);
	/* It has waited for the look. */
	CHECK(strcmp(json_string_value(json_object_get(d, "stub")), "push") == 0);
	CHECK(json_is_true(json_object_get(d, "endbr")));
	CHECK(json_real_value(json_object_get(d, "map_live")) == 0.5);
	CHECK(json_integer_value(json_object_get(d, "map_bytes")) == 4096);
	a = json_object_get(d, "alarm");
	CHECK(strcmp(json_string_value(json_object_get(a, "name")), "leak") == 0);
	CHECK(strcmp(json_string_value(json_object_get(a, "file")), "/a\\x0a.py") == 0);
	d = json_array_get(list, 1);
	CHECK(json_is_false(json_object_get(d, "named")) && !json_object_get(d, "alarm"));
}

static void diagnose_as_other(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "Diagnose", NULL);

	CHECK(json_array_size(json_object_get(r.parameters, "pythons")) == 1);
	CHECK(json_integer_value(json_object_get(r.parameters, "hidden")) == 2);
	pp_reply_done(&r);
	/* Theirs, but no Python. */
	r = ask(c, "Diagnose", json_pack("{s:i}", "pid", 104));
	CHECK(!r.error && !json_array_size(json_object_get(r.parameters, "pythons")));
	pp_reply_done(&r);
	expect_error(c, "Diagnose", json_pack("{s:i}", "pid", 99999999), NAME("NoSuchProcess"));
	expect_error(c, "Diagnose", json_pack("{s:i}", "pid", 1), NAME("NotPermitted"));
}

static void test_diagnose(void **state)
{
	struct world *w = *state;

	call_as(w, 0, diagnose_as_root, NULL);
	assert_int_equal(w->examined[0], 1);
	assert_int_equal(w->examined[1], 1);
	call_as(w, OWN, diagnose_as_other, NULL);
	/* Nobody else's is even looked at. */
	assert_int_equal(w->examined[0], 2);
	assert_int_equal(w->examined[1], 1);
	assert_int_equal(w->examined[2] + w->examined[3], 0);
}

static void expect_samples(struct pp_client *c, json_t *filter, json_int_t samples)
{
	struct pp_reply r = ask(c, "GetProfile", json_pack("{s:o}", "filter", filter));
	bool named;

	if (figure(&r, "samples") != samples)
		fprintf(stderr, "%lld samples, not %lld\n", figure(&r, "samples"), samples);
	CHECK(figure(&r, "samples") == samples);
	CHECK(unpack(&r, "f", &named) == samples);
	pp_reply_done(&r);
}

static void profile_as_root(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "GetProfile", NULL);
	bool named;

	CHECK(figure(&r, "samples") == 155 && figure(&r, "complete") == 75);
	CHECK(figure(&r, "cpu_ns") == (json_int_t)(155 * PERIOD_NS));
	CHECK(figure(&r, "frequency") == 19 && figure(&r, "hidden") == 0);
	CHECK(figure(&r, "processes") == 4);
	CHECK(figure(&r, "end_ns") >= figure(&r, "start_ns"));
	CHECK(unpack(&r, "secret_function", &named) == 155 && named);
	pp_reply_done(&r);

	expect_samples(c, json_object(), 155);
	expect_samples(c, json_pack("{s:i}", "pid", 101), 15);
	expect_samples(c, json_pack("{s:i, s:b}", "pid", 101, "tree", 1), 95);
	expect_samples(c, json_pack("{s:i, s:b}", "pid", 104, "tree", 1), 80);
	expect_samples(c, json_pack("{s:s}", "command", "python3"), 35);
	expect_samples(c, json_pack("{s:s}", "command", "python"), 0);
	expect_samples(c, json_pack("{s:s}", "unit", "a.service"), 15);
	expect_samples(c, json_pack("{s:s}", "unit", "a.servic"), 0);
	expect_samples(c, json_pack("{s:s}", "slice", "a.slice"), 15);
	expect_samples(c, json_pack("{s:s}", "pod", POD), 15);
	expect_samples(c, json_pack("{s:s}", "container", CONTAINER), 15);
	expect_samples(c, json_pack("{s:s}", "container", "5ac2f0a4f0cb"), 15);
	expect_samples(c, json_pack("{s:s}", "container", "5ac2f0a4f0c"), 0);
	expect_samples(c, json_pack("{s:s}", "container", "5ac2f0a4f0ca"), 0);
	expect_samples(c, json_pack("{s:s}", "container", CONTAINER "0"), 0);
	expect_samples(c, json_pack("{s:s}", "container", "web1web1web1web1"), 20);
	expect_samples(c, json_pack("{s:s}", "container", "web1web1web1"), 0);
	expect_samples(c, json_pack("{s:s, s:s}", "container", CONTAINER, "unit", "b"), 0);
	expect_samples(c, json_pack("{s:i}", "uid", 0), 20);
	expect_samples(c, json_pack("{s:b}", "python", 1), 35);
	expect_samples(c, json_pack("{s:b}", "python", 0), 155);
	expect_samples(c, json_pack("{s:s, s:i}", "command", "python3", "uid", OWN), 15);
	expect_error(c, "GetProfile", json_pack("{s:{s:i}}", "filter", "pid", 0x3fffffff),
		     NAME("NoSuchProcess"));
}

static void profile_as_other(const char *path)
{
	struct pp_client *c = dial(path);
	struct pp_reply r = ask(c, "GetProfile", NULL);
	bool named;

	CHECK(figure(&r, "samples") == 95 && figure(&r, "hidden") == 2);
	CHECK(unpack(&r, "secret_function", &named) == 95);
	CHECK(named == (pp_policy_read_paranoid() <= 1));
	pp_reply_done(&r);
	expect_samples(c, json_pack("{s:i}", "uid", 0), 0);
	expect_samples(c, json_pack("{s:b}", "python", 1), 15);
	expect_error(c, "GetProfile", json_pack("{s:{s:i}}", "filter", "pid", 102),
		     NAME("NotPermitted"));
	expect_error(c, "GetProfile", json_pack("{s:{s:i}}", "filter", "pid", 103),
		     NAME("NotPermitted"));
}

static void test_profile(void **state)
{
	struct world *w = *state;

	call_as(w, 0, profile_as_root, NULL);
	assert_true(w->drains >= 1);
	call_as(w, OWN, profile_as_other, NULL);
}

static void ask_nonsense(const char *path)
{
	static const struct {
		const char *method, *parameters, *bad;
	} cases[] = {
		{ "GetProfile", "{\"since_ms\":-1}", "since_ms" },
		{ "GetProfile", "{\"since\":1}", "since" },
		{ "GetProfile", "{\"filter\":[]}", "filter" },
		{ "GetProfile", "{\"filter\":{\"pid\":0}}", "pid" },
		{ "GetProfile", "{\"filter\":{\"pid\":4294967297}}", "pid" },
		{ "GetProfile", "{\"filter\":{\"tree\":true}}", "tree" },
		{ "GetProfile", "{\"filter\":{\"who\":1}}", "who" },
		{ "GetStatus", "{\"x\":1}", "x" },
		{ "ListProcesses", "{\"x\":1}", "x" },
		{ "Diagnose", "{\"pid\":0}", "pid" },
		{ "StartSession", "{\"frequency\":0}", "frequency" },
		{ "StartSession", "{\"frequency\":10000}", "frequency" },
		{ "StartSession", "{\"frequency\":\"99\"}", "frequency" },
		{ "ReadSession", "{}", "session" },
		{ "ReadSession", "{\"session\":1.5}", "session" },
		{ "SetFrequency", "{}", "frequency" },
		{ "SetFrequency", "{\"frequency\":0}", "frequency" },
	};
	struct pp_client *c = dial(path);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *p = json_loads(cases[i].parameters, 0, NULL);
		struct pp_reply r = ask(c, cases[i].method, p);

		CHECK(r.error && strcmp(r.error, "org.varlink.service.InvalidParameter") == 0);
		CHECK(strcmp(json_string_value(json_object_get(r.parameters, "parameter")),
			     cases[i].bad) == 0);
		pp_reply_done(&r);
	}
	expect_error(c, "Watch", NULL, "org.varlink.service.ExpectedMore");
	expect_error(c, "ReadSession", json_pack("{s:i}", "session", 77), NAME("NoSuchSession"));
}

static void test_nonsense(void **state)
{
	call_as(*state, 0, ask_nonsense, NULL);
}

static json_int_t start(struct pp_client *c, json_t *parameters)
{
	struct pp_reply r = ask(c, "StartSession", parameters);
	json_int_t id = json_integer_value(json_object_get(r.parameters, "session"));

	CHECK(!r.error && id > 0);
	pp_reply_done(&r);
	return id;
}

static void session_as_root(const char *path)
{
	struct pp_client *c = dial(path), *second = dial(path);
	json_int_t id = start(c, json_pack("{s:i, s:{s:i, s:b}}", "frequency", 999, "filter", "pid",
					   101, "tree", 1));
	struct pp_reply r = ask(second, "ReadSession", json_pack("{s:I}", "session", id));

	/* its profile holds what the session is for: a process that has ended since, too */
	CHECK(figure(&r, "samples") == 7 && figure(&r, "frequency") == 999);
	pp_reply_done(&r);
	r = ask(c, "ReadSession", json_pack("{s:I, s:b}", "session", id, "stop", 1));
	CHECK(figure(&r, "samples") == 7);
	expect_error(c, "ReadSession", json_pack("{s:I}", "session", id), NAME("NoSuchSession"));
	start(c, NULL); /* ends with the connection */
}

static void session_as_other(const char *path)
{
	struct pp_client *c = dial(path);

	expect_error(c, "StartSession", json_pack("{s:i}", "frequency", 100), NAME("NotPermitted"));
	expect_error(c, "StartSession", json_pack("{s:{s:i}}", "filter", "pid", 102),
		     NAME("NotPermitted"));
	expect_error(c, "StartSession", json_pack("{s:{s:i}}", "filter", "pid", 0x3fffffff),
		     NAME("NoSuchProcess"));
	/* our own pid is in no table: the kernel says whose it is, and whether it may be read */
	expect_error(c, "StartSession", json_pack("{s:{s:i}}", "filter", "pid", getpid()),
		     NAME("NotPermitted"));
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	start(c, json_pack("{s:i, s:{s:i}}", "frequency", 99, "filter", "pid", getpid()));
	for (int i = 1; i < PP_POLICY_SESSIONS_OWN; i++)
		start(c, NULL);
	expect_error(c, "StartSession", NULL, NAME("TooMany"));
	expect_error(c, "SetFrequency", json_pack("{s:i}", "frequency", 49), NAME("NotPermitted"));
}

static void test_sessions(void **state)
{
	struct world *w = *state;

	add(w->session, 4, w->node_py, PP_END_ROOT, 7);
	call_as(w, 0, session_as_root, NULL);
	assert_int_equal(w->stopped, 1);
	assert_int_equal(w->freed, 2);
	assert_true(w->request.uid == (uid_t)-1);
	call_as(w, OWN, session_as_other, NULL);
	assert_int_equal(w->freed, 2 + PP_POLICY_SESSIONS_OWN);
	assert_int_equal(w->request.uid, OWN);
	assert_int_equal(w->frequency, 19);
}

static void read_foreign_session(const char *path)
{
	expect_error(dial(path), "ReadSession", json_pack("{s:i}", "session", 1),
		     NAME("NoSuchSession"));
	expect_error(dial(path), "ReadSession", json_pack("{s:i, s:b}", "session", 1, "stop", 1),
		     NAME("NoSuchSession"));
}

static void hold_session(const char *path)
{
	CHECK(start(dial(path), NULL) == 1);
	sleep(1);
}

static unsigned int rounds;

static void try_foreign(struct world *w)
{
	if (w->session_id == 1 && rounds++ == 0)
		call_as(w, OWN, read_foreign_session, NULL);
}

/* Another user's session is as if it was not there. */
static void test_foreign_session(void **state)
{
	struct world *w = *state;

	rounds = 0;
	call_as(w, 0, hold_session, try_foreign);
	assert_true(rounds > 0);
	assert_int_equal(w->stopped, 0);
}

static void start_refused(const char *path)
{
	expect_error(dial(path), "StartSession", NULL, NAME("TooMany"));
}

static void start_failed(const char *path)
{
	expect_error(dial(path), "StartSession", NULL, NAME("Failed"));
}

static void test_start_errors(void **state)
{
	struct world *w = *state;

	w->start_error = -EBUSY;
	call_as(w, 0, start_refused, NULL);
	w->start_error = -EMFILE;
	call_as(w, 0, start_failed, NULL);
}

static void set_rate(const char *path)
{
	struct pp_reply r = ask(dial(path), "SetFrequency", json_pack("{s:i}", "frequency", 49));

	CHECK(!r.error && json_integer_value(json_object_get(r.parameters, "frequency")) == 49);
}

static void test_frequency(void **state)
{
	struct world *w = *state;

	call_as(w, 0, set_rate, NULL);
	assert_int_equal(w->frequency, 49);
}

static uint64_t time_answer(const char *path)
{
	uint64_t start_ns = pp_now_ns();
	struct pp_reply r = ask(dial(path), "GetProfile", NULL);

	CHECK(figure(&r, "samples") == 155);
	return (pp_now_ns() - start_ns) / NSEC_PER_MSEC;
}

static void wait_a_little(const char *path)
{
	uint64_t ms = time_answer(path);

	CHECK(ms >= 250 && ms < 1500);
}

static void wait_at_most(const char *path)
{
	uint64_t ms = time_answer(path);

	CHECK(ms >= 1990 && ms < 4000);
}

static void hang_up_waiting(const char *path)
{
	struct pp_reply r = PP_REPLY;

	CHECK(pp_client_call(dial(path), NAME("GetProfile"), NULL, 100, &r) == -ETIMEDOUT);
}

static void test_pending_names(void **state)
{
	struct world *w = *state;

	w->pending_until_ns = pp_now_ns() + 300 * NSEC_PER_MSEC;
	call_as(w, 0, wait_a_little, NULL);
	w->pending_until_ns = UINT64_MAX;
	call_as(w, 0, wait_at_most, NULL);
	call_as(w, 0, hang_up_waiting, NULL);
}

static void next_delta(struct pp_client *c, struct pp_reply *ret)
{
	CHECK(pp_client_next(c, 5000, ret) == 1);
	if (ret->error)
		fprintf(stderr, "%s\n", ret->error);
	CHECK(!ret->error && ret->continues);
}

static json_int_t sum(const json_t *counts, const char *key)
{
	json_int_t n = 0;
	size_t i;
	json_t *o;

	json_array_foreach (counts, i, o)
		n += json_integer_value(json_object_get(o, key));
	return n;
}

/* Deltas add up to what was counted; frames, nodes and processes are told once. */
static void watch(const char *path)
{
	struct pp_client *c = dial(path);
	json_int_t samples = 0;
	size_t frames = 0, nodes = 0, processes = 0;

	CHECK(pp_client_stream(c, NAME("Watch"), json_pack("{s:i}", "interval_ms", 50)) == 0);
	while (samples < 60) {
		_cleanup_reply_ struct pp_reply r = PP_REPLY;
		json_t *counts;

		next_delta(c, &r);
		counts = json_object_get(r.parameters, "counts");
		samples += sum(counts, "samples");
		CHECK(sum(counts, "cpu_ns") == sum(counts, "samples") * (json_int_t)PERIOD_NS);
		frames += json_array_size(json_object_get(r.parameters, "frames"));
		nodes += json_array_size(json_object_get(r.parameters, "nodes"));
		processes += json_array_size(json_object_get(r.parameters, "processes"));
	}
	CHECK(samples == 60);
	CHECK(frames == 2 && nodes == 2 && processes == 1);
}

/* Thirty samples of what the caller may see, twice, and as many of what it may not. */
static void sample_twice(struct world *w)
{
	rounds++;
	if (rounds != 30 && rounds != 60)
		return;
	add(w->always, 1, w->node_py, PP_END_ROOT, 30);
	add(w->always, 2, w->node_py, PP_END_ROOT, 30);
}

static void test_watch(void **state)
{
	rounds = 0;
	call_as(*state, OWN, watch, sample_twice);
}

static void watch_session(const char *path)
{
	struct pp_client *owner = dial(path), *c = dial(path);
	json_int_t id = start(owner, NULL);
	struct pp_reply r = PP_REPLY;

	CHECK(pp_client_stream(c, NAME("Watch"),
			       json_pack("{s:I, s:i}", "session", id, "interval_ms", 50)) == 0);
	next_delta(c, &r);
	pp_reply_done(&r);
	pp_client_free(owner);
	do {
		pp_reply_done(&r);
		CHECK(pp_client_next(c, 5000, &r) == 1);
	} while (!r.error);
	CHECK(strcmp(r.error, NAME("NoSuchSession")) == 0 && !r.continues);
	/* and the connection is good for other calls */
	pp_reply_done(&r);
	r = ask(c, "GetStatus", NULL);
	CHECK(!r.error);
	CHECK(pp_client_stream(c, NAME("Watch"), json_pack("{s:I}", "session", id)) == 0);
	pp_reply_done(&r);
	CHECK(pp_client_next(c, 5000, &r) == 1 && r.error);
}

static void test_watch_session(void **state)
{
	call_as(*state, 0, watch_session, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_status),	 TEST(test_list),	   TEST(test_profile),
		TEST(test_nonsense),	 TEST(test_sessions),	   TEST(test_foreign_session),
		TEST(test_start_errors), TEST(test_frequency),	   TEST(test_pending_names),
		TEST(test_watch),	 TEST(test_watch_session), TEST(test_diagnose),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: callers of other users take root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
