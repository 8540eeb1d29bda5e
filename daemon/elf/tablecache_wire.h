/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon and the child that keeps its tables say to each other; both are one program. A
 * request carries the directory, and a PUT the memory file with the image; the reply to a GET that
 * says 0 carries the table's file.
 */
#pragma once

#include "elf/tablefile.h"

enum {
	PP_TABLECACHE_GET,
	PP_TABLECACHE_PUT,
};

struct pp_tablecache_request {
	uint64_t op;
	struct pp_tablefile_header header; /* GET: its key alone */
};

struct pp_tablecache_reply {
	int32_t error;
};
