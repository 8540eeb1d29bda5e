/* SPDX-License-Identifier: GPL-2.0-only */
/* The server: listening sockets, and who gets a connection. */
#include "ipc/connection.h"

#include "base/counters.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define ACCEPTS_PER_TURN 16
#define BACKLOG		 64
#define SOCKET_MODE	 0666

/* Says why before hanging up; if it does not fit into the socket's buffer, then without. */
static void refuse(struct pp_server *s, int fd)
{
	struct pp_buf text = PP_BUF(1 * KIB);
	json_auto_t *parameters =
		json_pack("{s:s, s:i}", "what", "connections", "limit", PP_ACCOUNT_CONNECTIONS);
	char name[256];

	pp_count(PP_C_callers_refused);
	snprintf(name, sizeof(name), "%s.TooMany", s->config.interface);
	if (parameters && pp_varlink_format_reply(&text, name, parameters, false) == 0)
		(void)send(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	pp_buf_done(&text);
	pp_close(fd);
}

/* Out of descriptors: the caller would stay in the queue and the loop would spin on it. */
static void turn_away(struct pp_server *s, int listener)
{
	pp_count(PP_C_callers_refused);
	s->spare_fd = pp_close(s->spare_fd);
	pp_close(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_listener(sd_event_source *source _unused_, int fd, uint32_t revents _unused_,
		       void *userdata)
{
	struct pp_server *s = userdata;

	for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int caller = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (caller < 0) {
			if (errno == EMFILE || errno == ENFILE)
				turn_away(s, fd);
			return 0;
		}
		if (pp_connection_new(s, caller) < 0)
			refuse(s, caller);
	}
	return 0;
}

int pp_server_new(struct pp_server **ret, sd_event *event, const struct pp_server_config *config)
{
	_cleanup_(pp_server_freep) struct pp_server *s = NULL;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->config = *config;
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	r = pp_held_new(&s->held, event, &s->accounts);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

/* Removes the socket's file if it still is ours: another daemon may have replaced it. */
static void unlisten(struct pp_listener *l)
{
	struct stat st;

	sd_event_source_disable_unref(l->source);
	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
	pp_close(l->fd);
	free(l->path);
}

struct pp_server *pp_server_free(struct pp_server *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->nr_listeners; i++)
		unlisten(&s->listeners[i]);
	while (s->connections)
		pp_connection_free(s->connections);
	pp_held_free(s->held);
	pp_accounts_done(&s->accounts);
	pp_close(s->spare_fd);
	sd_event_unref(s->event);
	free(s);
	return NULL;
}

size_t pp_server_connections(const struct pp_server *s)
{
	return s->nr_connections;
}

/* Takes over fd and path on success. */
static int add_listener(struct pp_server *s, int fd, char *path)
{
	struct pp_listener *l;
	struct stat st;
	int r;

	if (s->nr_listeners == PP_LISTENERS_MAX)
		return -ENOBUFS;
	l = &s->listeners[s->nr_listeners];
	*l = (struct pp_listener){ .fd = -1 };
	if (path) {
		if (lstat(path, &st) < 0)
			return -errno;
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	r = sd_event_add_io(s->event, &l->source, fd, EPOLLIN, on_listener, s);
	if (r < 0)
		return r;
	r = sd_event_source_set_priority(l->source, PP_CALLER_PRIORITY);
	if (r < 0) {
		l->source = sd_event_source_disable_unref(l->source);
		return r;
	}
	l->fd = fd;
	l->path = path;
	s->nr_listeners++;
	return 0;
}

/*
 * Clears the way for a socket at this address. What is left of a service that is gone refuses
 * connections and may go; what answers stays, and so does everything that is no socket.
 */
static int remove_stale(const struct sockaddr_un *address, socklen_t len)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, len) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Binds and sets the mode before listening, so that nobody is let in under another one. */
static int bind_at(int fd, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int r;

	if (!n || n >= sizeof(address.sun_path))
		return n ? -ENAMETOOLONG : -EINVAL;
	memcpy(address.sun_path, path, n + 1);
	r = remove_stale(&address, sizeof(address));
	if (r < 0)
		return r;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (chmod(path, SOCKET_MODE) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	return 0;
}

int pp_server_listen(struct pp_server *s, const char *path)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *copy = strdup(path);
	int r;

	if (!copy)
		return -ENOMEM;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = bind_at(fd, path);
	if (r < 0)
		return r;
	r = add_listener(s, fd, copy);
	if (r < 0) {
		(void)unlink(path);
		return r;
	}
	TAKE_FD(fd);
	TAKE_PTR(copy);
	return 0;
}

int pp_server_listen_inherited(struct pp_server *s)
{
	int n = sd_listen_fds(true), r;

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		int flags = fcntl(fd, F_GETFL);

		if (sd_is_socket_unix(fd, SOCK_STREAM, true, NULL, 0) <= 0 || flags < 0)
			return -EINVAL;
		if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return -errno;
		r = add_listener(s, fd, NULL);
		if (r < 0)
			return r;
	}
	return n;
}
