/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/cfi_program.h"
#include "bpf/pp_types.h"

#include <dwarf.h>

/* Compilers nest remember_state once or twice. */
#define REMEMBERED_MAX 16

struct machine {
	struct pp_cfi_program *p;
	const struct pp_cfi_cie *cie;
	struct pp_cfi_state state, remembered[REMEMBERED_MAX];
	unsigned int nr_remembered;
	uint64_t location;
	uint64_t row_start; /* of the row being built */
	bool initial;	    /* running the CIE's own: no locations, nothing to restore */
};

bool pp_cfi_pointer(struct pp_cursor *c, uint8_t encoding, const uint8_t *base, uint64_t address,
		    uint64_t *ret)
{
	uint64_t at = address + (uint64_t)(c->p - base), v;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		v = pp_cursor_uint(c, 8);
		break;
	case DW_EH_PE_udata4:
		v = pp_cursor_uint(c, 4);
		break;
	case DW_EH_PE_sdata4:
		v = (uint64_t)pp_cursor_int(c, 4);
		break;
	case DW_EH_PE_udata2:
		v = pp_cursor_uint(c, 2);
		break;
	case DW_EH_PE_sdata2:
		v = (uint64_t)pp_cursor_int(c, 2);
		break;
	case DW_EH_PE_uleb128:
		v = pp_cursor_uleb(c);
		break;
	case DW_EH_PE_sleb128:
		v = (uint64_t)pp_cursor_sleb(c);
		break;
	default:
		return false;
	}
	/* What is relative to a data base, or goes through a pointer, no linker emits here. */
	if ((encoding & 0xf0) == DW_EH_PE_pcrel)
		v += at;
	else if ((encoding & 0xf0) != DW_EH_PE_absptr)
		return false;
	*ret = v;
	return !c->bad;
}

/* The register's slot, or NULL if a walk does not need it. */
static struct pp_cfi_register *slot(struct pp_cfi_state *s, uint64_t reg)
{
	switch (reg) {
	case PP_REG_RBP:
		return &s->rbp;
	case PP_REG_RSP:
		return &s->rsp;
	case PP_REG_RIP:
		return &s->rip;
	default:
		return NULL;
	}
}

static void set_register(struct machine *m, uint64_t reg, enum pp_cfi_how how, int64_t offset)
{
	struct pp_cfi_register *r = slot(&m->state, reg);

	if (r)
		*r = (struct pp_cfi_register){ .how = how, .offset = offset };
}

static int64_t factored(const struct machine *m, int64_t v)
{
	return (int64_t)((uint64_t)v * (uint64_t)m->cie->data_align);
}

static void restore(struct machine *m, uint64_t reg)
{
	struct pp_cfi_register *r = slot(&m->state, reg);
	struct pp_cfi_state initial = m->cie->initial;

	if (r && !m->initial)
		*r = *slot(&initial, reg);
}

/* Delivers the row that ends where the location moves to; false stops the program. */
static int move_to(struct machine *m, uint64_t location)
{
	int r = 0;

	if (m->initial || location < m->location)
		return -EBADMSG;
	if (location == m->location)
		return 0;
	m->location = location;
	if (m->row_start < m->p->end)
		r = m->p->row(m->p->userdata, m->row_start, pp_cfi_rule(&m->state, m->cie->signal));
	m->row_start = location;
	return r;
}

static int advance(struct machine *m, uint64_t delta)
{
	uint64_t location;

	if (__builtin_mul_overflow(delta, m->cie->code_align, &delta) ||
	    __builtin_add_overflow(m->location, delta, &location))
		return -EBADMSG;
	return move_to(m, location);
}

static void define_cfa(struct machine *m, uint64_t reg, int64_t offset)
{
	m->state.cfa_is_expr = false;
	m->state.cfa_reg = reg;
	m->state.cfa_offset = offset;
}

/* A block: its bytes stay where they are. */
static void read_block(struct pp_cursor *c, const uint8_t **ret, const uint8_t **ret_end)
{
	uint64_t len = pp_cursor_uleb(c);

	*ret = c->p;
	pp_cursor_skip(c, len);
	*ret_end = c->p;
}

static int set_location(struct machine *m, struct pp_cursor *c)
{
	uint64_t location;

	if (m->initial ||
	    !pp_cfi_pointer(c, m->cie->encoding, m->p->base, m->p->base_address, &location))
		return -EBADMSG;
	return move_to(m, location);
}

static int remember(struct machine *m)
{
	if (m->nr_remembered == REMEMBERED_MAX)
		return -EBADMSG;
	m->remembered[m->nr_remembered++] = m->state;
	return 0;
}

static int recall(struct machine *m)
{
	if (!m->nr_remembered)
		return -EBADMSG;
	m->state = m->remembered[--m->nr_remembered];
	return 0;
}

static void save_by_expression(struct machine *m, struct pp_cursor *c, enum pp_cfi_how how)
{
	struct pp_cfi_register v = { .how = how };
	struct pp_cfi_register *r = slot(&m->state, pp_cursor_uleb(c));

	read_block(c, &v.expr, &v.expr_end);
	if (r)
		*r = v;
}

/* The instructions about the CFA. Returns 1 if op is none of them. */
static int step_cfa(struct machine *m, struct pp_cursor *c, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = pp_cursor_uleb(c);
		define_cfa(m, reg, (int64_t)pp_cursor_uleb(c));
		return 0;
	case DW_CFA_def_cfa_sf:
		reg = pp_cursor_uleb(c);
		define_cfa(m, reg, factored(m, pp_cursor_sleb(c)));
		return 0;
	case DW_CFA_def_cfa_register:
		reg = pp_cursor_uleb(c);
		if (m->state.cfa_is_expr)
			return -EBADMSG;
		m->state.cfa_reg = reg;
		return 0;
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
		if (m->state.cfa_is_expr)
			return -EBADMSG;
		m->state.cfa_offset = op == DW_CFA_def_cfa_offset ? (int64_t)pp_cursor_uleb(c)
								  : factored(m, pp_cursor_sleb(c));
		return 0;
	case DW_CFA_def_cfa_expression:
		m->state.cfa_is_expr = true;
		read_block(c, &m->state.cfa_expr, &m->state.cfa_expr_end);
		return 0;
	default:
		return 1;
	}
}

/* The instructions about registers. Returns 1 if op is none of them. */
static int step_register(struct machine *m, struct pp_cursor *c, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case DW_CFA_offset_extended:
		reg = pp_cursor_uleb(c);
		set_register(m, reg, PP_CFI_OFFSET, factored(m, (int64_t)pp_cursor_uleb(c)));
		return 0;
	case DW_CFA_offset_extended_sf:
		reg = pp_cursor_uleb(c);
		set_register(m, reg, PP_CFI_OFFSET, factored(m, pp_cursor_sleb(c)));
		return 0;
	case DW_CFA_GNU_negative_offset_extended:
		reg = pp_cursor_uleb(c);
		set_register(m, reg, PP_CFI_OFFSET,
			     (int64_t) - (uint64_t)factored(m, (int64_t)pp_cursor_uleb(c)));
		return 0;
	case DW_CFA_restore_extended:
		restore(m, pp_cursor_uleb(c));
		return 0;
	case DW_CFA_undefined:
		set_register(m, pp_cursor_uleb(c), PP_CFI_UNDEFINED, 0);
		return 0;
	case DW_CFA_same_value:
		set_register(m, pp_cursor_uleb(c), PP_CFI_SAME, 0);
		return 0;
	case DW_CFA_register:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		set_register(m, pp_cursor_uleb(c), PP_CFI_OTHER, 0);
		pp_cursor_uleb(c);
		return 0;
	case DW_CFA_expression:
		save_by_expression(m, c, PP_CFI_EXPR);
		return 0;
	case DW_CFA_val_expression:
		save_by_expression(m, c, PP_CFI_OTHER);
		return 0;
	default:
		return 1;
	}
}

static int step_rest(struct machine *m, struct pp_cursor *c, uint8_t op)
{
	switch (op) {
	case DW_CFA_nop:
		return 0;
	case DW_CFA_set_loc:
		return set_location(m, c);
	case DW_CFA_advance_loc1:
		return advance(m, pp_cursor_u8(c));
	case DW_CFA_advance_loc2:
		return advance(m, pp_cursor_uint(c, 2));
	case DW_CFA_advance_loc4:
		return advance(m, pp_cursor_uint(c, 4));
	case DW_CFA_remember_state:
		return remember(m);
	case DW_CFA_restore_state:
		return recall(m);
	case DW_CFA_GNU_args_size: /* for exceptions only */
		pp_cursor_uleb(c);
		return 0;
	default:
		return -EBADMSG;
	}
}

static int step(struct machine *m, struct pp_cursor *c)
{
	uint8_t op = pp_cursor_u8(c);
	int r;

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return advance(m, op & 0x3f);
	case DW_CFA_offset:
		set_register(m, op & 0x3f, PP_CFI_OFFSET, factored(m, (int64_t)pp_cursor_uleb(c)));
		return 0;
	case DW_CFA_restore:
		restore(m, op & 0x3f);
		return 0;
	default:
		break;
	}
	r = step_cfa(m, c, op);
	if (r == 1)
		r = step_register(m, c, op);
	if (r == 1)
		r = step_rest(m, c, op);
	return r;
}

bool pp_cfi_run_initial(struct pp_cfi_cie *cie, struct pp_cursor code)
{
	struct machine m = { .cie = cie, .initial = true };

	while (code.p < code.end)
		if (step(&m, &code) < 0 || code.bad)
			return false;
	cie->initial = m.state;
	return true;
}

int pp_cfi_run(struct pp_cfi_program *p)
{
	struct machine m;
	uint32_t rule;
	int r = 0, r2;

	/* Not an initialiser: remembered[] needs no clearing, and there is one run per function. */
	m.p = p;
	m.cie = p->cie;
	m.state = p->cie->initial;
	m.nr_remembered = 0;
	m.location = m.row_start = p->start;
	m.initial = false;
	while (p->code.p < p->code.end && m.row_start < p->end) {
		r = step(&m, &p->code);
		if (r == 0 && p->code.bad)
			r = -EBADMSG;
		if (r < 0)
			break;
	}
	if (r < 0 && r != -EBADMSG)
		return r;
	if (m.row_start < p->end) {
		rule = r < 0 ? PP_RULE(PP_RULE_UNSUPPORTED, 0, 0)
			     : pp_cfi_rule(&m.state, p->cie->signal);
		r2 = p->row(p->userdata, m.row_start, rule);
		if (r2 < 0)
			return r2;
	}
	return r;
}
