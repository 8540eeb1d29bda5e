/* SPDX-License-Identifier: GPL-2.0-only */
/* One line of a perf map: `START SIZE NAME`, numbers in hex, 0x or not, one space between. */
#pragma once

#include "base/macro.h"

/* The numbers of a line and the spaces behind them are never longer than this. */
#define PP_PERFLINE_NUMBERS_MAX 64

struct pp_perfline {
	uint64_t start;	  /* of a user address */
	uint32_t size;	  /* not 0 */
	const char *name; /* not empty; borrowed from the line */
	size_t len;
};

enum pp_perfline_result {
	PP_PERFLINE_ENTRY,
	PP_PERFLINE_ADDRESS, /* does not begin with a hex number and a space */
	PP_PERFLINE_SIZE,    /* the second word is no hex number */
	PP_PERFLINE_RANGE,   /* empty, 4 GiB or more, or beyond any user address */
	PP_PERFLINE_NAME,    /* no name */
};

/* Whether code of so many bytes can be at this address of a process. */
bool pp_perfline_is_range(uint64_t start, uint64_t size);
/* line: without its newline. ret is filled for ENTRY only. */
enum pp_perfline_result pp_perfline_parse(const char *line, size_t len, struct pp_perfline *ret);
