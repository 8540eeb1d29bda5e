/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A protobuf message may be written as the concatenation of its parts, as repeated fields append:
 * each sample, location, function, mapping and string is packed as a Profile that holds nothing
 * else and goes straight into the compressor. Things are written when they are first needed, with
 * the next number of their table, so ids are sequential and each table is in order.
 */
#include "pprof.h"

#include <string.h>
#include <zlib.h>

#include "base/text.h"
#include "base/u64map.h"
#include "end.h"
#include "pprof.pb-c.h"

#define GZIP_WINDOW (15 + 16) /* zlib: the largest window, gzip header and trailer */
#define GZIP_LEVEL  3	      /* a third of level 6's time for a tenth more bytes */
#define GZIP_MEMORY 8
#define CHUNK	    (64 * KIB) /* plain bytes handed to the compressor at a time */

/* The store's names fit, unless most of their bytes are escaped: one byte is four then, and twice
 * in the system name. When the table is half full, long texts are cut, so that all others have
 * room. */
#define CROWDED_BYTES	 (PP_STORE_STRINGS_MAX / 2)
#define CROWDED_TEXT_MAX 256

enum label {
	LABEL_PROCESS,
	LABEL_PID,
	LABEL_COMM,
	LABEL_UNIT,
	LABEL_SLICE,
	LABEL_CONTAINER,
	LABEL_POD,
	LABEL_GIL,
	LABEL_GC,
	LABEL_THREAD,
	LABEL_TASK,
	LABEL_TRUNCATED,
	LABEL_MAX,
};

static const char *const label_keys[] = {
	[LABEL_PROCESS] = "process", [LABEL_PID] = "pid",     [LABEL_COMM] = "comm",
	[LABEL_UNIT] = "unit",	     [LABEL_SLICE] = "slice", [LABEL_CONTAINER] = "container",
	[LABEL_POD] = "pod",	     [LABEL_GIL] = "gil",     [LABEL_GC] = "gc",
	[LABEL_THREAD] = "thread",   [LABEL_TASK] = "task",   [LABEL_TRUNCATED] = "truncated",
};

/* Labels of one process: those that are set come first. */
struct labels {
	Pprof__Label label[LABEL_MAX];
	size_t nr;
};

struct writer {
	const struct pp_selection *s;
	const struct pp_pprof_options *options;
	struct pp_buf *out;
	struct pp_buf plain; /* not compressed yet */
	z_stream z;
	struct pp_strings *strings; /* its ids are the string table's indices */
	uint64_t nr_cut;	    /* texts cut as the table was crowded */
	uint32_t *locations;	    /* by the store's frame; 0: not written yet */
	uint32_t nr_locations;
	uint64_t nr_functions;
	struct pp_u64map mappings;  /* module string → mapping */
	struct pp_u64map functions; /* hash of what tells functions of lines apart → function */
	struct pp_frame_text text;
	struct labels labels; /* of `process` */
	uint64_t process;
	bool labelled;
};

static int deflate_plain(struct writer *w, int flush)
{
	int r;

	w->z.next_in = w->plain.data;
	w->z.avail_in = (uInt)w->plain.len;
	do {
		r = pp_buf_reserve(w->out,
				   w->out->max ? MIN(CHUNK, w->out->max - w->out->len) : CHUNK);
		if (r < 0)
			return r;
		w->z.next_out = w->out->data + w->out->len;
		w->z.avail_out = (uInt)MIN(w->out->cap - w->out->len, (size_t)CHUNK);
		if (w->out->max)
			w->z.avail_out =
				(uInt)MIN((size_t)w->z.avail_out, w->out->max - w->out->len);
		if (!w->z.avail_out)
			return -ENOBUFS;
		r = deflate(&w->z, flush);
		w->out->len = (size_t)(w->z.next_out - w->out->data);
	} while (r == Z_OK && (w->z.avail_in || flush == Z_FINISH));
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
		return -EIO;
	w->plain.len = 0;
	return 0;
}

/* Writes one part of the profile. */
static int emit(struct writer *w, const Pprof__Profile *part)
{
	size_t size = pprof__profile__get_packed_size(part);
	int r;

	r = pp_buf_reserve(&w->plain, size);
	if (r < 0)
		return r;
	w->plain.len += pprof__profile__pack(part, w->plain.data + w->plain.len);
	return w->plain.len >= CHUNK ? deflate_plain(w, Z_NO_FLUSH) : 0;
}

/* How much of text, which is valid UTF-8, to keep. */
static size_t bounded(struct writer *w, const char *text, size_t len)
{
	if (len <= CROWDED_TEXT_MAX || pp_strings_bytes(w->strings) < CROWDED_BYTES)
		return len;
	w->nr_cut++;
	for (len = CROWDED_TEXT_MAX; ((uint8_t)text[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

/* The index of text, which is valid UTF-8. */
static int string(struct writer *w, const char *text, size_t len, int64_t *ret)
{
	size_t before = pp_strings_count(w->strings);
	Pprof__Profile part = PPROF__PROFILE__INIT;
	char *strings[1];
	uint32_t id;
	int r;

	r = pp_strings_get_whole(w->strings, text, bounded(w, text, len), &id);
	if (r < 0)
		return r;
	*ret = id;
	if (pp_strings_count(w->strings) == before)
		return 0;
	strings[0] = (char *)pp_strings_text(w->strings, id, NULL);
	part.n_string_table = 1;
	part.string_table = strings;
	return emit(w, &part);
}

static int buf_string(struct writer *w, const struct pp_buf *text, int64_t *ret)
{
	return string(w, (const char *)text->data, text->len, ret);
}

static int literal(struct writer *w, const char *text, int64_t *ret)
{
	return string(w, text, strlen(text), ret);
}

static int mapping(struct writer *w, bool lines, uint64_t *ret)
{
	Pprof__Mapping m = PPROF__MAPPING__INIT, *mappings[] = { &m };
	Pprof__Profile part = PPROF__PROFILE__INIT;
	int64_t filename;
	int r;

	r = buf_string(w, &w->text.module, &filename);
	if (r < 0 || pp_u64map_get(&w->mappings, (uint64_t)filename, ret))
		return r;
	*ret = w->mappings.len + 1;
	r = pp_u64map_put(&w->mappings, (uint64_t)filename, *ret);
	if (r < 0)
		return r;
	m.id = *ret;
	m.filename = filename;
	m.has_line_numbers = lines;
	m.has_functions = true; /* names are final: nobody need look them up again */
	part.n_mapping = 1;
	part.mapping = mappings;
	return emit(w, &part);
}

/* The function of a frame's lines, or of the frame alone. */
static int function(struct writer *w, const struct pp_frame *frame, uint64_t *ret)
{
	uint64_t key =
		pp_mix(pp_mix((uint64_t)frame->name << 32 | frame->file) ^ frame->first_line);
	Pprof__Function f = PPROF__FUNCTION__INIT, *functions[] = { &f };
	bool has_lines = frame->kind == PP_KIND_PYTHON && frame->name;
	Pprof__Profile part = PPROF__PROFILE__INIT;
	int r = 0;

	if (has_lines && pp_u64map_get(&w->functions, key, ret))
		return 0;
	*ret = f.id = ++w->nr_functions;
	if (has_lines) {
		f.start_line = frame->first_line;
		r = pp_u64map_put(&w->functions, key, f.id);
	}
	if (r >= 0)
		r = buf_string(w, &w->text.name, &f.name);
	if (r >= 0)
		r = buf_string(w, &w->text.system, &f.system_name);
	if (r >= 0)
		r = buf_string(w, &w->text.file, &f.filename);
	if (r < 0)
		return r;
	part.n_function = 1;
	part.function = functions;
	return emit(w, &part);
}

static int location(struct writer *w, uint32_t frame, uint64_t *ret)
{
	const struct pp_frame f = *pp_frames_describe(w->s->store->frames, frame);
	Pprof__Location l = PPROF__LOCATION__INIT, *locations[] = { &l };
	Pprof__Line line = PPROF__LINE__INIT, *lines[] = { &line };
	Pprof__Profile part = PPROF__PROFILE__INIT;
	int r;

	*ret = w->locations[frame];
	if (*ret)
		return 0;
	*ret = l.id = w->nr_locations + 1;
	l.address = f.name ? 0 : f.offset;
	line.line = f.name ? f.line : 0;
	l.n_line = 1;
	l.line = lines;
	r = pp_frame_text(&w->text, w->s->store, frame);
	if (r >= 0)
		r = mapping(w, f.kind == PP_KIND_PYTHON, &l.mapping_id);
	if (r >= 0)
		r = function(w, &f, &line.function_id);
	if (r < 0)
		return r;
	w->locations[frame] = ++w->nr_locations;
	part.n_location = 1;
	part.location = locations;
	return emit(w, &part);
}

static int label_number(struct writer *w, enum label key, int64_t value)
{
	Pprof__Label *l = &w->labels.label[w->labels.nr++];

	*l = (Pprof__Label)PPROF__LABEL__INIT;
	l->num = value;
	return literal(w, label_keys[key], &l->key);
}

/* Text that is escaped already. */
static int label_clean(struct writer *w, enum label key, const struct pp_buf *text)
{
	Pprof__Label *l = &w->labels.label[w->labels.nr++];
	int r;

	*l = (Pprof__Label)PPROF__LABEL__INIT;
	r = literal(w, label_keys[key], &l->key);
	return r < 0 ? r : buf_string(w, text, &l->str);
}

static int label_text(struct writer *w, enum label key, const char *text)
{
	_cleanup_buf_ struct pp_buf escaped = PP_BUF(0);
	int r;

	if (!text || !*text)
		return 0;
	r = pp_text_escape(&escaped, text, strlen(text), NULL);
	return r < 0 ? r : label_clean(w, key, &escaped);
}

/* What is said of the process: the same for all its samples, which lie together. */
static int label_process(struct writer *w, uint64_t process)
{
	struct pp_process_facts facts = { 0 };
	int r;

	if (w->labelled && w->process == process)
		return 0;
	if (w->options->facts)
		w->options->facts(w->options->userdata, process, &facts);
	w->labels.nr = 0;
	r = label_number(w, LABEL_PROCESS, (int64_t)process);
	if (r >= 0)
		r = label_number(w, LABEL_PID, facts.pid);
	if (r >= 0)
		r = label_text(w, LABEL_COMM, facts.comm);
	if (r >= 0)
		r = label_text(w, LABEL_UNIT, facts.unit);
	if (r >= 0)
		r = label_text(w, LABEL_SLICE, facts.slice);
	if (r >= 0)
		r = label_text(w, LABEL_CONTAINER, facts.container);
	if (r >= 0)
		r = label_text(w, LABEL_POD, facts.pod);
	if (r < 0)
		return r;
	w->process = process;
	w->labelled = true;
	return 0;
}

/* The attributes of the sample. Its thread and task are the profiled program's to name. */
static int label_attributes(struct writer *w, uint32_t attributes)
{
	struct pp_store *store = w->s->store;
	struct pp_attributes a = pp_attributes_read(store, w->s->stacks, attributes);
	int r;

	r = label_text(w, LABEL_GIL, pp_gil_text((enum pp_gil)a.gil));
	if (r >= 0)
		r = label_text(w, LABEL_GC, pp_gc_text((enum pp_gc)a.gc));
	if (r >= 0 && a.thread)
		r = label_text(w, LABEL_THREAD, pp_strings_text(store->strings, a.thread, NULL));
	if (r < 0 || a.task == PP_FRAME_UNKNOWN)
		return r;
	r = pp_frame_text(&w->text, store, a.task);
	return r < 0 ? r : label_clean(w, LABEL_TASK, &w->text.name);
}

static int sample(struct writer *w, const struct pp_selected *e)
{
	Pprof__Sample s = PPROF__SAMPLE__INIT, *samples[] = { &s };
	Pprof__Profile part = PPROF__PROFILE__INIT;
	int64_t values[] = { (int64_t)e->samples, (int64_t)e->cpu_ns };
	uint32_t frames[PP_STACK_FRAMES_MAX];
	uint64_t ids[PP_STACK_FRAMES_MAX];
	Pprof__Label *labels[LABEL_MAX];
	size_t nr = pp_stacks_path(w->s->stacks, e->node, frames, ARRAY_SIZE(frames));
	size_t shared;
	int r;

	r = label_process(w, e->process);
	if (r < 0)
		return r;
	shared = w->labels.nr;
	r = label_attributes(w, e->attributes);
	if (r >= 0 && !pp_end_complete(e->end))
		r = label_text(w, LABEL_TRUNCATED, pp_end_text(e->end));
	for (size_t i = 0; i < nr && r >= 0; i++)
		r = location(w, frames[i], &ids[i]);
	if (r < 0)
		return r;
	for (size_t i = 0; i < w->labels.nr; i++)
		labels[i] = &w->labels.label[i];
	s.n_location_id = nr;
	s.location_id = ids;
	s.n_value = ARRAY_SIZE(values);
	s.value = values;
	s.n_label = w->labels.nr;
	s.label = labels;
	part.n_sample = 1;
	part.sample = samples;
	w->labels.nr = shared;
	return emit(w, &part);
}

/* The figures that the samples do not tell, for who has only the file. */
static int comments(struct writer *w, int64_t *ret, size_t *ret_nr)
{
	const struct pp_profile_info *info = &w->s->info;
	_cleanup_buf_ struct pp_buf text = PP_BUF(0);
	int r;

	r = pp_buf_printf(&text, "pyprofd %s", w->options->version ?: "");
	if (r >= 0)
		r = buf_string(w, &text, &ret[0]);
	text.len = 0;
	if (r >= 0)
		r = pp_buf_printf(&text, "lost %llu", (unsigned long long)info->lost);
	if (r >= 0)
		r = buf_string(w, &text, &ret[1]);
	*ret_nr = 2;
	return r;
}

static int head(struct writer *w)
{
	const struct pp_profile_info *info = &w->s->info;
	Pprof__ValueType samples = PPROF__VALUE_TYPE__INIT, cpu = PPROF__VALUE_TYPE__INIT;
	Pprof__ValueType *types[] = { &samples, &cpu };
	Pprof__Profile part = PPROF__PROFILE__INIT;
	char *empty[] = { (char *)"" };
	int64_t comment[2];
	int r;

	/* Index 0, which every table of strings starts with. */
	part.n_string_table = 1;
	part.string_table = empty;
	r = emit(w, &part);
	part = (Pprof__Profile)PPROF__PROFILE__INIT;
	if (r >= 0)
		r = literal(w, "samples", &samples.type);
	if (r >= 0)
		r = literal(w, "count", &samples.unit);
	if (r >= 0)
		r = literal(w, "cpu", &cpu.type);
	if (r >= 0)
		r = literal(w, "nanoseconds", &cpu.unit);
	if (r >= 0)
		r = comments(w, comment, &part.n_comment);
	if (r < 0)
		return r;
	part.n_sample_type = ARRAY_SIZE(types);
	part.sample_type = types;
	part.period_type = &cpu;
	part.period = w->options->frequency ? (int64_t)(NSEC_PER_SEC / w->options->frequency) : 0;
	part.time_nanos = (int64_t)info->start_wall_ns;
	part.duration_nanos = (int64_t)(info->end_wall_ns - info->start_wall_ns);
	part.comment = comment;
	part.default_sample_type = cpu.type;
	return emit(w, &part);
}

/* A comment on what was cut, which is known only in the end. */
static int tail(struct writer *w)
{
	Pprof__Profile part = PPROF__PROFILE__INIT;
	_cleanup_buf_ struct pp_buf text = PP_BUF(0);
	int64_t comment[1];
	int r;

	if (!w->nr_cut)
		return 0;
	r = pp_buf_printf(&text, "names cut %llu", (unsigned long long)w->nr_cut);
	if (r >= 0)
		r = buf_string(w, &text, comment);
	part.n_comment = 1;
	part.comment = comment;
	return r < 0 ? r : emit(w, &part);
}

static void writer_done(struct writer *w)
{
	deflateEnd(&w->z);
	pp_buf_done(&w->plain);
	pp_strings_free(w->strings);
	free(w->locations);
	pp_u64map_done(&w->mappings);
	pp_u64map_done(&w->functions);
	pp_frame_text_done(&w->text);
}

static int writer_init(struct writer *w)
{
	int r;

	r = pp_strings_new(&w->strings, PP_STORE_STRINGS_MAX);
	if (r < 0)
		return r;
	w->locations = calloc(pp_frames_bound(w->s->store->frames), sizeof(*w->locations));
	if (!w->locations)
		return -ENOMEM;
	r = deflateInit2(&w->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
			 Z_DEFAULT_STRATEGY);
	return r == Z_OK ? 0 : -ENOMEM;
}

int pp_pprof_write(const struct pp_selection *s, const struct pp_pprof_options *options,
		   struct pp_buf *out)
{
	_cleanup_(writer_done) struct writer w = { .s = s, .options = options, .out = out };
	int r;

	r = writer_init(&w);
	if (r >= 0)
		r = head(&w);
	for (size_t i = 0; i < s->nr && r >= 0; i++)
		r = sample(&w, &s->entries[i]);
	if (r >= 0)
		r = tail(&w);
	if (r >= 0)
		r = deflate_plain(&w, Z_FINISH);
	return r;
}
