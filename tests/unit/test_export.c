/* SPDX-License-Identifier: GPL-2.0-only */
/* Exports by a forked child: what comes back, and that nothing stays behind. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "profile/export.h"

#define T0 (1000 * NSEC_PER_SEC)

struct world {
	struct pp_store *store;
	struct pp_profile *profile;
	sd_event *event;
	int calls, error, fd;
	size_t bytes;
	struct pp_profile_info info;
};

static void add(struct world *w, const char *name)
{
	uint32_t frame, node;

	assert_int_equal(pp_store_frame(w->store, PP_KIND_NATIVE, name, strlen(name), NULL, 0, NULL,
					0, &frame),
			 0);
	assert_int_equal(pp_stacks_child(w->store->stacks, 0, frame, &node), 0);
	assert_int_equal(pp_profile_add(w->profile, T0, 1, node, 0, PP_END_ROOT, 1), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pp_profile_config config = { .entries_max = PP_PROFILE_ENTRIES };
	char name[32];

	w->fd = -1;
	assert_int_equal(sd_event_new(&w->event), 0);
	assert_int_equal(pp_store_new(&w->store), 0);
	assert_int_equal(pp_profile_new(&w->profile, w->store, T0, &config), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "function%d", i);
		add(w, name);
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	/* No child is left, dead or alive. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	pp_close(w->fd);
	pp_profile_free(w->profile);
	pp_store_free(w->store);
	sd_event_unref(w->event);
	free(w);
	return 0;
}

static void on_done(void *userdata, int error, const struct pp_profile_info *info, int fd,
		    size_t bytes)
{
	struct world *w = userdata;

	w->calls++;
	w->error = error;
	w->info = *info;
	w->fd = fd;
	w->bytes = bytes;
	sd_event_exit(w->event, 0);
}

static const struct pp_query everything = { .kernel = PP_KERNEL_FULL };
static const struct pp_pprof_options options = { .frequency = 99, .version = "1" };

static void an_export_is_of_the_moment_it_started(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_export_freep) struct pp_export *e = NULL;
	_cleanup_(pp_selection_freep) struct pp_selection *s = NULL;
	_cleanup_buf_ struct pp_buf expected = PP_BUF(0);
	_cleanup_free_ uint8_t *got = NULL;

	assert_int_equal(pp_selection_new(&s, w->profile, &everything), 0);
	assert_int_equal(pp_pprof_write(s, &options, &expected), 0);
	assert_int_equal(
		pp_export_new(&e, w->event, w->profile, &everything, &options, 0, on_done, w), 0);
	add(w, "later");
	assert_int_equal(w->calls, 0);
	assert_int_equal(sd_event_loop(w->event), 0);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->error, 0);
	assert_int_equal(w->info.samples, 1000);
	assert_int_equal(w->bytes, expected.len);
	assert_int_equal(pp_memfd_check_sealed(w->fd), expected.len);
	got = malloc(expected.len);
	assert_int_equal(pp_read_full(w->fd, got, expected.len), expected.len);
	assert_memory_equal(got, expected.data, expected.len);
}

static void an_error_comes_back(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_export_freep) struct pp_export *e = NULL;

	assert_int_equal(
		pp_export_new(&e, w->event, w->profile, &everything, &options, 100, on_done, w), 0);
	assert_int_equal(sd_event_loop(w->event), 0);
	assert_int_equal(w->error, -ENOBUFS);
	assert_int_equal(w->fd, -1);
}

static enum pp_want die(void *userdata, uint64_t process)
{
	(void)userdata, (void)process;
	raise(SIGKILL);
	return PP_WANT_NO;
}

static void a_child_may_die(void **state)
{
	struct world *w = *state;
	_cleanup_(pp_export_freep) struct pp_export *e = NULL;
	struct pp_query query = { .want = die };

	assert_int_equal(pp_export_new(&e, w->event, w->profile, &query, &options, 0, on_done, w),
			 0);
	assert_int_equal(sd_event_loop(w->event), 0);
	assert_int_equal(w->error, -EPIPE);
	assert_int_equal(w->fd, -1);
}

static enum pp_want hang(void *userdata, uint64_t process)
{
	(void)userdata, (void)process;
	pause();
	return PP_WANT_NO;
}

static void an_export_may_be_ended(void **state)
{
	struct world *w = *state;
	struct pp_export *e[PP_EXPORTS_MAX], *one_more;
	struct pp_query query = { .want = hang };
	uint64_t before = pp_now_ns();

	for (int i = 0; i < PP_EXPORTS_MAX; i++)
		assert_int_equal(
			pp_export_new(&e[i], w->event, w->profile, &query, &options, 0, on_done, w),
			0);
	assert_int_equal(
		pp_export_new(&one_more, w->event, w->profile, &query, &options, 0, on_done, w),
		-EBUSY);
	for (int i = 0; i < PP_EXPORTS_MAX; i++)
		pp_export_free(e[i]);
	assert_int_equal(w->calls, 0);
	assert_true(pp_now_ns() - before < 5 * NSEC_PER_SEC);
	/* And there is room again. */
	an_error_comes_back(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_export_is_of_the_moment_it_started),
		TEST(an_error_comes_back),
		TEST(a_child_may_die),
		TEST(an_export_may_be_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
