/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames: resolved pcs, each kept once and known by a number. A frame whose name is still being
 * looked up is *pending*: it has a number of its own at once, so that samples need not wait, and
 * once the name is there it becomes an alias of the frame that has it. Every reader goes through
 * pp_frames_final(), so counts made under either number meet.
 */
#pragma once

#include "base/buf.h"
#include "strings.h"

enum pp_kind {
	PP_KIND_UNKNOWN,
	PP_KIND_NATIVE,
	PP_KIND_PYTHON,
	PP_KIND_KERNEL,
	PP_KIND_JIT,
	/* No code: what sets of attributes are made of (attributes.h). */
	PP_KIND_STATES,
	PP_KIND_THREAD,
	PP_KIND_MAX,
};

/* Frames that are always there. */
#define PP_FRAME_UNKNOWN 0 /* of which nothing is known */
#define PP_FRAME_SHIM	 1 /* the interpreter's own, no function's: left out of what is shown */

struct pp_frame {
	union {
		uint64_t offset; /* where name == 0: the ELF address (kernel: the address) */
		struct {
			uint32_t line;	     /* where name != 0: in file, 0: not known */
			uint32_t first_line; /* of the function, 0: not known */
		};
	};
	uint32_t name;	 /* string ids; name: Python's qualified name, a symbol; 0: unnamed */
	uint32_t file;	 /* source file, 0: not known; where name == 0: a note on that */
	uint32_t module; /* path of the ELF file, or the mapping's name */
	uint8_t kind;	 /* enum pp_kind */
	uint8_t state;	 /* private to frames.c */
};

struct pp_frames;

int pp_frames_new(struct pp_frames **ret, struct pp_strings *strings, size_t max);
struct pp_frames *pp_frames_free(struct pp_frames *f);
PP_DEFINE_CLEANUP(struct pp_frames *, pp_frames_free)

/* The frame with this name. Returns 0, -ENOSPC (limit; counted) or -ENOMEM. */
int pp_frames_get(struct pp_frames *f, enum pp_kind kind, uint32_t name, uint32_t file,
		  uint32_t module, uint32_t *ret);

/* The same at a line of a function that begins at first_line; 0: not known. */
int pp_frames_get_line(struct pp_frames *f, enum pp_kind kind, uint32_t name, uint32_t file,
		       uint32_t module, uint32_t line, uint32_t first_line, uint32_t *ret);

/* The frame of a pc that has no name and will get none: shown as module + offset. (A Python frame's
 * address says nothing to anybody: all unnamed Python frames are one.) */
int pp_frames_unnamed(struct pp_frames *f, enum pp_kind kind, uint32_t module, uint64_t offset,
		      uint32_t *ret);

/* A new frame, one per call, whose name is being looked up; it looks like an unnamed one meanwhile.
 * It stays until it is resolved or given up, which its maker must do. */
int pp_frames_pending(struct pp_frames *f, enum pp_kind kind, uint32_t module, uint64_t offset,
		      uint32_t *ret);

/* Pending frame `id` is shown with a note: its name may come late, or never. */
void pp_frames_set_note(struct pp_frames *f, uint32_t id, uint32_t note);

/* Makes pending frame `id` an alias of `final`. -EINVAL where id is not pending or final is an
 * alias of it. The alias lives on as long as something marks it. */
int pp_frames_resolve(struct pp_frames *f, uint32_t id, uint32_t final);
/* There is no name: pending frame `id` stays what it looks like, its note included. */
int pp_frames_give_up(struct pp_frames *f, uint32_t id);

/* The frame that id stands for now. */
uint32_t pp_frames_final(struct pp_frames *f, uint32_t id);
/* Its description; an id that is not in use is PP_FRAME_UNKNOWN. Valid until the next call that
 * makes a frame. */
const struct pp_frame *pp_frames_describe(struct pp_frames *f, uint32_t id);
/* Whether id, as it stands now, is waiting for its name. */
bool pp_frames_is_pending(struct pp_frames *f, uint32_t id);

size_t pp_frames_count(const struct pp_frames *f); /* in use, aliases included */
size_t pp_frames_count_pending(const struct pp_frames *f);
size_t pp_frames_bytes(const struct pp_frames *f);
uint32_t pp_frames_bound(const struct pp_frames *f); /* every id is below */

/* Collection (see store.h). Pending frames need no mark. A sweep marks the strings it keeps. */
void pp_frames_mark(struct pp_frames *f, uint32_t id);
void pp_frames_sweep(struct pp_frames *f);
bool pp_frames_is_live(const struct pp_frames *f, uint32_t id);
