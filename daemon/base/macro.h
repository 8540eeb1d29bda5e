/* SPDX-License-Identifier: GPL-2.0-only */
/* The idioms every file uses: cleanup attributes, ownership transfer, small arithmetic. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)	__attribute__((cleanup(f)))
#define _cleanup_free_	_cleanup_(pp_freep)
#define _cleanup_close_ _cleanup_(pp_closep)
#define _unused_	__attribute__((unused))
#define _printf_(a, b)	__attribute__((format(printf, a, b)))

/*
 * Defines fnp(T *p) for use with _cleanup_(): frees what a local variable still owns when it goes
 * out of scope. Destructors accept NULL and return NULL, so `p = pp_thing_free(p)` is the idiom.
 */
#define PP_DEFINE_CLEANUP(type, fn)       \
	static inline void fn##p(type *p) \
	{                                 \
		if (*p)                   \
			fn(*p);           \
	}

/* Hands ownership out of a _cleanup_ variable: yields its value and leaves it empty. */
#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) *_pp = &(p); \
		__typeof__(p) _p = *_pp;   \
		*_pp = NULL;               \
		_p;                        \
	})
#define TAKE_FD(fd)                \
	({                         \
		int *_fdp = &(fd); \
		int _fd = *_fdp;   \
		*_fdp = -1;        \
		_fd;               \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                       \
	({                              \
		__typeof__(a) _a = (a); \
		__typeof__(b) _b = (b); \
		_a < _b ? _a : _b;      \
	})
#define MAX(a, b)                       \
	({                              \
		__typeof__(a) _a = (a); \
		__typeof__(b) _b = (b); \
		_a > _b ? _a : _b;      \
	})
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL
#define USEC_PER_SEC  1000000ULL
#define USEC_PER_MSEC 1000ULL

#define KIB 1024ULL
#define MIB (1024ULL * KIB)

static inline void pp_freep(void *p)
{
	free(*(void **)p);
}

/* Closes keeping errno, so that it can stand in an error path. Returns -1: `fd = pp_close(fd)`. */
static inline int pp_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -1;
}

static inline void pp_closep(int *fd)
{
	pp_close(*fd);
}
