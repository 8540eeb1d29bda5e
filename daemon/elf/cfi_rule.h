/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of a CFA program at one address, and the unwind rule it amounts to. */
#pragma once

#include "elf/cursor.h"

/* x86-64 DWARF register numbers. */
enum {
	PP_REG_RBP = 6,
	PP_REG_RSP = 7,
	PP_REG_RIP = 16,
};

enum pp_cfi_how {
	PP_CFI_SAME,	  /* unchanged */
	PP_CFI_OFFSET,	  /* saved at CFA + offset */
	PP_CFI_EXPR,	  /* saved where the expression says */
	PP_CFI_UNDEFINED, /* cannot be recovered */
	PP_CFI_OTHER,	  /* another form */
};

/* Of the registers only those three matter to a walk. */
struct pp_cfi_register {
	enum pp_cfi_how how;
	int64_t offset;
	const uint8_t *expr, *expr_end;
};

struct pp_cfi_state {
	bool cfa_is_expr;
	uint64_t cfa_reg;
	int64_t cfa_offset;
	const uint8_t *cfa_expr, *cfa_expr_end;
	struct pp_cfi_register rbp, rsp, rip;
};

/*
 * The PP_RULE word for a state; PP_RULE_UNSUPPORTED for whatever the rules of pp_types.h cannot say
 * exactly. signal: the function is marked as a signal frame.
 */
uint32_t pp_cfi_rule(const struct pp_cfi_state *s, bool signal);
