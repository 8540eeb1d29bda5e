/* SPDX-License-Identifier: GPL-2.0-only */
/* The API's inside: shared by the files of this directory, and by no one else. */
#pragma once

#include "api/api.h"
#include "api/policy.h"
#include "base/u64map.h"
#include "ipc/params.h"
#include "ipc/server.h"
#include "proc/process.h"
#include "profile/selection.h"

/* Longest names that a filter compares; longer ones match nothing. */
#define PP_SCOPE_TEXT_MAX 256

struct pp_api {
	sd_event *event;
	struct pp_server *server;
	struct pp_api_backend backend;
	struct pp_policy policy;
	struct pp_api_session *sessions;
	struct pp_api_watch *watches;
	struct pp_api_answer *answers;
	struct pp_api_list *lists; /* the first is in the making, the others wait */
	sd_event_source *list_turn;
};

/* A caller, as far as rights go. */
struct pp_viewer {
	uid_t uid;
	enum pp_rank rank;
	enum pp_kernel_view kernel;
};

struct pp_viewer pp_api_viewer(struct pp_api *api, const struct pp_call *call);
bool pp_api_sees(const struct pp_viewer *viewer, const struct pp_process *p);

/* ---- filter.c: which samples ---- */

/* Members as in the interface's type Filter. */
struct pp_scope {
	pid_t pid; /* 0: any */
	bool tree;
	int64_t uid; /* -1: any */
	bool python;
	char *command, *unit, *slice, *container, *pod; /* NULL: any */
	enum pp_gil gil;				/* PP_GIL_NONE: any */
	bool gc;
	char *thread, *task; /* NULL: any */
};

/* object may be NULL: everything. *ret_bad names the member that will not do, with -EINVAL. */
int pp_scope_parse(struct pp_scope *ret, json_t *object, const char **ret_bad);
void pp_scope_done(struct pp_scope *f);
#define _cleanup_scope_ _cleanup_(pp_scope_done)

/*
 * A filter in use for one selection or delta: one viewer's rights and up to two filters, those of a
 * session and of a call about it.
 */
struct pp_choice {
	struct pp_api *api;
	struct pp_viewer viewer;
	const struct pp_scope *first, *second; /* may be NULL */
	bool any_pid;		  /* first's pid and tree do not count: the session saw to it */
	struct pp_u64map parents; /* pid → parent's pid, where a tree is wanted */
};

void pp_choice_begin(struct pp_choice *c);
void pp_choice_end(struct pp_choice *c);
/* For pp_query. userdata: the struct pp_choice. Both filters count, but for first's pid. */
enum pp_want pp_choice_want(void *userdata, uint64_t process);
bool pp_choice_fits(void *userdata, struct pp_store *store, const struct pp_attributes *a);

/* Whether pid is there, and the viewer's. Returns 0 where all is well or pid is 0; 1 where the call
 * was answered with an error. */
int pp_api_check_pid(struct pp_api *api, struct pp_call *call, const struct pp_viewer *viewer,
		     pid_t pid);

/* ---- session.c ---- */

struct pp_api_session {
	struct pp_api_session *next;
	uint32_t id; /* the backend's */
	unsigned int frequency;
	uid_t uid; /* whose it is */
	struct pp_scope scope;
	struct pp_connection *owner;
};

/* The session of that number if the viewer may use it, else NULL. */
struct pp_api_session *pp_session_find(struct pp_api *api, const struct pp_viewer *viewer,
				       int64_t id);
void pp_session_end(struct pp_api *api, struct pp_api_session *s);
/* Ends the sessions that connection c started. */
void pp_sessions_closed(struct pp_api *api, struct pp_connection *c);

/* ---- watch.c ---- */

/* Answers the streams that look at a session that ends. */
void pp_watches_session_ends(struct pp_api *api, uint32_t session);

/* ---- answer.c: replies ---- */

/* A question about a profile, which may have to wait for names. */
struct pp_ask {
	uint32_t session; /* 0: the always-on profile */
	uint64_t since_ns;
	struct pp_scope scope;
	bool end; /* the session ends with the answer */
};

/* Answers call with the profile asked for, at once or when its names are there. Takes over what
 * ask->scope holds. */
int pp_api_answer(struct pp_api *api, struct pp_call *call, struct pp_ask *ask);

/* Returns 0 with the members of p as the interface's type Process, or -ENOMEM. */
int pp_api_process(struct pp_api *api, const struct pp_process *p, json_t **ret);

/* ---- list.c ---- */

/* What a list of processes is to be. */
struct pp_api_list_kind {
	const char *member; /* of the reply, beside "hidden" */
	const char *doing;  /* what failed, if it does */
	bool alive;	    /* leave out what has ended */
	/* Describes a process that the caller sees. *ret stays NULL: it is no part of the list. */
	int (*describe)(struct pp_api *api, const struct pp_process *p, json_t **ret);
	/* What is to be done with the call when every process was described, instead of answering
	 * it. May be NULL. */
	int (*then)(struct pp_api *api, struct pp_call *call, pid_t pid);
};

/* Goes through all processes, or those of one pid (0: all), over many turns of the loop, and
 * answers call in the end. What does not fit a reply is counted. Returns 0, or an error that was
 * not replied. */
int pp_api_list(struct pp_api *api, struct pp_call *call, const struct pp_api_list_kind *kind,
		pid_t pid);

int pp_api_lists_init(struct pp_api *api);
void pp_api_lists_done(struct pp_api *api);

/* Error replies. */
int pp_api_not_permitted(struct pp_call *call, const char *reason);
int pp_api_no_such_process(struct pp_call *call, pid_t pid);
int pp_api_no_such_session(struct pp_call *call, int64_t session);
int pp_api_too_many(struct pp_call *call, const char *what, unsigned int limit);
int pp_api_failed(struct pp_call *call, const char *what, int r);

/* ---- Methods ---- */

int pp_api_get_status(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_list_processes(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_diagnose(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_get_profile(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_start_session(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_read_session(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_watch(struct pp_call *call, json_t *parameters, void *userdata);
int pp_api_set_frequency(struct pp_call *call, json_t *parameters, void *userdata);
