/* SPDX-License-Identifier: GPL-2.0-only */
/* Which CPUs are online. */
#pragma once

#include "base/macro.h"

struct pp_cpus {
	bool *is; /* per possible CPU */
	unsigned int online;
};

/* Reads the kernel's list; CPUs from `possible` on are left out. */
int pp_cpus_online(struct pp_cpus *ret, unsigned int possible);
/* The same of a text such as "0-3,8": -EINVAL where it is not one. */
int pp_cpus_parse(struct pp_cpus *ret, const char *text, unsigned int possible);
void pp_cpus_done(struct pp_cpus *c);
