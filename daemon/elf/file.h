/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An ELF file read piece by piece: headers at once, section contents on demand, by pread into our
 * own memory (a mapping of a file that its owner truncates meanwhile would be a SIGBUS). 64-bit,
 * little-endian. Any file may be handed in; offsets and sizes are checked against its length.
 */
#pragma once

#include "base/macro.h"
#include <elf.h>

#define PP_ELF_SEGMENTS_MAX 128 /* program headers; real files have about a dozen */
#define PP_ELF_SECTIONS_MAX SHN_LORESERVE
#define PP_ELF_NAMES_MAX    (1 * MIB) /* section names */

struct pp_elf {
	int fd;		     /* borrowed; -1: in memory */
	const uint8_t *data; /* borrowed, in memory */
	uint64_t size;
	uint16_t type, machine;
	Elf64_Phdr *segments;
	size_t nr_segments;
	Elf64_Shdr *sections; /* none where the file has no section headers or they are malformed */
	size_t nr_sections;
	char *names; /* section names, NUL-terminated */
	size_t names_len;
};

/* fd or data must outlive the result. Returns 0, -ENOEXEC (not such a file), -EBADMSG (malformed
 * headers), -EIO or -ENOMEM. */
int pp_elf_new_fd(struct pp_elf **ret, int fd);
int pp_elf_new_memory(struct pp_elf **ret, const void *data, size_t size);
struct pp_elf *pp_elf_free(struct pp_elf *e);
PP_DEFINE_CLEANUP(struct pp_elf *, pp_elf_free)
#define _cleanup_elf_ _cleanup_(pp_elf_freep)

/* Reads exactly len bytes. Returns 0, -EBADMSG (beyond the end) or -EIO. */
int pp_elf_read(struct pp_elf *e, uint64_t offset, void *buf, size_t len);
/* The same into fresh memory with a NUL behind it, not counted. -E2BIG above max. */
int pp_elf_load(struct pp_elf *e, uint64_t offset, uint64_t len, uint64_t max, uint8_t **ret);

/* "" where the name is out of range. */
const char *pp_elf_section_name(const struct pp_elf *e, const Elf64_Shdr *s);
const Elf64_Shdr *pp_elf_section(const struct pp_elf *e, const char *name);
const Elf64_Shdr *pp_elf_section_type(const struct pp_elf *e, uint32_t type);
/* A section's bytes, as pp_elf_load; -ENODATA where the file has none (NOBITS, compressed). */
int pp_elf_section_load(struct pp_elf *e, const Elf64_Shdr *s, uint64_t max, uint8_t **ret);

/* Whether an executable LOAD segment holds [address, address + len). */
bool pp_elf_is_code(const struct pp_elf *e, uint64_t address, uint64_t len);
/* Where in the file an address's bytes are. */
bool pp_elf_address_to_offset(const struct pp_elf *e, uint64_t address, uint64_t *ret_offset);
