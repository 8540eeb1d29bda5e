/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A cgroup path is a chain of names, and each program that makes groups has its own way with them:
 *
 *   systemd           /system.slice/sshd.service, /user.slice/user-0.slice/session-3.scope,
 *                     /user.slice/user-1000.slice/user@1000.service/app.slice/foo.service
 *   docker            /docker/ID; /system.slice/docker-ID.scope
 *   podman            /machine.slice/libpod-ID.scope/container; …/libpod_parent/libpod-ID
 *   containerd, CRI-O …/cri-containerd-ID.scope, …/crio-ID.scope, …/default/ID
 *   Kubernetes        /kubepods/burstable/podUID/ID, …/kubepods-burstable-podU_I_D.slice/…
 *   LXC               /lxc/NAME, /lxc.payload.NAME, /lxc.payload/NAME
 *   nspawn            /machine.slice/machine-NAME.scope, systemd-nspawn@NAME.service
 *
 * The innermost name of each sort counts; a user's own manager (user@UID.service) only where
 * nothing lies below it. An ID is 64 hexadecimal digits.
 *
 * Paths are in terms of the reader's own cgroup namespace. A daemon in a container reads "/" for
 * itself and what runs beside it in there, which tells nothing; outside it, "/../docker-ID.scope"
 * for its siblings and "/../../system.slice/ssh.service" for the host, which tell as much as ever.
 */
#include "proc/cgroup.h"

#include <stdio.h>
#include <string.h>

#define POD_LEN	   36		/* a UUID in text */
#define DELETED	   " (deleted)" /* a group that is removed, while its last process is a zombie */
#define POD_ID_LEN 32		/* static pods: a hash without dashes */

struct piece {
	const char *text;
	size_t len;
};

static bool ends_with(struct piece p, const char *suffix)
{
	size_t n = strlen(suffix);

	return p.len > n && !memcmp(p.text + p.len - n, suffix, n);
}

static bool starts_with(struct piece p, const char *prefix)
{
	size_t n = strlen(prefix);

	return p.len > n && !memcmp(p.text, prefix, n);
}

static bool is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
			return false;
	return true;
}

/* Copies what fits; a name that does not is left out rather than cut into another name. */
static void put(char *out, size_t size, struct piece p)
{
	if (p.len >= size)
		return;
	memcpy(out, p.text, p.len);
	out[p.len] = '\0';
}

static struct piece without(struct piece p, size_t front, size_t back)
{
	return (struct piece){ p.text + front, p.len - front - back };
}

/* An engine's prefix, the id, and nothing else: docker-ID, libpod-ID, cri-containerd-ID, ID. */
static bool container_id(struct piece p, struct piece *ret)
{
	struct piece id;

	if (ends_with(p, ".scope"))
		p = without(p, 0, strlen(".scope"));
	if (p.len < PP_CONTAINER_ID_LEN)
		return false;
	id = without(p, p.len - PP_CONTAINER_ID_LEN, 0);
	if (!is_hex(id.text, id.len))
		return false;
	if (p.len > PP_CONTAINER_ID_LEN && id.text[-1] != '-' && id.text[-1] != ':')
		return false;
	if (starts_with(p, "libpod-conmon-") || starts_with(p, "crio-conmon-"))
		return false; /* the engine's monitor, outside the container */
	*ret = id;
	return true;
}

static bool named_container(struct piece parent, struct piece p, struct piece *ret)
{
	static const char *const prefixes[] = { "lxc.payload.", "lxc.payload-" };
	static const char *const parents[] = { "lxc", "lxc.payload" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (starts_with(p, prefixes[i])) {
			*ret = without(p, strlen(prefixes[i]), 0);
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(parents); i++) {
		if (parent.len == strlen(parents[i]) &&
		    !memcmp(parent.text, parents[i], parent.len)) {
			*ret = p;
			return true;
		}
	}
	if (starts_with(p, "systemd-nspawn@") && ends_with(p, ".service")) {
		*ret = without(p, strlen("systemd-nspawn@"), strlen(".service"));
		return true;
	}
	if (starts_with(p, "machine-") && ends_with(p, ".scope")) {
		*ret = without(p, strlen("machine-"), strlen(".scope"));
		return true;
	}
	return false;
}

/* podUID with dashes, or in a slice's name with underscores for them; also a static pod's hash. */
static void pod(char out[static PP_CONTAINER_MAX], struct piece p)
{
	const char *mark = NULL;

	if (ends_with(p, ".slice"))
		p = without(p, 0, strlen(".slice"));
	/* "kubepods" itself holds a "pod": the uid's is the last one. */
	for (size_t i = 0; i + 3 <= p.len; i++)
		if (!memcmp(p.text + i, "pod", 3))
			mark = p.text + i;
	if (!mark)
		return;
	p = without(p, (size_t)(mark + 3 - p.text), 0);
	if (p.len == POD_ID_LEN && is_hex(p.text, p.len)) {
		put(out, PP_CONTAINER_MAX, p);
		return;
	}
	if (p.len != POD_LEN)
		return;
	for (size_t i = 0; i < p.len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? p.text[i] != '-' && p.text[i] != '_' : !is_hex(p.text + i, 1))
			return;
	}
	put(out, PP_CONTAINER_MAX, p);
	for (char *c = out; *c; c++)
		if (*c == '_')
			*c = '-';
}

static bool is_user_manager(const char *unit)
{
	return !strncmp(unit, "user@", 5);
}

static void name_in_path(struct pp_cgroup *ret, struct piece parent, struct piece p)
{
	struct piece found;

	if (ends_with(p, ".slice")) {
		/* Within a user's manager the slices are its own: "app.slice" says nothing here. */
		if (!is_user_manager(ret->unit))
			put(ret->slice, sizeof(ret->slice), p);
	} else if (ends_with(p, ".service") || ends_with(p, ".scope")) {
		/* A user's manager itself sits in an init.scope, as pid 1 does. */
		if (is_user_manager(ret->unit) && p.len == strlen("init.scope") &&
		    starts_with(p, "init."))
			return;
		put(ret->unit, sizeof(ret->unit), p);
	}
	if (container_id(p, &found) || named_container(parent, p, &found))
		put(ret->container, sizeof(ret->container), found);
	pod(ret->pod, p);
}

static void parse_path(struct pp_cgroup *ret, struct piece path)
{
	struct piece parent = { "", 0 };

	while (path.len) {
		const char *slash = memchr(path.text, '/', path.len);
		size_t len = slash ? (size_t)(slash - path.text) : path.len;

		if (len) {
			struct piece p = { path.text, len };

			name_in_path(ret, parent, p);
			parent = p;
		}
		path = without(path, MIN(len + 1, path.len), 0);
	}
}

/* In a cgroup namespace what lies outside begins with "/..", once for each level. */
static bool says_nothing(struct piece path)
{
	for (size_t i = 0; i < path.len; i++)
		if (path.text[i] != '/' && path.text[i] != '.')
			return false;
	return true;
}

/*
 * How much a hierarchy's line has to say: one that knows a container is before any that does not
 * (docker's with v1 controllers may leave the unified hierarchy to containerd.service), then
 * systemd's own hierarchy is before others.
 */
static int rank(struct piece controllers, const struct pp_cgroup *c)
{
	int r = 1;

	if (!controllers.len)
		r = 3;
	else if (controllers.len == strlen("name=systemd") &&
		 !memcmp(controllers.text, "name=systemd", controllers.len))
		r = 2;
	return r + (c->container[0] ? 3 : 0);
}

/* Takes a line that says more than those before it. */
static void parse_line(struct pp_cgroup *best, int *best_rank, struct piece line)
{
	const char *first = memchr(line.text, ':', line.len), *second = NULL;
	struct piece names, path;
	struct pp_cgroup c = { 0 };
	int r;

	if (first)
		second = memchr(first + 1, ':', line.len - (size_t)(first + 1 - line.text));
	if (!second)
		return;
	names = (struct piece){ first + 1, (size_t)(second - first - 1) };
	path = without(line, (size_t)(second + 1 - line.text), 0);
	if (ends_with(path, DELETED))
		path = without(path, 0, strlen(DELETED));
	if (says_nothing(path))
		return;
	parse_path(&c, path);
	r = rank(names, &c);
	if (r <= *best_rank)
		return;
	*best = c;
	*best_rank = r;
}

void pp_cgroup_parse(struct pp_cgroup *ret, const char *text, size_t len)
{
	int best_rank = 0;

	*ret = (struct pp_cgroup){ 0 };
	while (len) {
		const char *newline = memchr(text, '\n', len);
		struct piece line = { text, newline ? (size_t)(newline - text) : len };

		parse_line(ret, &best_rank, line);
		len -= MIN(line.len + 1, len);
		text += line.len + 1;
	}
}
