/* SPDX-License-Identifier: GPL-2.0-only */
#include "ipc/varlink.h"

#include "base/text.h"
#include <string.h>

/* What a sent or parsed message may hold on to when it is idle again. */
#define IDLE_BUFFER_MAX (64 * KIB)

/* ---- Messages ---- */

void pp_varlink_message_done(struct pp_varlink_message *m)
{
	json_decref(m->json);
	*m = (struct pp_varlink_message){ 0 };
}

/* The parser recurses, so nesting is bounded before it runs. Strings are skipped, not checked. */
static bool too_deep(const char *p, size_t len)
{
	unsigned int depth = 0;
	bool string = false;

	for (size_t i = 0; i < len; i++) {
		if (string) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				string = false;
		} else if (p[i] == '"') {
			string = true;
		} else if (p[i] == '{' || p[i] == '[') {
			if (++depth > PP_VARLINK_DEPTH_MAX)
				return true;
		} else if ((p[i] == '}' || p[i] == ']') && depth) {
			depth--;
		}
	}
	return false;
}

static int parse_object(json_t **ret, const void *data, size_t len)
{
	json_t *json;

	if (too_deep(data, len))
		return -EBADMSG;
	json = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json)
		return -EBADMSG;
	if (!json_is_object(json)) {
		json_decref(json);
		return -EBADMSG;
	}
	*ret = json;
	return 0;
}

/* Leaves an object of the message's own in *ret, whichever way "nothing" was written. */
static int take_parameters(json_t *json, json_t **ret)
{
	json_t *p = json_object_get(json, "parameters");

	if (!p || json_is_null(p)) {
		p = json_object();
		if (!p || json_object_set_new(json, "parameters", p) < 0)
			return -ENOMEM;
	}
	if (!json_is_object(p))
		return -EBADMSG;
	*ret = p;
	return 0;
}

int pp_varlink_parse_call(struct pp_varlink_message *ret, const void *data, size_t len)
{
	_cleanup_message_ struct pp_varlink_message m = { 0 };
	int more = 0, oneway = 0, upgrade = 0, r;
	json_t *parameters = NULL;

	r = parse_object(&m.json, data, len);
	if (r < 0)
		return r;
	if (json_unpack_ex(m.json, NULL, JSON_STRICT, "{s:s, s?o, s?b, s?b, s?b}", "method",
			   &m.method, "parameters", &parameters, "more", &more, "oneway", &oneway,
			   "upgrade", &upgrade) < 0)
		return -EBADMSG;
	if (more + oneway + upgrade > 1)
		return -EBADMSG;
	r = take_parameters(m.json, &m.parameters);
	if (r < 0)
		return r;
	m.more = more;
	m.oneway = oneway;
	m.upgrade = upgrade;
	*ret = m;
	m.json = NULL;
	return 0;
}

int pp_varlink_parse_reply(struct pp_varlink_message *ret, const void *data, size_t len)
{
	_cleanup_message_ struct pp_varlink_message m = { 0 };
	json_t *parameters = NULL;
	int continues = 0, r;

	r = parse_object(&m.json, data, len);
	if (r < 0)
		return r;
	if (json_unpack_ex(m.json, NULL, JSON_STRICT, "{s?s, s?o, s?b}", "error", &m.error,
			   "parameters", &parameters, "continues", &continues) < 0)
		return -EBADMSG;
	if (m.error && (continues || !pp_varlink_interface_len(m.error)))
		return -EBADMSG;
	r = take_parameters(m.json, &m.parameters);
	if (r < 0)
		return r;
	m.continues = continues;
	*ret = m;
	m.json = NULL;
	return 0;
}

size_t pp_varlink_interface_len(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (!dot || dot == name || !dot[1] || !memchr(name, '.', (size_t)(dot - name)))
		return 0;
	return (size_t)(dot - name);
}

static int dump_to_buf(const char *data, size_t len, void *arg)
{
	return pp_buf_add(arg, data, len) < 0 ? -1 : 0;
}

static int format(struct pp_buf *out, json_t *message)
{
	size_t start = out->len;

	if (json_dump_callback(message, dump_to_buf, out, JSON_COMPACT) == 0 &&
	    pp_buf_add(out, "", 1) >= 0)
		return 0;
	out->len = start;
	return -ENOBUFS;
}

/* An empty object is left out: the canonical form. */
static int set_parameters(json_t *message, json_t *parameters)
{
	if (!parameters || !json_object_size(parameters))
		return 0;
	return json_object_set(message, "parameters", parameters);
}

int pp_varlink_format_call(struct pp_buf *out, const char *method, json_t *parameters, bool more)
{
	json_auto_t *message = json_pack("{s:s}", "method", method);

	if (!message || set_parameters(message, parameters) < 0 ||
	    (more && json_object_set_new(message, "more", json_true()) < 0))
		return -ENOMEM;
	return format(out, message);
}

int pp_varlink_format_reply(struct pp_buf *out, const char *error, json_t *parameters,
			    bool continues)
{
	json_auto_t *message = json_object();

	if (!message || (error && json_object_set_new(message, "error", json_string(error)) < 0) ||
	    (continues && json_object_set_new(message, "continues", json_true()) < 0))
		return -ENOMEM;
	/* A reply always has its parameters: clients that unpack them need not check for none. */
	if (json_object_set_new(message, "parameters",
				parameters ? json_incref(parameters) : json_object()) < 0)
		return -ENOMEM;
	return format(out, message);
}

int pp_varlink_format_text(struct pp_buf *out, const struct pp_buf *parameters)
{
	static const char head[] = "{\"parameters\":", tail[] = "}";
	size_t start = out->len;
	int r;

	r = pp_buf_reserve(out, strlen(head) + parameters->len + sizeof(tail));
	if (r >= 0)
		r = pp_buf_add(out, head, strlen(head));
	if (r >= 0)
		r = pp_buf_add(out, parameters->data, parameters->len);
	if (r >= 0)
		r = pp_buf_add(out, tail, sizeof(tail)); /* its NUL ends the message */
	if (r < 0)
		out->len = start;
	return r;
}

json_t *pp_json_text(const char *text, size_t len)
{
	struct pp_buf escaped = { 0 };
	json_t *json = NULL;

	if (pp_text_escape(&escaped, text, len, NULL) >= 0)
		json = json_stringn_nocheck((const char *)escaped.data ?: "", escaped.len);
	pp_buf_done(&escaped);
	return json;
}

/* ---- A conversation ---- */

void pp_varlink_init(struct pp_varlink *v)
{
	*v = (struct pp_varlink){ .in = PP_BUF(PP_VARLINK_CALL_MAX + 1) };
	v->out_tail = &v->out;
}

static void drop_out(struct pp_varlink *v)
{
	struct pp_varlink_out *o = v->out;

	v->out = o->next;
	if (!v->out)
		v->out_tail = &v->out;
	v->nr_out--;
	v->out_bytes -= o->bytes.len - o->sent;
	pp_close(o->fd);
	pp_buf_done(&o->bytes);
	free(o);
}

void pp_varlink_done(struct pp_varlink *v)
{
	while (v->out)
		drop_out(v);
	pp_buf_done(&v->in);
}

/* Calls are taken by moving an offset; only what is left of the last, partial one is ever moved, so
 * a buffer full of tiny calls costs no more than its bytes. */
static void compact(struct pp_varlink *v)
{
	pp_buf_consume(&v->in, v->taken);
	v->taken = 0;
	if (!v->in.len && v->in.cap > IDLE_BUFFER_MAX)
		pp_buf_done(&v->in);
}

int pp_varlink_feed(struct pp_varlink *v, const void *data, size_t len)
{
	int r;

	if (v->broken)
		return -EBADMSG;
	compact(v);
	r = pp_buf_add(&v->in, data, len);
	if (r == -ENOBUFS) {
		v->broken = true;
		return -EBADMSG;
	}
	return r;
}

/* The zero byte that ends the next message, or NULL. */
static const uint8_t *find_end(const struct pp_varlink *v)
{
	size_t from = v->taken + v->scanned;

	return from < v->in.len ? memchr(v->in.data + from, 0, v->in.len - from) : NULL;
}

bool pp_varlink_partial(const struct pp_varlink *v)
{
	return v->in.len > v->taken && !find_end(v);
}

int pp_varlink_next(struct pp_varlink *v, struct pp_varlink_message *ret)
{
	const uint8_t *end;
	size_t len;
	int r;

	if (v->broken)
		return -EBADMSG;
	if (v->busy || v->nr_out >= PP_VARLINK_QUEUE_MAX)
		return 0;
	end = find_end(v);
	if (!end) {
		v->scanned = v->in.len - v->taken;
		return 0;
	}
	len = (size_t)(end - v->in.data) - v->taken;
	r = pp_varlink_parse_call(ret, v->in.data + v->taken, len);
	v->taken += len + 1;
	v->scanned = 0;
	if (v->taken == v->in.len)
		compact(v);
	if (r < 0) {
		v->broken = true;
		return r;
	}
	v->busy = true;
	v->more = ret->more;
	v->silent = ret->oneway;
	return 1;
}

/* A message to fill, and what becomes of it: it is queued, or gone. */
static struct pp_varlink_out *out_new(void)
{
	struct pp_varlink_out *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->bytes.max = PP_VARLINK_REPLY_MAX;
	o->fd = -1;
	return o;
}

static int out_queue(struct pp_varlink *v, struct pp_varlink_out *o, int error)
{
	if (error < 0) {
		pp_buf_done(&o->bytes);
		free(o);
		return error == -ENOBUFS ? -EMSGSIZE : error;
	}
	*v->out_tail = o;
	v->out_tail = &o->next;
	v->nr_out++;
	v->out_bytes += o->bytes.len;
	return 0;
}

static int queue(struct pp_varlink *v, const char *error, json_t *parameters, bool continues,
		 int *fd)
{
	struct pp_varlink_out *o = out_new();
	int r;

	if (!o)
		return -ENOMEM;
	r = pp_varlink_format_reply(&o->bytes, error, parameters, continues);
	if (r >= 0)
		o->fd = TAKE_FD(*fd);
	return out_queue(v, o, r);
}

int pp_varlink_reply(struct pp_varlink *v, const char *error, json_t *parameters, bool continues,
		     int take_fd)
{
	_cleanup_close_ int fd = take_fd;
	int r;

	if (!v->busy || (continues && (!v->more || error)))
		return -EPROTO;
	if (!v->silent) {
		r = queue(v, error, parameters, continues, &fd);
		if (r < 0)
			return r;
	}
	if (!continues)
		v->busy = false;
	return 0;
}

int pp_varlink_reply_text(struct pp_varlink *v, const struct pp_buf *parameters)
{
	struct pp_varlink_out *o;
	int r;

	if (!v->busy)
		return -EPROTO;
	if (!v->silent) {
		o = out_new();
		if (!o)
			return -ENOMEM;
		r = out_queue(v, o, pp_varlink_format_text(&o->bytes, parameters));
		if (r < 0)
			return r;
	}
	v->busy = false;
	return 0;
}

void pp_varlink_sent(struct pp_varlink *v, size_t n)
{
	struct pp_varlink_out *o = v->out;

	o->sent += n;
	v->out_bytes -= n;
	if (n)
		o->fd = pp_close(o->fd);
	if (o->sent == o->bytes.len)
		drop_out(v);
}
