/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The members of a call's parameters, checked against a table: unknown ones, wrong types and values
 * out of range are refused by name, so that the caller learns which it was.
 */
#pragma once

#include "base/macro.h"
#include <jansson.h>

enum pp_param_type {
	PP_PARAM_INT,	 /* int64_t */
	PP_PARAM_BOOL,	 /* bool */
	PP_PARAM_STRING, /* const char *, borrowed */
	PP_PARAM_OBJECT, /* json_t *, borrowed */
};

struct pp_param {
	const char *name;
	enum pp_param_type type;
	bool required;
	int64_t min, max; /* of an INT */
	void *target;	  /* set where the member is there and not null, else left as it is */
};

/* Returns NULL, or the name of the first member that will not do: one of the table's, or one of the
 * object's that is not in the table (then it lives as long as object). */
const char *pp_params_parse(json_t *object, const struct pp_param *params, size_t nr_params);
