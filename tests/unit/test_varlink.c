/* SPDX-License-Identifier: GPL-2.0-only */
/* The Varlink codec: what it takes, what it refuses, and the order of calls and replies. */
#include "ipc/params.h"
#include "ipc/varlink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define FEED(v, text) assert_int_equal(pp_varlink_feed(v, text, strlen(text) + 1), 0)

static int parse_call(const char *text)
{
	_cleanup_message_ struct pp_varlink_message m = { 0 };

	return pp_varlink_parse_call(&m, text, strlen(text));
}

static int parse_reply(const char *text)
{
	_cleanup_message_ struct pp_varlink_message m = { 0 };

	return pp_varlink_parse_reply(&m, text, strlen(text));
}

static void test_calls_accepted(void **state _unused_)
{
	static const char *const good[] = {
		"{\"method\":\"a.b.C\"}",
		"{\"method\":\"a.b.C\",\"parameters\":null}",
		"{\"method\":\"a.b.C\",\"parameters\":{}}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":[1,{\"y\":null}]},\"more\":true}",
		"{\"method\":\"a.b.C\",\"oneway\":true,\"more\":false}",
		" {\n\"upgrade\" : true, \"method\":\"a.b.C\"} ",
		"{\"method\":\"\xc3\xa4\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_message_ struct pp_varlink_message m = { 0 };

		assert_int_equal(pp_varlink_parse_call(&m, good[i], strlen(good[i])), 0);
		assert_true(json_is_object(m.parameters));
	}
}

static void test_calls_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"method\":7}",
		"{\"method\":\"a.b.C\"",
		"{\"method\":\"a.b.C\"}x",
		"{\"method\":\"a.b.C\"}{\"method\":\"a.b.C\"}",
		"{\"method\":\"a.b.C\",\"method\":\"a.b.D\"}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":1,\"x\":2}}",
		"{\"method\":\"a.b.C\",\"parameters\":[]}",
		"{\"method\":\"a.b.C\",\"parameters\":\"x\"}",
		"{\"method\":\"a.b.C\",\"id\":1}",
		"{\"method\":\"a.b.C\",\"more\":1}",
		"{\"method\":\"a.b.C\",\"more\":true,\"oneway\":true}",
		"{\"method\":\"a.b.C\",\"more\":true,\"upgrade\":true}",
		"{\"method\":\"\xff\"}",
		"{\"method\":\"\xc0\xaf\"}",
		"{\"method\":\"a.b.C\\u0000\"}",
		"{\"method\":\"a.b.C\",\"parameters\":{\"x\":99999999999999999999}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse_call(bad[i]) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
}

static void test_replies(void **state _unused_)
{
	assert_int_equal(parse_reply("{}"), 0);
	assert_int_equal(parse_reply("{\"parameters\":{},\"continues\":true}"), 0);
	assert_int_equal(parse_reply("{\"error\":\"a.b.C\",\"parameters\":{\"x\":1}}"), 0);
	assert_int_equal(parse_reply("{\"error\":\"a.b.C\",\"continues\":true}"), -EBADMSG);
	assert_int_equal(parse_reply("{\"error\":\"abc\"}"), -EBADMSG);
	assert_int_equal(parse_reply("{\"error\":1}"), -EBADMSG);
	assert_int_equal(parse_reply("{\"result\":{}}"), -EBADMSG);
	assert_int_equal(parse_reply("{\"parameters\":[]}"), -EBADMSG);
}

/* Exactly the limit is taken, one level more is not; brackets in strings do not count. */
static void test_depth(void **state _unused_)
{
	char text[512];

	for (int depth = PP_VARLINK_DEPTH_MAX - 1; depth <= PP_VARLINK_DEPTH_MAX; depth++) {
		int n = snprintf(text, sizeof(text),
				 "{\"method\":\"a.b.C\",\"parameters\":{\"x\":");

		/* the message and its parameters are two levels */
		for (int i = 2; i < depth; i++)
			text[n++] = '[';
		for (int i = 2; i < depth; i++)
			text[n++] = ']';
		snprintf(text + n, sizeof(text) - (size_t)n, "}}");
		assert_int_equal(parse_call(text), 0);
	}
	assert_int_equal(
		parse_call("{\"method\":\"a.b.C\",\"parameters\":{\"x\":"
			   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}"),
		-EBADMSG);
	assert_int_equal(parse_call("{\"method\":\"a.b.C\",\"parameters\":{\"x\":"
				    "\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}}"),
			 0);
}

static void test_names(void **state _unused_)
{
	assert_int_equal(pp_varlink_interface_len("io.pyprof.Profiler.GetStatus"), 18);
	assert_int_equal(pp_varlink_interface_len("a.b.C"), 3);
	assert_int_equal(pp_varlink_interface_len("a.C"), 0);
	assert_int_equal(pp_varlink_interface_len("C"), 0);
	assert_int_equal(pp_varlink_interface_len("a.b."), 0);
	assert_int_equal(pp_varlink_interface_len(".C"), 0);
	assert_int_equal(pp_varlink_interface_len(""), 0);
}

static void expect_out(struct pp_varlink *v, const char *text)
{
	struct pp_varlink_out *o = pp_varlink_pending(v);

	assert_non_null(o);
	assert_int_equal(o->bytes.len, strlen(text) + 1);
	assert_memory_equal(o->bytes.data, text, strlen(text) + 1);
	pp_varlink_sent(v, o->bytes.len);
}

/* Calls that came together are answered one after the other. */
static void test_pipelining(void **state _unused_)
{
	static const char calls[] = "{\"method\":\"a.b.C\"}\0{\"method\":\"a.b.D\",\"more\":true}\0"
				    "{\"method\":\"a.b.E\",\"oneway\":true}\0{\"met";
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	struct pp_varlink_message m = { 0 };

	pp_varlink_init(&v);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, false, -1), -EPROTO);
	assert_int_equal(pp_varlink_feed(&v, calls, sizeof(calls) - 1), 0);

	assert_int_equal(pp_varlink_next(&v, &m), 1);
	assert_string_equal(m.method, "a.b.C");
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_next(&v, &m), 0);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, true, -1), -EPROTO);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, false, -1), 0);

	assert_int_equal(pp_varlink_next(&v, &m), 1);
	assert_string_equal(m.method, "a.b.D");
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, true, -1), 0);
	assert_int_equal(pp_varlink_next(&v, &m), 0);
	assert_int_equal(pp_varlink_reply(&v, "a.b.X", NULL, true, -1), -EPROTO);
	assert_int_equal(pp_varlink_reply(&v, "a.b.X", NULL, false, -1), 0);

	assert_int_equal(pp_varlink_next(&v, &m), 1);
	assert_true(m.oneway);
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, false, -1), 0);
	assert_int_equal(pp_varlink_next(&v, &m), 0);
	assert_true(pp_varlink_partial(&v));

	expect_out(&v, "{\"parameters\":{}}");
	expect_out(&v, "{\"continues\":true,\"parameters\":{}}");
	expect_out(&v, "{\"error\":\"a.b.X\",\"parameters\":{}}");
	assert_null(pp_varlink_pending(&v));
	assert_int_equal(v.out_bytes, 0);
	FEED(&v, "hod\":\"a.b.F\"}");
	assert_int_equal(pp_varlink_next(&v, &m), 1);
	assert_string_equal(m.method, "a.b.F");
	pp_varlink_message_done(&m);
	assert_false(pp_varlink_partial(&v));
}

static void test_byte_by_byte(void **state _unused_)
{
	static const char call[] = "{\"method\":\"a.b.C\",\"parameters\":{\"x\":1}}";
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	struct pp_varlink_message m = { 0 };

	pp_varlink_init(&v);
	for (size_t i = 0; i < sizeof(call) - 1; i++) {
		assert_int_equal(pp_varlink_feed(&v, call + i, 1), 0);
		assert_int_equal(pp_varlink_next(&v, &m), 0);
		assert_true(pp_varlink_partial(&v));
	}
	assert_int_equal(pp_varlink_feed(&v, "", 1), 0);
	assert_int_equal(pp_varlink_next(&v, &m), 1);
	assert_int_equal(json_integer_value(json_object_get(m.parameters, "x")), 1);
	pp_varlink_message_done(&m);
}

/* A call of the greatest length is taken, one byte more ends the conversation for good. */
static void test_oversized(void **state _unused_)
{
	static char text[PP_VARLINK_CALL_MAX + 2];

	for (size_t extra = 0; extra <= 1; extra++) {
		_cleanup_(pp_varlink_done) struct pp_varlink v;
		_cleanup_message_ struct pp_varlink_message m = { 0 };

		memset(text, ' ', sizeof(text));
		memcpy(text, "{\"method\":\"a.b.C\"}", 18);
		text[PP_VARLINK_CALL_MAX + extra] = 0;
		pp_varlink_init(&v);
		assert_int_equal(pp_varlink_feed(&v, text, PP_VARLINK_CALL_MAX + extra + 1),
				 extra ? -EBADMSG : 0);
		assert_int_equal(pp_varlink_next(&v, &m), extra ? -EBADMSG : 1);
		assert_int_equal(pp_varlink_feed(&v, "x", 1), extra ? -EBADMSG : 0);
	}
}

static void test_broken_stays_broken(void **state _unused_)
{
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	struct pp_varlink_message m = { 0 };

	pp_varlink_init(&v);
	FEED(&v, "{]");
	assert_int_equal(pp_varlink_next(&v, &m), -EBADMSG);
	assert_int_equal(pp_varlink_feed(&v, "{\"method\":\"a.b.C\"}", 19), -EBADMSG);
	assert_int_equal(pp_varlink_next(&v, &m), -EBADMSG);
}

/* A caller that does not read gets no further calls run. */
static void test_queue_bound(void **state _unused_)
{
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	struct pp_varlink_message m = { 0 };

	pp_varlink_init(&v);
	for (int i = 0; i < 2 * PP_VARLINK_QUEUE_MAX; i++)
		FEED(&v, "{\"method\":\"a.b.C\"}");
	for (int i = 0; i < PP_VARLINK_QUEUE_MAX; i++) {
		assert_int_equal(pp_varlink_next(&v, &m), 1);
		pp_varlink_message_done(&m);
		assert_int_equal(pp_varlink_reply(&v, NULL, NULL, false, -1), 0);
	}
	assert_int_equal(pp_varlink_next(&v, &m), 0);
	pp_varlink_sent(&v, pp_varlink_pending(&v)->bytes.len);
	assert_int_equal(pp_varlink_next(&v, &m), 1);
	pp_varlink_message_done(&m);
}

static void test_reply_too_large(void **state _unused_)
{
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	struct pp_varlink_message m = { 0 };
	json_auto_t *big = json_object();
	char *text = malloc(PP_VARLINK_REPLY_MAX);

	memset(text, 'x', PP_VARLINK_REPLY_MAX);
	json_object_set_new(big, "x", json_stringn(text, PP_VARLINK_REPLY_MAX));
	free(text);
	pp_varlink_init(&v);
	FEED(&v, "{\"method\":\"a.b.C\"}");
	assert_int_equal(pp_varlink_next(&v, &m), 1);
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_reply(&v, NULL, big, false, -1), -EMSGSIZE);
	assert_null(pp_varlink_pending(&v));
	assert_int_equal(pp_varlink_reply(&v, "a.b.TooLarge", NULL, false, -1), 0);
}

/* Parameters as text make the same message as parameters as JSON. */
static void test_reply_text(void **state _unused_)
{
	static const char text[] = "{\"processes\":[],\"hidden\":3}";
	_cleanup_buf_ struct pp_buf parameters = { 0 }, small = { .max = 16 };
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	struct pp_varlink_message m = { 0 };
	struct pp_varlink_out *out;

	assert_int_equal(pp_buf_add(&parameters, text, strlen(text)), 0);
	pp_varlink_init(&v);
	assert_int_equal(pp_varlink_reply_text(&v, &parameters), -EPROTO);
	FEED(&v, "{\"method\":\"a.b.C\"}");
	assert_int_equal(pp_varlink_next(&v, &m), 1);
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_reply_text(&v, &parameters), 0);
	assert_int_equal(pp_varlink_reply_text(&v, &parameters), -EPROTO);
	out = pp_varlink_pending(&v);
	assert_non_null(out);
	assert_int_equal(out->bytes.data[out->bytes.len - 1], 0);
	assert_int_equal(pp_varlink_parse_reply(&m, out->bytes.data, out->bytes.len - 1), 0);
	assert_int_equal(json_integer_value(json_object_get(m.parameters, "hidden")), 3);
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_format_text(&small, &parameters), -ENOBUFS);
	assert_int_equal(small.len, 0);
}

/* A descriptor is closed when its reply has left, and also when it never does. */
static void test_descriptor_owned(void **state _unused_)
{
	int sent = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int refused = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct pp_varlink_message m = { 0 };
	struct pp_varlink v;

	pp_varlink_init(&v);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, false, refused), -EPROTO);
	assert_int_equal(fcntl(refused, F_GETFD), -1);
	FEED(&v, "{\"method\":\"a.b.C\",\"more\":true}");
	assert_int_equal(pp_varlink_next(&v, &m), 1);
	pp_varlink_message_done(&m);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, true, sent), 0);
	assert_int_equal(pp_varlink_reply(&v, NULL, NULL, false, kept), 0);
	pp_varlink_sent(&v, 1);
	assert_int_equal(fcntl(sent, F_GETFD), -1);
	assert_true(fcntl(kept, F_GETFD) >= 0);
	pp_varlink_done(&v);
	assert_int_equal(fcntl(kept, F_GETFD), -1);
}

static void test_text(void **state _unused_)
{
	static const char bytes[] = "a\0\xff\x1b[31m\\\xc3\xa4";
	json_auto_t *json = pp_json_text(bytes, sizeof(bytes) - 1);
	json_auto_t *empty = pp_json_text(NULL, 0);
	/* Right to left from here on; an isolate; a line's end; and what stands beside them. */
	static const char marks[] = "\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\xd8\x9c"
				    "\xe2\x80\x90\xe2\x81\xaa\xd8\x9b";
	json_auto_t *marked = pp_json_text(marks, sizeof(marks) - 1);

	assert_string_equal(json_string_value(marked),
			    "\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\xa8\\xd8\\x9c"
			    "\xe2\x80\x90\xe2\x81\xaa\xd8\x9b");
	assert_string_equal(json_string_value(json), "a\\x00\\xff\\x1b[31m\\x5c\xc3\xa4");
	assert_string_equal(json_string_value(empty), "");
}

static const char *parse_params(const char *text, int64_t *ret_n, bool *ret_flag,
				const char **ret_name)
{
	static json_t *object;
	const struct pp_param params[] = {
		{ "n", PP_PARAM_INT, .required = true, .min = 1, .max = 9999, .target = ret_n },
		{ "flag", PP_PARAM_BOOL, .target = ret_flag },
		{ "name", PP_PARAM_STRING, .target = ret_name },
	};

	json_decref(object);
	object = json_loads(text, 0, NULL);
	assert_non_null(object);
	return pp_params_parse(object, params, ARRAY_SIZE(params));
}

static void test_params(void **state _unused_)
{
	const char *name = "default";
	bool flag = false;
	int64_t n = 0;

#define BAD(text, which) assert_string_equal(parse_params(text, &n, &flag, &name), which)
	assert_null(parse_params("{\"n\":9999,\"flag\":true}", &n, &flag, &name));
	assert_int_equal(n, 9999);
	assert_true(flag);
	assert_string_equal(name, "default");
	assert_null(parse_params("{\"n\":1,\"name\":null}", &n, &flag, &name));
	assert_string_equal(name, "default");
	assert_null(parse_params("{\"n\":1,\"name\":\"x\"}", &n, &flag, &name));
	assert_string_equal(name, "x");
	BAD("{}", "n");
	BAD("{\"n\":null}", "n");
	BAD("{\"n\":0}", "n");
	BAD("{\"n\":10000}", "n");
	BAD("{\"n\":1.0}", "n");
	BAD("{\"n\":\"1\"}", "n");
	BAD("{\"n\":1,\"flag\":0}", "flag");
	BAD("{\"n\":1,\"name\":[]}", "name");
	BAD("{\"n\":1,\"m\":2}", "m");
	assert_null(parse_params("{\"n\":1}", &n, &flag, &name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_accepted),
		cmocka_unit_test(test_calls_refused),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_pipelining),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_oversized),
		cmocka_unit_test(test_broken_stays_broken),
		cmocka_unit_test(test_queue_bound),
		cmocka_unit_test(test_reply_too_large),
		cmocka_unit_test(test_reply_text),
		cmocka_unit_test(test_descriptor_owned),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
