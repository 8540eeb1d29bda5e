/* SPDX-License-Identifier: GPL-2.0-only */
#include "ipc/params.h"

#include <string.h>

static bool set(const struct pp_param *p, json_t *value)
{
	switch (p->type) {
	case PP_PARAM_INT:
		if (!json_is_integer(value) || json_integer_value(value) < p->min ||
		    json_integer_value(value) > p->max)
			return false;
		*(int64_t *)p->target = json_integer_value(value);
		return true;
	case PP_PARAM_BOOL:
		if (!json_is_boolean(value))
			return false;
		*(bool *)p->target = json_is_true(value);
		return true;
	case PP_PARAM_STRING:
		if (!json_is_string(value))
			return false;
		*(const char **)p->target = json_string_value(value);
		return true;
	case PP_PARAM_OBJECT:
		if (!json_is_object(value))
			return false;
		*(json_t **)p->target = value;
		return true;
	}
	return false;
}

static bool known(const char *name, const struct pp_param *params, size_t nr_params)
{
	for (size_t i = 0; i < nr_params; i++)
		if (strcmp(params[i].name, name) == 0)
			return true;
	return false;
}

const char *pp_params_parse(json_t *object, const struct pp_param *params, size_t nr_params)
{
	const char *key;
	json_t *value;

	for (size_t i = 0; i < nr_params; i++) {
		value = json_object_get(object, params[i].name);
		if (!value || json_is_null(value)) {
			if (params[i].required)
				return params[i].name;
		} else if (!set(&params[i], value)) {
			return params[i].name;
		}
	}
	json_object_foreach (object, key, value)
		if (!known(key, params, nr_params))
			return key;
	return NULL;
}
