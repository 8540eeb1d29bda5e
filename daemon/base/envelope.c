/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/envelope.h"

#include "base/fd.h"

#include <string.h>
#include <sys/socket.h>

int pp_envelope_new(int fd)
{
	_cleanup_close_ int in = -1, envelope = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	in = pair[0];
	envelope = pair[1];
	r = pp_send_fds(in, "", 1, &fd, 1);
	return r < 0 ? r : TAKE_FD(envelope);
}

/* A look at the message leaves it there. */
int pp_envelope_open(int envelope)
{
	char byte;
	int fds[PP_PASS_FDS_MAX];
	size_t nr_fds;
	ssize_t n = pp_peek_fds(envelope, &byte, 1, fds, &nr_fds);

	if (n < 0)
		return (int)n;
	for (size_t i = 1; i < nr_fds; i++)
		pp_close(fds[i]);
	return nr_fds ? fds[0] : -EBADMSG;
}
