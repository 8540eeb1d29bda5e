/* SPDX-License-Identifier: GPL-2.0-only */
/* Watch: streams of deltas. */
#include "api_world.h"

static unsigned int rounds;

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

/* What is said of the samples, where it is said. */
static void check_attributes(const json_t *delta)
{
	static json_int_t id;
	const json_t *o;
	size_t i;

	json_array_foreach (json_object_get(delta, "attributes"), i, o) {
		id = json_integer_value(json_object_get(o, "id"));
		CHECK(strcmp(json_string_value(json_object_get(o, "gil")), "held") == 0);
		CHECK(strcmp(json_string_value(json_object_get(o, "gc")), "running") == 0);
		CHECK(strcmp(json_string_value(json_object_get(o, "thread")), "worker") == 0);
		CHECK(json_integer_value(json_object_get(o, "task")) > 0);
	}
	json_array_foreach (json_object_get(delta, "counts"), i, o)
		CHECK(id && json_integer_value(json_object_get(o, "attributes")) == id);
}

/* Deltas add up to what was counted; frames, nodes, attributes and processes are told once. */
static void watch(const char *path)
{
	struct pp_client *c = dial(path);
	json_int_t samples = 0;
	size_t frames = 0, nodes = 0, processes = 0, sets = 0;

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
		sets += json_array_size(json_object_get(r.parameters, "attributes"));
		check_attributes(r.parameters);
	}
	CHECK(samples == 60);
	CHECK(frames == 3 && nodes == 2 && processes == 1 && sets == 1);
}

/* Thirty samples of what the caller may see, twice, and as many of what it may not. */
static void sample_twice(struct world *w)
{
	rounds++;
	if (rounds != 30 && rounds != 60)
		return;
	add_with(w->always, 1, w->node_py, attributes(w), PP_END_ROOT, 30);
	add_with(w->always, 2, w->node_py, attributes(w), PP_END_ROOT, 30);
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

#define LONG_FRAMES 24

/* More than a message or a turn should hold, in parts that each refer to what came before. */
static void watch_long(const char *path)
{
	struct pp_client *c = dial(path);
	json_int_t samples = 0, deepest = 0, known = 0;
	size_t frames = 0, processes = 0, messages = 0, i;
	json_t *o;

	CHECK(pp_client_stream(c, NAME("Watch"), json_pack("{s:i}", "interval_ms", 50)) == 0);
	while (!samples) {
		_cleanup_reply_ struct pp_reply r = PP_REPLY;
		json_t *list;
		size_t text = 0;
		json_int_t span;

		next_delta(c, &r);
		list = json_object_get(r.parameters, "frames");
		json_array_foreach (list, i, o) {
			text += json_string_length(json_object_get(o, "name"));
			known = json_integer_value(json_object_get(o, "id"));
		}
		CHECK(text <= 768 * KIB);
		messages += text > 0;
		frames += json_array_size(list);
		json_array_foreach (json_object_get(r.parameters, "nodes"), i, o) {
			CHECK(json_integer_value(json_object_get(o, "frame")) <= known);
			CHECK(json_integer_value(json_object_get(o, "parent")) <= deepest);
			deepest = json_integer_value(json_object_get(o, "id"));
		}
		processes += json_array_size(json_object_get(r.parameters, "processes"));
		samples += sum(json_object_get(r.parameters, "counts"), "samples");
		span = json_integer_value(json_object_get(r.parameters, "end_ns")) -
		       json_integer_value(json_object_get(r.parameters, "start_ns"));
		CHECK(frames == 0 || samples || span == 0);
	}
	CHECK(samples == 3 && processes == 1);
	CHECK(frames == LONG_FRAMES && deepest == LONG_FRAMES);
	/* Every byte is four outside: two of them fill a message, and a third begins none. */
	CHECK(messages == LONG_FRAMES / 2);
}

/* One stack of frames with the longest names; the store is swept all the while. */
static void sample_long(struct world *w)
{
	static char name[PP_STRING_MAX];
	uint32_t frame, node = 0;

	if (++rounds == 10) {
		memset(name, 0xff, sizeof(name));
		for (int i = 0; i < LONG_FRAMES; i++) {
			name[0] = (char)('a' + i);
			assert_int_equal(pp_store_frame(w->store, PP_KIND_PYTHON, name,
							sizeof(name), NULL, 0, NULL, 0, &frame),
					 0);
			assert_int_equal(pp_stacks_child(w->store->stacks, node, frame, &node), 0);
		}
		add(w->always, 1, node, PP_END_ROOT, 3);
	}
	pp_store_collect(w->store);
}

static void test_watch_long(void **state)
{
	rounds = 0;
	call_as(*state, 0, watch_long, sample_long);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_watch),
		TEST(test_watch_long),
		TEST(test_watch_session),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: callers of other users take root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
