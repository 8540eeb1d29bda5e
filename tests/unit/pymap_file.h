/* SPDX-License-Identifier: GPL-2.0-only */
/* A perf map as its reader would see it: a file that grows, shrinks, vanishes and is replaced. */
#pragma once

#define MS NSEC_PER_MSEC

static struct pp_perfmaps *all;
static uint64_t now;

/* The file as the reader would see it, and how often it was asked for what. */
struct file {
	char text[1 << 20];
	size_t len;
	uint64_t ino;
	enum pp_pymap_reason refused;
	enum pp_pymap_format format;
	bool untold; /* records of mappings lag behind */
	uint32_t opens, reads;
};
static struct file file;

static inline int setup(void **state)
{
	(void)state;
	now = 1000 * MS;
	memset(&file, 0, sizeof(file));
	file.ino = 1;
	return pp_perfmaps_new(&all, PP_PERFMAPS_MEMORY_MAX);
}

static inline int teardown(void **state)
{
	(void)state;
	all = pp_perfmaps_free(all);
	return 0;
}

static inline struct pp_pymap *new_pymap(void)
{
	struct pp_pymap *p = NULL;

	assert_int_equal(pp_pymap_new(&p, all), 0);
	return p;
}

static inline void write_line(const char *line)
{
	strcpy(file.text + file.len, line);
	file.len += strlen(line);
}

/* Answers one request, a moment later. */
static inline void answer(struct pp_pymap *p, const struct pp_pymap_request *rq)
{
	size_t len = 0;

	now += MS / 10;
	if (rq->action == PP_PYMAP_DO_OPEN) {
		file.opens++;
		if (file.refused)
			pp_pymap_refused(p, file.refused, now);
		else
			assert_int_equal(pp_pymap_opened(p, file.format, 5, file.ino, now), 0);
		return;
	}
	file.reads++;
	if (rq->offset < file.len)
		len = MIN((size_t)rq->len, file.len - rq->offset);
	pp_pymap_data(p, file.len, file.text + rq->offset, len, now);
	if (!file.untold)
		pp_pymap_told(p, now);
}

/* Does what p wants until it wants nothing at this time; returns when it is to be asked again. */
static inline uint64_t serve(struct pp_pymap *p)
{
	struct pp_pymap_request rq;

	for (int i = 0; i < 1000; i++) {
		pp_pymap_next(p, now, &rq);
		if (rq.action == PP_PYMAP_NOTHING)
			return rq.due_ns;
		answer(p, &rq);
	}
	fail_msg("wants something for ever");
	return 0;
}

static inline enum pp_pymap_answer ask(struct pp_pymap *p, uint64_t address)
{
	struct pp_perfmap_entry entry;

	return pp_pymap_lookup(p, address, now, &entry);
}

/* Expects a name for a sample taken at t. */
static inline void named_at(struct pp_pymap *p, uint64_t address, uint64_t t, const char *name)
{
	struct pp_perfmap_entry entry;

	assert_int_equal(pp_pymap_lookup(p, address, t, &entry), PP_PYMAP_NAMED);
	assert_int_equal(entry.name.len, strlen(name));
	assert_memory_equal(entry.name.name, name, entry.name.len);
}

static inline void named(struct pp_pymap *p, uint64_t address, const char *name)
{
	named_at(p, address, now, name);
}
