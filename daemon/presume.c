/* SPDX-License-Identifier: GPL-2.0-only */
#include "presume.h"

#include "base/u64map.h"

#define OBJECTS_MAX 1024 /* files: each is some version's build */
#define USERS_MAX   8 /* of one file; who comes when there are more takes the first one's place */

/* What a file has of its own lies near its runtime: the main interpreter is a part of it. */
#define NEAR_BYTES (16 * MIB)

#define USER_ROOT    0
#define USER_UNKNOWN ((uid_t)-1)

/* What was found in a user's process that was inspected last. */
struct found {
	struct found *next; /* another user's, of the same file */
	uid_t user;
	struct pp_interp entry;
	struct pp_code_runtime runtime;
	/* Address in entry, relative to the runtime; 0: none, or not near it. */
	uint64_t current;
};

struct pp_presume {
	struct pp_u64map found; /* by object: the first user's */
};

int pp_presume_new(struct pp_presume **ret)
{
	struct pp_presume *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	ps->found.max = OBJECTS_MAX;
	*ret = ps;
	return 0;
}

static void found_free(struct found *f)
{
	for (struct found *next; f; f = next) {
		next = f->next;
		free(f);
	}
}

struct pp_presume *pp_presume_free(struct pp_presume *ps)
{
	uint64_t key, value;
	size_t i = 0;

	if (!ps)
		return NULL;
	while (pp_u64map_next(&ps->found, &i, &key, &value))
		found_free((struct found *)(uintptr_t)value);
	pp_u64map_done(&ps->found);
	free(ps);
	return NULL;
}

/* Whose p is. One that has several users' ids, or none that are known yet, is nobody's. After an
 * exec the real one is known, unless it is 0, which may be unknown. */
static uid_t user_of(const struct pp_process *p)
{
	if (p->has_ids)
		return p->euid == p->ruid && p->suid == p->ruid ? p->ruid : USER_UNKNOWN;
	return p->ruid ? p->ruid : USER_UNKNOWN;
}

static struct found *find(const struct pp_presume *ps, uint32_t object, uid_t user)
{
	struct found *f = pp_u64map_get_ptr(&ps->found, object);

	while (f && f->user != user)
		f = f->next;
	return f;
}

/* A place for the user, behind those there are. Root's is kept, for it serves all. */
static struct found *make(struct pp_presume *ps, uint32_t object, uid_t user)
{
	struct found *first = pp_u64map_get_ptr(&ps->found, object), *last = first, *f;
	size_t nr = first ? 1 : 0;

	for (; last && last->next; last = last->next)
		nr++;
	if (nr == USERS_MAX) {
		f = first->user == USER_ROOT ? first->next : first;
		f->user = user;
		return f;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->user = user;
	if (last) {
		last->next = f;
	} else if (pp_u64map_put_ptr(&ps->found, object, f) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

static uint64_t relative(const struct pp_inspect *what, uint64_t address)
{
	uint64_t offset = address - what->runtime;

	return address && offset + NEAR_BYTES < 2 * NEAR_BYTES ? offset : 0;
}

static uint64_t absolute(const struct pp_inspect *what, uint64_t offset)
{
	return offset ? what->runtime + offset : 0;
}

void pp_presume_learn(struct pp_presume *ps, uint32_t object, const struct pp_process *p,
		      const struct pp_inspect *what, const struct pp_interp *entry,
		      const struct pp_code_runtime *runtime)
{
	uid_t user = user_of(p);
	struct found *f;

	/* After an exec the real id may be all that is known. */
	if (!p->has_ids || user == USER_UNKNOWN)
		return;
	f = find(ps, object, user) ?: make(ps, object, user);
	if (!f)
		return;
	*f = (struct found){
		.next = f->next,
		.user = user,
		.entry = *entry,
		.runtime = *runtime,
		.current = relative(what, entry->current),
	};
}

/* What numbers its code objects comes with the inspection, which learns of what program they are;
 * until then they have prints. */
bool pp_presume_get(const struct pp_presume *ps, uint32_t object, const struct pp_process *p,
		    const struct pp_inspect *what, struct pp_interp *entry,
		    struct pp_code_runtime *runtime)
{
	const struct found *f = find(ps, object, USER_ROOT) ?: find(ps, object, user_of(p));

	if (!f)
		return false;
	*entry = f->entry;
	entry->current = absolute(what, f->current);
	entry->code_type = entry->code_type ? what->code_type : 0;
	entry->next_code = entry->numbered_interp = 0;
	*runtime = (struct pp_code_runtime){ .version = f->runtime.version,
					     .threaded = f->runtime.threaded,
					     .code_type = what->code_type };
	return true;
}

void pp_presume_forget(struct pp_presume *ps, uint32_t object)
{
	found_free(pp_u64map_get_ptr(&ps->found, object));
	pp_u64map_del(&ps->found, object);
}
