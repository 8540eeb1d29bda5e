/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface io.pyprof.Profiler on a Varlink server: binds its methods to the daemon, through
 * the callbacks of backend.h.
 */
#pragma once

#include "api/backend.h"
#include <systemd/sd-event.h>

struct pp_api;

/* backend is copied; what it points to must outlive the api. Serves nobody until it listens. */
int pp_api_new(struct pp_api **ret, sd_event *event, const struct pp_api_backend *backend);
/* Ends every connection, stream and session. */
struct pp_api *pp_api_free(struct pp_api *api);
PP_DEFINE_CLEANUP(struct pp_api *, pp_api_free)

/* As pp_server_listen() and pp_server_listen_inherited(). */
int pp_api_listen(struct pp_api *api, const char *path);
int pp_api_listen_inherited(struct pp_api *api);
