// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file of code for remapped.c: the same instructions at the same places whatever FRAME is, but a
 * frame of so many bytes, and so another rule for the same return address.
 */
#define TEXT_OF(x) #x
#define TEXT(x)	   TEXT_OF(x)

// clang-format off
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
	"	sub $" TEXT(FRAME) ", %rsp\n"
	"	.cfi_adjust_cfa_offset " TEXT(FRAME) "\n"
	/* call inner, whatever the linker thinks of its being global */
	"	.byte 0xe8\n"
	"	.long inner - . - 4\n"
	"	add $" TEXT(FRAME) ", %rsp\n"
	"	.cfi_adjust_cfa_offset -" TEXT(FRAME) "\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size outer, . - outer\n");
// clang-format on
