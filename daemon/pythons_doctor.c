/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `pyprofctl doctor` wants to know of a Python beyond what its stacks and its map tell: the
 * reader looks at its /tmp and at the bytes of one of its stubs, and its map is read on, so that
 * what is said of it is of now.
 */
#include "pythons_private.h"

#include "base/clock.h"
#include "proc/reader.h"

/* A look is good for so long, whoever asks, so asking again and again costs the reader nothing. */
#define FRESH_NS (1 * NSEC_PER_SEC)
/* In flight at a time: the reader's queue has room for others. */
#define ASKING_MAX 32
/* Bytes wanted before and behind a place in a stub; where its mapping is not known (records were
 * lost), within its page. */
#define CODE_BEFORE 16U
#define CODE_BEHIND 32U
#define PAGE_BYTES  4096U
_Static_assert(CODE_BEFORE + CODE_BEHIND <= PP_CODE_MAX, "fits an answer");
/* Generated code that is looked through for names: beyond, a search of every run for every mapping
 * takes milliseconds. A Python has about ten. */
#define ARENAS_MAX 256

struct look {
	struct pp_pythons *pythons;
	struct pp_process *process; /* referenced: its python lives as long */
	size_t at;		    /* of the place asked about, in the code */
};

void pp_pythons_examine(struct pp_pythons *ps, struct pp_python *py, uint64_t now_ns)
{
	pp_pythons_wake(ps, py);
	if (py->pymap && !py->exam.reading) {
		py->exam.reading = true;
		py->exam.asked_ns = now_ns;
		pp_pymap_refresh(py->pymap, now_ns);
	}
	if (py->exam.asking || (py->exam.done_ns && now_ns < py->exam.done_ns + FRESH_NS))
		return;
	py->exam.wanted = true;
}

/* Goes through the mappings of generated code; how many names begin in them. *ret_one: one. */
static size_t count_live(const struct pp_python *py, uint64_t *ret_one)
{
	struct pp_perfmap *map = pp_pymap_map(py->pymap);
	const struct pp_process *p = py->process;
	size_t arenas = 0, n = 0;

	for (size_t i = 0; i < pp_process_nr_maps(p) && arenas < ARENAS_MAX; i++) {
		const struct pp_map *m = &p->maps->maps[i];

		if (m->kind != PP_MAP_ANON)
			continue;
		arenas++;
		n += pp_perfmap_count(map, m->start, m->end, ret_one);
	}
	return arenas < ARENAS_MAX ? n : SIZE_MAX;
}

double pp_python_live(const struct pp_python *py)
{
	size_t all = py->pymap ? pp_perfmap_visible(pp_pymap_map(py->pymap)) : 0, live;
	uint64_t one;

	if (!all || !py->process->alive)
		return -1;
	live = count_live(py, &one);
	return live == SIZE_MAX ? -1 : (double)live / (double)all;
}

/* A place in a stub: one that was seen, or one that the map names. 0: none is known. */
static uint64_t find_stub(const struct pp_python *py)
{
	uint64_t one = 0;

	if (py->stub_pc)
		return py->stub_pc;
	if (py->pymap)
		(void)count_live(py, &one);
	return one;
}

static void on_examined(void *userdata, int error, const struct pp_examined *e)
{
	struct look *look = userdata;
	struct pp_python *py = look->process->python;
	struct pp_examination *x = &py->exam;

	look->pythons->examining--;
	x->asking = false;
	x->done_ns = pp_now_ns();
	if (!error) {
		x->tmp = e->tmp;
		x->map_bytes = e->map_bytes;
		/* Nothing found now says nothing against what was found before. */
		(void)pp_stub_find(e->code, e->code_len, look->at, &x->stub);
	}
	pp_process_unref(look->process);
	free(look);
}

/* What to read of the code around a place. */
static void range_of(const struct pp_python *py, uint64_t stub, uint64_t *ret_from,
		     uint64_t *ret_to)
{
	const struct pp_map *map = pp_process_map_at(py->process, stub);
	uint64_t start = map ? map->start : stub & ~(uint64_t)(PAGE_BYTES - 1);
	uint64_t end = map ? map->end : start + PAGE_BYTES;

	*ret_from = stub - start > CODE_BEFORE ? stub - CODE_BEFORE : start;
	*ret_to = end - stub > CODE_BEHIND ? stub + CODE_BEHIND : end;
}

static int ask(struct pp_pythons *ps, struct pp_python *py)
{
	struct look *look = malloc(sizeof(*look));
	uint64_t stub = find_stub(py), from = 0, to = 0;
	int r;

	if (!look)
		return -ENOMEM;
	if (stub)
		range_of(py, stub, &from, &to);
	*look = (struct look){ ps, pp_process_ref(py->process), stub - from };
	r = pp_reader_examine(ps->reader, pp_process_target(py->process), from, to - from, py->fd,
			      on_examined, look);
	if (r < 0) {
		pp_process_unref(look->process);
		free(look);
		return r;
	}
	py->exam.asking = true;
	ps->examining++;
	return 0;
}

/* Whether its map is still being read on. */
static bool reads_on(struct pp_pythons *ps, struct pp_python *py)
{
	if (!py->exam.reading)
		return false;
	py->exam.reading = py->pymap && py->process->alive &&
			   pp_pymap_refreshing(py->pymap, py->exam.asked_ns);
	if (py->exam.reading)
		pp_pythons_serve(ps, py, pp_now_ns());
	return py->exam.reading;
}

size_t pp_python_look_on(struct pp_pythons *ps, struct pp_python *py)
{
	size_t left = reads_on(ps, py);
	int r = -EAGAIN;

	if (!py->exam.wanted)
		return left;
	if (!py->process->alive)
		r = -ESRCH;
	else if (ps->examining < ASKING_MAX)
		r = ask(ps, py);
	/* The queue is full: later. Whoever hangs is not asked at all. */
	py->exam.wanted = r == -EAGAIN || r == -ENOBUFS;
	return left + py->exam.wanted;
}

size_t pp_pythons_examining(struct pp_pythons *ps)
{
	size_t left = 0;

	pp_list_each (struct pp_python, py, &ps->all, all)
		left += pp_python_look_on(ps, py);
	return left + ps->examining;
}
