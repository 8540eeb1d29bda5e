/* SPDX-License-Identifier: GPL-2.0-only */
/* What one process's interpreter lets the daemon presume of another's: of whose it may. */
#include "presume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define OBJECT	7
#define RUNTIME 0x700000000000
#define LAYOUT	3

static struct pp_presume *presume;

static int setup(_unused_ void **state)
{
	return pp_presume_new(&presume);
}

static int teardown(_unused_ void **state)
{
	presume = pp_presume_free(presume);
	return 0;
}

static struct pp_process process_of(uid_t uid)
{
	return (struct pp_process){
		.ruid = uid, .euid = uid, .suid = uid, .fsuid = uid, .has_ids = true
	};
}

/* Learns of a process that its slot is `slot`. */
static void learn(const struct pp_process *p, int32_t slot)
{
	const struct pp_inspect what = { .runtime = RUNTIME, .code_type = RUNTIME - 0x100 };
	const struct pp_interp entry = {
		.slot = { slot },
		.layout = LAYOUT,
		.current = RUNTIME + 0x10,
		.next_code = RUNTIME + 0x5000,
		.numbered_interp = RUNTIME + 0x1000,
	};
	const struct pp_code_runtime runtime = {
		.version = 0x030d0000,
		.code_type = what.code_type,
		.image_at = RUNTIME + 0x6000,
		.image = 77,
		.next_code = entry.next_code,
		.interpreters = RUNTIME + 0x7000,
	};

	pp_presume_learn(presume, OBJECT, p, &what, &entry, &runtime);
}

static struct pp_interp entry;
static struct pp_code_runtime runtime;

/* The slot presumed of a process that has its runtime elsewhere; 0: nothing is. */
static int32_t slot_of(const struct pp_process *p)
{
	const struct pp_inspect what = { .runtime = 2 * RUNTIME, .code_type = 2 * RUNTIME - 0x100 };

	if (!pp_presume_get(presume, OBJECT, p, &what, &entry, &runtime))
		return 0;
	assert_int_equal(entry.layout, LAYOUT);
	return entry.slot[0];
}

static void a_user_is_alone(_unused_ void **state)
{
	struct pp_process root = process_of(0), alice = process_of(1000), bob = process_of(1001);

	learn(&alice, 8);
	assert_int_equal(slot_of(&alice), 8);
	assert_int_equal(slot_of(&bob), 0);
	assert_int_equal(slot_of(&root), 0);
	learn(&bob, 16);
	assert_int_equal(slot_of(&alice), 8);
	assert_int_equal(slot_of(&bob), 16);
	assert_int_equal(slot_of(&root), 0);
	/* Root's is everybody's. */
	learn(&root, 24);
	assert_int_equal(slot_of(&alice), 24);
	assert_int_equal(slot_of(&root), 24);
	learn(&alice, 32);
	assert_int_equal(slot_of(&root), 24);
	assert_int_equal(slot_of(&bob), 24);
}

/* Before it is known whose a process is, and where it has ids of several users. */
static void nobodys_is_not_shared(_unused_ void **state)
{
	struct pp_process alice = process_of(1000), unknown = { .ruid = 0 }, started = alice;
	struct pp_process setuid = process_of(1000), dropped = process_of(1000);

	started.has_ids = false; /* by an exec: the real id is left */
	setuid.euid = 0;
	dropped.suid = 0;
	learn(&unknown, 8);
	learn(&started, 8);
	learn(&setuid, 8);
	learn(&dropped, 8);
	assert_int_equal(slot_of(&alice), 0);
	assert_int_equal(slot_of(&unknown), 0);
	learn(&alice, 16);
	assert_int_equal(slot_of(&unknown), 0);
	assert_int_equal(slot_of(&started), 16);
	assert_int_equal(slot_of(&setuid), 0);
	assert_int_equal(slot_of(&dropped), 0);
}

static void addresses_are_the_new_process_s(_unused_ void **state)
{
	struct pp_process alice = process_of(1000);

	learn(&alice, 8);
	assert_int_equal(slot_of(&alice), 8);
	assert_true(entry.current == 2 * RUNTIME + 0x10);
	/* Of another program, its code objects' numbers say nothing. */
	assert_int_equal(entry.next_code, 0);
	assert_int_equal(entry.numbered_interp, 0);
	assert_int_equal(runtime.next_code, 0);
	assert_int_equal(runtime.interpreters, 0);
	assert_int_equal(runtime.image_at, 0);
	assert_true(runtime.code_type == 2 * RUNTIME - 0x100);
	assert_int_equal(runtime.version, 0x030d0000);
	pp_presume_forget(presume, OBJECT);
	assert_int_equal(slot_of(&alice), 0);
	pp_presume_forget(presume, OBJECT);
}

/* However many users there are, root's stays, and the last one's is there. */
static void users_are_bounded(_unused_ void **state)
{
	struct pp_process root = process_of(0), alice = process_of(1000), last = process_of(0);

	learn(&alice, 4);
	for (uid_t uid = 2000; uid < 2100; uid++) {
		last = process_of(uid);
		learn(&last, (int32_t)uid);
		assert_int_equal(slot_of(&last), uid);
	}
	assert_int_equal(slot_of(&alice), 0);
	pp_presume_forget(presume, OBJECT);
	learn(&root, 8);
	for (uid_t uid = 2000; uid < 2100; uid++) {
		last = process_of(uid);
		learn(&last, (int32_t)uid);
	}
	assert_int_equal(slot_of(&root), 8);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_user_is_alone),
		TEST(nobodys_is_not_shared),
		TEST(addresses_are_the_new_process_s),
		TEST(users_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
