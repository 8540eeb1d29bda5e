/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/kernel_table.h"

#include "base/buf.h"

#include <string.h>

/* A distribution kernel with its modules has 150,000 functions and 4 MB of names. */
#define FUNCTIONS_MAX 400000
#define NAMES_MAX     (24 * MIB)
#define MODULES_MAX   4096
/* The last function of the kernel or of a module has no next one to end it. */
#define LAST_FUNCTION_MAX (16 * KIB)

#define ADDRESS_BITS 48
#define HIGH_BITS    (~0ULL << ADDRESS_BITS)

struct function {
	uint64_t address : 48; /* the low bits; the high ones are all set */
	uint64_t module : 16;  /* 0: the kernel itself */
	uint32_t name;	       /* in names */
} __attribute__((packed));

struct pp_kernel_table {
	struct function *functions; /* by address */
	size_t n, cap;
	struct pp_buf names; /* NUL-terminated; module names too */
	uint32_t modules[MODULES_MAX];
	uint32_t nr_modules;
	bool sorted;
	bool any_address; /* one was not zero */
	bool any_line;
	uint64_t image_start, image_end; /* of the kernel itself */
};

struct pp_kernel_table *pp_kernel_table_free(struct pp_kernel_table *t)
{
	if (!t)
		return NULL;
	free(t->functions);
	pp_buf_done(&t->names);
	free(t);
	return NULL;
}

struct pp_kernel_table *pp_kernel_table_new(void)
{
	struct pp_kernel_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->names.max = NAMES_MAX;
	t->nr_modules = 1;
	t->sorted = true;
	if (pp_buf_add(&t->names, "", 1) < 0) /* offset 0: the empty name */
		return pp_kernel_table_free(t);
	return t;
}

static int add_name(struct pp_kernel_table *t, const char *name, size_t len, uint32_t *ret)
{
	int r;

	*ret = (uint32_t)t->names.len;
	r = pp_buf_reserve(&t->names, len + 1);
	if (r < 0)
		return r;
	(void)pp_buf_add(&t->names, name, len);
	return pp_buf_add(&t->names, "", 1);
}

/* Modules' functions come one module after the other: looking back a few is enough. */
static int module_number(struct pp_kernel_table *t, const char *name, size_t len, uint32_t *ret)
{
	for (uint32_t i = t->nr_modules; i-- > 1 && t->nr_modules - i < 8;) {
		const char *known = (const char *)t->names.data + t->modules[i];

		if (strlen(known) == len && !memcmp(known, name, len)) {
			*ret = i;
			return 0;
		}
	}
	if (t->nr_modules == MODULES_MAX) {
		*ret = 0;
		return 0;
	}
	*ret = t->nr_modules;
	return add_name(t, name, len, &t->modules[t->nr_modules++]);
}

static int add_function(struct pp_kernel_table *t, uint64_t address, uint32_t module,
			const char *name, size_t len)
{
	struct function f = { .address = address & ~HIGH_BITS, .module = module & 0xffff };
	uint32_t at;
	int r;

	if (t->n == FUNCTIONS_MAX)
		return -E2BIG;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap + t->cap / 2 : 65536;
		struct function *p = realloc(t->functions, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		t->functions = p;
		t->cap = cap;
	}
	r = add_name(t, name, len, &at);
	if (r < 0)
		return r;
	f.name = at;
	t->sorted = t->sorted && (!t->n || t->functions[t->n - 1].address <= f.address);
	t->functions[t->n++] = f;
	if (!module) {
		t->image_start = t->image_start ? MIN(t->image_start, address) : address;
		t->image_end = MAX(t->image_end, address);
	}
	return 0;
}

static bool is_code(char type)
{
	return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

int pp_kernel_table_add(struct pp_kernel_table *t, const char *line, size_t len)
{
	const char *end = line + len, *name, *tab, *name_end;
	uint64_t address = 0;
	uint32_t module = 0;
	size_t i;
	int r;

	for (i = 0; i < 16 && i < len; i++) {
		char c = line[i];

		if (c >= '0' && c <= '9')
			address = address << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			address = address << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	if (!i || len < i + 4 || line[i] != ' ' || line[i + 2] != ' ')
		return 0;
	t->any_line = true;
	if (!is_code(line[i + 1]) || !address)
		return 0;
	t->any_address = true;
	if ((address & HIGH_BITS) != HIGH_BITS) /* per-CPU offsets and the like */
		return 0;
	name = line + i + 3;
	tab = memchr(name, '\t', (size_t)(end - name));
	name_end = tab ? tab : end;
	if (name_end == name)
		return 0;
	if (tab && end - tab > 3 && tab[1] == '[' && end[-1] == ']') {
		r = module_number(t, tab + 2, (size_t)(end - tab) - 3, &module);
		if (r < 0)
			return r;
	}
	return add_function(t, address, module, name, (size_t)(name_end - name));
}

static int compare(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

void pp_kernel_table_finish(struct pp_kernel_table *t)
{
	struct function *f;

	if (!t->sorted)
		qsort(t->functions, t->n, sizeof(*t->functions), compare);
	f = t->n ? realloc(t->functions, t->n * sizeof(*f)) : NULL;
	if (f) {
		t->functions = f;
		t->cap = t->n;
	}
	if (t->names.len < t->names.cap) {
		uint8_t *p = realloc(t->names.data, t->names.len);

		if (p) {
			t->names.data = p;
			t->names.cap = t->names.len;
		}
	}
}

/* The last function at or before address; false: there is none. */
static bool find(const struct pp_kernel_table *t, uint64_t address, size_t *ret)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if ((t->functions[mid].address | HIGH_BITS) <= address)
			low = mid + 1;
		else
			high = mid;
	}
	*ret = low - 1;
	return low > 0;
}

bool pp_kernel_table_lookup(const struct pp_kernel_table *t, uint64_t address,
			    struct pp_kernel_symbol *ret, bool *ret_stale)
{
	const struct function *f;
	uint64_t start, end;
	size_t i;

	*ret_stale = address < t->image_start || address > t->image_end;
	if ((address & HIGH_BITS) != HIGH_BITS || !find(t, address, &i))
		return false;
	/* Of aliases the first, as the kernel itself chooses in its traces. */
	while (i > 0 && t->functions[i - 1].address == t->functions[i].address &&
	       t->functions[i - 1].module == t->functions[i].module)
		i--;
	f = &t->functions[i];
	start = f->address | HIGH_BITS;
	end = start + LAST_FUNCTION_MAX;
	for (size_t next = i + 1; next < t->n; next++) {
		if (t->functions[next].address == f->address)
			continue;
		if (t->functions[next].module == f->module ||
		    (t->functions[next].address | HIGH_BITS) < end)
			end = t->functions[next].address | HIGH_BITS;
		break;
	}
	if (address >= end)
		return false;
	*ret_stale = false;
	ret->name = (const char *)t->names.data + f->name;
	ret->module = f->module ? (const char *)t->names.data + t->modules[f->module] : "";
	ret->start = start;
	return true;
}

bool pp_kernel_table_hidden(const struct pp_kernel_table *t)
{
	return t->any_line && !t->any_address;
}

size_t pp_kernel_table_count(const struct pp_kernel_table *t)
{
	return t->n;
}

size_t pp_kernel_table_memory(const struct pp_kernel_table *t)
{
	return sizeof(*t) + t->cap * sizeof(struct function) + t->names.cap;
}
