/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code objects in another process's memory: forged ones in this test's own, which the reader child
 * is sent to, and line tables written down by hand.
 *
 * With arguments, for tests/accuracy/test_lines: `test_codes PID VERSION` reads from the standard
 * input what a live Python says of its code objects, and compares.
 */
#include "base/child.h"
#include "base/clock.h"
#include "proc/reader.h"
#include "python/version.h"

#include "forged_code.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#define WAIT_MS 20000

static sd_event *event;
static struct pp_reader *reader;
static struct pp_code_runtime runtime = { .version = PP_PYVERSION(3, 13) };

/* ---- Calls, made to wait ----------------------------------------------------------------------
 */

static struct {
	bool done;
	int error;
	uint32_t next_code;
	size_t nr;
	struct pp_code_info infos[PP_CODE_ITEMS_MAX];
	char texts[PP_CHILD_MESSAGE_MAX]; /* what they point to */
} got;

static const char *keep(const char *text, size_t len, size_t *used)
{
	char *to = got.texts + *used;

	memcpy(to, text, len);
	*used += len;
	return to;
}

static void on_codes(_unused_ void *userdata, int error, const struct pp_code_answer *answer)
{
	size_t used = 0;

	got.done = true;
	got.error = error;
	if (error < 0)
		return;
	got.next_code = answer->next_code;
	got.nr = answer->nr;
	for (size_t i = 0; i < answer->nr; i++) {
		got.infos[i] = answer->infos[i];
		got.infos[i].name = keep(answer->infos[i].name, answer->infos[i].name_len, &used);
		got.infos[i].file = keep(answer->infos[i].file, answer->infos[i].file_len, &used);
	}
}

static int wait_for(int r)
{
	uint64_t until = pp_now_ns() + WAIT_MS * NSEC_PER_MSEC;

	if (r < 0)
		return r;
	while (!got.done && pp_now_ns() < until)
		if (sd_event_run(event, 20 * USEC_PER_MSEC) < 0)
			return -EIO;
	return got.done ? got.error : -ETIMEDOUT;
}

static struct pp_target target_of(pid_t pid)
{
	return (struct pp_target){ .pid = pid, .start_ticks = PP_TICKS_UNKNOWN };
}

static int ask_target(struct pp_target target, const struct pp_code_item *items, size_t nr)
{
	memset(&got, 0, offsetof(__typeof__(got), infos));
	return wait_for(pp_reader_codes(reader, target, &runtime, items, nr, on_codes, NULL));
}

static int ask(pid_t pid, const struct pp_code_item *items, size_t nr)
{
	return ask_target(target_of(pid), items, nr);
}

static int setup(_unused_ void **state)
{
	return pp_reader_new(&reader, event);
}

static int teardown(_unused_ void **state)
{
	reader = pp_reader_free(reader);
	return 0;
}

/* ---- Code objects -----------------------------------------------------------------------------
 */

static uint32_t known; /* of the item that is asked for */

static int forge(_unused_ void **state)
{
	forge_code();
	runtime = (struct pp_code_runtime){ .version = PP_PYVERSION(3, 13) };
	known = 0;
	return 0;
}

/* Asks for the forged one, `offset` bytes into it. */
static enum pp_code_error ask_at(int offset)
{
	struct pp_code_item item = {
		.code = at(&code),
		.position = at(code.instructions) + (uint64_t)offset,
		.known = known,
	};

	assert_return_code(ask(getpid(), &item, 1), 0);
	assert_int_equal(got.nr, 1);
	return got.infos[0].error;
}

static void assert_text(const char *text, size_t len, const char *want)
{
	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
}

static void a_code_object_is_read(_unused_ void **state)
{
	const struct pp_code_info *info = &got.infos[0];
	static const struct {
		int offset;
		uint32_t line;
	} lines[] = { { -2, 10 }, { 0, 10 }, { 2, 12 }, { 4, 0 } };
	uint32_t print = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(ask_at(lines[i].offset), PP_CODE_FOUND);
		assert_text(info->name, info->name_len, "C.method");
		assert_text(info->file, info->file_len, "/a/b.py");
		assert_int_equal(info->first_line, 10);
		assert_int_equal(info->line, lines[i].line);
		assert_int_equal(info->number, 77);
		assert_true(info->print && (!i || info->print == print));
		print = info->print;
	}
	code.version++;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(info->number, 78);
	assert_true(info->print != print);
}

static void a_position_lies_in_its_code(_unused_ void **state)
{
	assert_int_equal(ask_at(6), PP_CODE_ASTRAY);
	assert_int_equal(ask_at(-4), PP_CODE_ASTRAY);
	code.units = UINT64_MAX;
	assert_int_equal(ask_at(6), PP_CODE_FOUND); /* in it, and nothing more is read for it */
	assert_int_equal(got.infos[0].line, 0);
}

/* Of one whose name is known, the number is all that is looked at. */
static void one_that_is_known_is_not_read(_unused_ void **state)
{
	uint32_t print;

	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	print = got.infos[0].print;
	known = code.version;
	code.qualname = 8; /* no memory */
	assert_int_equal(ask_at(0), PP_CODE_KNOWN);
	assert_int_equal(got.infos[0].number, known);
	assert_int_equal(got.infos[0].name_len, 0);
	assert_true(got.infos[0].print != print); /* another name: a forgery shows */
	code.version++;
	assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
}

static void what_nothing_refers_to_is_no_code_object(_unused_ void **state)
{
	static const uint64_t dead[] = { 0, 0x7f0000001000, 0x5555deadbee0, 1ULL << 32 };
	static const uint64_t alive[] = { 1, 999999999, UINT32_MAX, 3ULL << 30 | 1ULL << 55 };

	for (size_t i = 0; i < ARRAY_SIZE(dead); i++) {
		code.head.refs = dead[i];
		assert_int_equal(ask_at(0), PP_CODE_NOT_CODE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(alive); i++) {
		code.head.refs = alive[i];
		assert_int_equal(ask_at(0), PP_CODE_FOUND);
	}
}

/* The number of the next one tells something where it is read, and one interpreter gives it out. */
static void numbers_are_one_interpreter_s(_unused_ void **state)
{
	static uint64_t interpreters[3];
	static uint32_t counter;

	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.next_code, 0);
	counter = 123;
	runtime.next_code = at(&counter);
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.next_code, 123);
	interpreters[2] = 1;
	runtime.interpreters = at(interpreters);
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.next_code, 123);
	interpreters[2] = 2;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.next_code, 0);
	runtime.interpreters = 8; /* no memory */
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.next_code, 0);
	runtime.interpreters = 0;
	runtime.next_code = 8;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.next_code, 0);
}

/* Another program in the process is not read. */
static void a_program_is_known_by_its_random_word(_unused_ void **state)
{
	static uint64_t image = 0x123456789abcdef0;
	struct pp_code_item item = { .code = at(&code), .position = at(code.instructions) };

	runtime.image_at = at(&image);
	runtime.image = image;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	image++;
	assert_int_equal(ask(getpid(), &item, 1), -ESRCH);
	runtime.image_at = 8;
	assert_int_equal(ask(getpid(), &item, 1), -ESRCH);
}

/* Where that is not known, another user's is not. */
static void another_user_s_program_is_not_read(_unused_ void **state)
{
	static uint64_t image = 0x123456789abcdef0;
	struct pp_code_item item = { .code = at(&code), .position = at(code.instructions) };
	struct pp_target target = target_of(getpid());

	target.uid = getuid();
	assert_return_code(ask_target(target, &item, 1), 0);
	target.uid = getuid() + 1;
	assert_int_equal(ask_target(target, &item, 1), -ESRCH);
	runtime.image_at = at(&image);
	runtime.image = image;
	assert_return_code(ask_target(target, &item, 1), 0);
}

static void pause_for(unsigned int turns)
{
	for (volatile unsigned int i = 0; i < turns; i++)
		;
}

/* A code object that ends and another that begins while it is read: a thread makes them at one
 * address, and their names, which are there for their time only, in one place. */
static void *replace(void *stop)
{
	static const char *const names[] = { "even", "odd" };

	for (uint32_t n = 0; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); n++) {
		__atomic_store_n(&code.head.refs, 0, __ATOMIC_SEQ_CST);
		pause_for(1000);
		set_ascii(&name, names[n & 1]);
		__atomic_store_n(&code.version, n, __ATOMIC_SEQ_CST);
		pause_for(1000);
		__atomic_store_n(&code.head.refs, 1, __ATOMIC_SEQ_CST);
		pause_for(2000);
	}
	return NULL;
}

static void what_changes_while_it_is_read_is_refused(_unused_ void **state)
{
	static struct pp_code_item items[PP_CODE_ITEMS_MAX];
	size_t nr[PP_CODE_ERRORS] = { 0 };
	size_t nr_wrong = 0;
	pthread_t thread;
	bool stop = false;

	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = (struct pp_code_item){ .code = at(&code),
						  .position = at(code.instructions) };
	/* As that leaves it, which may not begin at once. */
	set_ascii(&name, "even");
	code.version = 0;
	assert_int_equal(pthread_create(&thread, NULL, replace, &stop), 0);
	for (int i = 0; i < 20; i++) {
		assert_return_code(ask(getpid(), items, ARRAY_SIZE(items)), 0);
		for (size_t k = 0; k < got.nr; k++) {
			const struct pp_code_info *info = &got.infos[k];

			nr[info->error]++;
			nr_wrong += info->error == PP_CODE_FOUND &&
				    info->name_len != (info->number & 1 ? 3U : 4U);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(nr[PP_CODE_CHANGED] > 0);
	assert_int_equal(nr_wrong, 0);
}

static void what_is_no_code_object_is_refused(_unused_ void **state)
{
	struct pp_code_item items[] = {
		{ .code = at(&code) + 4 },
		{ .code = 0 },
		{ .code = 8 },
		{ .code = 0xffff800000000000 },
		{ .code = UINT64_MAX - 7 },
		{ .code = at(&name) },
	};
	static const enum pp_code_error want[] = {
		PP_CODE_NOT_CODE,   PP_CODE_UNREADABLE, PP_CODE_UNREADABLE,
		PP_CODE_UNREADABLE, PP_CODE_UNREADABLE, PP_CODE_NOT_CODE,
	};

	assert_return_code(ask(getpid(), items, ARRAY_SIZE(items)), 0);
	assert_int_equal(got.nr, ARRAY_SIZE(items));
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_int_equal(got.infos[i].error, want[i]);
	code.head.type = at(&code); /* itself: no chain of types is followed */
	assert_int_equal(ask_at(0), PP_CODE_NOT_CODE);
	code.head.type = at(&code_type);
	runtime.code_type = at(&str_type);
	assert_int_equal(ask_at(0), PP_CODE_NOT_CODE);
	runtime.code_type = at(&code_type);
	code_type.name = 1; /* known by its address: nobody looks */
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
}

static void strings_are_bounded_and_typed(_unused_ void **state)
{
	static const uint64_t bad[] = { 1ULL << 60, UINT64_MAX, 1ULL << 63, 1U << 31 };
	uint64_t *const fields[] = { &code.qualname, &code.file };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		name.length = bad[i];
		assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
	}
	forge(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		static const uint64_t nowhere[] = { 0, 16, 1ULL << 60, UINT64_MAX - 15 };
		uint64_t before = *fields[i];

		for (size_t k = 0; k < ARRAY_SIZE(nowhere); k++) {
			*fields[i] = nowhere[k];
			assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
		}
		*fields[i] = before + 1;
		assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
		*fields[i] = at(&code); /* a cycle, and not a str */
		assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
		*fields[i] = before;
	}
	name.head.refs = 0; /* it has been freed */
	assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
	name.head.refs = 1;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	name.state &= ~(1U << 5);
	assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
	name.state = COMPACT(3);
	assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
	name.state = ASCII;
	name.head.type = at(&bytes_type);
	assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
}

static void long_names_are_cut(_unused_ void **state)
{
	static struct {
		struct str head;
		uint8_t more[3 * PP_CODE_TEXT_MAX];
	} big;

	memset(&big, 'x', sizeof(big));
	set_ascii(&big.head, "");
	big.head.length = 2 * PP_CODE_TEXT_MAX;
	memset(big.head.ascii, 'x', sizeof(big.head.ascii));
	code.qualname = at(&big);
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.infos[0].name_len, PP_CODE_TEXT_MAX);
	assert_int_equal(got.infos[0].name[PP_CODE_TEXT_MAX - 1], 'x');
	assert_text(got.infos[0].file, got.infos[0].file_len, "/a/b.py");
}

static void every_kind_of_string_becomes_bytes(_unused_ void **state)
{
	/* é; 字, the byte ff as surrogateescape has it, a lone surrogate; 𝒳 and beyond Unicode. */
	static const uint16_t two[] = { 0x5b57, 0xdcff, 0xd800, '\n' };
	static const uint32_t four[] = { 0x1d4b3, 0x7fffffff };

	name = (struct str){ .head = { 1, at(&str_type) }, .length = 2, .state = COMPACT(1) };
	name.latin1[0] = 0xe9;
	name.latin1[1] = 'a';
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_text(got.infos[0].name, got.infos[0].name_len,
		    "\xc3\xa9"
		    "a");
	name.state = COMPACT(2);
	name.length = ARRAY_SIZE(two);
	memcpy(name.latin1, two, sizeof(two));
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_text(got.infos[0].name, got.infos[0].name_len, "\xe5\xad\x97\xff\xed\xa0\x80\n");
	name.state = COMPACT(4);
	name.length = ARRAY_SIZE(four);
	memcpy(name.latin1, four, sizeof(four));
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_text(got.infos[0].name, got.infos[0].name_len, "\xf0\x9d\x92\xb3\xf7\xbf\xbf\xbf");
}

/* Objects that lie at the end of what is mapped, and behind it. */
static void the_end_of_memory_is_kept(_unused_ void **state)
{
	const size_t page = 4096;
	uint8_t *pages =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const size_t size = offsetof(struct str, ascii) + 8; /* the NUL included */
	struct pp_code_item item;

	assert_true(pages != MAP_FAILED);
	assert_return_code(munmap(pages + page, page), 0);
	memcpy(pages + page - size, &file, size);
	code.file = at(pages) + page - size;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_text(got.infos[0].file, got.infos[0].file_len, "/a/b.py");
	((struct str *)(pages + page - size))->length = 20;
	assert_int_equal(ask_at(0), PP_CODE_BAD_NAME);
	code.file = at(&file);
	code.table = at(pages) + page - 40; /* its head is there, its bytes are not */
	memcpy(pages + page - 40, &table, 40);
	assert_int_equal(ask_at(4), PP_CODE_FOUND);
	assert_int_equal(got.infos[0].line, 0);
	memcpy(pages + page - 64, &code, 64);
	item = (struct pp_code_item){ .code = at(pages) + page - 64 };
	assert_return_code(ask(getpid(), &item, 1), 0);
	assert_int_equal(got.infos[0].error, PP_CODE_UNREADABLE);
	munmap(pages, page);
}

static void a_table_without_sense_has_no_lines(_unused_ void **state)
{
	static const uint64_t bad[] = { 0, 24, 1ULL << 60, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		code.table = bad[i];
		assert_int_equal(ask_at(0), PP_CODE_FOUND);
		assert_int_equal(got.infos[0].line, 0);
	}
	code.table = at(&table);
	table.size = 1ULL << 60; /* read as far as there is any */
	assert_int_equal(ask_at(2), PP_CODE_FOUND);
	assert_int_equal(got.infos[0].line, 12);
	table.head.type = at(&str_type);
	assert_int_equal(ask_at(2), PP_CODE_FOUND);
	assert_int_equal(got.infos[0].line, 0);
}

/* More than a reply holds is answered in part, and the rest when it is asked for again. */
static void what_does_not_fit_is_asked_again(_unused_ void **state)
{
	static struct pp_code_item items[PP_CODE_ITEMS_MAX];
	static struct {
		struct str head;
		uint8_t more[PP_CODE_TEXT_MAX];
	} big;
	size_t done = 0;

	set_ascii(&big.head, "");
	big.head.length = 1000;
	code.qualname = at(&big);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = (struct pp_code_item){ .code = at(&code),
						  .position = at(code.instructions) };
	while (done < ARRAY_SIZE(items)) {
		assert_return_code(ask(getpid(), items + done, ARRAY_SIZE(items) - done), 0);
		assert_in_range(got.nr, 1, 200);
		for (size_t i = 0; i < got.nr; i++)
			assert_int_equal(got.infos[i].name_len, 1000);
		done += got.nr;
	}
	assert_int_equal(ask(getpid(), items, 0), -EINVAL);
	assert_int_equal(ask(getpid(), items, PP_CODE_ITEMS_MAX + 1), -EINVAL);
}

/* Code objects without a number are told from each other by their names, wherever those are. */
static void a_print_has_the_names_in_it(_unused_ void **state)
{
	static uint64_t memory[(sizeof(struct str) + 1000) / 8];
	struct str *big = (struct str *)memory;
	uint8_t *text = (uint8_t *)memory + offsetof(struct str, ascii);
	uint32_t print, other;

	code.version = 0;
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	print = got.infos[0].print;
	set_ascii(&name, "C.mathod");
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	other = got.infos[0].print;
	assert_true(other != print);
	set_ascii(&name, "C.method");
	set_ascii(&file, "/a/c.py");
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_true(got.infos[0].print != print && got.infos[0].print != other);
	set_ascii(&file, "/a/b.py");
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_int_equal(got.infos[0].print, print);
	/* What is long is told by its beginning and its end. */
	set_ascii(big, "");
	memset(text, 'x', 1000);
	big->length = 1000;
	code.qualname = at(big);
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	print = got.infos[0].print;
	text[999] = 'y';
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_true(got.infos[0].print != print);
	text[999] = 'x';
	text[0] = 'y';
	assert_int_equal(ask_at(0), PP_CODE_FOUND);
	assert_true(got.infos[0].print != print);
}

static void a_version_that_is_not_known_is_refused(_unused_ void **state)
{
	struct pp_code_item item = { .code = at(&code) };

	runtime.version = PP_PYVERSION(3, 7);
	assert_int_equal(ask(getpid(), &item, 1), -EOPNOTSUPP);
}

/* ---- Line tables ------------------------------------------------------------------------------
 */

static void tables_that_end_early_end_the_search(_unused_ void **state)
{
	static const uint8_t ff[64] = { [0 ... 63] = 0xff };
	static const uint8_t zero[64];

	for (int kind = PP_CODE_LNOTAB; kind <= PP_CODE_LOCATIONS; kind++) {
		for (size_t len = 0; len <= sizeof(ff); len++)
			for (int64_t offset = -2; offset < 70; offset++) {
				(void)pp_code_line((enum pp_code_lines)kind, ff, len, 1, offset);
				(void)pp_code_line((enum pp_code_lines)kind, zero, len, 1, offset);
			}
		assert_int_equal(pp_code_line((enum pp_code_lines)kind, ff, 0, 7, -2), 7);
		assert_int_equal(pp_code_line((enum pp_code_lines)kind, ff, 64, 0, -2), 0);
	}
	/* An odd byte is no pair. */
	assert_int_equal(pp_code_line(PP_CODE_LNOTAB, (uint8_t[]){ 2, 1, 2 }, 3, 5, 4), 6);
	assert_int_equal(pp_code_line(PP_CODE_RANGES, (uint8_t[]){ 2, 1, 2 }, 3, 5, 2), 0);
}

/* ---- A live Python's own answers --------------------------------------------------------------
 */

/* What the program says of one position; its code's name and file follow. */
struct truth {
	uint64_t code, position;
	uint32_t line, first_line;
	uint32_t name_len, file_len;
};

struct expected {
	struct truth t;
	char *texts;
};

static size_t read_batch(struct expected *e, size_t max)
{
	size_t n = 0;

	for (; n < max && fread(&e[n].t, sizeof(e[n].t), 1, stdin) == 1; n++) {
		size_t len = (size_t)e[n].t.name_len + e[n].t.file_len;

		e[n].texts = malloc(len + 1);
		if (!e[n].texts || fread(e[n].texts, 1, len, stdin) != len)
			return 0;
	}
	return n;
}

static bool agrees(const struct expected *e, const struct pp_code_info *i)
{
	return i->error == PP_CODE_FOUND && i->line == e->t.line &&
	       i->first_line == e->t.first_line && i->print &&
	       i->name_len == MIN(e->t.name_len, (uint32_t)PP_CODE_TEXT_MAX) &&
	       i->file_len == MIN(e->t.file_len, (uint32_t)PP_CODE_TEXT_MAX) &&
	       !memcmp(i->name, e->texts, i->name_len) &&
	       !memcmp(i->file, e->texts + e->t.name_len, i->file_len);
}

static void show(const struct expected *e, const struct pp_code_info *i)
{
	printf("%#" PRIx64 " + %" PRId64
	       ": %.*s %.*s:%u (%u), read as error %d, %.*s %.*s:%u (%u)\n",
	       e->t.code, (int64_t)(e->t.position - e->t.code), (int)e->t.name_len, e->texts,
	       (int)e->t.file_len, e->texts + e->t.name_len, e->t.line, e->t.first_line, i->error,
	       (int)i->name_len, i->name, (int)i->file_len, i->file, i->line, i->first_line);
}

/* Prints how many positions there were, and how many of them were read otherwise. */
static int compare(pid_t pid)
{
	static struct expected batch[PP_CODE_ITEMS_MAX];
	static struct pp_code_item items[PP_CODE_ITEMS_MAX];
	uint64_t nr = 0, wrong = 0;
	size_t n;

	while ((n = read_batch(batch, ARRAY_SIZE(batch)))) {
		for (size_t i = 0; i < n; i++)
			items[i] = (struct pp_code_item){ .code = batch[i].t.code,
							  .position = batch[i].t.position };
		for (size_t done = 0; done < n; done += got.nr) {
			int r = ask(pid, items + done, n - done);

			if (r < 0 || !got.nr)
				return printf("the reader: %s\n", strerror(-r)), 1;
			for (size_t i = 0; i < got.nr; i++)
				if (!agrees(&batch[done + i], &got.infos[i]) && wrong++ < 20)
					show(&batch[done + i], &got.infos[i]);
		}
		for (size_t i = 0; i < n; i++)
			free(batch[i].texts);
		nr += n;
	}
	printf("%" PRIu64 " positions, %" PRIu64 " wrong\n", nr, wrong);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_code_object_is_read, forge),
		cmocka_unit_test_setup(a_position_lies_in_its_code, forge),
		cmocka_unit_test_setup(one_that_is_known_is_not_read, forge),
		cmocka_unit_test_setup(what_nothing_refers_to_is_no_code_object, forge),
		cmocka_unit_test_setup(numbers_are_one_interpreter_s, forge),
		cmocka_unit_test_setup(a_program_is_known_by_its_random_word, forge),
		cmocka_unit_test_setup(another_user_s_program_is_not_read, forge),
		cmocka_unit_test_setup(what_changes_while_it_is_read_is_refused, forge),
		cmocka_unit_test_setup(a_print_has_the_names_in_it, forge),
		cmocka_unit_test_setup(what_is_no_code_object_is_refused, forge),
		cmocka_unit_test_setup(strings_are_bounded_and_typed, forge),
		cmocka_unit_test_setup(long_names_are_cut, forge),
		cmocka_unit_test_setup(every_kind_of_string_becomes_bytes, forge),
		cmocka_unit_test_setup(the_end_of_memory_is_kept, forge),
		cmocka_unit_test_setup(a_table_without_sense_has_no_lines, forge),
		cmocka_unit_test_setup(what_does_not_fit_is_asked_again, forge),
		cmocka_unit_test_setup(a_version_that_is_not_known_is_refused, forge),
		cmocka_unit_test(tables_that_end_early_end_the_search),
	};
	int r;

	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return 77;
	}
	/* The reader is this program, started anew as a child. */
	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	assert_return_code(sd_event_new(&event), 0);
	if (argc == 3) {
		runtime.version = (uint32_t)strtoul(argv[2], NULL, 16);
		r = setup(NULL) < 0 ? 1 : compare((pid_t)atoi(argv[1]));
		teardown(NULL);
	} else {
		r = cmocka_run_group_tests(tests, setup, teardown);
	}
	sd_event_unref(event);
	return r;
}
