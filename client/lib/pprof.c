/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ids in a pprof may be any numbers and everything is optional, so locations, functions and
 * mappings are looked up in maps from id to index; each location is turned into frames once.
 */
#include "pprof.h"

#include "base/array.h"
#include "pprof.pb-c.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

struct reader {
	Pprof__Profile *in;
	struct pp_profile *out;
	struct pp_u64map locations, functions, mappings; /* id to index */
	uint32_t *frames;				 /* of all locations, caller first */
	size_t nr_frames, frames_cap;
	size_t *first;	  /* a location's first frame; its last is before the next one's first */
	int samples, cpu; /* which value of a sample is what, -1: none */
};

static void reader_done(struct reader *r)
{
	if (r->in)
		pprof__profile__free_unpacked(r->in, NULL);
	pp_profile_free(r->out);
	pp_u64map_done(&r->locations);
	pp_u64map_done(&r->functions);
	pp_u64map_done(&r->mappings);
	free(r->frames);
	free(r->first);
}

static const char *string(const struct reader *r, int64_t i)
{
	return i >= 0 && (size_t)i < r->in->n_string_table ? r->in->string_table[i] : "";
}

static int text(struct reader *r, const char *s, uint32_t *ret)
{
	return pp_profile_add_text(r->out, s, strlen(s), ret);
}

static int index_tables(struct reader *r)
{
	int k = 0;

	for (size_t i = 0; i < r->in->n_mapping && k >= 0; i++)
		k = pp_u64map_put(&r->mappings, r->in->mapping[i]->id, i);
	for (size_t i = 0; i < r->in->n_function && k >= 0; i++)
		k = pp_u64map_put(&r->functions, r->in->function[i]->id, i);
	for (size_t i = 0; i < r->in->n_location && k >= 0; i++)
		k = pp_u64map_put(&r->locations, r->in->location[i]->id, i);
	return k;
}

static enum pp_kind kind_of(const char *module)
{
	static const struct {
		const char *module;
		enum pp_kind kind;
	} special[] = {
		{ "[python]", PP_KIND_PYTHON },
		{ "[kernel]", PP_KIND_KERNEL },
		{ "[kernel.kallsyms]", PP_KIND_KERNEL }, /* perf's word */
		{ "[jit]", PP_KIND_JIT },
		{ "[unknown]", PP_KIND_UNKNOWN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (strcmp(special[i].module, module) == 0)
			return special[i].kind;
	return PP_KIND_NATIVE;
}

/* A function called from outside has no name: its place in the file stands for it. */
static int unnamed(struct reader *r, const Pprof__Location *l, const Pprof__Mapping *m,
		   uint32_t *ret)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	const char *path = m ? string(r, m->filename) : "", *slash = strrchr(path, '/');
	const char *where = slash ? slash + 1 : *path ? path : "unknown";
	uint64_t offset = m ? l->address - m->memory_start + m->file_offset : l->address;
	size_t len = strlen(where);
	int k;

	if (len > 2 && where[0] == '[' && where[len - 1] == ']') { /* [vdso] */
		where++;
		len -= 2;
	}
	k = pp_buf_printf(&buf, "[%.*s+0x%" PRIx64 "]", (int)len, where, offset);
	return k < 0 ? k : pp_profile_add_text(r->out, (char *)buf.data, buf.len, ret);
}

static int add_frame(struct reader *r, const Pprof__Location *l, const Pprof__Line *line)
{
	const Pprof__Function *f = NULL;
	const Pprof__Mapping *m = NULL;
	struct pp_frame frame = { 0 };
	uint64_t i;
	int k;

	if (pp_u64map_get(&r->mappings, l->mapping_id, &i))
		m = r->in->mapping[i];
	if (line && pp_u64map_get(&r->functions, line->function_id, &i))
		f = r->in->function[i];
	frame.kind = kind_of(m ? string(r, m->filename) : "");
	k = text(r, m ? string(r, m->filename) : "", &frame.module);
	if (k >= 0 && f)
		k = text(r, string(r, f->filename), &frame.file);
	if (k >= 0 && f)
		k = text(r, string(r, f->name), &frame.name);
	/* Other languages' lines are of no use without a way to look at them. */
	if (frame.kind == PP_KIND_PYTHON && f && line->line > 0 && line->line <= INT32_MAX)
		frame.line = (uint32_t)line->line;
	if (k >= 0 && !frame.name)
		k = unnamed(r, l, m, &frame.name);
	if (k >= 0)
		k = pp_array_grow(&r->frames, &r->frames_cap, r->nr_frames + 1, sizeof(*r->frames),
				  PP_PROFILE_NODES_MAX);
	return k < 0 ? k : pp_profile_add_frame(r->out, &frame, &r->frames[r->nr_frames++]);
}

/* A location is one frame, or several where functions were inlined: callers come last. */
static int add_locations(struct reader *r)
{
	int k;

	r->first = calloc(r->in->n_location + 1, sizeof(*r->first));
	if (!r->first)
		return -ENOMEM;
	for (size_t i = 0; i < r->in->n_location; i++) {
		const Pprof__Location *l = r->in->location[i];

		r->first[i] = r->nr_frames;
		if (!l->n_line) {
			k = add_frame(r, l, NULL);
			if (k < 0)
				return k;
		}
		for (size_t n = l->n_line; n--;) {
			k = add_frame(r, l, l->line[n]);
			if (k < 0)
				return k;
		}
	}
	r->first[r->in->n_location] = r->nr_frames;
	return 0;
}

static void find_values(struct reader *r)
{
	r->samples = r->cpu = -1;
	for (size_t i = 0; i < r->in->n_sample_type; i++) {
		const char *unit = string(r, r->in->sample_type[i]->unit);

		if (r->samples < 0 && strcmp(unit, "count") == 0)
			r->samples = (int)i;
		if (r->cpu < 0 && strcmp(unit, "nanoseconds") == 0)
			r->cpu = (int)i;
	}
}

static uint64_t value(const Pprof__Sample *s, int i)
{
	return i >= 0 && (size_t)i < s->n_value && s->value[i] > 0 ? (uint64_t)s->value[i] : 0;
}

/* A label that is an attribute, if it is one. */
static int read_attribute(struct reader *r, const char *key, const char *str,
			  struct pp_attributes *ret)
{
	enum pp_attribute a = pp_attribute_of_name(key, strlen(key));

	return a == PP_ATTRIBUTES ? 0 : text(r, str, &ret->texts[a]);
}

static int read_labels(struct reader *r, const Pprof__Sample *s, struct pp_process *process,
		       struct pp_entry *entry)
{
	struct pp_attributes attributes = { 0 };
	int k = 0;

	for (size_t i = 0; i < s->n_label && k >= 0; i++) {
		const Pprof__Label *l = s->label[i];
		const char *key = string(r, l->key), *str = string(r, l->str);

		if (strcmp(key, "process") == 0)
			process->id = l->num;
		else if (strcmp(key, "pid") == 0)
			process->pid = l->num;
		else if (strcmp(key, "comm") == 0)
			k = text(r, str, &process->comm);
		else if (strcmp(key, "unit") == 0)
			k = text(r, str, &process->unit);
		else if (strcmp(key, "slice") == 0)
			k = text(r, str, &process->slice);
		else if (strcmp(key, "container") == 0)
			k = text(r, str, &process->container);
		else if (strcmp(key, "pod") == 0)
			k = text(r, str, &process->pod);
		else if (strcmp(key, "truncated") == 0)
			k = pp_profile_add_truncated(r->out, str, strlen(str), &entry->note);
		else
			k = read_attribute(r, key, str, &attributes);
	}
	if (k >= 0)
		k = pp_profile_add_attributes(r->out, &attributes, &entry->attributes);
	/* Other writers know a pid, but not lives of a pid. */
	if (!process->id)
		process->id = -process->pid;
	return k;
}

static int add_sample(struct reader *r, const Pprof__Sample *s)
{
	struct pp_process process = { 0 };
	struct pp_entry entry = {
		.samples = value(s, r->samples),
		.cpu_ns = value(s, r->cpu),
	};
	int k;

	if (!entry.samples && !entry.cpu_ns)
		return 0;
	k = read_labels(r, s, &process, &entry);
	if (k >= 0)
		k = pp_profile_add_process(r->out, &process, &entry.process);
	for (size_t i = s->n_location_id; i-- && k >= 0;) {
		uint64_t l;

		if (!pp_u64map_get(&r->locations, s->location_id[i], &l))
			return -EBADMSG;
		for (size_t n = r->first[l]; n < r->first[l + 1] && k >= 0; n++)
			k = pp_profile_add_node(r->out, entry.node, r->frames[n], &entry.node);
	}
	return k < 0 ? k : pp_profile_add_entry(r->out, &entry);
}

static int read_plain(struct pp_profile **ret, const void *data, size_t len)
{
	_cleanup_(reader_done) struct reader r = { 0 };
	int k;

	r.in = pprof__profile__unpack(NULL, len, data);
	/* An empty message is a valid one; a profile without a string is none. */
	if (!r.in || !r.in->n_string_table)
		return -EBADMSG;
	k = pp_profile_new(&r.out);
	if (k >= 0)
		k = index_tables(&r);
	if (k >= 0)
		k = add_locations(&r);
	if (k < 0)
		return k;
	find_values(&r);
	for (size_t i = 0; i < r.in->n_sample; i++) {
		k = add_sample(&r, r.in->sample[i]);
		if (k < 0)
			return k;
	}
	r.out->time_ns = (uint64_t)MAX(r.in->time_nanos, 0);
	r.out->duration_ns = (uint64_t)MAX(r.in->duration_nanos, 0);
	r.out->period_ns = (uint64_t)MAX(r.in->period, 0);
	*ret = TAKE_PTR(r.out);
	return 0;
}

static void inflate_done(z_stream *z)
{
	inflateEnd(z);
}

static int gunzip(struct pp_buf *out, const void *data, size_t len)
{
	_cleanup_(inflate_done) z_stream z = { 0 };
	int k;

	if (len > UINT_MAX)
		return -EFBIG;
	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	do {
		k = pp_buf_reserve(out, 64 * KIB);
		if (k < 0)
			return k == -ENOBUFS ? -EFBIG : k;
		z.next_out = out->data + out->len;
		z.avail_out = (uInt)MIN(out->cap - out->len, (size_t)UINT_MAX);
		k = inflate(&z, Z_NO_FLUSH);
		out->len = (size_t)(z.next_out - out->data);
		/* Members may follow one another: they are one file. */
		if (k == Z_STREAM_END && z.avail_in && inflateReset(&z) == Z_OK)
			k = Z_OK;
	} while (k == Z_OK);
	if (k == Z_MEM_ERROR)
		return -ENOMEM;
	return k == Z_STREAM_END ? 0 : -EBADMSG;
}

int pp_pprof_read(struct pp_profile **ret, const void *data, size_t len)
{
	_cleanup_buf_ struct pp_buf plain = PP_BUF(PP_PPROF_PLAIN_MAX);
	const uint8_t *p = data;
	int k;

	if (len < 2 || p[0] != 0x1f || p[1] != 0x8b)
		return read_plain(ret, data, len);
	k = gunzip(&plain, data, len);
	return k < 0 ? k : read_plain(ret, plain.data, plain.len);
}

int pp_pprof_load(struct pp_buf *ret, int fd)
{
	_cleanup_buf_ struct pp_buf buf = PP_BUF(PP_PPROF_FILE_MAX);

	for (;;) {
		ssize_t n;
		int k;

		k = pp_buf_reserve(&buf, 64 * KIB);
		if (k < 0)
			return k == -ENOBUFS ? -EFBIG : k;
		n = read(fd, buf.data + buf.len, buf.cap - buf.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		buf.len += (size_t)n;
	}
	*ret = buf;
	buf = (struct pp_buf){ 0 };
	return 0;
}
