/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPython's structures: what is believed of their descriptions, and every CPython that is here,
 * inspected as it runs.
 */
#include "base/child.h"
#include "base/clock.h"
#include "elf/identity.h"
#include "proc/pylayout.h"
#include "proc/reader.h"
#include "python/version.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#define WAIT_MS 20000

/* ---- Descriptions ---------------------------------------------------------------------------- */

/* CPython 3.13.0's, from the file. */
static const uint64_t description[] = {
	51183856, 0,   283320, 608, 632,  194968, 7272, 7264, 7344, 7400, 7656, 7640,
	7648,	  16,  7752,   0,   7768, 7760,	  304,	0,    8,    16,	  72,	152,
	160,	  232, 32,     80,  8,	  0,	  56,	72,   70,   208,  112,	120,
	128,	  136, 68,     52,  96,	  104,	  200,	16,   8,    416,  24,	88,
	168,	  32,  24,     16,  40,	  24,	  16,	48,   32,   40,	  24,	16,
	32,	  16,  24,     40,  16,	  32,	  64,	32,   16,   40,	  240,	200,
};

enum { /* words of it */
       FREE_THREADED = 1,
       STATE_SIZE = 18,
       STATE_FRAME = 22,
       FRAME_PREVIOUS = 28,
       CODE_NAME = 35,
};

static uint8_t debug[PP_PYLAYOUT_DEBUG_MAX];

static int find(int word, uint64_t value, struct pp_pylayout *ret)
{
	memset(debug, 0, sizeof(debug));
	memcpy(debug, "xdebugpy", 8);
	memcpy(debug + 8, description, sizeof(description));
	if (word >= 0)
		memcpy(debug + 8 + word * 8, &value, sizeof(value));
	return pp_pylayout_find(0, debug, sizeof(debug), ret);
}

static void descriptions_are_checked(_unused_ void **state)
{
	struct pp_pylayout l;

	assert_int_equal(find(-1, 0, &l), 0);
	assert_int_equal(l.version, 0x030d00f0);
	assert_int_equal(l.chain.state_frame, 72);
	assert_int_equal(l.chain.state_first, 16);
	assert_int_equal(l.chain.state_bytes, 232 + 24 - 16);
	assert_int_equal(l.chain.frame_bytes, 72);
	/* What moved is followed; */
	assert_int_equal(find(STATE_FRAME, 80, &l), 0);
	assert_int_equal(l.chain.state_frame, 80);
	/* what cannot be is not. */
	assert_int_equal(find(STATE_FRAME, 300, &l), -EBADMSG);
	assert_int_equal(find(STATE_FRAME, UINT64_MAX - 3, &l), -EBADMSG);
	assert_int_equal(find(STATE_SIZE, 100, &l), -EBADMSG);
	assert_int_equal(find(FRAME_PREVIOUS, 124, &l), -EBADMSG);
	assert_int_equal(find(CODE_NAME, 128, &l), -EBADMSG);
	assert_int_equal(find(FREE_THREADED, 1, &l), -EOPNOTSUPP);
	assert_int_equal(find(0, 0x031000f0, &l), -ENOENT);
	assert_int_equal(find(0, 0x030c00f0, &l), -EBADMSG); /* 3.12 has none */
	assert_int_equal(pp_pylayout_find(PP_PYVERSION(3, 13), "", 0, &l), -EBADMSG);
}

static void versions_are_known_or_not(_unused_ void **state)
{
	struct pp_pylayout l;

	for (uint32_t minor = 8; minor <= 12; minor++) {
		assert_int_equal(pp_pylayout_find(PP_PYVERSION(3, minor), "", 0, &l), 0);
		assert_true(l.chain.state_bytes && l.chain.frame_bytes);
	}
	assert_int_equal(pp_pylayout_find(PP_PYVERSION(3, 7), "", 0, &l), -ENOENT);
	assert_int_equal(pp_pylayout_find(PP_PYVERSION(3, 16), "", 0, &l), -ENOENT);
	assert_int_equal(pp_pylayout_find(PP_PYVERSION(2, 7), "", 0, &l), -ENOENT);
	assert_int_equal(pp_pylayout_find(0, "", 0, &l), -ENOENT);
}

/* ---- Live interpreters ----------------------------------------------------------------------- */

static sd_event *event;
static struct pp_reader *reader;
static struct {
	bool done;
	int error;
	struct pp_inspected inspected;
} got;

static void on_inspected(_unused_ void *userdata, int error, const struct pp_inspected *i)
{
	got.done = true;
	got.error = error;
	if (!error)
		got.inspected = *i;
}

static int inspect(pid_t pid, const struct pp_inspect *what)
{
	struct pp_target target = { .pid = pid, .start_ticks = PP_TICKS_UNKNOWN };
	uint64_t until = pp_now_ns() + WAIT_MS * NSEC_PER_MSEC;
	int r;

	memset(&got, 0, sizeof(got));
	r = pp_reader_inspect(reader, target, what, on_inspected, NULL);
	if (r < 0)
		return r;
	while (!got.done && pp_now_ns() < until)
		assert_true(sd_event_run(event, 20 * USEC_PER_MSEC) >= 0);
	return got.done ? got.error : -ETIMEDOUT;
}

/* What the file mapped there says of a runtime in it. */
static bool look_into(pid_t pid, const char *line, struct pp_inspect *ret)
{
	_cleanup_close_ int fd = -1;
	_cleanup_elf_ struct pp_elf *elf = NULL;
	unsigned long start, end, offset;
	struct pp_elf_info info;
	char prot[8], path[64];

	if (sscanf(line, "%lx-%lx %7s %lx", &start, &end, prot, &offset) != 4 || prot[2] != 'x')
		return false;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", pid, start, end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pp_elf_new_fd(&elf, fd) < 0 || pp_identify(elf, &info) < 0 ||
	    !info.python.runtime)
		return false;
	for (uint32_t i = 0; i < info.nr_segments; i++)
		if (info.segments[i].flags & PF_X &&
		    info.segments[i].offset / 4096 * 4096 == offset) {
			uint64_t bias = start - info.segments[i].address / 4096 * 4096;

			*ret = (struct pp_inspect){ .runtime = info.python.runtime + bias,
						    .code_type = info.python.code_type + bias,
						    .next_code = info.python.next_code,
						    .version = info.python.version };
			if (ret->next_code)
				ret->next_code += bias;
			return true;
		}
	return false;
}

static bool find_runtime(pid_t pid, struct pp_inspect *ret)
{
	char path[64], line[512];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = look_into(pid, line, ret);
	if (f)
		fclose(f);
	return found;
}

/* Starts a Python of this version that says that it runs, by the number of the code object that it
 * has made last (3.12 and later); NULL where there is none here. */
static FILE *start(uint32_t minor, pid_t *ret, uint32_t *ret_last)
{
	static const char format[] =
		"command=$(tests/provision/python 3.%u 2>/dev/null) || exit 77; eval exec "
		"\"$command\" "
		"-c \"'import os; memory = os.open(\\\"/proc/self/mem\\\", 0); "
		"code = compile(\\\"1\\\", \\\"\\\", \\\"exec\\\"); "
		"number = os.pread(memory, 4, id(code) + 92); "
		"print(int.from_bytes(number, \\\"little\\\"), flush=True); os.read(0, 1)'\"";
	char command[512], line[64];
	int in[2], out[2];
	FILE *f;

	assert_return_code(pipe2(in, O_CLOEXEC), errno);
	assert_return_code(pipe2(out, O_CLOEXEC), errno);
	snprintf(command, sizeof(command), format, minor);
	*ret = fork();
	if (!*ret) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/bin/bash", "bash", "-c", command, NULL);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	f = fdopen(out[0], "r");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) && sscanf(line, "%u", ret_last) == 1)
		return f; /* in[1] closes with this program, and so does the Python */
	fclose(f);
	close(in[1]);
	waitpid(*ret, NULL, 0);
	return NULL;
}

/* Where the numbers come from is where the last one came from; a few may be functions'. */
static void assert_numbers(pid_t pid, uint32_t minor, uint32_t last)
{
	uint64_t address = got.inspected.runtime.next_code;
	_cleanup_close_ int mem = -1;
	uint64_t image;
	uint32_t next;
	char path[64];

	assert_int_equal(got.inspected.interp.next_code, address);
	if (minor < 12)
		assert_int_equal(address, 0);
	if (!address && minor <= 12) /* 3.12's has a name only where the file has its symbols */
		return;
	assert_int_equal(!got.inspected.interp.numbered_interp, minor == 12);
	assert_int_equal(!got.inspected.runtime.interpreters, minor == 12);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(mem, &next, sizeof(next), (off_t)address), sizeof(next));
	assert_in_range(next, last + 1, last + 8);
	/* And by that word the program is known, from its memory. */
	assert_int_equal(pread(mem, &image, sizeof(image), (off_t)got.inspected.runtime.image_at),
			 sizeof(image));
	assert_true(image && image == got.inspected.runtime.image);
}

/* `minor` is the test's state: known is where the runtime is, and nothing else need be. */
static void an_interpreter_is_inspected(void **state)
{
	uint32_t minor = (uint32_t)(uintptr_t)*state;
	struct pp_inspect what = { 0 }, silent;
	uint32_t last = 0;
	pid_t pid;
	FILE *f;

	if (geteuid() != 0)
		skip();
	f = start(minor, &pid, &last);
	if (!f)
		skip();
	assert_true(find_runtime(pid, &what));
	assert_int_equal(what.version >> 16, PP_PYVERSION(3, minor) >> 16);
	assert_int_equal(inspect(pid, &what), 0);
	assert_int_equal(got.inspected.answer, PP_INSPECT_OK);
	assert_int_equal(got.inspected.runtime.code_type, what.code_type);
	assert_true(got.inspected.interp.slot[0]);
	assert_numbers(pid, minor, last);
	/* The type of code objects is found by its name, */
	silent = what;
	silent.code_type = 0;
	assert_int_equal(inspect(pid, &silent), 0);
	assert_int_equal(got.inspected.answer, PP_INSPECT_OK);
	assert_int_equal(got.inspected.runtime.code_type, what.code_type);
	/* and the version, where files have no symbols but the runtime's section, by what fits. */
	if (minor >= 10) {
		silent.version = 0;
		assert_int_equal(inspect(pid, &silent), 0);
		assert_int_equal(got.inspected.answer, PP_INSPECT_OK);
		assert_int_equal(got.inspected.runtime.version >> 16, what.version >> 16);
	}
	/* Another version than it is does not pass. */
	what.version = PP_PYVERSION(3, minor <= 10 ? 11 : 8);
	assert_int_equal(inspect(pid, &what), 0);
	if (minor < 13)
		assert_int_not_equal(got.inspected.answer, PP_INSPECT_OK);
	what.runtime += 4096;
	assert_int_equal(inspect(pid, &what), 0);
	assert_int_not_equal(got.inspected.answer, PP_INSPECT_OK);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fclose(f);
}

#define LIVE(minor)                                                                                \
	{                                                                                          \
		"an_interpreter_is_inspected: 3." #minor, an_interpreter_is_inspected, NULL, NULL, \
			(void *)minor                                                              \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptions_are_checked),
		cmocka_unit_test(versions_are_known_or_not),
		LIVE(8),
		LIVE(9),
		LIVE(10),
		LIVE(11),
		LIVE(12),
		LIVE(13),
		LIVE(14),
		LIVE(15),
	};
	int r;

	/* The reader is this program, started anew as a child. */
	if (argc == 3 && !strcmp(argv[1], "--child"))
		return pp_reader_main(PP_CHILD_SOCKET);
	if (sd_event_new(&event) < 0 || pp_reader_new(&reader, event) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	reader = pp_reader_free(reader);
	sd_event_unref(event);
	return r;
}
