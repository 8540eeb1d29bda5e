/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/perfmaps.h"

int pp_perfmaps_new(struct pp_perfmaps **ret, size_t max_bytes)
{
	struct pp_perfmaps *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->refs = 1;
	all->max = MIN(max_bytes, PP_PERFMAPS_MEMORY_MAX);
	*ret = all;
	return 0;
}

struct pp_perfmaps *pp_perfmaps_ref(struct pp_perfmaps *all)
{
	all->refs++;
	return all;
}

struct pp_perfmaps *pp_perfmaps_free(struct pp_perfmaps *all)
{
	if (!all || --all->refs)
		return NULL;
	for (size_t i = 0; i < PP_DICTIONARIES_MAX; i++)
		pp_names_unref(all->dictionaries[i]);
	free(all);
	return NULL;
}

size_t pp_perfmaps_memory(const struct pp_perfmaps *all)
{
	return all->used;
}

/* Forgets full ones that no map uses any more. */
struct pp_names *pp_perfmaps_dictionary(struct pp_perfmaps *all)
{
	struct pp_names **d = all->dictionaries;

	for (size_t i = 0; i < PP_DICTIONARIES_MAX; i++)
		if (d[i] && pp_names_full(d[i]) && !pp_names_shared(d[i]))
			d[i] = pp_names_unref(d[i]);
	if (d[0] && !pp_names_full(d[0]))
		return pp_names_ref(d[0]);
	for (size_t i = 0; i < PP_DICTIONARIES_MAX; i++) {
		if (d[i])
			continue;
		d[i] = d[0];
		d[0] = NULL;
		if (pp_names_new(&d[0], PP_DICTIONARY_NAMES_MAX, NULL, &all->used) < 0)
			return NULL;
		return pp_names_ref(d[0]);
	}
	return NULL;
}
