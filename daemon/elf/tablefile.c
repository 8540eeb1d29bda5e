/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/tablefile.h"

#include "elf/siphash.h"

#include <string.h>

/* Against accidents: who may write to the cache may write what he likes. */
static uint64_t hash_on(uint64_t hash, const void *data, size_t len)
{
	const uint64_t key[2] = { hash, PP_TABLEFILE_MAGIC };

	return pp_siphash(key, data, len);
}

uint64_t pp_tablefile_maker(void)
{
	static const char version[] = PP_VERSION;
	static const uint32_t layout[] = { PP_TABLEFILE_VERSION, PP_TABLE_MAGIC,
					   PP_BUCKET_SHIFT,	 PP_ROWS_ALIGN,
					   PP_BUCKET_ROWS_MAX,	 PP_RULE_MAX,
					   PP_RULES_MAX,	 sizeof(struct pp_table_header) };

	return hash_on(hash_on(0, layout, sizeof(layout)), version, sizeof(version));
}

int pp_tablefile_source(struct pp_elf *elf, uint64_t *ret)
{
	const Elf64_Shdr *s = pp_elf_section(elf, ".eh_frame");
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t hash;
	int r;

	if (!s)
		return -ENODATA;
	r = pp_elf_section_load(elf, s, PP_CFI_SECTION_MAX, &bytes);
	if (r < 0)
		return r == -EIO || r == -ENOMEM ? r : -ENODATA;
	hash = hash_on(elf->machine, elf->segments, elf->nr_segments * sizeof(*elf->segments));
	hash = hash_on(hash, s, sizeof(*s));
	hash = hash_on(hash, bytes, s->sh_size);
	*ret = hash ?: 1;
	return 0;
}

void pp_tablefile_describe(struct pp_tablefile_header *ret, const struct pp_file_key *key,
			   const struct pp_elf_info *info)
{
	*ret = (struct pp_tablefile_header){
		.magic = PP_TABLEFILE_MAGIC,
		.version = PP_TABLEFILE_VERSION,
		.maker = pp_tablefile_maker(),
		.key = *key,
		.source = info->table_source,
		.frame_pointers = info->frame_pointers,
		.bad_entries = info->bad_entries,
	};
}

static uint64_t check_of(const struct pp_tablefile_header *h, const void *image, size_t size)
{
	struct pp_tablefile_header copy = *h;

	copy.check = 0;
	return hash_on(hash_on(0, &copy, sizeof(copy)), image, size);
}

void pp_tablefile_seal(struct pp_tablefile_header *h, const void *image, size_t size)
{
	h->image_bytes = size;
	h->check = check_of(h, image, size);
}

int pp_tablefile_read(struct pp_table_image *ret, struct pp_tablefile_header *ret_header,
		      const void *data, size_t size, const struct pp_file_key *key, uint64_t source)
{
	const uint8_t *image = (const uint8_t *)data + sizeof(struct pp_tablefile_header);
	struct pp_tablefile_header h;

	if (size < sizeof(h) || size > PP_TABLEFILE_MAX)
		return -EBADMSG;
	memcpy(&h, data, sizeof(h));
	if (h.magic != PP_TABLEFILE_MAGIC || h.image_bytes != size - sizeof(h))
		return -EBADMSG;
	/* Before the check: of another version, it may be made otherwise. */
	if (h.version != PP_TABLEFILE_VERSION || h.maker != pp_tablefile_maker())
		return -ESTALE;
	if (h.check != check_of(&h, image, h.image_bytes) || h.frame_pointers > 1000)
		return -EBADMSG;
	if (!pp_file_key_equal(&h.key, key) || h.source != source)
		return -ESTALE;
	*ret_header = h;
	return pp_table_image_validate(ret, image, h.image_bytes);
}
