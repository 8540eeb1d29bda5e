/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The unwind room without a kernel, a reader or a worker: a file is identified when its mapping is,
 * and has the table that a test loads. Included by a test's one source file.
 */
#pragma once

#include "unwind.h"

#include "base/fd.h"
#include "elf/object.h"
#include "elf/table.h"
#include "interps.h"
#include "trace/tables.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_bpf.h"

/* One chunk for tables and mappings, of which mappings may have half. */
#define BUDGET	     (PP_CHUNK_WORDS * sizeof(uint32_t))
#define SETTLE_US    110000 /* trace/tables.c: what was dropped is not reused at once */
#define CODE_ADDRESS 0x1000ULL

static struct pp_objects *objects;

/* What unwind.c knows of the files, and of interpreters. */
struct pp_objects *pp_files_objects(_unused_ struct pp_files *f)
{
	return objects;
}

static inline struct pp_object *file_of(uint64_t ino, uint64_t now_ns)
{
	struct pp_file_key key = { .ino = ino };
	struct pp_object *o;

	assert_return_code(pp_objects_get(objects, &key, "/file", now_ns, &o), 0);
	return o;
}

void pp_files_want(_unused_ struct pp_files *f, _unused_ struct pp_process *p, struct pp_map *map)
{
	if (map->kind == PP_MAP_FILE && !map->object)
		map->object = file_of(map->ino, 1);
}

void pp_files_want_load(_unused_ struct pp_files *f, _unused_ struct pp_object *o)
{
}

struct pp_interp pp_interps_entry(_unused_ const struct pp_process *p)
{
	return (struct pp_interp){ 0 };
}

/* Gives the file a table that takes a sixteenth of the budget, with rules of its own. */
static inline void give_table(struct pp_unwind *unwind, struct pp_object *o)
{
	_cleanup_cfi_ struct pp_cfi cfi = { .start = CODE_ADDRESS };
	_cleanup_buf_ struct pp_buf image = { 0 };
	_cleanup_close_ int fd = -1;

	for (uint64_t i = 0; i < BUDGET / 16 / sizeof(uint32_t); i++)
		assert_return_code(
			pp_cfi_add_row(&cfi, CODE_ADDRESS + i, PP_RULE(PP_RULE_RSP, 1 + i % 2, 0)),
			0);
	assert_return_code(pp_table_build(&image, &cfi), 0);
	fd = pp_memfd_sealed("table", image.data, image.len);
	assert_true(fd >= 0);
	o->state = PP_OBJECT_READY;
	o->has_table = true;
	o->info.nr_segments = 1;
	o->info.segments[0] = (struct pp_elf_segment){ .address = CODE_ADDRESS,
						       .file_size = BUDGET,
						       .flags = PF_R | PF_X };
	pp_unwind_loaded(unwind, o, fd);
	for (int i = 0; i < 4 && o->table < 0; i++) {
		usleep(SETTLE_US);
		pp_unwind_sync(unwind, UINT64_MAX / 2);
	}
}
