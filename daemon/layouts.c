/* SPDX-License-Identifier: GPL-2.0-only */
#include "layouts.h"

#include "proc/pylayout.h"
#include "trace/bpf.h"

#include <string.h>

/* Places for layouts that the processes of one user may fill. */
#define A_USER_MAX 8

struct place {
	struct pp_layout layout;
	uint32_t id; /* 0: never used */
	bool fixed;
	uid_t uid; /* of the process that it came with */
	uint32_t users;
};

struct pp_layouts {
	struct pp_bpf *bpf;
	struct place places[PP_LAYOUTS_MAX];
};

static struct place *place_of(struct pp_layouts *ls, uint32_t id)
{
	return &ls->places[id % PP_LAYOUTS_MAX];
}

/* Puts a layout in a place. Ids of one place are PP_LAYOUTS_MAX apart, and none is 0. */
static int fill(struct pp_layouts *ls, uint32_t n, const struct pp_layout *layout)
{
	struct place *at = &ls->places[n];
	uint32_t id = at->id + PP_LAYOUTS_MAX;
	int r;

	if (!at->id || id < PP_LAYOUTS_MAX)
		id = PP_LAYOUTS_MAX + n;
	r = pp_bpf_put_layout(ls->bpf, id, layout);
	if (r < 0)
		return r;
	*at = (struct place){ .layout = *layout, .id = id };
	return 0;
}

static int fill_known(struct pp_layouts *ls)
{
	struct pp_layout layout;
	uint32_t n = 0;
	int r = 0;

	for (unsigned int minor = 0; minor <= UINT8_MAX && r >= 0; minor++) {
		if (!pp_pylayout_known(minor, &layout))
			continue;
		r = fill(ls, n, &layout);
		ls->places[n++].fixed = true;
	}
	return r;
}

int pp_layouts_new(struct pp_layouts **ret, struct pp_bpf *bpf)
{
	_cleanup_(pp_layouts_freep) struct pp_layouts *ls = calloc(1, sizeof(*ls));
	int r;

	if (!ls)
		return -ENOMEM;
	ls->bpf = bpf;
	r = fill_known(ls);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ls);
	return 0;
}

struct pp_layouts *pp_layouts_free(struct pp_layouts *ls)
{
	free(ls);
	return NULL;
}

uint32_t pp_layouts_get(struct pp_layouts *ls, const struct pp_layout *layout, uid_t uid)
{
	uint32_t free_place = PP_LAYOUTS_MAX, taken = 0;

	for (uint32_t n = 0; n < PP_LAYOUTS_MAX; n++) {
		const struct place *at = &ls->places[n];

		if (!at->fixed && !at->users)
			free_place = MIN(free_place, n);
		else if (!memcmp(&at->layout, layout, sizeof(*layout)))
			return at->id;
		else
			taken += !at->fixed && at->uid == uid;
	}
	if (free_place == PP_LAYOUTS_MAX || taken >= A_USER_MAX || fill(ls, free_place, layout) < 0)
		return 0;
	ls->places[free_place].uid = uid;
	return ls->places[free_place].id;
}

void pp_layouts_move(struct pp_layouts *ls, uint32_t from, uint32_t to)
{
	if (to)
		place_of(ls, to)->users++;
	if (from)
		place_of(ls, from)->users--;
}

bool pp_layouts_is_fixed(const struct pp_layouts *ls, uint32_t id)
{
	return ls->places[id % PP_LAYOUTS_MAX].fixed;
}
