/* SPDX-License-Identifier: GPL-2.0-only */
#include "ipc/interface.h"

/* The assembler finds the file through -I, relative to the daemon's directory. */
__asm__(".pushsection .rodata\n"
	".globl pp_interface_text\n"
	".type pp_interface_text, @object\n"
	"pp_interface_text:\n"
	".incbin \"ipc/io.pyprof.Profiler.varlink\"\n"
	".byte 0\n"
	".size pp_interface_text, . - pp_interface_text\n"
	".popsection\n");
