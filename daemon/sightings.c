/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which object a mapping shows. A *sighting* is a file as mappings name it: device, inode, path.
 * The reader says which contents that is, once for everybody who maps it.
 *
 * The answer is asked through one process, and that may end meanwhile; then another that maps the
 * file is asked. Where nobody can tell any more, nothing is concluded: the next process that maps
 * the file asks anew. Only a file that cannot be identified through a living process becomes an
 * object without contents.
 */
#include "files_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "proc/reader.h"
#include "profile/store.h"

/* An answer about a (device, inode, path) is good for so long: a file that is rewritten in place is
 * noticed by the next process that maps it later than that. */
#define FRESH_NS  (10 * NSEC_PER_SEC)
#define KEEP_NS	  (60 * NSEC_PER_SEC)
#define RETRY_NS  (1 * NSEC_PER_SEC) /* after nobody could tell */
#define ASKED_MAX 3		     /* processes, one after another */

struct sighting {
	uint64_t dev, ino;
	struct pp_atom *path;
	struct pp_object *object; /* pinned; NULL until the first answer */
	uint64_t answered_ns;
	bool asked;
	uint8_t failed;	       /* answers in a row that were none */
	struct pp_pcs pcs;     /* of samples that came before the answer */
	struct sighting *next; /* same hash */
};

/* ---- The table ------------------------------------------------------------------------------- */

static uint64_t hash_of(uint64_t dev, uint64_t ino, const struct pp_atom *path)
{
	return pp_mix(pp_mix(pp_mix(dev) ^ ino) ^ (uintptr_t)path);
}

static struct sighting *find(const struct pp_files *f, const struct pp_map *map)
{
	struct sighting *s =
		pp_u64map_get_ptr(&f->sightings, hash_of(map->dev, map->ino, map->path));

	while (s && (s->dev != map->dev || s->ino != map->ino || s->path != map->path))
		s = s->next;
	return s;
}

static struct sighting *get(struct pp_files *f, const struct pp_map *map)
{
	uint64_t hash = hash_of(map->dev, map->ino, map->path);
	struct sighting *s = find(f, map);

	if (s)
		return s;
	if (f->nr_sightings >= PP_SIGHTINGS_MAX) {
		pp_count(PP_C_files_refused);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->dev = map->dev;
	s->ino = map->ino;
	s->path = pp_atom_ref(map->path);
	s->next = pp_u64map_get_ptr(&f->sightings, hash);
	if (pp_u64map_put_ptr(&f->sightings, hash, s) < 0) {
		pp_atom_unref(pp_processes_atoms(f->processes), s->path);
		free(s);
		return NULL;
	}
	f->nr_sightings++;
	return s;
}

static void free_sighting(struct pp_files *f, struct sighting *s)
{
	if (s->object)
		pp_object_unpin(s->object);
	pp_pcs_done(&s->pcs, f->store);
	pp_atom_unref(pp_processes_atoms(f->processes), s->path);
	free(s);
	f->nr_sightings--;
}

void pp_sightings_tend(struct pp_files *f, uint64_t now_ns)
{
	struct pp_u64map kept = { 0 };
	uint64_t hash, value;
	size_t i = 0;

	while (pp_u64map_next(&f->sightings, &i, &hash, &value)) {
		struct sighting *s = (void *)(uintptr_t)value, *next;

		for (; s; s = next) {
			next = s->next;
			if (!s->asked && s->answered_ns + KEEP_NS < now_ns) {
				free_sighting(f, s);
				continue;
			}
			s->next = pp_u64map_get_ptr(&kept, hash);
			if (pp_u64map_put_ptr(&kept, hash, s) < 0)
				free_sighting(f, s);
		}
	}
	pp_u64map_done(&f->sightings);
	f->sightings = kept;
}

void pp_sightings_free(struct pp_files *f)
{
	uint64_t hash, value;
	size_t i = 0;

	while (pp_u64map_next(&f->sightings, &i, &hash, &value))
		for (struct sighting *s = (void *)(uintptr_t)value, *next; s; s = next) {
			next = s->next;
			free_sighting(f, s);
		}
	pp_u64map_done(&f->sightings);
}

size_t pp_sightings_pending(const struct pp_files *f, uint64_t time_ns)
{
	uint64_t hash, value;
	size_t i = 0, n = 0;

	while (pp_u64map_next(&f->sightings, &i, &hash, &value))
		for (struct sighting *s = (void *)(uintptr_t)value; s; s = s->next)
			n += pp_pcs_pending(&s->pcs, time_ns);
	return n;
}

/* ---- Questions ------------------------------------------------------------------------------- */

struct pp_question *pp_question_new(struct pp_files *f, struct pp_process *p,
				    const struct pp_map *map, struct pp_object *object)
{
	struct pp_question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->files = f;
	q->process = pp_process_ref(p);
	q->map = *map;
	pp_atom_ref(q->map.path);
	if (object) {
		pp_object_pin(object);
		q->object = object;
	}
	return q;
}

void pp_question_free(struct pp_question *q)
{
	if (q->object)
		pp_object_unpin(q->object);
	pp_atom_unref(pp_processes_atoms(q->files->processes), q->map.path);
	pp_process_unref(q->process);
	free(q);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static bool shows(const struct pp_map *map, const struct sighting *s)
{
	return map->kind == PP_MAP_FILE && map->dev == s->dev && map->ino == s->ino &&
	       map->path == s->path;
}

static void assign(struct pp_files *f, struct pp_process *p, struct pp_map *map,
		   struct pp_object *o)
{
	if (map->object == o)
		return;
	if (map->object)
		pp_object_unpin(map->object);
	pp_object_pin(o);
	map->object = o;
	f->hooks.on_object(f->userdata, p, o);
}

/*
 * Everybody who maps the file was waiting for this one answer. Processes that share their mappings
 * since a fork all hear of it, though the object is entered only once.
 */
static void assign_all(struct pp_files *f, const struct sighting *s)
{
	struct pp_process *p = NULL;

	while ((p = pp_processes_next(f->processes, p)))
		for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
			struct pp_map *map = &p->maps->maps[i];

			if (!shows(map, s))
				continue;
			if (!map->object)
				assign(f, p, map, s->object);
			else if (map->object == s->object && p->maps->refs > 1)
				f->hooks.on_object(f->userdata, p, s->object);
		}
}

/* What was sampled before the answer joins what the object has. */
static void merge_pcs(struct pp_files *f, struct sighting *s)
{
	struct pp_pcs *to = &pp_file_of(s->object)->pcs;

	for (size_t i = 0; i < s->pcs.nr_pending; i++) {
		struct pp_pending_pc *pc = &s->pcs.pending[i];
		uint32_t known;

		if (pp_pcs_get(to, pc->key, &known)) {
			if (pp_frames_resolve(f->store->frames, pc->frame, known) < 0)
				(void)pp_frames_give_up(f->store->frames, pc->frame);
		} else if (pp_pcs_put_pending(to, pc->key, pc->frame, pc->time_ns) < 0) {
			(void)pp_frames_give_up(f->store->frames, pc->frame);
		}
	}
	s->pcs.nr_pending = 0;
	pp_pcs_done(&s->pcs, f->store);
	if (to->nr_pending)
		pp_contents_queue(f, pp_file_of(s->object));
}

static void answer(struct pp_files *f, struct sighting *s, const struct pp_file_key *key,
		   bool readable)
{
	struct pp_object *o;

	if (pp_files_object(f, key, s->path->text, &o) < 0) {
		pp_pcs_done(&s->pcs, f->store);
		return; /* counted by the table */
	}
	if (!readable && o->state == PP_OBJECT_NEW)
		o->state = PP_OBJECT_FAILED;
	pp_object_pin(o);
	if (s->object)
		pp_object_unpin(s->object);
	s->object = o;
	merge_pcs(f, s);
	assign_all(f, s);
}

static bool ask(struct pp_files *f, struct pp_process *p, const struct pp_map *map,
		struct sighting *s);

/* Somebody else who maps the file may be able to show it. */
static bool ask_another(struct pp_files *f, const struct pp_process *asked, struct sighting *s)
{
	struct pp_process *p = NULL;

	if (++s->failed >= ASKED_MAX)
		return false;
	while ((p = pp_processes_next(f->processes, p))) {
		if (p == asked || !p->alive)
			continue;
		for (size_t i = 0; i < pp_process_nr_maps(p); i++)
			if (shows(&p->maps->maps[i], s) && ask(f, p, &p->maps->maps[i], s))
				return true;
	}
	return false;
}

static void on_identity(void *userdata, int error, const struct pp_identity *id, _unused_ int *fd)
{
	struct pp_question *q = userdata;
	struct pp_files *f = q->files;
	struct sighting *s = find(f, &q->map);
	/* What cannot be identified is an object of its own that never has contents. */
	struct pp_file_key unknown = { q->map.dev, q->map.ino, 0, -1 };

	if (s) {
		s->asked = false;
		s->answered_ns = pp_now_ns();
	}
	if (s && !error) {
		s->failed = 0;
		answer(f, s, &id->key, true);
	} else if (s && !ask_another(f, q->process, s)) {
		pp_count(PP_C_files_unidentified);
		s->failed = 0;
		if (q->process->alive && (error == -ENOENT || error == -EINVAL))
			answer(f, s, &unknown, false);
		else
			pp_pcs_done(&s->pcs, f->store);
	}
	pp_question_free(q);
}

static bool ask(struct pp_files *f, struct pp_process *p, const struct pp_map *map,
		struct sighting *s)
{
	struct pp_question *q;

	if (s->asked)
		return true;
	if (f->stopping || pp_reader_is_stuck(f->reader, pp_process_target(p)))
		return false;
	q = pp_question_new(f, p, map, NULL);
	if (!q)
		return false;
	if (pp_reader_identify(f->reader, pp_process_target(p), map, false, on_identity, q) < 0) {
		pp_question_free(q);
		return false;
	}
	s->asked = true;
	return true;
}

void pp_files_want(struct pp_files *f, struct pp_process *p, struct pp_map *map)
{
	uint64_t now_ns;
	struct sighting *s;

	if (map->object)
		return;
	if (map->kind == PP_MAP_VDSO && f->vdso) {
		assign(f, p, map, f->vdso);
		return;
	}
	if (map->kind != PP_MAP_FILE)
		return;
	s = get(f, map);
	if (!s)
		return;
	now_ns = pp_now_ns();
	if (s->object && s->answered_ns + FRESH_NS > now_ns)
		assign(f, p, map, s->object);
	else if (s->object || s->answered_ns + RETRY_NS <= now_ns)
		(void)ask(f, p, map, s);
}

struct pp_pcs *pp_files_pcs(struct pp_files *f, struct pp_process *p, struct pp_map *map)
{
	struct sighting *s;

	if (!map->object)
		pp_files_want(f, p, map);
	if (map->object)
		return &pp_file_of(map->object)->pcs;
	s = map->kind == PP_MAP_FILE ? find(f, map) : NULL;
	return s && s->asked ? &s->pcs : NULL;
}
