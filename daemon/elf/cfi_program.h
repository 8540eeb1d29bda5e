/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs DWARF call frame programs: a CIE's initial one, then a function's, row by row. */
#pragma once

#include "elf/cfi_rule.h"

/* Pointer encodings (DW_EH_PE_*): reads one; address is that of c's first byte in the file's
 * address space, base the matching pointer. False: a form that is not supported, or too short. */
bool pp_cfi_pointer(struct pp_cursor *c, uint8_t encoding, const uint8_t *base, uint64_t address,
		    uint64_t *ret);

/* A common information entry. */
struct pp_cfi_cie {
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding; /* of its functions' addresses */
	bool augmented;	  /* functions carry augmentation data */
	bool signal;
	bool bad;
	struct pp_cfi_state initial;
};

struct pp_cfi_program {
	const struct pp_cfi_cie *cie;
	struct pp_cursor code;
	const uint8_t *base; /* the section's bytes and their address, for set_loc */
	uint64_t base_address;
	uint64_t start, end; /* the function */
	/* Called for each row, addresses ascending strictly from start; 0 or a negative errno. */
	int (*row)(void *userdata, uint64_t address, uint32_t rule);
	void *userdata;
};

/* Runs a CIE's initial instructions into cie->initial; false if they are malformed. */
bool pp_cfi_run_initial(struct pp_cfi_cie *cie, struct pp_cursor code);

/* Returns 0, -EBADMSG (malformed: the rows before the fault have been delivered, and one
 * PP_RULE_UNSUPPORTED for the rest), or what row returned. */
int pp_cfi_run(struct pp_cfi_program *p);
