/* SPDX-License-Identifier: GPL-2.0-only */
#include "trace/cpus.h"

#include "base/fd.h"

#include <ctype.h>
#include <fcntl.h>

#define LIST_PATH "/sys/devices/system/cpu/online"
#define LIST_MAX  4096 /* the kernel never writes more than a page */

int pp_cpus_parse(struct pp_cpus *ret, const char *text, unsigned int possible)
{
	struct pp_cpus c = { .is = calloc(MAX(possible, 1U), sizeof(bool)) };

	if (!c.is)
		return -ENOMEM;
	while (isdigit((unsigned char)*text)) {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		if (last < first || (*end && *end != ',' && *end != '\n')) {
			pp_cpus_done(&c);
			return -EINVAL;
		}
		for (; first <= last && first < possible; first++) {
			c.online += !c.is[first];
			c.is[first] = true;
		}
		text = *end == ',' ? end + 1 : end;
	}
	if (*text && *text != '\n') {
		pp_cpus_done(&c);
		return -EINVAL;
	}
	*ret = c;
	return 0;
}

int pp_cpus_online(struct pp_cpus *ret, unsigned int possible)
{
	_cleanup_close_ int fd = open(LIST_PATH, O_RDONLY | O_CLOEXEC);
	char text[LIST_MAX];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pp_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	return pp_cpus_parse(ret, text, possible);
}

void pp_cpus_done(struct pp_cpus *c)
{
	free(c->is);
	*c = (struct pp_cpus){ 0 };
}
