/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/symbol_list.h"

#include "base/array.h"

int pp_symbol_list_add(struct pp_symbol_list *l, const struct pp_symbol *s)
{
	int r = pp_array_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v), PP_SYMBOLS_MAX);

	if (r < 0) /* what is too much is left out */
		return r == -ENOSPC ? 0 : r;
	l->v[l->n++] = *s;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct pp_symbol *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->rank != y->rank) /* the best last: a lookup walks backwards */
		return x->rank < y->rank ? -1 : 1;
	return x->source < y->source ? 1 : x->source > y->source ? -1 : 0;
}

void pp_symbol_list_sort(struct pp_symbol_list *l)
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), compare);
}

/* The same function from .dynsym again: the larger table has its names, all of them. */
void pp_symbol_list_drop_repeats(struct pp_symbol_list *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct pp_symbol *s = &l->v[i];
		bool repeat = false;

		for (size_t j = i + 1; j < l->n && j < i + PP_SYMBOL_ALIASES_MAX && !repeat &&
				       l->v[j].offset == s->offset && l->v[j].rank == s->rank;
		     j++)
			repeat = l->v[j].source != s->source && l->v[j].size == s->size;
		if (!repeat)
			l->v[kept++] = *s;
	}
	l->n = kept;
}

static void set_reach(struct pp_symbol_list *l)
{
	uint32_t reach = 0;

	for (size_t i = 0; i < l->n; i++) {
		reach = MAX(reach, l->v[i].offset + l->v[i].size);
		l->v[i].reach = reach;
	}
}

static void shrink(struct pp_symbol_list *l)
{
	struct pp_symbol *v = l->n ? realloc(l->v, l->n * sizeof(*v)) : NULL;

	if (v) {
		l->v = v;
		l->cap = l->n;
	}
}

void pp_symbol_list_finish(struct pp_symbol_list *l)
{
	set_reach(l);
	shrink(l);
}

size_t pp_symbol_list_after(const struct pp_symbol_list *l, uint32_t offset)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (l->v[mid].offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool pp_symbol_list_find(const struct pp_symbol_list *l, uint32_t offset, size_t *ret)
{
	for (size_t i = pp_symbol_list_after(l, offset); i > 0 && l->v[i - 1].reach > offset; i--) {
		if (offset - l->v[i - 1].offset >= l->v[i - 1].size)
			continue;
		*ret = i - 1;
		return true;
	}
	return false;
}
