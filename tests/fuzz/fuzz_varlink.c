/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any bytes to the Varlink codec, as a service and as a client would hear them. The first byte says
 * how the rest is cut into reads. Each call is answered with its own parameters, so what was parsed
 * must be writable, and what was written must be parsable as a reply.
 */
#include "fuzz.h"
#include "ipc/varlink.h"

#include <string.h>

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_out(struct pp_varlink *v)
{
	struct pp_varlink_out *o;

	while ((o = pp_varlink_pending(v))) {
		_cleanup_message_ struct pp_varlink_message m = { 0 };
		size_t len = o->bytes.len - 1;

		check(o->bytes.data[len] == 0 && !memchr(o->bytes.data, 0, len));
		check(pp_varlink_parse_reply(&m, o->bytes.data, len) == 0);
		pp_varlink_sent(v, o->bytes.len);
	}
	check(v->out_bytes == 0 && v->nr_out == 0);
}

static void serve(struct pp_varlink *v)
{
	struct pp_varlink_message m = { 0 };

	while (pp_varlink_next(v, &m) == 1) {
		check(json_is_object(m.parameters));
		check(pp_varlink_interface_len(m.method) < strlen(m.method) + 1);
		if (m.more)
			check(pp_varlink_reply(v, NULL, m.parameters, true, -1) == 0);
		check(pp_varlink_reply(v, NULL, m.parameters, false, -1) == 0);
		check(v->out_bytes == 0 || !m.oneway);
		pp_varlink_message_done(&m);
		check_out(v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_message_ struct pp_varlink_message reply = { 0 };
	_cleanup_(pp_varlink_done) struct pp_varlink v;
	size_t step;

	pp_varlink_init(&v);
	if (!size)
		return 0;
	step = data[0] ?: size;
	data++, size--;
	(void)pp_varlink_parse_reply(&reply, data, size);
	for (size_t at = 0; at < size; at += step) {
		if (pp_varlink_feed(&v, data + at, MIN(step, size - at)) < 0)
			break;
		serve(&v);
	}
	return 0;
}
