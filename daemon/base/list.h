/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A list whose members hold their own links, so that joining and leaving cost no memory and no
 * search. A member is in one list or in none; zeroed links are in none. container_of() leads from
 * the links to what they are in.
 */
#pragma once

#include "base/macro.h"

struct pp_links {
	struct pp_links *before, *after;
};

/* A list is a ring: its head is before the first and after the last. */
static inline void pp_list_init(struct pp_links *head)
{
	head->before = head->after = head;
}

/* Joins as the last, if it is in no list. */
static inline void pp_list_join(struct pp_links *head, struct pp_links *l)
{
	if (l->after)
		return;
	l->before = head->before;
	l->after = head;
	head->before->after = l;
	head->before = l;
}

/* For each member, a `type` with its links in that field, the last that joined first. The one in
 * hand must not leave. */
#define pp_list_each(type, m, head, field)                                               \
	for (type *m = container_of((head)->before, type, field); &(m)->field != (head); \
	     (m) = container_of((m)->field.before, type, field))

/* Leaves the list that it is in, if any. */
static inline void pp_list_leave(struct pp_links *l)
{
	if (!l->after)
		return;
	l->before->after = l->after;
	l->after->before = l->before;
	*l = (struct pp_links){ 0 };
}
