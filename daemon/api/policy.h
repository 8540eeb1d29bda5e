/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may see and do what. Pure: facts in, verdicts out.
 *
 * Root and the members of group pyprof see every process. Anyone else sees the processes they could
 * read with ptrace: real, effective and saved uid theirs, and dumpable. A program that changed its
 * uids, or that only root may read, is not theirs even if they started it.
 */
#pragma once

#include "base/macro.h"
#include "ipc/server.h"
#include "profile/frame_text.h"

#define PP_POLICY_GROUP		"pyprof"
#define PP_POLICY_FREQUENCY_MAX 9999 /* above, sampling disturbs more than it shows */
#define PP_POLICY_FREQUENCY_OWN 99   /* without privilege: what everybody pays for all of them */
#define PP_POLICY_SESSIONS	64   /* of all uids: each holds a profile */
#define PP_POLICY_SESSIONS_OWN	4    /* of one uid without privilege */

struct pp_policy {
	gid_t group;  /* of group pyprof; (gid_t)-1 where there is none */
	int paranoid; /* kernel.perf_event_paranoid */
};

enum pp_rank {
	PP_RANK_OTHER, /* sees their own */
	PP_RANK_GROUP, /* sees everything */
	PP_RANK_ROOT,  /* and may change the service */
};

/* What decides whether a process is somebody's. */
struct pp_policy_subject {
	bool known; /* false: nothing is known yet, so it is nobody's */
	uid_t ruid, euid, suid;
	bool dumpable;
};

enum pp_rank pp_policy_rank(const struct pp_policy *policy, const struct pp_peer *peer);
bool pp_policy_sees(enum pp_rank rank, uid_t uid, const struct pp_policy_subject *subject);
enum pp_kernel_view pp_policy_kernel(const struct pp_policy *policy, enum pp_rank rank);
/* The highest rate a session may have. */
unsigned int pp_policy_frequency(enum pp_rank rank);
unsigned int pp_policy_sessions(enum pp_rank rank);

/* The group's number and the sysctl, as they are now. The first asks the name service, which may
 * take its time: for the start only. */
gid_t pp_policy_read_group(void);
int pp_policy_read_paranoid(void);

/* The facts about a pid that the table of processes does not know (yet), from what the kernel alone
 * says of it, which cannot hang. Returns 0 or -ESRCH or another negative errno. */
int pp_policy_read_subject(pid_t pid, struct pp_policy_subject *ret);
