/* SPDX-License-Identifier: GPL-2.0-only */
/* What native.c loads with dlopen. */
#define NOINLINE __attribute__((noinline, noclone))

unsigned long plugin_outer(unsigned long (*callback)(void));

static volatile unsigned long sink;

NOINLINE static unsigned long plugin_inner(unsigned long (*callback)(void))
{
	sink += callback();
	__asm__ volatile("" ::: "memory");
	return sink;
}

unsigned long plugin_outer(unsigned long (*callback)(void))
{
	sink += plugin_inner(callback);
	__asm__ volatile("" ::: "memory");
	return sink;
}
