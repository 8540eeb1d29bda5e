/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/identity.h"

#include "elf/runtime.h"

#include <string.h>
#include <zlib.h>

#define NOTES_MAX    (64 * KIB)	 /* real ones: a few hundred bytes */
#define LINK_MAX     4096	 /* .gnu_debuglink: a file name and 8 bytes */
#define CHECKSUM_MAX (512 * MIB) /* debug files are read whole for their checksum up to here */

/* Looks through one note segment or section for the build-id. */
static size_t find_build_id(const uint8_t *p, size_t size, uint8_t *id)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		uint64_t name_len, desc_len;

		memcpy(&h, p, sizeof(h));
		name_len = ((uint64_t)h.n_namesz + 3) & ~3ULL;
		desc_len = ((uint64_t)h.n_descsz + 3) & ~3ULL;
		p += sizeof(h);
		size -= sizeof(h);
		if (name_len > size || h.n_descsz > size - name_len)
			return 0;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 && !memcmp(p, "GNU", 4) &&
		    h.n_descsz && h.n_descsz <= PP_ELF_BUILD_ID_MAX) {
			memcpy(id, p + name_len, h.n_descsz);
			return h.n_descsz;
		}
		if (desc_len > size - name_len)
			return 0;
		p += name_len + desc_len;
		size -= name_len + desc_len;
	}
	return 0;
}

static size_t build_id_at(struct pp_elf *elf, uint64_t offset, uint64_t size, uint8_t *id)
{
	_cleanup_free_ uint8_t *p = NULL;

	if (pp_elf_load(elf, offset, size, NOTES_MAX, &p) < 0)
		return 0;
	return find_build_id(p, size, id);
}

size_t pp_build_id(struct pp_elf *elf, uint8_t id[PP_ELF_BUILD_ID_MAX])
{
	size_t len = 0;

	/* Sections first: in a debug file the segments' contents are not there. */
	for (size_t i = 0; i < elf->nr_sections && !len; i++)
		if (elf->sections[i].sh_type == SHT_NOTE)
			len = build_id_at(elf, elf->sections[i].sh_offset, elf->sections[i].sh_size,
					  id);
	if (elf->nr_sections)
		return len;
	for (size_t i = 0; i < elf->nr_segments && !len; i++)
		if (elf->segments[i].p_type == PT_NOTE)
			len = build_id_at(elf, elf->segments[i].p_offset, elf->segments[i].p_filesz,
					  id);
	return len;
}

/* A file name, padding to 4, and the checksum. A name that could lead elsewhere is none. */
static void read_debuglink(struct pp_elf *elf, struct pp_elf_info *info)
{
	const Elf64_Shdr *s = pp_elf_section(elf, ".gnu_debuglink");
	_cleanup_free_ uint8_t *p = NULL;
	size_t len, at;

	if (!s || pp_elf_section_load(elf, s, LINK_MAX, &p) < 0)
		return;
	len = strnlen((char *)p, s->sh_size);
	at = (len + 4) & ~(size_t)3;
	if (!len || len >= PP_DEBUGLINK_MAX || at + 4 > s->sh_size || memchr(p, '/', len) ||
	    !strcmp((char *)p, ".") || !strcmp((char *)p, ".."))
		return;
	memcpy(info->debuglink, p, len + 1);
	memcpy(&info->debuglink_crc, p + at, 4);
}

static void read_segments(struct pp_elf *elf, struct pp_elf_info *info)
{
	for (size_t i = 0; i < elf->nr_segments && info->nr_segments < PP_OBJECT_SEGMENTS_MAX;
	     i++) {
		const Elf64_Phdr *p = &elf->segments[i];

		if (p->p_type != PT_LOAD)
			continue;
		info->segments[info->nr_segments++] = (struct pp_elf_segment){
			.offset = p->p_offset,
			.address = p->p_vaddr,
			.file_size = p->p_filesz,
			.memory_size = p->p_memsz,
			.flags = p->p_flags & (PF_R | PF_W | PF_X),
		};
	}
}

int pp_identify(struct pp_elf *elf, struct pp_elf_info *ret)
{
	const Elf64_Shdr *symtab = pp_elf_section_type(elf, SHT_SYMTAB);

	*ret = (struct pp_elf_info){
		.type = elf->type,
		.machine = elf->machine,
		.has_symtab = symtab && symtab->sh_size > sizeof(Elf64_Sym),
	};
	ret->build_id_len = (uint8_t)pp_build_id(elf, ret->build_id);
	read_debuglink(elf, ret);
	read_segments(elf, ret);
	return pp_find_runtime(elf, &ret->python);
}

static bool checksum_is(struct pp_elf *debug, uint32_t wanted)
{
	_cleanup_free_ uint8_t *p = malloc(256 * KIB);
	uLong crc = crc32(0, NULL, 0);

	if (!p || debug->size > CHECKSUM_MAX)
		return false;
	for (uint64_t at = 0; at < debug->size;) {
		size_t n = (size_t)MIN(debug->size - at, (uint64_t)(256 * KIB));

		if (pp_elf_read(debug, at, p, n) < 0)
			return false;
		crc = crc32(crc, p, (uInt)n);
		at += n;
	}
	return crc == wanted;
}

bool pp_debug_file_matches(struct pp_elf *elf, struct pp_elf *debug)
{
	uint8_t id[PP_ELF_BUILD_ID_MAX], debug_id[PP_ELF_BUILD_ID_MAX];
	size_t len = pp_build_id(elf, id), debug_len = pp_build_id(debug, debug_id);
	struct pp_elf_info info = { 0 };

	if (len)
		return len == debug_len && !memcmp(id, debug_id, len);
	read_debuglink(elf, &info);
	return *info.debuglink && checksum_is(debug, info.debuglink_crc);
}
