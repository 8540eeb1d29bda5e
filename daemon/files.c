/* SPDX-License-Identifier: GPL-2.0-only */
#include "files.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/fd.h"
#include "elf/worker.h"
#include "natives.h"
#include "proc/reader.h"
#include "profile/store.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

/* An answer about a (device, inode, path) is good for so long: a file that is rewritten in place is
 * noticed by the next process that maps it later than that. */
#define SIGHTING_FRESH_NS (10 * NSEC_PER_SEC)
#define SIGHTING_KEEP_NS  (60 * NSEC_PER_SEC)
#define SIGHTINGS_MAX	  16384
#define FD_IDLE_NS	  (5 * NSEC_PER_SEC) /* an open file keeps its file system from unmounting */
#define OPENS_FAILED_MAX  3
#define VDSO_BYTES	  (64 * KIB) /* the kernel's image is two pages */

/* A file as mappings show it. */
struct sighting {
	uint64_t dev, ino;
	struct pp_atom *path;
	struct pp_object *object; /* pinned; NULL until the first answer */
	uint64_t answered_ns;
	bool asked;
	struct pp_pcs pcs;     /* of samples that came before the answer */
	struct sighting *next; /* same hash */
};

struct pp_files {
	struct pp_reader *reader;
	struct pp_worker *worker;
	struct pp_processes *processes;
	struct pp_store *store;
	struct pp_objects *objects;
	struct pp_object *vdso;
	struct pp_u64map sightings; /* hash -> chain */
	size_t nr_sightings;
	struct pp_files_hooks hooks;
	void *userdata;
};

static struct pp_file *file_of(struct pp_object *o)
{
	return o->userdata;
}

void pp_object_pin(struct pp_object *o)
{
	o->pins++;
}

void pp_object_unpin(struct pp_object *o)
{
	o->pins--;
}

static void on_object_free(struct pp_object *o, void *userdata)
{
	struct pp_files *f = userdata;
	struct pp_file *file = file_of(o);

	f->hooks.on_free(f->userdata, o);
	if (!file)
		return;
	pp_close(file->fd);
	pp_close(file->debug_fd);
	pp_pcs_done(&file->pcs, f->store);
	free(file);
	o->userdata = NULL;
}

/* ---- Objects --------------------------------------------------------------------------------- */

static int get_object(struct pp_files *f, const struct pp_file_key *key, const char *path,
		      struct pp_object **ret)
{
	struct pp_file *file;
	int r = pp_objects_get(f->objects, key, path, pp_now_ns(), ret);

	if (r < 0 || (*ret)->userdata)
		return r;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->object = *ret;
	file->fd = file->debug_fd = -1;
	(*ret)->userdata = file;
	return 0;
}

static void advance(struct pp_files *f, struct pp_file *file);

/* ---- Sightings ------------------------------------------------------------------------------- */

static uint64_t sighting_hash(uint64_t dev, uint64_t ino, const struct pp_atom *path)
{
	return pp_mix(pp_mix(pp_mix(dev) ^ ino) ^ (uintptr_t)path);
}

static struct sighting *find_sighting(struct pp_files *f, const struct pp_map *map)
{
	struct sighting *s =
		pp_u64map_get_ptr(&f->sightings, sighting_hash(map->dev, map->ino, map->path));

	while (s && (s->dev != map->dev || s->ino != map->ino || s->path != map->path))
		s = s->next;
	return s;
}

static struct sighting *get_sighting(struct pp_files *f, const struct pp_map *map)
{
	uint64_t hash = sighting_hash(map->dev, map->ino, map->path);
	struct sighting *s = find_sighting(f, map);

	if (s)
		return s;
	if (f->nr_sightings >= SIGHTINGS_MAX) {
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

static void drop_old_sightings(struct pp_files *f, uint64_t now_ns)
{
	struct pp_u64map kept = { 0 };
	uint64_t hash, value;
	size_t i = 0;

	while (pp_u64map_next(&f->sightings, &i, &hash, &value)) {
		struct sighting *s = (void *)(uintptr_t)value, *next;

		for (; s; s = next) {
			next = s->next;
			if (!s->asked && s->answered_ns + SIGHTING_KEEP_NS < now_ns) {
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

/* ---- Identity -------------------------------------------------------------------------------- */

/* A question to the reader. It names the sighting by its parts: that may go meanwhile. */
struct question {
	struct pp_files *files;
	struct pp_process *process; /* referenced */
	struct pp_map map;	    /* a copy; path referenced */
	struct pp_object *object;   /* pinned: its descriptor is wanted; NULL: who is it? */
};

static struct question *question_free(struct question *q)
{
	if (q->object)
		pp_object_unpin(q->object);
	pp_atom_unref(pp_processes_atoms(q->files->processes), q->map.path);
	pp_process_unref(q->process);
	free(q);
	return NULL;
}

static struct question *question_new(struct pp_files *f, struct pp_process *p,
				     const struct pp_map *map, struct pp_object *object)
{
	struct question *q = calloc(1, sizeof(*q));

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

static bool same_file(const struct pp_map *a, uint64_t dev, uint64_t ino,
		      const struct pp_atom *path)
{
	return a->kind == PP_MAP_FILE && a->dev == dev && a->ino == ino && a->path == path;
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

/* Everybody who maps the file was waiting for this one answer. */
static void assign_all(struct pp_files *f, const struct sighting *s)
{
	struct pp_process *p = NULL;

	while ((p = pp_processes_next(f->processes, p)))
		for (size_t i = 0; i < pp_process_nr_maps(p); i++) {
			struct pp_map *map = &p->maps->maps[i];

			if (!map->object && same_file(map, s->dev, s->ino, s->path))
				assign(f, p, map, s->object);
		}
}

/* What was sampled before the answer joins what the object has. */
static void merge_pcs(struct pp_files *f, struct sighting *s)
{
	struct pp_pcs *to = &file_of(s->object)->pcs;

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
}

static void answer(struct pp_files *f, struct sighting *s, const struct pp_file_key *key,
		   bool readable)
{
	struct pp_object *o;

	s->asked = false;
	s->answered_ns = pp_now_ns();
	if (get_object(f, key, s->path->text, &o) < 0)
		return; /* counted by the table */
	if (!readable && o->state == PP_OBJECT_NEW)
		o->state = PP_OBJECT_FAILED;
	pp_object_pin(o);
	if (s->object)
		pp_object_unpin(s->object);
	s->object = o;
	merge_pcs(f, s);
	assign_all(f, s);
}

static void on_identity(void *userdata, int error, const struct pp_identity *id, _unused_ int *fd)
{
	struct question *q = userdata;
	struct pp_files *f = q->files;
	struct sighting *s = find_sighting(f, &q->map);
	/* What cannot be identified is an object of its own that never has contents. */
	struct pp_file_key unknown = { q->map.dev, q->map.ino, 0, -1 };

	if (error)
		pp_count(PP_C_files_unidentified);
	if (s)
		answer(f, s, error ? &unknown : &id->key, !error);
	question_free(q);
}

static void ask(struct pp_files *f, struct pp_process *p, const struct pp_map *map,
		struct sighting *s)
{
	struct question *q;

	if (s->asked || pp_reader_is_stuck(f->reader, pp_process_target(p)))
		return;
	q = question_new(f, p, map, NULL);
	if (!q)
		return;
	if (pp_reader_identify(f->reader, pp_process_target(p), map, false, on_identity, q) < 0) {
		question_free(q);
		return;
	}
	s->asked = true;
}

void pp_files_want(struct pp_files *f, struct pp_process *p, struct pp_map *map)
{
	struct sighting *s;

	if (map->object)
		return;
	if (map->kind == PP_MAP_VDSO && f->vdso) {
		assign(f, p, map, f->vdso);
		return;
	}
	if (map->kind != PP_MAP_FILE)
		return;
	s = get_sighting(f, map);
	if (!s)
		return;
	if (s->object && s->answered_ns + SIGHTING_FRESH_NS > pp_now_ns())
		assign(f, p, map, s->object);
	else
		ask(f, p, map, s);
}

struct pp_pcs *pp_files_pcs(struct pp_files *f, struct pp_process *p, struct pp_map *map)
{
	struct sighting *s;

	if (!map->object)
		pp_files_want(f, p, map);
	if (map->object)
		return &file_of(map->object)->pcs;
	s = map->kind == PP_MAP_FILE ? find_sighting(f, map) : NULL;
	return s && s->asked ? &s->pcs : NULL;
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

static void on_opened(void *userdata, int error, const struct pp_identity *id, int *fd)
{
	struct question *q = userdata;
	struct pp_file *file = file_of(q->object);

	file->opening = false;
	if (!error && pp_file_key_equal(&id->key, &q->object->key)) {
		pp_close(file->fd);
		file->fd = TAKE_FD(*fd);
		file->fd_used_ns = pp_now_ns();
		file->opens_failed = 0;
	} else {
		file->opens_failed++;
	}
	advance(q->files, file);
	question_free(q);
}

/* A live process that maps the object, to open it through. */
static struct pp_map *find_mapper(struct pp_files *f, const struct pp_object *o,
				  struct pp_process **ret)
{
	struct pp_process *p = NULL;

	while ((p = pp_processes_next(f->processes, p))) {
		if (!p->alive || pp_reader_is_stuck(f->reader, pp_process_target(p)))
			continue;
		for (size_t i = 0; i < pp_process_nr_maps(p); i++)
			if (p->maps->maps[i].object == o) {
				*ret = p;
				return &p->maps->maps[i];
			}
	}
	return NULL;
}

/* Nothing will come of this file: its frames stay without names. */
static void give_up(struct pp_files *f, struct pp_file *file)
{
	struct pp_object *o = file->object;

	if (o->state == PP_OBJECT_NEW || o->state == PP_OBJECT_LOADING) {
		o->state = PP_OBJECT_FAILED;
		pp_count(PP_C_files_unreadable);
		f->hooks.on_loaded(f->userdata, o, -1);
	}
	file->load_wanted = false;
	while (file->pcs.nr_pending) {
		(void)pp_frames_give_up(f->store->frames, file->pcs.pending[0].frame);
		pp_pcs_drop_pending(&file->pcs, 0);
	}
}

static void open_file(struct pp_files *f, struct pp_file *file)
{
	struct pp_process *p;
	struct question *q;
	struct pp_map *map;

	if (file->opening)
		return;
	map = find_mapper(f, file->object, &p);
	if (!map || file->opens_failed >= OPENS_FAILED_MAX) {
		give_up(f, file);
		return;
	}
	q = question_new(f, p, map, file->object);
	if (!q)
		return;
	if (pp_reader_identify(f->reader, pp_process_target(p), map, true, on_opened, q) < 0) {
		question_free(q);
		return;
	}
	file->opening = true;
}

static void on_debugfile(void *userdata, int error, int *fd)
{
	struct question *q = userdata;
	struct pp_file *file = file_of(q->object);

	file->opening = false;
	if (!error)
		file->debug_fd = TAKE_FD(*fd);
	advance(q->files, file);
	question_free(q);
}

/* Names may be in a file of their own: looked for once, before the first names are asked. */
static bool look_for_debugfile(struct pp_files *f, struct pp_file *file)
{
	const struct pp_elf_info *info = &file->object->info;
	_cleanup_free_ char *directory = NULL;
	struct pp_debugfile what = { 0 };
	struct pp_process *p;
	struct question *q;
	struct pp_map *map;

	if (file->debug_asked)
		return false;
	file->debug_asked = true;
	if (info->has_symtab || (!info->build_id_len && !info->debuglink[0]))
		return false;
	map = find_mapper(f, file->object, &p);
	if (!map)
		return false;
	what.build_id_len = MIN((size_t)info->build_id_len, sizeof(what.build_id));
	memcpy(what.build_id, info->build_id, what.build_id_len);
	if (info->debuglink[0] && file->object->basename > file->object->path) {
		directory = strndup(file->object->path,
				    (size_t)(file->object->basename - file->object->path));
		what.debuglink = info->debuglink;
		what.directory = directory;
	}
	q = question_new(f, p, map, file->object);
	if (!q)
		return false;
	if (pp_reader_debugfile(f->reader, pp_process_target(p), &what, on_debugfile, q) < 0) {
		question_free(q);
		return false;
	}
	file->opening = true;
	return true;
}

/* ---- Contents -------------------------------------------------------------------------------- */

/* A request to the worker about an object, which stays pinned meanwhile. */
struct errand {
	struct pp_files *files;
	struct pp_object *object;
};

static struct errand *errand_new(struct pp_files *f, struct pp_object *o)
{
	struct errand *e = malloc(sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct errand){ f, o };
	pp_object_pin(o);
	return e;
}

static void errand_free(struct errand *e)
{
	pp_object_unpin(e->object);
	free(e);
}

static void on_loaded(void *userdata, int error, const struct pp_elf_info *info, int table_fd)
{
	_cleanup_close_ int fd = table_fd;
	struct errand *e = userdata;
	struct pp_object *o = e->object;

	if (error) {
		o->error = error;
		o->state = PP_OBJECT_FAILED;
		pp_count(PP_C_files_unreadable);
	} else {
		o->info = *info;
		o->state = PP_OBJECT_READY;
		o->has_table = fd >= 0;
	}
	file_of(o)->load_wanted = false;
	e->files->hooks.on_loaded(e->files->userdata, o, fd);
	advance(e->files, file_of(o));
	errand_free(e);
}

static void load(struct pp_files *f, struct pp_file *file)
{
	struct pp_object *o = file->object;
	struct errand *e;

	if (o->state == PP_OBJECT_LOADING)
		return;
	if (file->fd < 0) {
		open_file(f, file);
		return;
	}
	e = errand_new(f, o);
	if (!e)
		return;
	if (pp_worker_load(f->worker, file->fd, &o->key, on_loaded, e) < 0) {
		errand_free(e);
		return;
	}
	o->state = PP_OBJECT_LOADING;
}

static void on_names(void *userdata, int error, const struct pp_elf_name *names, size_t n)
{
	struct errand *e = userdata;
	struct pp_file *file = file_of(e->object);

	file->naming = false;
	if (error)
		pp_count(PP_C_names_failed);
	pp_natives_named(e->files->store, file, names, error ? 0 : n);
	if (error)
		give_up(e->files, file);
	advance(e->files, file);
	errand_free(e);
}

static void ask_names(struct pp_files *f, struct pp_file *file)
{
	uint64_t addresses[PP_WORKER_ADDRESSES_MAX];
	struct errand *e;
	size_t n;

	if (file->fd < 0) {
		open_file(f, file);
		return;
	}
	if (look_for_debugfile(f, file))
		return;
	n = pp_natives_addresses(file, addresses, ARRAY_SIZE(addresses));
	e = errand_new(f, file->object);
	if (!e)
		return;
	file->fd_used_ns = pp_now_ns();
	if (pp_worker_names(f->worker, file->fd, &file->object->key, file->debug_fd, addresses, n,
			    on_names, e) < 0) {
		errand_free(e);
		return;
	}
	file->naming = true;
}

/* Does the next thing for a file that can be done. */
static void advance(struct pp_files *f, struct pp_file *file)
{
	struct pp_object *o = file->object;

	if (file->naming || file->opening || o->state == PP_OBJECT_LOADING)
		return;
	if (o->state == PP_OBJECT_FAILED)
		give_up(f, file);
	else if (file->load_wanted || (file->pcs.nr_pending && o->state == PP_OBJECT_NEW))
		load(f, file);
	else if (file->pcs.nr_pending)
		ask_names(f, file);
}

void pp_files_want_load(struct pp_files *f, struct pp_object *o)
{
	struct pp_file *file = file_of(o);

	if (o->state == PP_OBJECT_FAILED || o->state == PP_OBJECT_LOADING || file->load_wanted)
		return;
	if (o->state == PP_OBJECT_READY && (o->table >= 0 || !o->has_table))
		return;
	file->load_wanted = true;
	advance(f, file);
}

void pp_files_tick(struct pp_files *f, uint64_t now_ns)
{
	struct pp_object *o;
	size_t i = 0;

	while ((o = pp_objects_next(f->objects, &i))) {
		struct pp_file *file = file_of(o);

		if (!file)
			continue;
		advance(f, file);
		if (file->fd >= 0 && !file->naming && file->fd_used_ns + FD_IDLE_NS < now_ns) {
			file->fd = pp_close(file->fd);
			file->debug_fd = pp_close(file->debug_fd);
			file->debug_asked = false;
		}
	}
	drop_old_sightings(f, now_ns);
}

void pp_files_swept(struct pp_files *f)
{
	struct pp_object *o;
	size_t i = 0;

	while ((o = pp_objects_next(f->objects, &i)))
		if (file_of(o))
			pp_pcs_swept(&file_of(o)->pcs, f->store);
}

/* The vDSO is in our own memory, the same for every process. */
static void load_vdso(struct pp_files *f)
{
	const void *image = (const void *)getauxval(AT_SYSINFO_EHDR);
	struct pp_file_key key = { .dev = UINT64_MAX, .ino = 1 };
	const Elf64_Ehdr *ehdr = image;
	size_t size;
	int fd;

	if (!image)
		return;
	/* Section headers come last in it. */
	size = ehdr->e_shoff + (size_t)ehdr->e_shnum * ehdr->e_shentsize;
	if (size > VDSO_BYTES)
		return;
	fd = pp_memfd_sealed("vdso", image, size);
	if (fd < 0)
		return;
	if (get_object(f, &key, "[vdso]", &f->vdso) < 0) {
		pp_close(fd);
		f->vdso = NULL;
		return;
	}
	pp_object_pin(f->vdso);
	file_of(f->vdso)->fd = fd;
	file_of(f->vdso)->fd_used_ns = UINT64_MAX - FD_IDLE_NS - 1; /* ours: stays open */
	pp_files_want_load(f, f->vdso);
}

int pp_files_new(struct pp_files **ret, sd_event *event, struct pp_reader *reader,
		 struct pp_processes *processes, struct pp_store *store,
		 const struct pp_files_hooks *hooks, void *userdata)
{
	_cleanup_(pp_files_freep) struct pp_files *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->reader = reader;
	f->processes = processes;
	f->store = store;
	f->hooks = *hooks;
	f->userdata = userdata;
	r = pp_worker_new(&f->worker, event);
	if (r < 0)
		return r;
	r = pp_objects_new(&f->objects, on_object_free, f);
	if (r < 0)
		return r;
	*ret = f;
	load_vdso(f);
	TAKE_PTR(f);
	return 0;
}

void pp_files_stop(struct pp_files *f)
{
	uint64_t hash, value;
	size_t i = 0;

	if (!f)
		return;
	f->worker = pp_worker_free(f->worker); /* answers what is in flight */
	while (pp_u64map_next(&f->sightings, &i, &hash, &value))
		for (struct sighting *s = (void *)(uintptr_t)value, *next; s; s = next) {
			next = s->next;
			free_sighting(f, s);
		}
	pp_u64map_done(&f->sightings);
}

struct pp_files *pp_files_free(struct pp_files *f)
{
	if (!f)
		return NULL;
	pp_files_stop(f);
	pp_objects_free(f->objects);
	free(f);
	return NULL;
}

struct pp_objects *pp_files_objects(struct pp_files *f)
{
	return f->objects;
}

size_t pp_files_pending(const struct pp_files *f, uint64_t time_ns)
{
	uint64_t hash, value;
	struct pp_object *o;
	size_t i = 0, n = 0;

	while ((o = pp_objects_next(f->objects, &i)))
		if (file_of(o))
			n += pp_pcs_pending(&file_of(o)->pcs, time_ns);
	i = 0;
	while (pp_u64map_next(&f->sightings, &i, &hash, &value))
		for (struct sighting *s = (void *)(uintptr_t)value; s; s = s->next)
			n += pp_pcs_pending(&s->pcs, time_ns);
	return n;
}
