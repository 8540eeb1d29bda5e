/* SPDX-License-Identifier: GPL-2.0-only */
/* See the header for the format. */
#include "folded.h"

#include "base/array.h"

#include <inttypes.h>
#include <string.h>

struct line {
	char *text;
	uint64_t samples;
};

struct lines {
	struct line *lines;
	size_t len, cap;
};

static void lines_done(struct lines *l)
{
	for (size_t i = 0; i < l->len; i++)
		free(l->lines[i].text);
	free(l->lines);
}

/* A profile's texts are clean (lib/profile.h); what is left to escape is the separator. */
static int add_text(struct pp_buf *out, const char *text)
{
	for (;;) {
		size_t n = strcspn(text, ";");
		int r;

		r = pp_buf_add(out, text, n);
		if (r < 0 || !text[n])
			return r;
		r = pp_buf_printf(out, "\\x%02x", ';');
		if (r < 0)
			return r;
		text += n + 1;
	}
}

static int add_frame(struct pp_buf *out, const struct pp_profile *p, uint32_t frame)
{
	_cleanup_buf_ struct pp_buf symbol = { 0 };
	int r;

	r = pp_profile_symbol(p, frame, &symbol);
	if (r >= 0)
		r = pp_buf_add(&symbol, "", 1);
	if (r >= 0)
		r = pp_buf_add(out, ";", 1);
	if (r >= 0)
		r = add_text(out, (const char *)symbol.data);
	if (r >= 0 && p->frames[frame].kind == PP_KIND_KERNEL)
		r = pp_buf_printf(out, "_[k]");
	return r;
}

static int add_line(struct lines *l, const struct pp_profile *p, const struct pp_entry *e,
		    const struct pp_stack *stack)
{
	_cleanup_buf_ struct pp_buf buf = { 0 };
	int r;

	r = add_text(&buf, pp_profile_text(p, p->processes[e->process].comm));
	for (size_t i = 0; i < stack->len && r >= 0; i++)
		r = add_frame(&buf, p, stack->frames[i]);
	if (r >= 0)
		r = pp_buf_add(&buf, "", 1);
	if (r >= 0)
		r = pp_array_grow(&l->lines, &l->cap, l->len + 1, sizeof(*l->lines),
				  PP_PROFILE_ENTRIES_MAX);
	if (r < 0)
		return r;
	l->lines[l->len++] = (struct line){ (char *)TAKE_PTR(buf.data), e->samples };
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->text, ((const struct line *)b)->text);
}

int pp_folded_write(FILE *out, const struct pp_profile *p, unsigned int view)
{
	_cleanup_stack_ struct pp_stack stack = { 0 };
	_cleanup_(lines_done) struct lines l = { 0 };
	int r;

	for (size_t i = 0; i < p->nr_entries; i++) {
		const struct pp_entry *e = &p->entries[i];

		if (!e->samples)
			continue;
		r = pp_stack_get(&stack, p, e, view);
		if (r >= 0)
			r = add_line(&l, p, e, &stack);
		if (r < 0)
			return r;
	}
	if (l.len)
		qsort(l.lines, l.len, sizeof(*l.lines), by_text);
	for (size_t i = 0; i < l.len;) {
		uint64_t samples = 0;
		size_t k = i;

		for (; k < l.len && strcmp(l.lines[k].text, l.lines[i].text) == 0; k++)
			samples += l.lines[k].samples;
		fprintf(out, "%s %" PRIu64 "\n", l.lines[i].text, samples);
		i = k;
	}
	return 0;
}
