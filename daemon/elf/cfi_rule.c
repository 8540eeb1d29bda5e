/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DWARF can say anything about a frame; real code says a handful of things. The two common forms
 * are a register plus a constant. Of expressions there are four shapes that compilers, linkers and
 * assembly authors write, recognised here to the letter:
 *
 *     PLT entries     breg7(rsp) 8; breg16(rip) 0; lit15; and; litN; ge; lit3; shl; plus
 *     signal frames   breg7(rsp) N; deref, with rip at breg7 N+8 and rbp at breg7 N-40
 *     realigned       breg6(rbp) N; deref, with rbp unchanged or at breg6 0
 *     OpenSSL's       breg7(rsp) N; deref; plus_uconst 8
 *
 * Anything else is refused rather than approximated: a stack that ends with a reason is worth more
 * than one that goes on wrongly.
 */
#include "elf/cfi_rule.h"
#include "bpf/pp_types.h"

#include <dwarf.h>

/* In a ucontext: from its start to the saved rsp; rip and rbp lie this far from that. */
#define UCONTEXT_RSP	 160
#define UCONTEXT_RSP_RIP 8
#define UCONTEXT_RSP_RBP (-40)

#define RULE_A_MAX 0xffff
#define RULE_K_MAX 0xfff

static const uint32_t unsupported = PP_RULE(PP_RULE_UNSUPPORTED, 0, 0);

/* `breg REG offset` at the cursor. */
static bool match_breg(struct pp_cursor *c, unsigned int reg, int64_t *ret_offset)
{
	if (pp_cursor_u8(c) != DW_OP_breg0 + reg)
		return false;
	*ret_offset = pp_cursor_sleb(c);
	return !c->bad;
}

static bool at_end(const struct pp_cursor *c)
{
	return !c->bad && c->p == c->end;
}

/* A register saved at `breg REG offset`. */
static bool saved_at_breg(const struct pp_cfi_register *r, unsigned int reg, int64_t offset)
{
	struct pp_cursor c = { r->expr, r->expr_end, false };
	int64_t found;

	return r->how == PP_CFI_EXPR && match_breg(&c, reg, &found) && at_end(&c) &&
	       found == offset;
}

/* A multiple of 8 that fits a signed 16-bit count of words. */
static bool word_offset(int64_t offset, uint32_t *ret_a)
{
	if (offset % 8 || offset / 8 < INT16_MIN || offset / 8 > INT16_MAX)
		return false;
	*ret_a = (uint16_t)(offset / 8);
	return true;
}

/* Where rbp is saved relative to the CFA, in words below it; 0: it is unchanged. */
static bool rbp_slot(const struct pp_cfi_state *s, uint32_t *ret_k)
{
	if (s->rbp.how == PP_CFI_SAME) {
		*ret_k = 0;
		return true;
	}
	if (s->rbp.how != PP_CFI_OFFSET || s->rbp.offset % 8 || s->rbp.offset >= 0 ||
	    s->rbp.offset / -8 > RULE_K_MAX)
		return false;
	*ret_k = (uint32_t)(s->rbp.offset / -8);
	return true;
}

static uint32_t register_rule(const struct pp_cfi_state *s)
{
	uint32_t k;

	if (s->cfa_offset % 8 || s->cfa_offset < 0 || s->cfa_offset / 8 > RULE_A_MAX ||
	    !rbp_slot(s, &k))
		return unsupported;
	if (s->cfa_reg == PP_REG_RSP)
		return PP_RULE(PP_RULE_RSP, s->cfa_offset / 8, k);
	if (s->cfa_reg == PP_REG_RBP)
		return PP_RULE(PP_RULE_RBP, s->cfa_offset / 8, k);
	return unsupported;
}

/* rest: the cursor behind `breg7 8`. */
static uint32_t plt_rule(const struct pp_cfi_state *s, struct pp_cursor rest)
{
	int64_t rip_offset;
	uint8_t limit;

	if (!match_breg(&rest, PP_REG_RIP, &rip_offset) || rip_offset != 0 ||
	    pp_cursor_u8(&rest) != DW_OP_lit15 || pp_cursor_u8(&rest) != DW_OP_and)
		return unsupported;
	limit = pp_cursor_u8(&rest);
	if (limit < DW_OP_lit0 || limit > DW_OP_lit15 || pp_cursor_u8(&rest) != DW_OP_ge ||
	    pp_cursor_u8(&rest) != DW_OP_lit3 || pp_cursor_u8(&rest) != DW_OP_shl ||
	    pp_cursor_u8(&rest) != DW_OP_plus || !at_end(&rest) || s->rbp.how != PP_CFI_SAME)
		return unsupported;
	return PP_RULE(PP_RULE_PLT, limit - DW_OP_lit0, 0);
}

/* `breg6 offset; deref` */
static uint32_t deref_rbp_rule(const struct pp_cfi_state *s, int64_t offset)
{
	uint32_t a;

	if (!word_offset(offset, &a))
		return unsupported;
	if (s->rbp.how == PP_CFI_SAME)
		return PP_RULE(PP_RULE_DEREF_RBP, a, 0);
	if (saved_at_breg(&s->rbp, PP_REG_RBP, 0))
		return PP_RULE(PP_RULE_DEREF_RBP, a, 1);
	return unsupported;
}

/* `breg7 offset; deref; plus_uconst 8`; rest: the cursor behind the deref */
static uint32_t deref_rsp_rule(const struct pp_cfi_state *s, int64_t offset, struct pp_cursor rest)
{
	uint32_t a, k;

	if (pp_cursor_u8(&rest) != DW_OP_plus_uconst || pp_cursor_uleb(&rest) != 8 ||
	    !at_end(&rest) || !word_offset(offset, &a) || !rbp_slot(s, &k))
		return unsupported;
	return PP_RULE(PP_RULE_DEREF_RSP, a, k);
}

/* `breg7 offset; deref`, the registers at their places in a ucontext */
static uint32_t signal_rule(const struct pp_cfi_state *s, int64_t offset)
{
	if (offset < UCONTEXT_RSP || offset % 8 || (offset - UCONTEXT_RSP) / 8 > RULE_A_MAX ||
	    !saved_at_breg(&s->rip, PP_REG_RSP, offset + UCONTEXT_RSP_RIP) ||
	    !saved_at_breg(&s->rbp, PP_REG_RSP, offset + UCONTEXT_RSP_RBP))
		return unsupported;
	return PP_RULE(PP_RULE_SIGNAL, (offset - UCONTEXT_RSP) / 8, 0);
}

static uint32_t expression_rule(const struct pp_cfi_state *s)
{
	struct pp_cursor c = { s->cfa_expr, s->cfa_expr_end, false };
	struct pp_cursor from_rbp = c;
	int64_t offset;

	if (match_breg(&from_rbp, PP_REG_RBP, &offset))
		return pp_cursor_u8(&from_rbp) == DW_OP_deref && at_end(&from_rbp)
			       ? deref_rbp_rule(s, offset)
			       : unsupported;
	if (!match_breg(&c, PP_REG_RSP, &offset))
		return unsupported;
	if (pp_cursor_left(&c) && *c.p == DW_OP_deref) {
		c.p++;
		return deref_rsp_rule(s, offset, c);
	}
	return offset == 8 ? plt_rule(s, c) : unsupported;
}

uint32_t pp_cfi_rule(const struct pp_cfi_state *s, bool signal)
{
	if (s->rip.how == PP_CFI_UNDEFINED)
		return PP_RULE(PP_RULE_END, 0, 0);
	if (signal || s->rip.how == PP_CFI_EXPR) {
		struct pp_cursor c = { s->cfa_expr, s->cfa_expr_end, false };
		int64_t offset;

		if (!signal || !s->cfa_is_expr || !match_breg(&c, PP_REG_RSP, &offset) ||
		    pp_cursor_u8(&c) != DW_OP_deref || !at_end(&c))
			return unsupported;
		return signal_rule(s, offset);
	}
	if (s->rip.how != PP_CFI_OFFSET || s->rip.offset != -8 || s->rsp.how != PP_CFI_SAME)
		return unsupported;
	return s->cfa_is_expr ? expression_rule(s) : register_rule(s);
}
