/* SPDX-License-Identifier: GPL-2.0-only */
/* The objects, and the life of what keeps them; see sightings.c and contents.c for the work. */
#include "files_private.h"

#include "base/clock.h"
#include "base/fd.h"
#include "elf/worker.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#define TEND_NS	   NSEC_PER_SEC
#define VDSO_BYTES (64 * KIB) /* the kernel's image is two pages */

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
	struct pp_file *file = pp_file_of(o);

	f->hooks.on_free(f->userdata, o);
	if (!file)
		return;
	pp_file_close(f, file);
	pp_close(file->cached_fd);
	pp_pcs_done(&file->pcs, f->store);
	free(file);
	o->userdata = NULL;
}

int pp_files_object(struct pp_files *f, const struct pp_file_key *key, const char *path,
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
	file->fd = file->debug_fd = file->cached_fd = -1;
	(*ret)->userdata = file;
	return 0;
}

void pp_files_tick(struct pp_files *f, uint64_t now_ns)
{
	pp_contents_tick(f);
	if (now_ns < f->tended_ns + TEND_NS)
		return;
	f->tended_ns = now_ns;
	pp_contents_tend(f, now_ns);
	pp_sightings_tend(f, now_ns);
}

void pp_files_swept(struct pp_files *f)
{
	struct pp_object *o;
	size_t i = 0;

	while ((o = pp_objects_next(f->objects, &i)))
		if (pp_file_of(o))
			pp_pcs_swept(&pp_file_of(o)->pcs, f->store);
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
	if (pp_files_object(f, &key, "[vdso]", &f->vdso) < 0) {
		pp_close(fd);
		f->vdso = NULL;
		return;
	}
	pp_object_pin(f->vdso);
	pp_file_of(f->vdso)->fd = fd;
	pp_file_of(f->vdso)->keep_fd = true;
	pp_files_want_load(f, f->vdso);
}

int pp_files_new(struct pp_files **ret, sd_event *event, struct pp_reader *reader,
		 struct pp_processes *processes, struct pp_store *store,
		 struct pp_tablecache *cache, const struct pp_files_hooks *hooks, void *userdata)
{
	_cleanup_(pp_files_freep) struct pp_files *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->reader = reader;
	f->processes = processes;
	f->store = store;
	f->cache = cache;
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
	if (!f)
		return;
	f->stopping = true;
	f->worker = pp_worker_free(f->worker); /* answers what is in flight */
	pp_contents_stop(f);
	pp_sightings_free(f);
}

struct pp_files *pp_files_free(struct pp_files *f)
{
	if (!f)
		return NULL;
	pp_files_stop(f);
	pp_objects_free(f->objects);
	pp_holdings_done(&f->open_of);
	free(f);
	return NULL;
}

struct pp_objects *pp_files_objects(struct pp_files *f)
{
	return f->objects;
}

struct pp_files_tables pp_files_tables(const struct pp_files *f)
{
	return f->tables;
}

size_t pp_files_pending(const struct pp_files *f, uint64_t time_ns)
{
	size_t i = 0, n = pp_sightings_pending(f, time_ns);
	struct pp_object *o;

	while ((o = pp_objects_next(f->objects, &i)))
		if (pp_file_of(o))
			n += pp_pcs_pending(&pp_file_of(o)->pcs, time_ns);
	return n;
}
