/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon and its reader say to each other. Both are the same binary, so the layouts are
 * plain structs; the bytes behind them come from other processes.
 *
 * A message is one of the structs below and its texts, each followed by a NUL. A text may be any
 * bytes.
 */
#pragma once

#include "base/buf.h"
#include "base/child.h"
#include "base/filekey.h"
#include "proc/reader.h"

enum pp_reader_op {
	PP_READER_SCAN,
	PP_READER_IDENTIFY,
	PP_READER_PERFMAP,
	PP_READER_READ,
	PP_READER_DEBUGFILE,
	PP_READER_CODES,
	PP_READER_INSPECT,
	PP_READER_EXAMINE,
	PP_READER_DISCARD, /* the request's descriptor; no target */
	PP_READER_OPS,
};

#define PP_READER_TEXTS 4

struct pp_reader_request {
	uint32_t op;
	int32_t pid;
	uint64_t start_ticks;
	uint32_t uid, pad;	       /* the target's; 0: root's, or not known */
	uint64_t start, end, dev, ino; /* IDENTIFY */
	uint64_t offset, len;	       /* READ; EXAMINE: of memory */
	uint32_t want_fd;	       /* IDENTIFY: a descriptor; PERFMAP: a jitdump first */
	uint32_t build_id_len;	       /* DEBUGFILE */
	uint8_t build_id[PP_BUILD_ID_MAX];
	struct pp_inspect inspect;	/* INSPECT */
	struct pp_code_runtime runtime; /* CODES */
	/* IDENTIFY: path; DEBUGFILE: link, directory; CODES: items */
	uint32_t text_len[PP_READER_TEXTS];
};

/* Texts of a scan's reply; READ's data, PERFMAP's path, CODES' records, INSPECT's struct and
 * EXAMINE's code are text 0. */
enum {
	PP_SCAN_CMDLINE,
	PP_SCAN_EXE,
	PP_SCAN_CGROUP,
	PP_SCAN_MAPS, /* empty where they come in a memory file */
};

struct pp_reader_reply {
	int32_t error;
	uint32_t answer; /* PERFMAP: enum pp_perfmap_answer; EXAMINE: enum pp_tmp */
	uint64_t start_ticks;
	int32_t ppid, nspid;
	uint32_t uids[4]; /* real, effective, saved, file system */
	uint8_t dumpable, kernel_thread;
	uint8_t pad[2];
	uint32_t maps_cut;
	char comm[16];
	struct pp_file_key key;
	int64_t mtime_ns;
	uint64_t size;		  /* READ: the file's */
	uint32_t next_code, pad3; /* CODES */
	uint32_t text_len[PP_READER_TEXTS];
	uint32_t pad2[2];
};

/* Bytes of one reply's texts: what a message holds beside the struct and the NULs. */
#define PP_READER_TEXT_MAX (PP_CHILD_MESSAGE_MAX - sizeof(struct pp_reader_reply) - PP_READER_TEXTS)
_Static_assert(PP_READ_MAX <= PP_READER_TEXT_MAX, "a chunk fits a message");
_Static_assert(2 * PP_CODE_TEXT_MAX + KIB <= PP_READER_TEXT_MAX, "so does a code object");

/* One item's answer in CODES' reply; name and file follow, without NULs. */
struct pp_code_record {
	uint32_t number, print;
	uint32_t error; /* enum pp_code_error */
	uint32_t line, first_line;
	uint32_t name_len, file_len;
	uint32_t words; /* of what is lasting in the code object: the child's own */
};

/* Executable mappings' text beyond this is cut: a path may be 4 KiB long, four thousand times. */
#define PP_SCAN_MAPS_MAX (4 * MIB)
#define PP_SCAN_TEXT_MAX 4096 /* cmdline */
/* A line for each of v1's hierarchies; Kubernetes in a container makes paths of 300 bytes. */
#define PP_SCAN_CGROUP_MAX (16 * KIB)

/* ---- The child's side ------------------------------------------------------------------------ */

/* A target, opened: a descriptor of /proc/PID that stays with this process (struct pid, in the
 * kernel's words), so what is reached through it can never be another that got the same pid. */
struct pp_opened {
	int dir;
	pid_t pid, ppid, nspid;
	uint64_t start_ticks;
	uint32_t uids[4];
	bool kernel_thread;
	char comm[16];
};

/* A reply in the making. */
struct pp_reader_answer {
	struct pp_reader_reply head;
	struct pp_buf text; /* texts so far, each with its NUL */
	size_t nr_texts;
	int fd; /* goes with the reply, or -1 */
};

/* Opens and checks the target. 0, -ESRCH (gone, or not that one). */
int pp_reader_open(struct pp_opened *ret, struct pp_target target);
void pp_reader_close(struct pp_opened *o);

/* Whether it is this user's alone. */
bool pp_reader_is_users(const struct pp_opened *o, uint32_t uid);

/* Adds the next text. */
int pp_reader_add_text(struct pp_reader_answer *a, const void *text, size_t len);

/* A file below dir, at most max bytes of it, into out. */
int pp_reader_slurp(int dir, const char *name, size_t max, struct pp_buf *out);

/*
 * Opens path within root (a directory's fd; nothing leads out of it), without touching anything but
 * regular files: -ELOOP for a symlink at its end unless follow is set, -EINVAL for what is not
 * regular. Returns an O_PATH fd and its stat.
 */
int pp_reader_find(int root, const char *path, bool follow, struct stat *ret_st);
/* A descriptor for reading of what an O_PATH one stands for. */
int pp_reader_reopen(int path_fd);
/* The same for the worker: an envelope. -EREMOTE for a file of a FUSE server, which would keep the
 * worker waiting; an overlay over one is not told from others. */
int pp_reader_hand_out(int path_fd);

int pp_reader_do_scan(const struct pp_opened *o, struct pp_reader_answer *a);
/* o->dir is -1 where the target is gone: what can be had without it is. */
int pp_reader_do_identify(const struct pp_opened *o, const struct pp_reader_request *q,
			  const char *path, struct pp_reader_answer *a);
int pp_reader_do_perfmap(const struct pp_opened *o, const struct pp_reader_request *q,
			 struct pp_reader_answer *a);
int pp_reader_do_read(const struct pp_reader_request *q, int pinned, struct pp_reader_answer *a);
int pp_reader_do_inspect(const struct pp_opened *o, const struct pp_inspect *what,
			 struct pp_reader_answer *a);
int pp_reader_do_examine(const struct pp_opened *o, const struct pp_reader_request *q, int map_fd,
			 struct pp_reader_answer *a);
int pp_reader_do_debugfile(const struct pp_opened *o, const struct pp_reader_request *q,
			   const char *link, const char *directory, struct pp_reader_answer *a);
int pp_reader_do_codes(const struct pp_opened *o, const struct pp_reader_request *q,
		       const struct pp_code_item *items, size_t nr, struct pp_reader_answer *a);
