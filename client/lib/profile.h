/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A profile in the client's memory: processes, stacks as a trie of frames, and what was counted on
 * them. The readers (pprof, Watch) fill it, the writers and views read it.
 *
 * Names come from other people's processes or files. They are cleaned once, on the way in: every
 * text of a profile is valid UTF-8 without control characters, and a backslash in it is always the
 * start of \xHH (lower-case hex), which stands for a byte that was none of that. So a writer may
 * print any text as it is.
 */
#pragma once

#include "attribute.h"
#include "base/buf.h"
#include "base/u64map.h"

/* Bounds of what is kept in memory; far above what the daemon sends, they stop a hostile file. */
#define PP_PROFILE_TEXTS_MAX	 (4U << 20)
#define PP_PROFILE_FRAMES_MAX	 (4U << 20)
#define PP_PROFILE_NODES_MAX	 (16U << 20)
#define PP_PROFILE_ENTRIES_MAX	 (16U << 20)
#define PP_PROFILE_PROCESSES_MAX (1U << 20)
#define PP_PROFILE_SETS_MAX	 (4U << 20) /* of attributes */
/* Bytes of one text; a longer one is refused. The daemon's longest is py::NAME:FILE, both of 64 KiB
 * and every byte of them escaped by four. */
#define PP_PROFILE_TEXT_MAX (1U * MIB)

enum pp_kind {
	PP_KIND_NATIVE,
	PP_KIND_PYTHON,
	PP_KIND_KERNEL,
	PP_KIND_JIT,
	PP_KIND_UNKNOWN,
	PP_KIND_NOTE, /* not code: says something about the stack, such as where it was cut */
};

/* Frames that every profile has. */
enum {
	PP_FRAME_NONE,	  /* no frame: what node 0, the root of all stacks, has */
	PP_FRAME_OUTSIDE, /* stands for a stack without a Python frame in a view of those only */
	PP_FRAME_HIDDEN,  /* stands for a stack of which a view hides every frame */
	PP_FRAME_FIRST,	  /* the first one of the profile's own */
};

/* name, file and module are texts. */
struct pp_frame {
	uint32_t kind; /* enum pp_kind */
	uint32_t name, file, module;
	uint32_t line; /* in file, 0: not known, or the whole function */
};

/* A frame called by the frames of its parent; node 0 is above every thread's root. */
struct pp_node {
	uint32_t parent, frame;
};

struct pp_process {
	int64_t id; /* the daemon's number for this life of the pid */
	int64_t pid;
	uint32_t comm, unit, slice, container, pod; /* texts */
};

struct pp_entry {
	uint32_t process;    /* index */
	uint32_t node;	     /* the leaf */
	uint32_t note;	     /* frame that says why the stack is not complete, or PP_FRAME_NONE */
	uint32_t attributes; /* index; 0: nothing is said */
	uint64_t samples;
	uint64_t cpu_ns;
};

struct pp_profile {
	struct pp_frame *frames;
	uint32_t *functions; /* by frame: the one that is the same without a line */
	struct pp_node *nodes;
	struct pp_process *processes;
	struct pp_attributes *attributes; /* each set once */
	struct pp_entry *entries;
	size_t nr_frames, nr_nodes, nr_processes, nr_attributes, nr_entries;
	uint64_t samples, cpu_ns, truncated;	  /* sums over the entries; truncated in samples */
	uint64_t time_ns, duration_ns, period_ns; /* of the whole, 0 where not known */

	/* private to profile.c */
	size_t frames_cap, functions_cap, nodes_cap, processes_cap, attributes_cap, entries_cap;
	uint32_t *texts; /* offsets in pool */
	size_t nr_texts, texts_cap;
	struct pp_buf pool;
	struct pp_u64map text_ids, frame_ids, node_ids, process_ids, set_ids, entry_ids;
};

int pp_profile_new(struct pp_profile **ret);
struct pp_profile *pp_profile_free(struct pp_profile *p);
PP_DEFINE_CLEANUP(struct pp_profile *, pp_profile_free)

/*
 * Each finds or makes the thing and gives its index. Errors: -ENOSPC (a bound above), -ENOMEM,
 * -EINVAL (an index that does not exist).
 */
int pp_profile_add_text(struct pp_profile *p, const char *text, size_t len, uint32_t *ret);
int pp_profile_add_frame(struct pp_profile *p, const struct pp_frame *frame, uint32_t *ret);
int pp_profile_add_node(struct pp_profile *p, uint32_t parent, uint32_t frame, uint32_t *ret);
/* By id; the facts given last count. */
int pp_profile_add_process(struct pp_profile *p, const struct pp_process *process, uint32_t *ret);

int pp_profile_add_attributes(struct pp_profile *p, const struct pp_attributes *attributes,
			      uint32_t *ret);

/* The process of this id, if there is one. */
bool pp_profile_find_process(const struct pp_profile *p, int64_t id, uint32_t *ret);

/* Adds to what is counted on (process, node, note, attributes). */
int pp_profile_add_entry(struct pp_profile *p, const struct pp_entry *entry);
/* Forgets all counts, keeps frames, nodes and processes. */
void pp_profile_clear_entries(struct pp_profile *p);

/* Forgets the entries that keep() refuses. */
int pp_profile_filter(struct pp_profile *p,
		      bool (*keep)(const struct pp_profile *p, const struct pp_entry *e, void *arg),
		      void *arg);

/* The note "[truncated: REASON]". */
int pp_profile_add_truncated(struct pp_profile *p, const char *reason, size_t len, uint32_t *ret);

/* Text 0 is "". Valid until the next text is added. */
static inline const char *pp_profile_text(const struct pp_profile *p, uint32_t text)
{
	return (const char *)p->pool.data + p->texts[text];
}

/* An entry's attribute, "" where nothing is said of it. */
static inline const char *pp_profile_attribute(const struct pp_profile *p, const struct pp_entry *e,
					       enum pp_attribute a)
{
	return pp_profile_text(p, p->attributes[e->attributes].texts[a]);
}

/*
 * Appends a frame as people see it: `py::QUALNAME:FILE` for a Python function,
 * `py::QUALNAME:FILE:LINE` for a line of one, otherwise the bare name; `[unknown]` where there is
 * nothing.
 */
int pp_profile_symbol(const struct pp_profile *p, uint32_t frame, struct pp_buf *out);

/* The last component of the frame's module: what perf calls the shared object. */
const char *pp_profile_object(const struct pp_profile *p, uint32_t frame);

/* What an entry weighs: CPU time where the profile has it, else samples. */
static inline uint64_t pp_profile_weight(const struct pp_profile *p, const struct pp_entry *e)
{
	return p->cpu_ns ? e->cpu_ns : e->samples;
}

static inline uint64_t pp_profile_total(const struct pp_profile *p)
{
	return p->cpu_ns ?: p->samples;
}
