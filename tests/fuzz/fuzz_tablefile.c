/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target: bytes as a file of the table cache. What is accepted is a table in which every
 * look-up stays inside. A random file never has the right sum, so the first byte may ask for it to
 * be set right, as it would be in one that somebody forged.
 */
#include "fuzz.h"
#include "elf/tablefile.h"

#include <string.h>

#define INPUT_MAX (1 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pp_tablefile_header h;
	struct pp_table_image image;
	_cleanup_free_ uint8_t *copy = NULL;
	bool seal;

	if (!size || size > INPUT_MAX)
		return 0;
	seal = *data++ & 1;
	size--;
	copy = malloc(size + 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	memset(&h, 0, sizeof(h));
	if (size >= sizeof(h)) {
		memcpy(&h, copy, sizeof(h));
		if (seal) {
			h.magic = PP_TABLEFILE_MAGIC;
			h.version = PP_TABLEFILE_VERSION;
			h.maker = pp_tablefile_maker();
			pp_tablefile_seal(&h, copy + sizeof(h), size - sizeof(h));
			memcpy(copy, &h, sizeof(h));
		}
	}
	if (pp_tablefile_read(&image, &h, copy, size, &h.key, h.source) < 0)
		return 0;
	if (h.frame_pointers > 1000 || image.size != h.image_bytes)
		__builtin_trap();
	for (uint64_t i = 0; i < image.nr_buckets; i++)
		for (uint64_t offset = 0; offset < 1U << PP_BUCKET_SHIFT; offset += 51)
			(void)pp_table_image_lookup(&image,
						    image.start + (i << PP_BUCKET_SHIFT) + offset);
	return 0;
}
