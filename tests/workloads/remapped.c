// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code of one file, then of another, at one address: `remapped ADDRESS-OF-OUTER MILLISECONDS A B`.
 * With FRAME it is compiled as such a file: the same instructions at the same places, but another
 * frame size, and so another rule for the same return address.
 */
#ifdef FRAME

#define TEXT_OF(x) #x
#define TEXT(x)	   TEXT_OF(x)

__asm__(".globl outer, inner\n"
	".type outer, @function\n"
	".type inner, @function\n"
	"inner:\n"
	"	.cfi_startproc\n"
	"1:	dec %rdi\n"
	"	jnz 1b\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size inner, . - inner\n"
	"outer:\n"
	"	.cfi_startproc\n"
	"	sub $" TEXT(
		FRAME) ", %rsp\n"
		       "	.cfi_adjust_cfa_offset " TEXT(
			       FRAME) "\n"
				      "	.byte 0xe8\n" /* call inner, whatever the linker thinks of
							 its being global */
				      "	.long inner - . - 4\n"
				      "	add $" TEXT(
					      FRAME) ", %rsp\n"
						     "	.cfi_adjust_cfa_offset -" TEXT(
							     FRAME) "\n"
								    "	ret\n"
								    "	.cfi_endproc\n"
								    ".size outer, . - outer\n");

#else

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define ADDRESS ((char *)0x500000000000)
#define SIZE	4096

typedef void (*outer_fn)(uint64_t rounds);

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static __attribute__((noinline)) void turn(outer_fn outer, double until)
{
	while (now() < until)
		outer(1000000);
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	double period = argc == 5 ? strtod(argv[2], NULL) / 1000 : 0;
	outer_fn outer;

	if (argc != 5)
		return 2;
	outer = (outer_fn)(ADDRESS + strtoul(argv[1], NULL, 16));
	for (int i = 0;; i++) {
		int fd = open(argv[3 + i % 2], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || mmap(ADDRESS, SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
				   fd, 0) != ADDRESS)
			return 1;
		if (i == 0) {
			puts("ready");
			fflush(stdout);
		}
		turn(outer, now() + period);
	}
}

#endif
