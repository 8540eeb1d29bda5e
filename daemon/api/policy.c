/* SPDX-License-Identifier: GPL-2.0-only */
#include "api/policy.h"

#include "base/fd.h"
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STATUS_SIZE 4096 /* of /proc/PID/status, whose Uid line comes early */

enum pp_rank pp_policy_rank(const struct pp_policy *policy, const struct pp_peer *peer)
{
	if (peer->uid == 0)
		return PP_RANK_ROOT;
	if (policy->group == (gid_t)-1)
		return PP_RANK_OTHER;
	if (peer->gid == policy->group)
		return PP_RANK_GROUP;
	for (size_t i = 0; i < peer->nr_groups; i++)
		if (peer->groups[i] == policy->group)
			return PP_RANK_GROUP;
	return PP_RANK_OTHER;
}

bool pp_policy_sees(enum pp_rank rank, uid_t uid, const struct pp_policy_subject *subject)
{
	if (rank != PP_RANK_OTHER)
		return true;
	return subject->known && subject->dumpable && subject->ruid == uid &&
	       subject->euid == uid && subject->suid == uid;
}

enum pp_kernel_view pp_policy_kernel(const struct pp_policy *policy, enum pp_rank rank)
{
	if (rank == PP_RANK_ROOT)
		return PP_KERNEL_FULL;
	if (rank == PP_RANK_GROUP || policy->paranoid <= 1)
		return PP_KERNEL_NAMES;
	return PP_KERNEL_HIDDEN;
}

unsigned int pp_policy_frequency(enum pp_rank rank)
{
	return rank == PP_RANK_OTHER ? PP_POLICY_FREQUENCY_OWN : PP_POLICY_FREQUENCY_MAX;
}

unsigned int pp_policy_sessions(enum pp_rank rank)
{
	return rank == PP_RANK_OTHER ? PP_POLICY_SESSIONS_OWN : PP_POLICY_SESSIONS;
}

gid_t pp_policy_read_group(void)
{
	const struct group *g = getgrnam(PP_POLICY_GROUP);

	return g ? g->gr_gid : (gid_t)-1;
}

/* A file of the kernel's, as a string. */
static int read_text(const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pp_read_full(fd, text, size - 1);
	if (n < 0)
		return (int)n;
	text[n] = 0;
	return 0;
}

int pp_policy_read_paranoid(void)
{
	char text[16], *end;
	long value;

	if (read_text("/proc/sys/kernel/perf_event_paranoid", text, sizeof(text)) < 0)
		return INT_MAX;
	value = strtol(text, &end, 10);
	return end == text ? INT_MAX : (int)value;
}

static bool parse_numbers(const char *text, uid_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *end;

		ret[i] = (uid_t)strtoul(text, &end, 10);
		if (end == text)
			return false;
		text = end;
	}
	return true;
}

int pp_policy_read_subject(pid_t pid, struct pp_policy_subject *ret)
{
	char path[64], text[STATUS_SIZE];
	uid_t uids[3]; /* real, effective, saved: the order of the line */
	const char *line;
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	r = read_text(path, text, sizeof(text));
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	line = strstr(text, "\nUid:");
	if (!line || !parse_numbers(line + strlen("\nUid:"), uids, ARRAY_SIZE(uids)))
		return -EBADMSG;
	/* The kernel gives this file to root where the process is not dumpable. (Not so its
	 * directory.) */
	if (stat(path, &st) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret = (struct pp_policy_subject){ .known = true,
					   .ruid = uids[0],
					   .euid = uids[1],
					   .suid = uids[2],
					   .dumpable = st.st_uid == uids[1] };
	return 0;
}
