/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CPython's trampolines by their bytes (x86-64). There are two generations, and the second came in
 * the middle of 3.13, so the version does not tell:
 *
 *   sub    [endbr64]; sub $8,%rsp; call *%rcx; add $8,%rsp; ret
 *   push   [endbr64]; push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret
 *
 * Only the second keeps the chain of frame pointers.
 */
#pragma once

#include "base/macro.h"

enum pp_stub_form {
	PP_STUB_UNKNOWN,
	PP_STUB_SUB,
	PP_STUB_PUSH,
};

struct pp_stub {
	enum pp_stub_form form;
	bool endbr;
};

/* Whether the byte at offset `at` of code belongs to a stub, and to which. */
bool pp_stub_find(const uint8_t *code, size_t len, size_t at, struct pp_stub *ret);
const char *pp_stub_text(enum pp_stub_form form); /* "sub", "push", "unknown" */
