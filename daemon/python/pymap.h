/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One process's perf map, or jitdump, over its life: when to look for the file, when to read on,
 * what a sampled address is called and how sure that is. No I/O of its own: the caller asks what is
 * wanted, does it through the reader child and reports the outcome. All times are CLOCK_MONOTONIC
 * ns.
 *
 * CPython writes an entry before its code can run. So an address sampled at time t that has no
 * entry is *pending* until a read that started after t has reached the end of the file; only
 * then is its name known to be absent. The same goes for an address whose entry may be of another
 * time: its memory was mapped anew, it was inherited by a fork, the file may be older than the
 * process. After that read the last entry is the right one, for a process names what it runs.
 *
 * A jitdump's writer buffers. There such an address is *unflushed* from then on: its name may come
 * with any read, and comes at the latest when the writer has closed the file, so a process that
 * has ended is read once more.
 */
#pragma once

#include "proc/reader.h"
#include "python/growers.h"
#include "python/growth.h"
#include "python/perfmap.h"

/* Reads of one map are this far apart: at first, and when several in a row brought nothing. */
#define PP_PYMAP_INTERVAL_MIN_NS (20 * NSEC_PER_MSEC)
#define PP_PYMAP_INTERVAL_MAX_NS (250 * NSEC_PER_MSEC)
/* A file that was refused, or went silent while names are missing, is looked for again: soon at
 * first (the arena is there before the file is), then ever more rarely. */
#define PP_PYMAP_RETRY_MIN_NS (20 * NSEC_PER_MSEC)
#define PP_PYMAP_RETRY_MAX_NS (30 * NSEC_PER_SEC)
/* While retries are closer than this, names are pending; then absent until one succeeds. */
#define PP_PYMAP_PATIENCE_NS (1 * NSEC_PER_SEC)
/* One read asks for at most this much. */
#define PP_PYMAP_READ_MAX ((uint32_t)PP_READ_MAX)

/* A process that has a jitdump may have a perf map as well. One file is followed at a time, the
 * jitdump first; the names of both are kept. */
enum pp_pymap_format {
	PP_PYMAP_LINES, /* python/perfmap.h */
	PP_PYMAP_JITDUMP,
};

enum pp_pymap_state {
	PP_PYMAP_IDLE,	  /* nothing has asked for names yet */
	PP_PYMAP_WANTED,  /* to be looked for */
	PP_PYMAP_OPEN,	  /* the caller holds its descriptor */
	PP_PYMAP_REFUSED, /* no file that may be trusted; see the reason */
	PP_PYMAP_GONE, /* the process is gone; its file is read on as long as names are missing */
};

enum pp_pymap_reason {
	PP_PYMAP_OK,
	PP_PYMAP_MISSING,     /* no such file */
	PP_PYMAP_NOT_REGULAR, /* FIFO, device, directory, socket, symbolic link */
	PP_PYMAP_OWNER,	      /* owned by someone else than the process's user */
	PP_PYMAP_LINKS,	      /* has other names (hard links) */
	PP_PYMAP_FOREIGN,     /* a jitdump of another version or machine, or none */
	PP_PYMAP_DUMP,	      /* a jitdump that is no regular file, or another user's */
	PP_PYMAP_DENIED,      /* may not be opened or read */
	PP_PYMAP_STALE,	      /* not written to since the process began: another's leftover */
	PP_PYMAP_STUCK,	      /* reading did not come back in time */
	PP_PYMAP_ERROR,	      /* any other error */
	PP_PYMAP_REASON_MAX,
};

enum pp_pymap_answer {
	PP_PYMAP_NAMED,
	PP_PYMAP_PENDING,   /* ask again after the next report */
	PP_PYMAP_UNFLUSHED, /* as PENDING, but that may be long */
	PP_PYMAP_ABSENT,    /* there is no name for it */
	/* It had one and got another before the file was read, in memory that was mapped anew
	 * after it was sampled: lines carry no time, so its name cannot be known. */
	PP_PYMAP_AMBIGUOUS,
};

struct pp_pymap;

int pp_pymap_new(struct pp_pymap **ret, struct pp_perfmaps *all);
struct pp_pymap *pp_pymap_free(struct pp_pymap *p);
PP_DEFINE_CLEANUP(struct pp_pymap *, pp_pymap_free)

/* -- life of the process -- */

/* The process has an arena: its map is wanted, so that one that exits at once still leaves its
 * names. Asking for a name (pp_pymap_lookup) wants it too. */
void pp_pymap_want(struct pp_pymap *p);
/*
 * child is new and was forked off p at time fork_ns. It will see p's entries as of then: at once if
 * p's were read that far, else as soon as they are (the caller goes on reading p, even if p is
 * gone, as long as p wants it). Returns 0 or -ENOMEM.
 */
int pp_pymap_fork(struct pp_pymap *p, struct pp_pymap *child, uint64_t fork_ns);
/*
 * The process executed another program at exec_ns; next is new and is for that. If it turns out to
 * write to the same file, that is read from where p's last read before the exec had come to; a
 * jitdump is never continued. p is as after pp_pymap_exit.
 */
void pp_pymap_exec(struct pp_pymap *p, struct pp_pymap *next, uint64_t exec_ns);
/* The process made another file known (a jitdump): it is looked for at once. */
void pp_pymap_look_again(struct pp_pymap *p);
/*
 * The process has executable memory without a file at [start, end): since at_ns, as a record of the
 * kernel says, or (_seen) since whenever. An arena that is mapped where another was ends the names
 * of that one.
 */
void pp_pymap_mapped(struct pp_pymap *p, uint64_t start, uint64_t end, uint64_t at_ns);
void pp_pymap_seen(struct pp_pymap *p, uint64_t start, uint64_t end);
/* Records up to time_ns have been told. Until they are, a name that has just changed is pending:
 * the arena may have, too. */
void pp_pymap_told(struct pp_pymap *p, uint64_t time_ns);

/* Whether nothing more is to be told, nor a fork's child waits for what p's parent, or p, will
 * read. */
bool pp_pymap_rests(const struct pp_pymap *p);

/* The process exited. The descriptor stays good for names still missing; lines that came later are
 * not its own. */
void pp_pymap_exit(struct pp_pymap *p, uint64_t exit_ns);

/* -- what is wanted now: at most one request is in flight -- */

enum pp_pymap_action {
	PP_PYMAP_NOTHING,
	PP_PYMAP_DO_OPEN, /* find and open the file; report with _opened or _refused */
	PP_PYMAP_DO_READ, /* fstat + pread; report with _data or _failed */
};
struct pp_pymap_request {
	enum pp_pymap_action action;
	uint64_t offset; /* DO_READ */
	uint32_t len;	 /* DO_READ; 0: only the size is of interest */
	uint64_t due_ns; /* NOTHING: when to ask again; UINT64_MAX: after the next event */
};
/* What to do now. If the action is not NOTHING it is in flight from here on. */
void pp_pymap_next(struct pp_pymap *p, uint64_t now, struct pp_pymap_request *ret);

/* The file was opened. dev/ino tell whether it is the one held before: another is read from its
 * beginning, over the names there are. -ENOMEM: nothing has changed. */
int pp_pymap_opened(struct pp_pymap *p, enum pp_pymap_format format, uint64_t dev, uint64_t ino,
		    uint64_t now);
/* Another process was found to hold p's file as its own map (its pid inside is the same, and its
 * /tmp): it is read again from where p began, and names only what cannot be the other's. */
void pp_pymap_share(struct pp_pymap *p);
void pp_pymap_refused(struct pp_pymap *p, enum pp_pymap_reason why, uint64_t now);
/* The file is older than the process, and its size bytes are not its own. As _refused; what comes
 * behind them is taken when the same file is opened. */
void pp_pymap_stale(struct pp_pymap *p, uint64_t dev, uint64_t ino, uint64_t size, uint64_t now);
/* The file opened last may hold lines of another life, nobody knows which. */
void pp_pymap_doubt(struct pp_pymap *p);
/* Bytes from the offset asked for, as many as there were or fewer; size: the file's when read. Less
 * than the offset, or other bytes before it than were read there, mean that the file was truncated:
 * it is read again over the names there are. */
void pp_pymap_data(struct pp_pymap *p, uint64_t size, const void *data, size_t len, uint64_t now);
/* The request could not even be made (the reader's queue is full): ask again in a moment. */
void pp_pymap_busy(struct pp_pymap *p, uint64_t now);
/* The read failed; the file is looked for again, later. */
void pp_pymap_failed(struct pp_pymap *p, enum pp_pymap_reason why, uint64_t now);

/* -- names -- */

/* What address was called when sampled at time_ns. PENDING and UNFLUSHED make reads wanted. NAMED
 * and ABSENT hold until the generation changes. */
enum pp_pymap_answer pp_pymap_lookup(struct pp_pymap *p, uint64_t address, uint64_t time_ns,
				     struct pp_perfmap_entry *ret);
/* As pp_perfmap_replaced, and rising too when names were inherited or a file was found after all.
 */
uint64_t pp_pymap_generation(const struct pp_pymap *p);
/* PENDING answers may have changed since this number was last read. */
uint64_t pp_pymap_progress(const struct pp_pymap *p);

/* -- for people -- */

enum pp_pymap_state pp_pymap_state(const struct pp_pymap *p);
enum pp_pymap_reason pp_pymap_reason(const struct pp_pymap *p); /* of the last refusal */
const char *pp_pymap_reason_text(enum pp_pymap_reason why);
enum pp_pymap_format pp_pymap_format(const struct pp_pymap *p); /* of the file followed */
bool pp_pymap_holds(const struct pp_pymap *p, uint64_t dev, uint64_t ino);
bool pp_pymap_is_shared(const struct pp_pymap *p);
struct pp_perfmap *pp_pymap_map(const struct pp_pymap *p); /* for looking at */
uint64_t pp_pymap_offset(const struct pp_pymap *p);	   /* bytes of the file read so far */
/* What came in the last minute, apart from what was there when it was first read. */
struct pp_growth_rate pp_pymap_growth(struct pp_pymap *p, uint64_t now);
/* Whether one name keeps coming, and which; valid until p is fed again. */
struct pp_growth_alarm pp_pymap_alarm(struct pp_pymap *p, uint64_t now);
/* Makes a read wanted, so that what is said about p is of now; whether it is still to come. */
void pp_pymap_refresh(struct pp_pymap *p, uint64_t now);
bool pp_pymap_refreshing(const struct pp_pymap *p, uint64_t since);
