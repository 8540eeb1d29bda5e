/* SPDX-License-Identifier: GPL-2.0-only */
/* The live top: a stream on one side, keys on the other, a screen between. */
#pragma once

#include "model.h"
#include "client/session.h"

struct pp_live {
	struct pp_client *stream; /* a session was started on it */
	struct pp_client *facts;  /* for ListProcesses */
	int64_t session;
	unsigned int frequency;
	int64_t window_ms;
	unsigned int view;    /* to start with */
	enum pp_attribute by; /* the groups to start with; PP_ATTRIBUTES: functions */
	int64_t pid;	      /* the one process that the session samples, 0: more than that */
};

/* Until q or Ctrl-C. Returns an exit code. */
int pp_live_run(const struct pp_live *l, bool color);
