/* SPDX-License-Identifier: GPL-2.0-only */
/* Interning of texts, frames and stacks, and the counts on them. */
#include "profile.h"

#include "base/array.h"
#include "clean.h"

#include <string.h>

/* All texts of a profile together; offsets are 32 bits. */
#define POOL_MAX (1U << 30)

static int add_note(struct pp_profile *p, const char *name, size_t len, uint32_t *ret)
{
	struct pp_frame frame = { .kind = PP_KIND_NOTE };
	int r;

	r = pp_profile_add_text(p, name, len, &frame.name);
	return r < 0 ? r : pp_profile_add_frame(p, &frame, ret);
}

/* What every profile starts with: text 0, the fixed frames in the order of their enum, node 0,
 * attributes 0. */
static int add_fixed(struct pp_profile *p)
{
	const char *outside = "[outside Python]", *hidden = "[hidden]";
	uint32_t id;
	int r;

	r = pp_profile_add_text(p, "", 0, &id);
	if (r >= 0)
		r = pp_profile_add_frame(p, &(struct pp_frame){ .kind = PP_KIND_UNKNOWN }, &id);
	if (r >= 0)
		r = add_note(p, outside, strlen(outside), &id);
	if (r >= 0)
		r = add_note(p, hidden, strlen(hidden), &id);
	if (r >= 0)
		r = pp_array_grow(&p->nodes, &p->nodes_cap, 1, sizeof(*p->nodes),
				  PP_PROFILE_NODES_MAX);
	if (r < 0)
		return r;
	p->nodes[p->nr_nodes++] = (struct pp_node){ 0 };
	return pp_profile_add_attributes(p, &(struct pp_attributes){ 0 }, &id);
}

int pp_profile_new(struct pp_profile **ret)
{
	_cleanup_(pp_profile_freep) struct pp_profile *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->pool.max = POOL_MAX;
	r = add_fixed(p);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct pp_profile *pp_profile_free(struct pp_profile *p)
{
	if (!p)
		return NULL;
	free(p->frames);
	free(p->functions);
	free(p->nodes);
	free(p->processes);
	free(p->attributes);
	free(p->entries);
	free(p->texts);
	pp_buf_done(&p->pool);
	pp_u64map_done(&p->text_ids);
	pp_u64map_done(&p->frame_ids);
	pp_u64map_done(&p->node_ids);
	pp_u64map_done(&p->process_ids);
	pp_u64map_done(&p->set_ids);
	pp_u64map_done(&p->entry_ids);
	free(p);
	return NULL;
}

int pp_profile_add_text(struct pp_profile *p, const char *text, size_t len, uint32_t *ret)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	uint64_t key, id;
	int r;

	if (len > PP_PROFILE_TEXT_MAX)
		return -ENOSPC;
	r = pp_text_clean(&buf, text, len);
	if (r < 0)
		return r;
	r = pp_buf_add(&buf, "", 1);
	if (r < 0)
		return r;
	/* Two texts of one hash (nobody has seen any) live at neighbouring keys. */
	for (key = pp_hash(buf.data, buf.len); pp_u64map_get(&p->text_ids, key, &id); key++)
		if (strcmp(pp_profile_text(p, (uint32_t)id), (const char *)buf.data) == 0) {
			*ret = (uint32_t)id;
			return 0;
		}
	r = pp_array_grow(&p->texts, &p->texts_cap, p->nr_texts + 1, sizeof(*p->texts),
			  PP_PROFILE_TEXTS_MAX);
	if (r < 0)
		return r;
	id = p->pool.len;
	r = pp_buf_add(&p->pool, buf.data, buf.len);
	if (r < 0)
		return r == -ENOBUFS ? -ENOSPC : r;
	p->texts[p->nr_texts] = (uint32_t)id;
	r = pp_u64map_put(&p->text_ids, key, p->nr_texts);
	if (r < 0)
		return r;
	*ret = (uint32_t)p->nr_texts++;
	return 0;
}

int pp_profile_add_frame(struct pp_profile *p, const struct pp_frame *frame, uint32_t *ret)
{
	uint32_t function = (uint32_t)p->nr_frames;
	uint64_t key, id;
	int r;

	if (frame->name >= p->nr_texts || frame->file >= p->nr_texts ||
	    frame->module >= p->nr_texts)
		return -EINVAL;
	for (key = pp_hash(frame, sizeof(*frame)); pp_u64map_get(&p->frame_ids, key, &id); key++)
		if (memcmp(&p->frames[id], frame, sizeof(*frame)) == 0) {
			*ret = (uint32_t)id;
			return 0;
		}
	if (frame->line) {
		struct pp_frame whole = *frame;

		whole.line = 0;
		r = pp_profile_add_frame(p, &whole, &function);
		if (r < 0)
			return r;
	}
	r = pp_array_grow(&p->frames, &p->frames_cap, p->nr_frames + 1, sizeof(*p->frames),
			  PP_PROFILE_FRAMES_MAX);
	if (r >= 0)
		r = pp_array_grow(&p->functions, &p->functions_cap, p->nr_frames + 1,
				  sizeof(*p->functions), PP_PROFILE_FRAMES_MAX);
	if (r < 0)
		return r;
	for (key = pp_hash(frame, sizeof(*frame)); pp_u64map_get(&p->frame_ids, key, &id); key++)
		; /* its function may have taken the place */
	r = pp_u64map_put(&p->frame_ids, key, p->nr_frames);
	if (r < 0)
		return r;
	p->frames[p->nr_frames] = *frame;
	p->functions[p->nr_frames] = function;
	*ret = (uint32_t)p->nr_frames++;
	return 0;
}

int pp_profile_add_node(struct pp_profile *p, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	uint64_t key = (uint64_t)parent << 32 | frame, id;
	int r;

	if (parent >= p->nr_nodes || frame >= p->nr_frames)
		return -EINVAL;
	if (pp_u64map_get(&p->node_ids, key, &id)) {
		*ret = (uint32_t)id;
		return 0;
	}
	r = pp_array_grow(&p->nodes, &p->nodes_cap, p->nr_nodes + 1, sizeof(*p->nodes),
			  PP_PROFILE_NODES_MAX);
	if (r < 0)
		return r;
	r = pp_u64map_put(&p->node_ids, key, p->nr_nodes);
	if (r < 0)
		return r;
	p->nodes[p->nr_nodes] = (struct pp_node){ parent, frame };
	*ret = (uint32_t)p->nr_nodes++;
	return 0;
}

int pp_profile_add_process(struct pp_profile *p, const struct pp_process *process, uint32_t *ret)
{
	uint64_t id;
	int r;

	if (process->comm >= p->nr_texts || process->unit >= p->nr_texts ||
	    process->slice >= p->nr_texts || process->container >= p->nr_texts ||
	    process->pod >= p->nr_texts)
		return -EINVAL;
	if (!pp_u64map_get(&p->process_ids, (uint64_t)process->id, &id)) {
		id = p->nr_processes;
		r = pp_array_grow(&p->processes, &p->processes_cap, id + 1, sizeof(*p->processes),
				  PP_PROFILE_PROCESSES_MAX);
		if (r < 0)
			return r;
		r = pp_u64map_put(&p->process_ids, (uint64_t)process->id, id);
		if (r < 0)
			return r;
		p->nr_processes++;
	}
	p->processes[id] = *process;
	*ret = (uint32_t)id;
	return 0;
}

bool pp_profile_find_process(const struct pp_profile *p, int64_t id, uint32_t *ret)
{
	uint64_t index;

	if (!pp_u64map_get(&p->process_ids, (uint64_t)id, &index))
		return false;
	*ret = (uint32_t)index;
	return true;
}

int pp_profile_add_attributes(struct pp_profile *p, const struct pp_attributes *attributes,
			      uint32_t *ret)
{
	uint64_t key = pp_hash(attributes, sizeof(*attributes)), id;
	int r;

	for (size_t a = 0; a < PP_ATTRIBUTES; a++)
		if (attributes->texts[a] >= p->nr_texts)
			return -EINVAL;
	for (; pp_u64map_get(&p->set_ids, key, &id); key++)
		if (memcmp(&p->attributes[id], attributes, sizeof(*attributes)) == 0) {
			*ret = (uint32_t)id;
			return 0;
		}
	r = pp_array_grow(&p->attributes, &p->attributes_cap, p->nr_attributes + 1,
			  sizeof(*p->attributes), PP_PROFILE_SETS_MAX);
	if (r >= 0)
		r = pp_u64map_put(&p->set_ids, key, p->nr_attributes);
	if (r < 0)
		return r;
	p->attributes[p->nr_attributes] = *attributes;
	*ret = (uint32_t)p->nr_attributes++;
	return 0;
}

static void count(struct pp_profile *p, struct pp_entry *e, uint64_t samples, uint64_t cpu_ns)
{
	e->samples += samples;
	e->cpu_ns += cpu_ns;
	p->samples += samples;
	p->cpu_ns += cpu_ns;
	if (e->note)
		p->truncated += samples;
}

int pp_profile_add_entry(struct pp_profile *p, const struct pp_entry *entry)
{
	uint64_t key = pp_mix(pp_mix((uint64_t)entry->process << 32 | entry->node) ^
			      ((uint64_t)entry->attributes << 32 | entry->note));
	uint64_t id;
	int r;

	if (entry->process >= p->nr_processes || entry->node >= p->nr_nodes ||
	    entry->note >= p->nr_frames || entry->attributes >= p->nr_attributes)
		return -EINVAL;
	for (; pp_u64map_get(&p->entry_ids, key, &id); key++) {
		struct pp_entry *e = &p->entries[id];

		if (e->process == entry->process && e->node == entry->node &&
		    e->note == entry->note && e->attributes == entry->attributes) {
			count(p, e, entry->samples, entry->cpu_ns);
			return 0;
		}
	}
	r = pp_array_grow(&p->entries, &p->entries_cap, p->nr_entries + 1, sizeof(*p->entries),
			  PP_PROFILE_ENTRIES_MAX);
	if (r < 0)
		return r;
	r = pp_u64map_put(&p->entry_ids, key, p->nr_entries);
	if (r < 0)
		return r;
	p->entries[p->nr_entries] = (struct pp_entry){ .process = entry->process,
						       .node = entry->node,
						       .note = entry->note,
						       .attributes = entry->attributes };
	count(p, &p->entries[p->nr_entries++], entry->samples, entry->cpu_ns);
	return 0;
}

void pp_profile_clear_entries(struct pp_profile *p)
{
	p->nr_entries = 0;
	p->samples = p->cpu_ns = p->truncated = 0;
	pp_u64map_clear(&p->entry_ids);
}

int pp_profile_filter(struct pp_profile *p,
		      bool (*keep)(const struct pp_profile *p, const struct pp_entry *e, void *arg),
		      void *arg)
{
	_cleanup_free_ struct pp_entry *old = TAKE_PTR(p->entries);
	size_t nr = p->nr_entries;
	int r;

	p->entries_cap = 0;
	pp_profile_clear_entries(p);
	for (size_t i = 0; i < nr; i++) {
		if (!keep(p, &old[i], arg))
			continue;
		r = pp_profile_add_entry(p, &old[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int pp_profile_add_truncated(struct pp_profile *p, const char *reason, size_t len, uint32_t *ret)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	int r;

	r = pp_buf_printf(&buf, "[truncated: ");
	if (r >= 0)
		r = pp_buf_add(&buf, reason, len);
	if (r >= 0)
		r = pp_buf_add(&buf, "]", 1);
	return r < 0 ? r : add_note(p, (const char *)buf.data, buf.len, ret);
}

int pp_profile_symbol(const struct pp_profile *p, uint32_t frame, struct pp_buf *out)
{
	const struct pp_frame *f = &p->frames[frame];
	const char *name = pp_profile_text(p, f->name), *file = pp_profile_text(p, f->file);

	if (f->kind != PP_KIND_PYTHON)
		return pp_buf_printf(out, "%s", *name ? name : "[unknown]");
	if (f->line)
		return pp_buf_printf(out, "py::%s:%s:%u", *name ? name : "?", file, f->line);
	return pp_buf_printf(out, "py::%s%s%s", *name ? name : "?", *file ? ":" : "", file);
}

const char *pp_profile_object(const struct pp_profile *p, uint32_t frame)
{
	const struct pp_frame *f = &p->frames[frame];
	const char *module = pp_profile_text(p, f->module), *slash = strrchr(module, '/');

	if (slash && slash[1])
		return slash + 1;
	return *module ? module : "[unknown]";
}
