/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reader: a child process that looks at other processes' files, so that a file system which
 * never answers stops it and not the daemon. This is its entry point and the daemon's side.
 *
 * Each call names a target by pid and start time; the answer is -ESRCH when the pid is gone or
 * belongs to another process by now. A target whose file did not answer in time is *stuck* and is
 * not asked again (-EBUSY), until pp_reader_forget. A user whose processes do that again and again
 * is not served for a while (-EBUSY too), so that the reader's time stays with the others.
 *
 * Callbacks come from the event loop, exactly once for each call that returned 0. Pointers in a
 * result live until the callback returns; a descriptor is taken by setting *fd to -1.
 */
#pragma once

#include "base/filekey.h"
#include "base/macro.h"
#include "bpf/pp_types.h"
#include "proc/code.h"
#include "proc/process.h"

#include <systemd/sd-event.h>

#define PP_READ_MAX	   (120 * KIB) /* bytes of one pp_reader_read */
#define PP_BUILD_ID_MAX	   20
#define PP_READER_PATH_MAX 4096

struct pp_target {
	pid_t pid;
	uint64_t start_ticks; /* or PP_TICKS_UNKNOWN: whoever has the pid now */
	uid_t uid;	      /* whom to blame; 0: root, or not known */
};

static inline struct pp_target pp_process_target(const struct pp_process *p)
{
	return (struct pp_target){ p->pid, p->start_ticks, p->ruid };
}

/* Start time in clock ticks, as /proc/PID/stat has it, of a start in ns of CLOCK_BOOTTIME. */
uint64_t pp_start_ticks(uint64_t start_ns);

/* The child's main (role "reader"); returns the exit code. */
int pp_reader_main(int sock);

struct pp_reader;
int pp_reader_new(struct pp_reader **ret, sd_event *event);
struct pp_reader *pp_reader_free(struct pp_reader *r);
PP_DEFINE_CLEANUP(struct pp_reader *, pp_reader_free)

bool pp_reader_is_stuck(const struct pp_reader *r, struct pp_target target);
/* The process is gone: its pid may be asked about again. */
void pp_reader_forget(struct pp_reader *r, pid_t pid);

/* Closes an envelope, in the child, as this may be the last of it. uid: whom to blame. Where the
 * child does not take it it is kept, and offered again whenever pp_reader_tend is called; one that
 * is still there when the daemon ends is the kernel's to close. */
void pp_reader_discard(struct pp_reader *r, uid_t uid, int envelope);
void pp_reader_tend(struct pp_reader *r);

/* ---- What /proc says about a process -------------------------------------------------------- */

struct pp_scan {
	uint64_t start_ticks;
	pid_t ppid, nspid;
	uid_t ruid, euid, suid, fsuid;
	bool dumpable;
	bool kernel_thread;
	char comm[16];
	const char *cmdline; /* NULs are spaces; "" where there is none */
	const char *exe;    /* as readlink says it, " (deleted)" included; "" where there is none */
	const char *cgroup; /* text of /proc/PID/cgroup */
	const char *maps;   /* the executable lines of /proc/PID/maps; see proc/maps.h */
	size_t maps_len;
	uint32_t maps_cut; /* executable mappings beyond PP_MAPPINGS_MAX */
};
typedef void (*pp_reader_scan_fn)(void *userdata, int error, const struct pp_scan *scan);
int pp_reader_scan(struct pp_reader *r, struct pp_target target, pp_reader_scan_fn fn,
		   void *userdata);

/* ---- Which file is mapped there -------------------------------------------------------------- */

struct pp_identity {
	struct pp_file_key key;
	int64_t mtime_ns;
};
/* -ENOENT: neither the mapping nor the path leads to the mapped file any more. -EINVAL: not a
 * regular file. *fd is an envelope with the file, open for reading, where want_fd was set. */
typedef void (*pp_reader_identify_fn)(void *userdata, int error, const struct pp_identity *id,
				      int *fd);
int pp_reader_identify(struct pp_reader *r, struct pp_target target, const struct pp_map *map,
		       bool want_fd, pp_reader_identify_fn fn, void *userdata);

/* ---- Perf maps ------------------------------------------------------------------------------- */

enum pp_perfmap_answer {
	PP_PERFMAP_DUMP, /* a jitdump that the process holds open or maps */
	PP_PERFMAP_HELD, /* the process holds it open */
	PP_PERFMAP_PATH, /* found by its path in the process's root */
	/* Refused: */
	PP_PERFMAP_MISSING,
	PP_PERFMAP_NOT_REGULAR,
	PP_PERFMAP_FOREIGN, /* another user's */
	PP_PERFMAP_LINKS,   /* has other hard links */
	PP_PERFMAP_SYMLINK,
	PP_PERFMAP_UNREADABLE,
	PP_PERFMAP_DUMP_REFUSED, /* nor is its perf map any better */
	PP_PERFMAP_ANSWERS,
};
/* One line for people, NULL for the first three. */
const char *pp_perfmap_answer_text(enum pp_perfmap_answer a);

struct pp_perfmap_found {
	enum pp_perfmap_answer answer;
	uint64_t start_ticks; /* whose it is: for a target whose start was not known */
	pid_t nspid;
	uid_t euid;
	struct pp_file_key key;
	const char *path; /* in the target's root; of a held one as the link says it */
};
/* *fd pins the file (O_PATH): it is for pp_reader_read. */
typedef void (*pp_reader_perfmap_fn)(void *userdata, int error,
				     const struct pp_perfmap_found *found, int *fd);
/* jitdump: it is said to have one, which then goes before its perf map. */
int pp_reader_perfmap(struct pp_reader *r, struct pp_target target, bool jitdump,
		      pp_reader_perfmap_fn fn, void *userdata);

/* One chunk of what fd pins at offset, at most PP_READ_MAX bytes. size: the file's now. */
typedef void (*pp_reader_read_fn)(void *userdata, int error, uint64_t size, const void *data,
				  size_t len);
int pp_reader_read(struct pp_reader *r, struct pp_target target, int fd, uint64_t offset,
		   size_t len, pp_reader_read_fn fn, void *userdata);

/* ---- Python's runtime ------------------------------------------------------------------------ */

/* What the worker found in the file that the process maps, at this process's addresses. */
struct pp_inspect {
	uint64_t runtime;   /* of _PyRuntime */
	uint64_t code_type; /* of PyCode_Type; 0: not known */
	uint64_t next_code; /* as in elf/info.h; 0: not known */
	uint32_t version;   /* 0: not known */
};

/* Why an interpreter's frames cannot be walked: X(name, text). */
#define PP_INSPECT_REFUSALS(X)                                                 \
	X(EARLY, "its interpreter runs nothing")                               \
	X(VERSION, "this version's frames are not known")                      \
	X(FREE_THREADED, "free-threaded builds of this version are not known") \
	X(LAYOUT, "its interpreter is not laid out as its version's is")       \
	X(LIBC, "its C library is not glibc")                                  \
	X(SLOT, "where its threads keep their state was not found")            \
	X(UNREADABLE, "its memory could not be read")                          \
	/* Not by inspection: */                                               \
	X(LAYOUTS, "its user runs too many unlike interpreters")               \
	X(STRIPPED, "no interpreter was found in its files")                   \
	X(PYPY, "PyPy's frames are not known")

enum pp_inspect_answer {
	PP_INSPECT_OK,
#define X(name, text) PP_INSPECT_##name,
	PP_INSPECT_REFUSALS(X) PP_INSPECT_ANSWERS,
#undef X
};
/* One line for people, NULL for OK. */
const char *pp_inspect_answer_text(enum pp_inspect_answer a);

/* With OK: the layout, checked on the living process, where threads keep their state
 * (interp.layout is left 0), and what the reader needs for its code objects. */
struct pp_inspected {
	enum pp_inspect_answer answer;
	struct pp_interp interp;
	struct pp_layout layout;
	struct pp_code_runtime runtime;
};
typedef void (*pp_reader_inspect_fn)(void *userdata, int error,
				     const struct pp_inspected *inspected);
int pp_reader_inspect(struct pp_reader *r, struct pp_target target, const struct pp_inspect *what,
		      pp_reader_inspect_fn fn, void *userdata);

/* ---- What keeps a Python from being named ---------------------------------------------------- */

/* The state of a process's /tmp. */
enum pp_tmp {
	PP_TMP_UNKNOWN, /* not looked at, or it could not be told */
	PP_TMP_GOOD,	/* its user may make files there */
	PP_TMP_MISSING, /* none, or no directory */
	PP_TMP_READ_ONLY,
	PP_TMP_DENIED, /* by owner and mode, as far as those say */
	PP_TMP_FULL,
	PP_TMP_MAX,
};

/* Bytes of code around a place in a stub: the longest stub has 15, and stands 32 from the next. */
#define PP_CODE_MAX 64

struct pp_examined {
	enum pp_tmp tmp;
	int64_t map_bytes; /* size of the map that was handed over, -1: none was */
	const uint8_t *code;
	size_t code_len; /* 0: it could not be read */
};
typedef void (*pp_reader_examine_fn)(void *userdata, int error, const struct pp_examined *e);
/* code: len bytes of the target's memory, at most PP_CODE_MAX; len 0: none. map_fd: its open perf
 * map, or -1. */
int pp_reader_examine(struct pp_reader *r, struct pp_target target, uint64_t code, size_t len,
		      int map_fd, pp_reader_examine_fn fn, void *userdata);

/* ---- Debug files ----------------------------------------------------------------------------- */

struct pp_debugfile {
	uint8_t build_id[PP_BUILD_ID_MAX];
	size_t build_id_len;   /* 0: none */
	const char *debuglink; /* file name from .gnu_debuglink, or NULL */
	const char *directory; /* of the object, in the target's root; with debuglink */
};
/* -ENOENT: none. The file's build-id or checksum is not looked at: the worker does. *fd: an
 * envelope. */
typedef void (*pp_reader_debugfile_fn)(void *userdata, int error, int *fd);
int pp_reader_debugfile(struct pp_reader *r, struct pp_target target,
			const struct pp_debugfile *what, pp_reader_debugfile_fn fn, void *userdata);

/* ---- Code objects ---------------------------------------------------------------------------- */

/* Items of one call, and bytes of one name; what is longer is cut. */
#define PP_CODE_ITEMS_MAX 1024
#define PP_CODE_TEXT_MAX  (64 * KIB)

struct pp_code_item {
	uint64_t code, position; /* as the interpreter's frame has them; see proc/code.h */
	uint32_t known;		 /* the number of one whose name is known; 0: none */
	uint32_t pad;
};

enum pp_code_error {
	PP_CODE_FOUND,
	PP_CODE_KNOWN,	    /* that one is still there: nothing more is said */
	PP_CODE_ASTRAY,	    /* the position is not in it: another code object by now */
	PP_CODE_UNREADABLE, /* no memory there */
	PP_CODE_NOT_CODE,   /* no code object there (any more) */
	PP_CODE_CHANGED,    /* it was freed while it was read */
	PP_CODE_BAD_NAME,   /* its name or file is no string */
	PP_CODE_ERRORS,
};

struct pp_code_info {
	enum pp_code_error error;
	/* Up to ASTRAY: the number that it got when it was made (0: none), and its print as BPF
	 * makes it. */
	uint32_t number, print;
	uint32_t line; /* 0: none */
	uint32_t first_line;
	/* UTF-8, with lone surrogates as the bytes that they stand for; any bytes, no NUL behind.
	 * name is the qualified one where the version has it. */
	const char *name, *file;
	size_t name_len, file_len;
};

struct pp_code_answer {
	/* The number of the next code object, before any of these were read. 0: not known, or there
	 * are interpreters that number their own. */
	uint32_t next_code;
	const struct pp_code_info *infos;
	size_t nr; /* of the items asked for, the first so many; the rest is to be asked again */
};

typedef void (*pp_reader_codes_fn)(void *userdata, int error, const struct pp_code_answer *answer);
/* What code objects a process has where. */
int pp_reader_codes(struct pp_reader *r, struct pp_target target,
		    const struct pp_code_runtime *runtime, const struct pp_code_item *items,
		    size_t nr, pp_reader_codes_fn fn, void *userdata);
