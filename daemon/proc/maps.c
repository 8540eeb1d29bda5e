/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A line is `START-END PERMS OFFSET MAJOR:MINOR INODE PADDING PATH`, hexadecimal but for the inode.
 * The kernel writes a newline in a path as \012 and leaves a backslash alone, so a file whose name
 * holds those four characters cannot be told from one with a newline; the newline wins, and who
 * opens such a path compares the inode. The fields' order is the kernel's; their text is not
 * trusted to be well-formed all the same, because a fuzzer or a strange kernel may disagree.
 */
#include "proc/maps.h"

#include <string.h>
#include <sys/sysmacros.h>

struct cursor {
	const char *at, *end;
};

static bool digit(char c, unsigned int base, unsigned int *ret)
{
	unsigned int v;

	if (c >= '0' && c <= '9')
		v = (unsigned int)(c - '0');
	else if (c >= 'a' && c <= 'f')
		v = (unsigned int)(c - 'a') + 10;
	else
		return false;
	*ret = v;
	return v < base;
}

/* A number of at least one digit that fits, and the one byte behind it. */
static bool number(struct cursor *c, unsigned int base, char terminator, uint64_t *ret)
{
	uint64_t value = 0;
	const char *first = c->at;
	unsigned int v;

	for (; c->at < c->end && digit(*c->at, base, &v); c->at++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, v, &value))
			return false;
	if (c->at == first || c->at == c->end || *c->at != terminator)
		return false;
	c->at++;
	*ret = value;
	return true;
}

static bool permissions(struct cursor *c, struct pp_maps_line *l)
{
	if (c->end - c->at < 5 || c->at[4] != ' ')
		return false;
	l->read = c->at[0] == 'r';
	l->write = c->at[1] == 'w';
	l->exec = c->at[2] == 'x';
	l->shared = c->at[3] == 's';
	c->at += 5;
	return true;
}

static bool is_newline_escape(const char *p, const char *end)
{
	return end - p >= 4 && !memcmp(p, "\\012", 4);
}

static bool path(struct cursor *c, struct pp_maps_line *l)
{
	const size_t suffix = strlen(PP_DELETED);

	while (c->at < c->end && *c->at == ' ')
		c->at++;
	l->path_len = 0;
	while (c->at < c->end) {
		char byte = *c->at;

		if (!byte || l->path_len == sizeof(l->path) - 1)
			return false;
		if (is_newline_escape(c->at, c->end)) {
			byte = '\n';
			c->at += 3;
		}
		l->path[l->path_len++] = byte;
		c->at++;
	}
	l->deleted =
		l->path_len > suffix && !memcmp(l->path + l->path_len - suffix, PP_DELETED, suffix);
	if (l->deleted)
		l->path_len -= suffix;
	l->path[l->path_len] = '\0';
	return true;
}

/* The inode ends the line where there is no path: a blank may follow it or not. */
static bool inode(struct cursor *c, struct pp_maps_line *l)
{
	const char *blank = memchr(c->at, ' ', (size_t)(c->end - c->at));
	struct cursor all = *c;
	char text[32] = "";
	size_t len;

	if (blank)
		return number(c, 10, ' ', &l->ino);
	len = (size_t)(all.end - all.at);
	if (len + 1 >= sizeof(text))
		return false;
	memcpy(text, all.at, len);
	text[len] = ' ';
	all = (struct cursor){ text, text + len + 1 };
	c->at = c->end;
	return number(&all, 10, ' ', &l->ino) && all.at == all.end;
}

ssize_t pp_maps_parse(struct pp_maps_line *ret, const char *text, size_t len, size_t *ret_skip)
{
	const char *newline = len ? memchr(text, '\n', len) : NULL;
	struct cursor c = { text, newline ?: text + len };
	uint64_t major = 0, minor = 0;
	size_t takes = newline ? (size_t)(newline - text) + 1 : len;

	*ret_skip = takes;
	if (!len)
		return 0;
	if (!number(&c, 16, '-', &ret->start) || !number(&c, 16, ' ', &ret->end) ||
	    !permissions(&c, ret) || !number(&c, 16, ' ', &ret->pgoff) ||
	    !number(&c, 16, ':', &major) || !number(&c, 16, ' ', &minor) || !inode(&c, ret) ||
	    !path(&c, ret))
		return -EBADMSG;
	if (ret->start >= ret->end || major > UINT32_MAX || minor > UINT32_MAX)
		return -EBADMSG;
	ret->dev = makedev((unsigned int)major, (unsigned int)minor);
	return (ssize_t)takes;
}

bool pp_maps_line_is_exec(const char *line, size_t len)
{
	const char *blank = memchr(line, ' ', len);

	return blank && (size_t)(blank - line) + 4 <= len && blank[3] == 'x';
}
