/* SPDX-License-Identifier: GPL-2.0-only */
/* The API on a real socket, over a daemon made up of four processes and a real profile. Callers
 * are child processes, as root and as others; the test turns the loop meanwhile. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/api.h"
#include "api/policy.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/fd.h"
#include "ipc/client.h"
#include "pprof.pb-c.h"
#include "proc/process.h"
#include "profile/attributes.h"
#include "profile/profile.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

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

static inline void status(void *userdata, struct pp_api_status *ret)
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

static inline void each_process(void *userdata, bool (*fn)(const struct pp_process *p, void *arg),
				void *arg)
{
	struct world *w = userdata;

	for (size_t i = 0; i < ARRAY_SIZE(w->processes); i++)
		if (!fn(&w->processes[i], arg))
			return;
}

static inline const struct pp_process *process(void *userdata, uint32_t id)
{
	struct world *w = userdata;

	return id >= 1 && id <= ARRAY_SIZE(w->processes) ? &w->processes[id - 1] : NULL;
}

static inline void python(void *userdata _unused_, const struct pp_process *p,
			  struct pp_api_python *ret)
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

static inline struct pp_profile *profile(void *userdata)
{
	return ((struct world *)userdata)->always;
}

static inline int session_start(void *userdata, const struct pp_api_session_request *request,
				uint32_t *ret)
{
	struct world *w = userdata;

	if (w->start_error)
		return w->start_error;
	w->request = *request;
	*ret = ++w->session_id;
	return 0;
}

static inline struct pp_profile *session_profile(void *userdata, uint32_t session _unused_)
{
	return ((struct world *)userdata)->session;
}

static inline void session_stop(void *userdata, uint32_t session _unused_)
{
	((struct world *)userdata)->stopped++;
}

static inline void session_free(void *userdata, uint32_t session _unused_)
{
	((struct world *)userdata)->freed++;
}

static inline void drain(void *userdata)
{
	((struct world *)userdata)->drains++;
}

static inline uint64_t pending(void *userdata, uint64_t time_ns _unused_)
{
	return pp_now_ns() < ((struct world *)userdata)->pending_until_ns ? 3 : 0;
}

static inline int set_frequency(void *userdata, unsigned int hz)
{
	((struct world *)userdata)->frequency = hz;
	return 0;
}

static inline void examine(void *userdata, const struct pp_process *p)
{
	struct world *w = userdata;

	w->examined[p->id - 1]++;
	w->examining_until_ns = pp_now_ns() + 50 * NSEC_PER_MSEC;
}

static inline size_t examining(void *userdata)
{
	return pp_now_ns() < ((struct world *)userdata)->examining_until_ns ? 1 : 0;
}

/* Known once the look is done. */
static inline void diagnosis(void *userdata, const struct pp_process *p,
			     struct pp_api_diagnosis *ret)
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

static inline uint32_t push(struct world *w, uint32_t parent, enum pp_kind kind, const char *name,
			    const char *module)
{
	uint32_t frame, node;

	assert_int_equal(pp_store_frame(w->store, kind, name, strlen(name), "f.py", 4, module,
					strlen(module), &frame),
			 0);
	assert_int_equal(pp_stacks_child(w->store->stacks, parent, frame, &node), 0);
	return node;
}

static inline void add_with(struct pp_profile *p, uint32_t id, uint32_t node, uint32_t attributes,
			    enum pp_end end, unsigned int n)
{
	while (n--)
		assert_int_equal(
			pp_profile_add(p, pp_now_ns(), id, node, attributes, end, PERIOD_NS), 0);
}

static inline void add(struct pp_profile *p, uint32_t id, uint32_t node, enum pp_end end,
		       unsigned int n)
{
	add_with(p, id, node, 0, end, n);
}

/* Of a thread "worker" that holds the GIL, collects garbage, and runs task Server.handle. */
static inline uint32_t attributes(struct world *w)
{
	struct pp_attributes a = { .gil = PP_GIL_HELD, .gc = PP_GC_RUNNING };
	uint32_t id;

	assert_int_equal(pp_strings_get(w->store->strings, "worker", 6, &a.thread), 0);
	assert_int_equal(pp_store_python(w->store, "Server.handle", 13, "s.py", 4, 3, 3, &a.task),
			 0);
	assert_int_equal(pp_attributes_get(w->store, &a, &id), 0);
	return id;
}

static inline void fill(struct world *w)
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
	add_with(w->always, 1, w->node_kernel, attributes(w), PP_END_ROOT, 5);
	add(w->always, 2, w->node_py, PP_END_ROOT, 20);
	add(w->always, 3, w->node_py, PP_END_ROOT, 40);
	add(w->always, 4, w->node_py, PP_END_NO_MAPPING, 80);
}

#define CONTAINER "5ac2f0a4f0cbe1b5e2dd0a56b8b7b7d8a8a0f7d2f2d0a1b2c3d4e5f60718293a"
#define POD	  "3b9d7b4e-1c55-4c3a-9b0e-6f1f0f3f9a11"

static inline struct pp_atom *label(struct pp_atom *atom, const char *text)
{
	atom->len = (uint32_t)strlen(text);
	strcpy(atom->text, text);
	return atom;
}

/* 1: the caller's Python. 2: root's. 3: the caller's, not dumpable. 4: the caller's child of 1. */
static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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
static inline void call_as(struct world *w, uid_t uid, caller_fn fn,
			   void (*during)(struct world *w))
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

static inline struct pp_client *dial(const char *path)
{
	struct pp_client *c;

	CHECK(pp_client_new(&c, path) == 0);
	return c;
}

/* A call whose parameters are given as json_pack() takes them. */
static inline struct pp_reply ask(struct pp_client *c, const char *method, json_t *parameters)
{
	struct pp_reply r = PP_REPLY;
	char name[128];

	snprintf(name, sizeof(name), NAME("%s"), method);
	CHECK(pp_client_call(c, name, parameters, 10000, &r) == 0);
	return r;
}

static inline void expect_error(struct pp_client *c, const char *method, json_t *parameters,
				const char *error)
{
	struct pp_reply r = ask(c, method, parameters);

	if (!r.error || strcmp(r.error, error) != 0)
		fprintf(stderr, "%s: %s instead of %s\n", method, r.error ?: "success", error);
	CHECK(r.error && strcmp(r.error, error) == 0);
	pp_reply_done(&r);
}

static inline json_int_t figure(const struct pp_reply *r, const char *name)
{
	json_t *info = json_object_get(r->parameters, "profile");

	CHECK(!r->error && json_is_integer(json_object_get(info, name)));
	return json_integer_value(json_object_get(info, name));
}

/* The samples of the pprof that came along, and whether it names a function. */
static inline int64_t unpack(const struct pp_reply *r, const char *function, bool *ret_named)
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

static inline json_int_t start(struct pp_client *c, json_t *parameters)
{
	struct pp_reply r = ask(c, "StartSession", parameters);
	json_int_t id = json_integer_value(json_object_get(r.parameters, "session"));

	CHECK(!r.error && id > 0);
	pp_reply_done(&r);
	return id;
}
