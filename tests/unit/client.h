/* SPDX-License-Identifier: GPL-2.0-only */
/* Profiles for the client's unit tests, written down as folded text. */
#pragma once

#include "lib/profile.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A frame from one word: py::NAME:FILE[:LINE], NAME_[k], NAME@MODULE, or NAME (module
 * /usr/bin/prog). */
static inline uint32_t test_frame(struct pp_profile *p, const char *word, size_t len)
{
	const char *name = word, *file = "", *module = "/usr/bin/prog", *end = word + len, *sep;
	size_t name_len = len, file_len = 0, module_len = strlen(module);
	struct pp_frame f = { .kind = PP_KIND_NATIVE };
	uint32_t id;

	if (len > 4 && strncmp(word, "py::", 4) == 0) {
		f.kind = PP_KIND_PYTHON;
		module = "[python]";
		module_len = strlen(module);
		name += 4;
		sep = memchr(name, ':', (size_t)(end - name));
		name_len = (size_t)((sep ?: end) - name);
		file = sep ? sep + 1 : "";
		file_len = sep ? (size_t)(end - file) : 0;
		sep = memrchr(file, ':', file_len);
		if (sep) {
			f.line = (uint32_t)strtoul(sep + 1, NULL, 10);
			file_len = (size_t)(sep - file);
		}
	} else if (len > 4 && strncmp(end - 4, "_[k]", 4) == 0) {
		f.kind = PP_KIND_KERNEL;
		module = "[kernel]";
		module_len = strlen(module);
		name_len -= 4;
	} else if ((sep = memchr(word, '@', len))) {
		module = sep + 1;
		module_len = (size_t)(end - module);
		name_len = (size_t)(sep - word);
	}
	assert(pp_profile_add_text(p, name, name_len, &f.name) == 0);
	assert(pp_profile_add_text(p, file, file_len, &f.file) == 0);
	assert(pp_profile_add_text(p, module, module_len, &f.module) == 0);
	assert(pp_profile_add_frame(p, &f, &id) == 0);
	return id;
}

/* A set of attributes, of which any may be "". */
static inline uint32_t test_attributes(struct pp_profile *p, const char *const values[])
{
	struct pp_attributes a;
	uint32_t id;

	for (size_t i = 0; i < PP_ATTRIBUTES; i++)
		assert(pp_profile_add_text(p, values[i], strlen(values[i]), &a.texts[i]) == 0);
	assert(pp_profile_add_attributes(p, &a, &id) == 0);
	return id;
}

/* Adds "COMMAND;root;...;leaf" of process pid; `note`: why it was cut, or NULL. */
static inline void test_add_with(struct pp_profile *p, int64_t pid, const char *stack,
				 const char *note, uint64_t samples, uint32_t attributes)
{
	struct pp_entry e = { .samples = samples,
			      .cpu_ns = samples * 1000,
			      .attributes = attributes };
	struct pp_process process = { .id = pid, .pid = pid };
	size_t n = strcspn(stack, ";");

	assert(pp_profile_add_text(p, stack, n, &process.comm) == 0);
	assert(pp_profile_add_process(p, &process, &e.process) == 0);
	if (note)
		assert(pp_profile_add_truncated(p, note, strlen(note), &e.note) == 0);
	for (stack += n; *stack; stack += n) {
		uint32_t frame;

		n = strcspn(++stack, ";");
		frame = test_frame(p, stack, n);
		assert(pp_profile_add_node(p, e.node, frame, &e.node) == 0);
	}
	assert(pp_profile_add_entry(p, &e) == 0);
}

static inline void test_add(struct pp_profile *p, int64_t pid, const char *stack, const char *note,
			    uint64_t samples)
{
	test_add_with(p, pid, stack, note, samples, 0);
}

/* What fn writes for the profile; the caller frees it. */
#define test_written(call)                                  \
	({                                                  \
		char *_text = NULL;                         \
		size_t _size;                               \
		FILE *out = open_memstream(&_text, &_size); \
		int _r = (call);                            \
		fclose(out);                                \
		assert(_r == 0);                            \
		_text;                                      \
	})
