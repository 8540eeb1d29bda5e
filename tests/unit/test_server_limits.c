/* SPDX-License-Identifier: GPL-2.0-only */
/* What a caller may hold: time, bytes, streams, connections. */
#include "server_world.h"

/* Moves the loop's clock by waiting is too slow for a unit test: the deadline's start is moved. */
static void age(struct fixture *f, uint64_t usec)
{
	for (struct pp_connection *c = f->server->connections; c; c = c->next) {
		uint64_t when;

		if (sd_event_source_get_enabled(c->timer, NULL) > 0 &&
		    sd_event_source_get_time(c->timer, &when) >= 0)
			sd_event_source_set_time(c->timer, when - usec);
	}
	turn(f);
}

static void test_slow_writer(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), idle = dial(f);

	assert_int_equal(send(fd, "{\"met", 5, 0), 5);
	turn(f);
	age(f, 5 * USEC_PER_SEC);
	assert_string_equal(heard(fd), "");
	assert_int_equal(send(fd, "hod", 3, 0), 3); /* progress does not start it anew */
	turn(f);
	age(f, 11 * USEC_PER_SEC);
	assert_string_equal(heard(fd), "closed");
	assert_string_equal(heard(idle), "");
	assert_int_equal(pp_counters[PP_C_callers_cut], 1);
	close(fd);
	close(idle);
}

static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), other = dial(f);

	say(f, fd, CALL("Big"));
	say(f, other, CALL("Echo"));
	assert_string_equal(heard(other), "{\"parameters\":{}}|");
	age(f, 15 * USEC_PER_SEC);
	assert_int_equal(pp_server_connections(f->server), 2);
	age(f, 31 * USEC_PER_SEC);
	assert_int_equal(pp_server_connections(f->server), 1);
	assert_int_equal(pp_counters[PP_C_callers_cut], 1);
	close(fd);
	close(other);
}

/* What is too large to send costs its caller the connection, and nobody else anything. */
static void test_oversized_reply(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), other = dial(f);

	say(f, fd, CALL("TooBig"));
	assert_string_equal(heard(fd), "closed");
	assert_int_equal(pp_counters[PP_C_replies_oversized], 1);
	say(f, other, CALL("Echo"));
	assert_string_equal(heard(other), "{\"parameters\":{}}|");
	close(fd);
	close(other);
}

/* Streams over the account's limit are told so; a stream that ends makes room. */
static void test_stream_limit(void **state)
{
	static const char follow[] = "{\"method\":\"org.example.test.Follow\",\"more\":true}";
	struct fixture *f = *state;
	int limit = PP_ACCOUNT_STREAMS * PP_ACCOUNT_ROOT_FACTOR, fds[100], extra;

	if (geteuid() != 0)
		limit = PP_ACCOUNT_STREAMS;
	for (int i = 0; i < limit; i++) {
		fds[i] = dial(f);
		say(f, fds[i], follow);
		assert_string_equal(heard(fds[i]), "");
	}
	extra = dial(f);
	say(f, extra, follow);
	assert_non_null(strstr(heard(extra), "{\"error\":\"org.example.test.TooMany\""));
	assert_int_equal(pp_counters[PP_C_callers_refused], 1);
	f->kept = &f->server->connections->next->call; /* the last of those that got through */
	close(fds[limit - 1]);
	turn(f);
	assert_int_equal(f->gone, 1);
	say(f, extra, follow);
	assert_string_equal(heard(extra), "");
	close(extra);
	for (int i = 0; i < limit - 1; i++)
		close(fds[i]);
	/* the rest end with the fixture, whose `kept` cannot follow them all */
	for (struct pp_connection *c = f->server->connections; c; c = c->next)
		c->call.gone = NULL;
}

/* What a caller holds is charged until it lets go, also when it hangs up or maps it. */
static void test_held(void **state)
{
	struct fixture *f = *state;
	struct pp_account *account;
	int fd = dial(f), file;
	void *map;

	say(f, fd, CALL("File"));
	file = take_file(fd);
	assert_int_equal(pp_memfd_check_sealed(file), FILE_BYTES);
	account = f->server->connections->account;
	turn(f);
	assert_int_equal(account->held, FILE_BYTES);
	assert_int_equal(account->held_files, 1);
	map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, file, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(file);
	turn(f);
	assert_int_equal(account->held, FILE_BYTES);
	munmap(map, FILE_BYTES);
	turn(f);
	assert_int_equal(account->held, 0);

	/* one that never reads its file gives it back by hanging up; one that read it does not */
	say(f, fd, CALL("File"));
	file = take_file(fd);
	say(f, fd, CALL("File"));
	assert_int_equal(account->held, 2 * FILE_BYTES);
	close(fd);
	turn(f);
	assert_int_equal(pp_server_connections(f->server), 0);
	assert_int_equal(account->held, FILE_BYTES);
	assert_int_equal(account->refs, 1);
	close(file);
	turn(f);
}

static void test_held_quota(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), file;

	turn(f);
	f->server->connections->account->held =
		pp_account_limit(f->server->connections->account, PP_ACCOUNT_HELD) - FILE_BYTES;
	say(f, fd, CALL("File"));
	file = take_file(fd);
	assert_true(file >= 0);
	say(f, fd, CALL("File"));
	assert_non_null(strstr(heard(fd), "org.example.test.Quota"));
	assert_int_equal(pp_counters[PP_C_replies_over_quota], 1);
	close(file);
	turn(f);
	say(f, fd, CALL("File"));
	file = take_file(fd);
	assert_true(file >= 0);
	close(file);
	close(fd);
}

/* Opening the file again and closing that would look like letting go of it: it must not work. */
static int cheat(struct fixture *f)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	struct pp_client *c;
	char path[64];

	if (pp_client_new(&c, f->path) < 0 ||
	    pp_client_call(c, "org.example.test.File", NULL, 5000, &reply) < 0)
		return 1;
	if (pp_memfd_check_sealed(reply.fd) != FILE_BYTES)
		return 2;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", reply.fd);
	return open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES && fchmod(reply.fd, 0644) < 0
		       ? 0
		       : 3;
}

static void test_held_cheat(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(as_nobody(*state, cheat), 0);
}

/* Connects once more than it may: the last one is told why. */
static int crowd(struct fixture *f)
{
	_cleanup_reply_ struct pp_reply reply = PP_REPLY;
	struct pp_client *c;

	for (int i = 0; i < PP_ACCOUNT_CONNECTIONS; i++) {
		_cleanup_reply_ struct pp_reply ok = PP_REPLY;

		if (pp_client_new(&c, f->path) < 0 ||
		    pp_client_call(c, "org.example.test.Echo", NULL, 5000, &ok) < 0 || ok.error)
			return 1;
	}
	if (pp_client_new(&c, f->path) < 0)
		return 2;
	if (pp_client_call(c, "org.example.test.Echo", NULL, 5000, &reply) < 0)
		return 3;
	return reply.error && strcmp(reply.error, "org.example.test.TooMany") == 0 ? 0 : 4;
}

static void test_connection_limit(void **state)
{
	struct fixture *f = *state;
	int fd;

	if (geteuid() != 0)
		skip();
	fd = dial(f); /* another uid's are not touched by it */
	assert_int_equal(as_nobody(f, crowd), 0);
	assert_int_equal(pp_counters[PP_C_callers_refused], 1);
	assert_int_equal(pp_server_connections(f->server), 1);
	say(f, fd, CALL("Echo"));
	assert_string_equal(heard(fd), "{\"parameters\":{}}|");
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_slow_writer),	     TEST(test_slow_reader), TEST(test_oversized_reply),
		TEST(test_stream_limit),     TEST(test_held),	     TEST(test_held_quota),
		TEST(test_connection_limit), TEST(test_held_cheat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
