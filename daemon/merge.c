/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which loop runs which run. Where the walk met as many marks as the chain has runs, the n-th mark
 * is the n-th run's; where the native walk was cut short, the runs that it did not come to are
 * further out than anything it has, and follow at the root.
 *
 * Without marks (before 3.11), or where one was missed, loops are known by where their code lies
 * and counted. The chain's leaf end may lag behind the native stack: a loop that has only just been
 * entered, or is about to return, has no run. So the two are aligned from the root, where both got
 * that far.
 */
#include "merge.h"

/* What is paired: loops are counted from the leaf, `skip` of them have no run. */
struct pairing {
	bool by_mark;
	size_t skip;
	bool outer_runs; /* runs that no loop is there for follow at the root */
};

static size_t count_runs(const struct pp_merge_input *in)
{
	size_t n = 0;

	for (size_t i = 0; i < in->nr_python; i++)
		n += in->python[i].last || i + 1 == in->nr_python;
	return n;
}

static bool is_loop(const struct pp_merge_native *f, bool by_mark)
{
	return by_mark ? f->marked : f->kind == PP_MERGE_EVAL;
}

static size_t count_loops(const struct pp_merge_input *in, bool by_mark)
{
	size_t n = 0;

	for (size_t i = 0; i < in->nr_native; i++)
		n += is_loop(&in->native[i], by_mark);
	return n;
}

static bool find_pairing(const struct pp_merge_input *in, struct pairing *ret)
{
	size_t runs = count_runs(in), loops = count_loops(in, true);

	*ret = (struct pairing){ .by_mark = true };
	if (loops == runs)
		return true;
	ret->outer_runs = true;
	if (loops && loops < runs && !in->native_complete)
		return true;
	*ret = (struct pairing){ 0 };
	loops = count_loops(in, false);
	if (in->native_complete && in->python_complete && loops >= runs) {
		ret->skip = loops - runs;
		return true;
	}
	ret->outer_runs = true;
	return !in->native_complete && loops <= runs;
}

/* Appends the frames of the run that begins at *at, and moves there. */
static void put_run(const struct pp_merge_input *in, size_t *at, struct pp_merge_output *out)
{
	while (*at < in->nr_python) {
		const struct pp_merge_python *f = &in->python[(*at)++];

		if (!f->empty)
			out->frames[out->nr++] = f->frame;
		if (f->last)
			return;
	}
}

/* Whether a trampoline called the loop i; without one, and without a run, it is bare. The loop's
 * own caller tells. */
static bool has_stub(const struct pp_merge_input *in, size_t i)
{
	return i + 1 < in->nr_native && in->native[i + 1].kind == PP_MERGE_STUB;
}

bool pp_merge(const struct pp_merge_input *in, struct pp_merge_output *out)
{
	struct pairing pairing;
	bool fits = find_pairing(in, &pairing);
	size_t at = 0, loops = 0, evals = 0;

	out->nr = out->nr_pairs = out->nr_bare = 0;
	for (size_t i = 0; i < in->nr_native; i++) {
		const struct pp_merge_native *f = &in->native[i];
		size_t before = out->nr + 1;

		out->frames[out->nr++] = f->frame;
		if (fits && is_loop(f, pairing.by_mark) && loops++ >= pairing.skip)
			put_run(in, &at, out);
		if (out->nr > before && has_stub(in, i)) {
			out->pairs[out->nr_pairs++] =
				(struct pp_merge_pair){ in->native[i + 1].frame,
							out->frames[out->nr - 1] };
			i++;
		} else if (f->kind == PP_MERGE_EVAL && out->nr == before && !has_stub(in, i)) {
			/* The leaf-most may have no function yet, or any more. */
			out->nr_bare += evals > 0 || !fits;
		}
		evals += f->kind == PP_MERGE_EVAL;
	}
	while (fits && pairing.outer_runs && at < in->nr_python)
		put_run(in, &at, out);
	return fits;
}
