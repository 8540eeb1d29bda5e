/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is in an object: a descriptor from the reader, segments, unwind table and names from the
 * worker. For each file one thing is under way at a time; whatever answer comes leads to the next.
 * What cannot go on now (a queue is full) or better waits for company (names) is in a list that
 * every tick walks, so a tick costs nothing for files with nothing to do.
 *
 * A file that cannot be opened through a living process is a failure of the file; one that only the
 * dead have mapped may be mapped again, so nothing is concluded from that.
 */
#include "files_private.h"

#include "base/clock.h"
#include "base/counters.h"
#include "elf/tablecache.h"
#include "elf/worker.h"
#include "natives.h"
#include "proc/reader.h"
#include "profile/store.h"

#include <string.h>

#define FD_IDLE_NS (5 * NSEC_PER_SEC) /* an open file keeps its file system from unmounting */
/* Files open at a time, some with a debug file, and one user's. What lies in envelopes counts as
 * root's descriptors on their way, which may not be more than any of root's processes may have
 * open; and whose files keep the worker busy must not keep others' from being opened. */
#define OPEN_MAX	 256
#define OPEN_USER_MAX	 64
#define OPENS_FAILED_MAX 3
/* Batches of names of one file that the worker died of, or over: it costs the file its names. */
#define NAMES_FAILED_MAX 2
#define REOPEN_NS	 (10 * NSEC_PER_SEC) /* after that; or when only the dead had mapped it */
#define OWED_NS		 (1 * NSEC_PER_SEC)  /* all who map it owed; another may by then */
/* A table that was evicted and is asked for again: not at every sample, where the budget is too
 * small for what runs. */
#define RELOAD_NS (10 * NSEC_PER_SEC)

/* ---- The list -------------------------------------------------------------------------------- */

void pp_contents_queue(struct pp_files *f, struct pp_file *file)
{
	if (file->todo)
		return;
	file->todo = true;
	file->next_todo = NULL;
	if (f->todo_last)
		f->todo_last->next_todo = file;
	else
		f->todo_first = file;
	f->todo_last = file;
	pp_object_pin(file->object);
}

static struct pp_file *take_list(struct pp_files *f)
{
	struct pp_file *first = f->todo_first;

	f->todo_first = f->todo_last = NULL;
	return first;
}

void pp_contents_tick(struct pp_files *f)
{
	f->full = false;
	for (struct pp_file *file = take_list(f), *next; file; file = next) {
		next = file->next_todo;
		file->todo = false;
		if (f->full)
			pp_contents_queue(f, file);
		else
			pp_contents_advance(f, file);
		pp_object_unpin(file->object);
	}
}

void pp_contents_stop(struct pp_files *f)
{
	for (struct pp_file *file = take_list(f), *next; file; file = next) {
		next = file->next_todo;
		file->todo = false;
		pp_object_unpin(file->object);
	}
}

/* Counts the file as open, or about to be, through a process of this user. */
static bool hold(struct pp_files *f, struct pp_file *file, uid_t uid)
{
	if (uid && pp_holdings_of(&f->open_of, uid) >= OPEN_USER_MAX)
		return false;
	if (pp_holdings_add(&f->open_of, uid, 1) < 0)
		return false;
	f->nr_open++;
	file->held = true;
	file->uid = uid;
	return true;
}

static void let_go(struct pp_files *f, struct pp_file *file)
{
	if (!file->held)
		return;
	file->held = false;
	f->nr_open--;
	pp_holdings_take(&f->open_of, file->uid, 1);
}

void pp_file_close(struct pp_files *f, struct pp_file *file)
{
	int fds[] = { TAKE_FD(file->fd), TAKE_FD(file->debug_fd) };

	let_go(f, file);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (file->keep_fd) /* a memory file of ours */
			pp_close(fds[i]);
		else if (!f->stopping)
			pp_reader_discard(f->reader, file->uid, fds[i]);
	file->debug_asked = false;
}

/* Whether it is open and nothing is under way on it. */
static bool is_idle(const struct pp_file *file)
{
	return file && file->fd >= 0 && !file->keep_fd && !file->naming && !file->opening &&
	       file->object->state != PP_OBJECT_LOADING;
}

void pp_contents_tend(struct pp_files *f, uint64_t now_ns)
{
	struct pp_object *o;
	size_t i = 0;

	pp_reader_tend(f->reader);
	while ((o = pp_objects_next(f->objects, &i))) {
		struct pp_file *file = pp_file_of(o);

		if (is_idle(file) && file->fd_used_ns + FD_IDLE_NS < now_ns)
			pp_file_close(f, file);
	}
}

/* Closes the one that has been idle for longest, and wants nothing. */
static bool make_room(struct pp_files *f)
{
	struct pp_file *oldest = NULL;
	struct pp_object *o;
	size_t i = 0;

	while ((o = pp_objects_next(f->objects, &i))) {
		struct pp_file *file = pp_file_of(o);

		if (is_idle(file) && !file->todo &&
		    (!oldest || file->fd_used_ns < oldest->fd_used_ns))
			oldest = file;
	}
	if (oldest)
		pp_file_close(f, oldest);
	return oldest;
}

/* ---- Giving up ------------------------------------------------------------------------------- */

static void give_up_names(struct pp_files *f, struct pp_file *file)
{
	while (file->pcs.nr_pending) {
		(void)pp_frames_give_up(f->store->frames, file->pcs.pending[0].frame);
		pp_pcs_drop_pending(&file->pcs, 0);
	}
}

/* Nothing will come of this file: its frames stay without names. */
static void give_up(struct pp_files *f, struct pp_file *file)
{
	struct pp_object *o = file->object;

	file->load_wanted = false;
	if (o->state == PP_OBJECT_NEW) {
		o->state = PP_OBJECT_FAILED;
		pp_count(PP_C_files_unreadable);
		f->hooks.on_loaded(f->userdata, o, -1);
	}
	give_up_names(f, file);
}

/* Nothing comes of it now. Later samples ask again. */
static void put_off(struct pp_files *f, struct pp_file *file)
{
	uint64_t now_ns = pp_now_ns();

	file->load_wanted = false;
	file->opens_failed = 0;
	if (file->open_after_ns <= now_ns)
		file->open_after_ns = now_ns + REOPEN_NS;
	for (size_t i = 0; i < file->pcs.nr_pending; i++)
		pp_pcs_drop(&file->pcs, file->pcs.pending[i].key);
	give_up_names(f, file);
}

/* A queue is full: so it is for the others that this tick would go on with. */
static void wait_for_room(struct pp_files *f, struct pp_file *file)
{
	f->full = true;
	pp_contents_queue(f, file);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

/* Whose file it is where nobody knows yet whose process it is: they share what they owe. */
#define UID_UNKNOWN ((uid_t)-1)

static uid_t user_of(const struct pp_process *p)
{
	return p->has_ids || p->ruid ? p->ruid : UID_UNKNOWN;
}

static struct pp_map *map_of(struct pp_process *p, const struct pp_object *o)
{
	for (size_t i = 0; i < pp_process_nr_maps(p); i++)
		if (p->maps->maps[i].object == o)
			return &p->maps->maps[i];
	return NULL;
}

/* A process that maps the object, to open it through: a living one, or else the path that a dead
 * one had it at. None of a user for whom the worker has done too much. */
static struct pp_map *find_mapper(struct pp_files *f, const struct pp_object *o,
				  struct pp_process **ret)
{
	struct pp_process *p = NULL;
	struct pp_map *found = NULL;
	bool owed = false;

	while ((p = pp_processes_next(f->processes, p))) {
		struct pp_map *map = p->alive || !found ? map_of(p, o) : NULL;

		if (!map || pp_reader_is_stuck(f->reader, pp_process_target(p)))
			continue;
		if (pp_worker_owes(f->worker, user_of(p))) {
			owed = true;
			continue;
		}
		*ret = p;
		found = map;
		if (p->alive)
			break;
	}
	if (!found && owed) {
		pp_count(PP_C_worker_put_off);
		pp_file_of(o)->open_after_ns = pp_now_ns() + OWED_NS;
	}
	return found;
}

static void not_opened(struct pp_files *f, struct pp_file *file, bool through_living)
{
	if (++file->opens_failed < OPENS_FAILED_MAX)
		pp_contents_queue(f, file);
	else if (through_living && file->object->state == PP_OBJECT_NEW)
		give_up(f, file);
	else
		put_off(f, file);
}

static void on_opened(void *userdata, int error, const struct pp_identity *id, int *fd)
{
	struct pp_question *q = userdata;
	struct pp_file *file = pp_file_of(q->object);

	file->opening = false;
	if (!error && pp_file_key_equal(&id->key, &q->object->key)) {
		file->fd = TAKE_FD(*fd); /* it had none: see open_file */
		file->fd_used_ns = pp_now_ns();
		file->opens_failed = 0;
		pp_contents_advance(q->files, file);
	} else {
		pp_reader_discard(q->files->reader, file->uid, TAKE_FD(*fd));
		let_go(q->files, file);
		not_opened(q->files, file, q->process->alive);
	}
	pp_question_free(q);
}

static void open_file(struct pp_files *f, struct pp_file *file)
{
	struct pp_process *p;
	struct pp_question *q;
	struct pp_map *map;
	int r = -ENOMEM;

	map = pp_now_ns() < file->open_after_ns ? NULL : find_mapper(f, file->object, &p);
	if (!map) {
		put_off(f, file);
		return;
	}
	if (f->nr_open >= OPEN_MAX && !make_room(f)) {
		wait_for_room(f, file);
		return;
	}
	if (!hold(f, file, user_of(p))) {
		pp_contents_queue(f, file); /* enough of this user's are open */
		return;
	}
	q = pp_question_new(f, p, map, file->object);
	if (q)
		r = pp_reader_identify(f->reader, pp_process_target(p), map, true, on_opened, q);
	if (r >= 0) {
		file->opening = true;
		return;
	}
	let_go(f, file);
	if (q)
		pp_question_free(q);
	if (r == -EBUSY) /* this process is not asked any more; that says nothing of the others */
		not_opened(f, file, false);
	else
		wait_for_room(f, file);
}

static void on_debugfile(void *userdata, int error, int *fd)
{
	struct pp_question *q = userdata;
	struct pp_file *file = pp_file_of(q->object);

	file->opening = false;
	if (!error)
		file->debug_fd = TAKE_FD(*fd); /* it had none: see look_for_debugfile */
	pp_contents_advance(q->files, file);
	pp_question_free(q);
}

/* Names may be in a file of their own: looked for once, before the first names are asked. */
static bool look_for_debugfile(struct pp_files *f, struct pp_file *file)
{
	const struct pp_elf_info *info = &file->object->info;
	_cleanup_free_ char *directory = NULL;
	struct pp_debugfile what = { 0 };
	struct pp_process *p;
	struct pp_question *q;
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
	q = pp_question_new(f, p, map, file->object);
	if (!q)
		return false;
	if (pp_reader_debugfile(f->reader, pp_process_target(p), &what, on_debugfile, q) < 0) {
		pp_question_free(q);
		return false;
	}
	file->opening = true;
	return true;
}

/* ---- The worker ------------------------------------------------------------------------------ */

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
	if (!e)
		return;
	pp_object_unpin(e->object);
	free(e);
}

static void on_cached(void *userdata, _unused_ int error, int *fd)
{
	struct errand *e = userdata;
	struct pp_file *file = pp_file_of(e->object);

	file->opening = false;
	file->cached_fd = TAKE_FD(*fd);
	pp_contents_advance(e->files, file);
	errand_free(e);
}

/* Whether the cache was asked for the table; without an answer the worker makes it. The vDSO, which
 * has no identity, is another with every kernel. */
static bool look_in_cache(struct pp_files *f, struct pp_file *file)
{
	struct errand *e;

	if (!f->cache || file->cache_asked || file->keep_fd)
		return false;
	file->cache_asked = true;
	e = errand_new(f, file->object);
	if (e && pp_tablecache_get(f->cache, &file->object->key, on_cached, e) == 0) {
		file->opening = true;
		return true;
	}
	errand_free(e);
	return false;
}

/* The file's table has come: from the cache, or it is one for the cache. */
static void note_table(struct pp_files *f, const struct pp_file *file, int table_fd)
{
	const struct pp_elf_info *info = &file->object->info;

	if (info->table_cached)
		f->tables.cached++;
	else
		f->tables.made++;
	if (f->cache && !info->table_cached && info->table_source && !file->keep_fd)
		pp_tablecache_put(f->cache, &file->object->key, info, table_fd);
}

static void on_loaded(void *userdata, int error, const struct pp_elf_info *info, int table_fd)
{
	_cleanup_close_ int fd = table_fd;
	struct errand *e = userdata;
	struct pp_object *o = e->object;

	if (error == -EAGAIN && o->table < 0) {
		/* No worker can be started now. */
		o->state = o->info.nr_segments ? PP_OBJECT_READY : PP_OBJECT_NEW;
		put_off(e->files, pp_file_of(o));
		errand_free(e);
		return;
	}
	if (error) {
		o->error = error;
		o->state = PP_OBJECT_FAILED;
		pp_count(PP_C_files_unreadable);
	} else {
		o->info = *info;
		o->state = PP_OBJECT_READY;
		o->has_table = fd >= 0;
	}
	if (fd >= 0)
		note_table(e->files, pp_file_of(o), fd);
	pp_file_of(o)->load_wanted = false;
	pp_file_of(o)->load_after_ns = pp_now_ns() + RELOAD_NS;
	e->files->hooks.on_loaded(e->files->userdata, o, fd);
	pp_contents_advance(e->files, pp_file_of(o));
	errand_free(e);
}

/* The worker took no request. */
static void not_taken(struct pp_files *f, struct pp_file *file, int error)
{
	if (error != -EBUSY) {
		wait_for_room(f, file);
	} else if (pp_worker_owes(f->worker, file->uid)) {
		/* Somebody else who maps it may not. */
		pp_file_close(f, file);
		open_file(f, file);
	} else {
		pp_contents_queue(f, file); /* enough of this user's wait */
	}
}

static void load(struct pp_files *f, struct pp_file *file)
{
	struct pp_object *o = file->object;
	struct errand *e;
	int r = -ENOMEM;

	if (file->fd < 0) {
		open_file(f, file);
		return;
	}
	if (look_in_cache(f, file))
		return;
	e = errand_new(f, o);
	if (e)
		r = pp_worker_load(f->worker, file->uid, file->fd, &o->key, file->cached_fd,
				   on_loaded, e);
	if (r < 0) {
		errand_free(e);
		not_taken(f, file, r);
		return;
	}
	file->fd_used_ns = pp_now_ns();
	file->cached_fd = pp_close(file->cached_fd);
	file->cache_asked = false;
	o->state = PP_OBJECT_LOADING;
}

static void on_names(void *userdata, int error, const struct pp_elf_name *names, size_t n)
{
	struct errand *e = userdata;
	struct pp_file *file = pp_file_of(e->object);

	file->naming = false;
	if (error) {
		pp_count(PP_C_names_failed);
		if (error == -EPIPE || error == -ETIMEDOUT)
			file->names_failed++;
		give_up_names(e->files, file);
	} else {
		pp_natives_named(e->files->store, file, names, n);
	}
	pp_contents_advance(e->files, file);
	errand_free(e);
}

static void ask_names(struct pp_files *f, struct pp_file *file)
{
	uint64_t addresses[PP_WORKER_ADDRESSES_MAX];
	struct errand *e;
	int r = -ENOMEM;
	size_t n;

	if (file->names_failed >= NAMES_FAILED_MAX) {
		give_up_names(f, file);
		return;
	}
	if (file->fd < 0) {
		open_file(f, file);
		return;
	}
	if (look_for_debugfile(f, file))
		return;
	n = pp_natives_addresses(file, addresses, ARRAY_SIZE(addresses));
	e = errand_new(f, file->object);
	if (e)
		r = pp_worker_names(f->worker, file->uid, file->fd, &file->object->key,
				    file->debug_fd, addresses, n, on_names, e);
	if (r < 0) {
		errand_free(e);
		not_taken(f, file, r);
		return;
	}
	file->fd_used_ns = pp_now_ns();
	file->naming = true;
}

void pp_contents_advance(struct pp_files *f, struct pp_file *file)
{
	struct pp_object *o = file->object;

	if (f->stopping || file->naming || file->opening || o->state == PP_OBJECT_LOADING)
		return; /* an answer leads here again */
	if (o->state == PP_OBJECT_FAILED)
		give_up(f, file);
	else if (file->load_wanted || (file->pcs.nr_pending && o->state == PP_OBJECT_NEW))
		load(f, file);
	else if (file->pcs.nr_pending)
		ask_names(f, file);
}

void pp_files_want_load(struct pp_files *f, struct pp_object *o)
{
	struct pp_file *file = pp_file_of(o);

	if (o->state == PP_OBJECT_FAILED || o->state == PP_OBJECT_LOADING || file->load_wanted)
		return;
	if (o->state == PP_OBJECT_READY &&
	    (o->table >= 0 || !o->has_table || pp_now_ns() < file->load_after_ns))
		return;
	if (file->fd < 0 && pp_now_ns() < file->open_after_ns)
		return;
	file->load_wanted = true;
	pp_contents_advance(f, file);
}

void pp_files_want_names(struct pp_files *f, struct pp_object *o)
{
	pp_contents_queue(f, pp_file_of(o));
}
