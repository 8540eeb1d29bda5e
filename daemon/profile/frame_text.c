/* SPDX-License-Identifier: GPL-2.0-only */
#include "frame_text.h"

#include <string.h>

#include "base/text.h"

static int terminate(struct pp_buf *b)
{
	int r = pp_buf_add(b, "", 1);

	if (r >= 0)
		b->len--;
	return r;
}

static int put(struct pp_buf *b, const char *text)
{
	return pp_buf_add(b, text, strlen(text));
}

static int put_string(struct pp_buf *b, struct pp_store *store, uint32_t id, bool basename)
{
	size_t len;
	const char *text = pp_strings_text(store->strings, id, &len);
	const char *slash = basename && len ? memrchr(text, '/', len - 1) : NULL;

	if (slash) {
		len -= (size_t)(slash + 1 - text);
		text = slash + 1;
	}
	return pp_text_escape(b, text, len, NULL);
}

/* What stands in brackets for the unnamed: its module without the path, or without the brackets
 * that it has already. */
static int put_where(struct pp_buf *b, struct pp_store *store, const struct pp_frame *f)
{
	const char *module;
	size_t len;

	if (f->kind == PP_KIND_KERNEL)
		return put(b, "kernel");
	if (f->kind == PP_KIND_JIT)
		return put(b, "jit");
	if (!f->module)
		return put(b, "unknown");
	module = pp_strings_text(store->strings, f->module, &len);
	if (len > 2 && module[0] == '[' && module[len - 1] == ']')
		return pp_text_escape(b, module + 1, len - 2, NULL);
	return put_string(b, store, f->module, true);
}

/* Why there is no name. */
static int put_note(struct pp_buf *b, struct pp_store *store, const struct pp_frame *f)
{
	int r;

	if (!f->file)
		return 0;
	r = put(b, " [");
	if (r >= 0)
		r = put_string(b, store, f->file, false);
	return r < 0 ? r : put(b, "]");
}

static int put_unnamed(struct pp_buf *b, struct pp_store *store, const struct pp_frame *f)
{
	int r;

	if (f->kind == PP_KIND_PYTHON) {
		r = put(b, "?");
		return r < 0 ? r : put_note(b, store, f);
	}
	r = put(b, "[");
	if (r >= 0)
		r = put_where(b, store, f);
	if (r >= 0 && (f->offset || f->kind == PP_KIND_NATIVE))
		r = pp_buf_printf(b, "+0x%llx", (unsigned long long)f->offset);
	if (r >= 0)
		r = put(b, "]");
	return r < 0 ? r : put_note(b, store, f);
}

static int put_module(struct pp_buf *b, struct pp_store *store, const struct pp_frame *f)
{
	switch ((enum pp_kind)f->kind) {
	case PP_KIND_PYTHON:
		return put(b, "[python]");
	case PP_KIND_KERNEL:
		return put(b, "[kernel]");
	case PP_KIND_JIT:
		return put(b, "[jit]");
	case PP_KIND_NATIVE:
		if (f->module)
			return put_string(b, store, f->module, false);
		break;
	default:
		break;
	}
	return put(b, "[unknown]");
}

static int put_system(struct pp_frame_text *t, const struct pp_frame *f)
{
	int r;

	if (f->kind != PP_KIND_PYTHON)
		return 0;
	r = pp_buf_printf(&t->system, "py::");
	if (r >= 0)
		r = pp_buf_add(&t->system, t->name.data, t->name.len);
	if (r >= 0 && t->file.len)
		r = put(&t->system, ":");
	if (r >= 0 && t->file.len)
		r = pp_buf_add(&t->system, t->file.data, t->file.len);
	return r;
}

int pp_frame_text(struct pp_frame_text *t, struct pp_store *store, uint32_t frame)
{
	const struct pp_frame f = *pp_frames_describe(store->frames, frame);
	int r;

	t->name.len = t->system.len = t->file.len = t->module.len = 0;
	if (f.name)
		r = put_string(&t->name, store, f.name, false);
	else
		r = put_unnamed(&t->name, store, &f);
	if (r >= 0 && f.name)
		r = put_string(&t->file, store, f.file, false);
	if (r >= 0)
		r = put_module(&t->module, store, &f);
	if (r >= 0)
		r = put_system(t, &f);
	if (r >= 0)
		r = terminate(&t->name);
	if (r >= 0)
		r = terminate(&t->system);
	if (r >= 0)
		r = terminate(&t->file);
	if (r >= 0)
		r = terminate(&t->module);
	return r;
}

void pp_frame_text_done(struct pp_frame_text *t)
{
	pp_buf_done(&t->name);
	pp_buf_done(&t->system);
	pp_buf_done(&t->file);
	pp_buf_done(&t->module);
}

uint32_t pp_frame_shown(struct pp_store *store, uint32_t frame, enum pp_kernel_view view)
{
	uint32_t final = pp_frames_final(store->frames, frame), kernel;
	const struct pp_frame *f = pp_frames_describe(store->frames, final);

	if (final == PP_FRAME_SHIM) /* told before it was known to be one */
		return PP_FRAME_UNKNOWN;
	if (f->kind != PP_KIND_KERNEL || view == PP_KERNEL_FULL ||
	    (view == PP_KERNEL_NAMES && f->name))
		return final;
	if (pp_frames_unnamed(store->frames, PP_KIND_KERNEL, 0, 0, &kernel) < 0)
		return PP_FRAME_UNKNOWN;
	return kernel;
}

const char *pp_kind_text(enum pp_kind kind)
{
	static const char *const texts[] = {
		[PP_KIND_UNKNOWN] = "unknown", [PP_KIND_NATIVE] = "native",
		[PP_KIND_PYTHON] = "python",   [PP_KIND_KERNEL] = "kernel",
		[PP_KIND_JIT] = "jit",
	};

	return (unsigned int)kind < ARRAY_SIZE(texts) ? texts[kind] : "unknown";
}
