/* SPDX-License-Identifier: GPL-2.0-only */
/* A process as the interface shows it. */
#include "api/internal.h"

#include "elf/object.h"
#include "ipc/varlink.h"
#include <stdio.h>
#include <string.h>

/* Sets a text of any bytes; an absent one is left out. */
static int set_text(json_t *object, const char *key, const char *text, size_t len)
{
	if (!text)
		return 0;
	return json_object_set_new(object, key, pp_json_text(text, len));
}

static int set_atom(json_t *object, const char *key, const struct pp_atom *atom)
{
	return atom ? set_text(object, key, atom->text, atom->len) : 0;
}

static int set_string(json_t *object, const char *key, const char *text)
{
	return text ? set_text(object, key, text, strlen(text)) : 0;
}

static int set_python(json_t *o, const struct pp_api_python *py)
{
	int r = json_object_set_new(o, "map_entries", json_integer((json_int_t)py->map_entries));

	r |= set_string(o, "map_path", py->map_path);
	if (!py->is_python)
		return r;
	r |= set_string(o, "python", py->version[0] ? py->version : "unknown");
	r |= set_string(o, "trampolines", py->trampolines);
	r |= set_string(o, "named_by", py->named_by);
	r |= set_string(o, "problem", py->problem);
	r |= set_string(o, "remedy", py->remedy);
	if (py->frames)
		r |= json_object_set_new(o, "coverage",
					 json_real((double)py->named / (double)py->frames));
	return r;
}

/* Of a process with more mappings the first are looked at: a list is made within turns. */
#define MAPS_LOOKED_AT 256
/* Of a file's name that much is said. */
#define FILE_NAME_BYTES 128

static const char file_remedy[] =
	"rebuild or reinstall the file; until then stacks through it may end there";

/* A file it maps without whose rules its stacks are walked. */
static int set_file(json_t *o, const struct pp_process *p)
{
	size_t n = MIN(pp_process_nr_maps(p), (size_t)MAPS_LOOKED_AT);
	const struct pp_object *object = NULL;
	const char *fault = NULL;
	char text[FILE_NAME_BYTES + 256];
	int r;

	for (size_t i = 0; i < n && !fault; i++) {
		object = p->maps->maps[i].object;
		fault = object ? pp_object_fault(object) : NULL;
	}
	if (!fault)
		return 0;
	snprintf(text, sizeof(text), "a file it maps cannot be unwound: %.*s: %s", FILE_NAME_BYTES,
		 object->basename, fault);
	r = set_string(o, "file_problem", text);
	return r | set_string(o, "file_remedy", file_remedy);
}

int pp_api_process(struct pp_api *api, const struct pp_process *p, json_t **ret)
{
	json_auto_t *o = NULL;
	struct pp_api_python py = { 0 };
	int r;

	o = json_pack("{s:I, s:i, s:i, s:I, s:b, s:I, s:I}", "id", (json_int_t)p->id, "pid",
		      (int)p->pid, "ppid", (int)p->ppid, "uid",
		      p->has_ids ? (json_int_t)p->euid : -1, "alive", (int)p->alive, "samples",
		      (json_int_t)p->samples, "complete", (json_int_t)p->complete);
	if (!o)
		return -ENOMEM;
	api->backend.python(api->backend.userdata, p, &py);
	r = set_text(o, "comm", p->comm, strnlen(p->comm, sizeof(p->comm)));
	if (p->cmdline)
		r |= set_atom(o, "command", p->cmdline);
	else
		r |= json_object_set_new(o, "command", json_string(""));
	r |= set_atom(o, "unit", p->unit);
	r |= set_atom(o, "slice", p->slice);
	r |= set_atom(o, "container", p->container);
	r |= set_atom(o, "pod", p->pod);
	r |= set_python(o, &py);
	r |= set_file(o, p);
	if (r)
		return -ENOMEM;
	*ret = TAKE_PTR(o);
	return 0;
}
