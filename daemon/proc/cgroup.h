/* SPDX-License-Identifier: GPL-2.0-only */
/* Whose service or container a process is, from the text of /proc/PID/cgroup. Pure. */
#pragma once

#include "base/macro.h"

#define PP_UNIT_MAX	    256 /* systemd's own limit on a unit's name (UNIT_NAME_MAX) */
#define PP_CONTAINER_MAX    128
#define PP_CONTAINER_ID_LEN 64 /* hexadecimal digits of an id, with every engine but LXC */

struct pp_cgroup {
	char unit[PP_UNIT_MAX];		  /* "sshd.service", "session-3.scope"; "" if none */
	char slice[PP_UNIT_MAX];	  /* "system.slice"; "" if none */
	char container[PP_CONTAINER_MAX]; /* id, or the name where the engine uses names (LXC) */
	char pod[PP_CONTAINER_MAX];	  /* Kubernetes pod uid, with dashes */
};

/*
 * Fills every field, all from one line: the unified hierarchy's ("0::"); where that says nothing
 * (only "/", as under cgroup v1), the name=systemd one's, then any controller's. A line that names
 * a container is before all that do not.
 */
void pp_cgroup_parse(struct pp_cgroup *ret, const char *text, size_t len);
