/* SPDX-License-Identifier: GPL-2.0-only */
#include "states.h"

#include "base/counters.h"
#include "codes.h"
#include "elf/object.h"
#include "profile/attributes.h"
#include "pythons.h"

#include <string.h>

/*
 * Names of threads that a process may have kept: at once, for the largest pools there are, and
 * then each second, for those that name every thread anew. In the ten minutes that samples are held
 * it comes to 2,000 a process.
 */
#define THREAD_NAMES_MAX     1024
#define THREAD_NAMES_PER_MIN 100
#define NSEC_PER_THREAD_NAME (60 * NSEC_PER_SEC / THREAD_NAMES_PER_MIN)

/* Between taking the GIL and what that does in the C library: what is further out is not looked at.
 */
#define TAKER_DEPTH_MAX 8U

/* ---- The GIL --------------------------------------------------------------------------------- */

/* Whether the pc is in a function that takes the GIL. */
static bool is_taker(const struct pp_process *p, uint64_t pc)
{
	const struct pp_map *map = pp_process_map_at(p, pc);
	const struct pp_object *o = map ? map->object : NULL;
	uint64_t address;

	if (!o || o->state != PP_OBJECT_READY || !o->info.python.runtime ||
	    !pp_object_address(o, pc - map->start + map->pgoff, &address))
		return false;
	for (size_t i = 0; i < PP_ELF_TAKERS; i++)
		if (pp_elf_range_has(&o->info.python.takers[i], address))
			return true;
	return false;
}

/*
 * A thread that has no GIL may be on its way to it. BPF sees that it waits in the kernel; what
 * comes before and after is known by its stack.
 */
static bool is_taking(const struct pp_process *p, const struct pp_sample *s)
{
	const __u64 *user = pp_sample_user(s);

	for (size_t i = 0; i < MIN(s->nr_user, TAKER_DEPTH_MAX); i++)
		if (is_taker(p, (user[i] & PP_PC_ADDRESS) - (i > 0)))
			return true;
	return false;
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* Whether the process may have another name kept. */
static bool allow_name(struct pp_process *p, uint64_t time_ns)
{
	uint64_t back = time_ns > p->thread_names_ns
				? (time_ns - p->thread_names_ns) / NSEC_PER_THREAD_NAME
				: 0;

	if (back) {
		p->thread_names -= (uint32_t)MIN(back, (uint64_t)p->thread_names);
		p->thread_names_ns = time_ns;
	}
	if (p->thread_names >= THREAD_NAMES_MAX)
		return false;
	p->thread_names++;
	return true;
}

/* The string of the thread's name, or 0. */
static uint32_t thread_name(struct pp_store *store, struct pp_process *p, const struct pp_sample *s)
{
	size_t len = strnlen(s->thread, sizeof(s->thread));
	uint32_t name;

	if (!pp_strings_find(store->strings, s->thread, len) && !allow_name(p, s->time_ns)) {
		pp_count(PP_C_threads_unnamed);
		return 0;
	}
	return pp_strings_get(store->strings, s->thread, len, &name) < 0 ? 0 : name;
}

/* ---- All of it ------------------------------------------------------------------------------- */

uint32_t pp_states_attributes(struct pp_store *store, struct pp_codes *codes, struct pp_process *p,
			      const struct pp_sample *s)
{
	const struct pp_python *py = p->python;
	struct pp_attributes a = { .gil = s->gil, .gc = s->gc, .task = PP_FRAME_UNKNOWN };
	uint32_t ret;

	/* A Python whose interpreter is not walked, or not yet. */
	if (s->chain_end == PP_CHAIN_NONE && py && py->is_python) {
		a.gil = PP_GIL_UNKNOWN;
		a.gc = PP_GC_UNKNOWN;
	}
	if (a.gil == PP_GIL_RELEASED && is_taking(p, s))
		a.gil = PP_GIL_WAITING;
	a.thread = thread_name(store, p, s);
	/* Without the number nothing would tell it from the next code at its address. */
	if (s->task && s->next_code)
		a.task = pp_codes_function(codes, p, s->task, s->next_code, s->time_ns);
	if (pp_attributes_get(store, &a, &ret) >= 0)
		return ret;
	pp_count(PP_C_attributes_dropped);
	return PP_ATTRIBUTES_NONE;
}
