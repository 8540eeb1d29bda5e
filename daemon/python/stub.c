/* SPDX-License-Identifier: GPL-2.0-only */
#include "python/stub.h"

#include <string.h>

static const uint8_t sub[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3 };
static const uint8_t push[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd1, 0x5d, 0xc3 };
static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

static const struct {
	enum pp_stub_form form;
	const uint8_t *code;
	size_t len;
} forms[] = {
	{ PP_STUB_SUB, sub, sizeof(sub) },
	{ PP_STUB_PUSH, push, sizeof(push) },
};

bool pp_stub_find(const uint8_t *code, size_t len, size_t at, struct pp_stub *ret)
{
	for (size_t start = 0; start <= at && at < len; start++)
		for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
			bool endbr = len - start > sizeof(endbr64) &&
				     memcmp(code + start, endbr64, sizeof(endbr64)) == 0;
			size_t body = start + (endbr ? sizeof(endbr64) : 0);

			if (forms[i].len > len - body || body + forms[i].len <= at ||
			    memcmp(code + body, forms[i].code, forms[i].len) != 0)
				continue;
			*ret = (struct pp_stub){ forms[i].form, endbr };
			return true;
		}
	return false;
}

const char *pp_stub_text(enum pp_stub_form form)
{
	return form == PP_STUB_SUB ? "sub" : form == PP_STUB_PUSH ? "push" : "unknown";
}
