/* SPDX-License-Identifier: GPL-2.0-only */
#include "natives.h"

#include "profile/store.h"

#include <string.h>

uint32_t pp_natives_frame(struct pp_store *store, struct pp_files *files, struct pp_process *p,
			  struct pp_map *map, uint64_t pc, bool exact, uint64_t time_ns)
{
	/* A return address may be the first byte behind a function that ends with its call. */
	uint64_t key = (exact ? pc : pc - 1) - map->start + map->pgoff;
	struct pp_pcs *pcs = pp_files_pcs(files, p, map);
	const char *path = map->path->text;
	uint32_t module, frame;

	if (pcs && pp_pcs_get(pcs, key, &frame))
		return frame;
	if (pp_strings_get(store->strings, path, strlen(path), &module) < 0)
		return PP_FRAME_UNKNOWN;
	if (!pcs || (map->object && ((struct pp_object *)map->object)->state == PP_OBJECT_FAILED)) {
		if (pp_frames_unnamed(store->frames, PP_KIND_NATIVE, module, key, &frame) < 0)
			return PP_FRAME_UNKNOWN;
		return frame;
	}
	if (pp_frames_pending(store->frames, PP_KIND_NATIVE, module, key, &frame) < 0)
		return PP_FRAME_UNKNOWN;
	if (pp_pcs_put_pending(pcs, key, frame, time_ns) < 0)
		(void)pp_frames_give_up(store->frames, frame);
	else if (map->object)
		pp_files_want_names(files, map->object);
	return frame;
}

size_t pp_natives_addresses(struct pp_file *file, uint64_t *ret, size_t n)
{
	n = MIN(n, file->pcs.nr_pending);
	for (size_t i = 0; i < n; i++)
		if (!pp_object_address(file->object, file->pcs.pending[i].key, &ret[i]))
			ret[i] = UINT64_MAX; /* in no segment: has no name */
	return n;
}

void pp_natives_named(struct pp_store *store, struct pp_file *file, const struct pp_elf_name *names,
		      size_t n)
{
	const char *path = file->object->path;

	n = MIN(n, file->pcs.nr_pending);
	/* From the back: dropping entry i moves the last one there, which was asked later or is
	 * done. */
	for (size_t i = n; i-- > 0;) {
		struct pp_pending_pc pc = file->pcs.pending[i];
		uint32_t named;

		pp_pcs_drop_pending(&file->pcs, i);
		if (names[i].name[0] &&
		    pp_store_frame(store, PP_KIND_NATIVE, names[i].name, strlen(names[i].name),
				   NULL, 0, path, strlen(path), &named) == 0 &&
		    pp_frames_resolve(store->frames, pc.frame, named) == 0)
			pp_pcs_put(&file->pcs, pc.key, named);
		else
			(void)pp_frames_give_up(store->frames, pc.frame);
	}
}
