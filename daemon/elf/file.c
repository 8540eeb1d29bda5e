/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/file.h"

#include <string.h>

int pp_elf_read(struct pp_elf *e, uint64_t offset, void *buf, size_t len)
{
	size_t done = 0;

	if (offset > e->size || len > e->size - offset)
		return -EBADMSG;
	if (e->fd < 0) {
		if (len)
			memcpy(buf, e->data + offset, len);
		return 0;
	}
	while (done < len) {
		ssize_t n = pread(e->fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EIO;
		if (n == 0) /* cut short since we asked for its size */
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

int pp_elf_load(struct pp_elf *e, uint64_t offset, uint64_t len, uint64_t max, uint8_t **ret)
{
	_cleanup_free_ uint8_t *p = NULL;
	int r;

	if (len > max)
		return -E2BIG;
	if (offset > e->size || len > e->size - offset)
		return -EBADMSG;
	p = malloc(len + 1);
	if (!p)
		return -ENOMEM;
	r = pp_elf_read(e, offset, p, len);
	if (r < 0)
		return r;
	p[len] = 0;
	*ret = TAKE_PTR(p);
	return 0;
}

static int read_segments(struct pp_elf *e, const Elf64_Ehdr *h)
{
	uint8_t *p = NULL;
	int r;

	if (!h->e_phnum)
		return 0;
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum > PP_ELF_SEGMENTS_MAX)
		return -EBADMSG;
	r = pp_elf_load(e, h->e_phoff, h->e_phnum * sizeof(Elf64_Phdr), SIZE_MAX, &p);
	if (r < 0)
		return r;
	e->segments = (Elf64_Phdr *)p;
	e->nr_segments = h->e_phnum;
	return 0;
}

/* Programs run without section headers: a file that has none, or broken ones, is still a file. */
static int read_sections(struct pp_elf *e, const Elf64_Ehdr *h)
{
	const Elf64_Shdr *names;
	uint8_t *p = NULL;
	int r;

	if (!h->e_shnum || h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shnum > PP_ELF_SECTIONS_MAX)
		return 0;
	r = pp_elf_load(e, h->e_shoff, h->e_shnum * sizeof(Elf64_Shdr), SIZE_MAX, &p);
	if (r == -EBADMSG)
		return 0;
	if (r < 0)
		return r;
	e->sections = (Elf64_Shdr *)p;
	e->nr_sections = h->e_shnum;
	if (h->e_shstrndx >= e->nr_sections)
		return 0;
	names = &e->sections[h->e_shstrndx];
	r = pp_elf_section_load(e, names, PP_ELF_NAMES_MAX, &p);
	if (r == -ENOMEM || r == -EIO)
		return r;
	if (r == 0) {
		e->names = (char *)p;
		e->names_len = names->sh_size;
	}
	return 0;
}

static int read_headers(struct pp_elf *e)
{
	Elf64_Ehdr h;
	int r;

	r = pp_elf_read(e, 0, &h, sizeof(h));
	if (r == -EBADMSG)
		return -ENOEXEC;
	if (r < 0)
		return r;
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
	    h.e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	e->type = h.e_type;
	e->machine = h.e_machine;
	r = read_segments(e, &h);
	if (r < 0)
		return r;
	return read_sections(e, &h);
}

int pp_elf_new_fd(struct pp_elf **ret, int fd)
{
	_cleanup_elf_ struct pp_elf *e = calloc(1, sizeof(*e));
	off_t size;
	int r;

	if (!e)
		return -ENOMEM;
	/* Not fstat: glibc makes that a newfstatat, which the sandbox cannot tell from a stat. */
	size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		return -EIO;
	e->fd = fd;
	e->size = (uint64_t)size;
	r = read_headers(e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(e);
	return 0;
}

int pp_elf_new_memory(struct pp_elf **ret, const void *data, size_t size)
{
	_cleanup_elf_ struct pp_elf *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->fd = -1;
	e->data = data;
	e->size = size;
	r = read_headers(e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(e);
	return 0;
}

struct pp_elf *pp_elf_free(struct pp_elf *e)
{
	if (!e)
		return NULL;
	free(e->segments);
	free(e->sections);
	free(e->names);
	free(e);
	return NULL;
}

const char *pp_elf_section_name(const struct pp_elf *e, const Elf64_Shdr *s)
{
	return s->sh_name < e->names_len ? e->names + s->sh_name : "";
}

const Elf64_Shdr *pp_elf_section(const struct pp_elf *e, const char *name)
{
	for (size_t i = 0; i < e->nr_sections; i++)
		if (!strcmp(pp_elf_section_name(e, &e->sections[i]), name))
			return &e->sections[i];
	return NULL;
}

const Elf64_Shdr *pp_elf_section_type(const struct pp_elf *e, uint32_t type)
{
	for (size_t i = 0; i < e->nr_sections; i++)
		if (e->sections[i].sh_type == type)
			return &e->sections[i];
	return NULL;
}

int pp_elf_section_load(struct pp_elf *e, const Elf64_Shdr *s, uint64_t max, uint8_t **ret)
{
	if (s->sh_type == SHT_NOBITS || s->sh_type == SHT_NULL || s->sh_flags & SHF_COMPRESSED)
		return -ENODATA;
	return pp_elf_load(e, s->sh_offset, s->sh_size, max, ret);
}

bool pp_elf_is_code(const struct pp_elf *e, uint64_t address, uint64_t len)
{
	for (size_t i = 0; i < e->nr_segments; i++) {
		const Elf64_Phdr *p = &e->segments[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X && address >= p->p_vaddr &&
		    address - p->p_vaddr <= p->p_memsz &&
		    len <= p->p_memsz - (address - p->p_vaddr))
			return true;
	}
	return false;
}

bool pp_elf_address_to_offset(const struct pp_elf *e, uint64_t address, uint64_t *ret_offset)
{
	for (size_t i = 0; i < e->nr_segments; i++) {
		const Elf64_Phdr *p = &e->segments[i];

		if (p->p_type == PT_LOAD && address >= p->p_vaddr &&
		    address - p->p_vaddr < p->p_filesz) {
			*ret_offset = p->p_offset + (address - p->p_vaddr);
			return true;
		}
	}
	return false;
}
