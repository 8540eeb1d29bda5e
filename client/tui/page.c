/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Puts the model into words. A page has to make sense at 40 x 10 as at 200 x 60: what is less
 * important is left out where there is no room for it.
 */
#include "page.h"

#include "formats/report.h"
#include "base/array.h"
#include "lib/label.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define WIDE   60 /* from here on rows say where a function is */
#define HIGH   16 /* from here on the banner is spelled out */
#define INDENT 2  /* cells of a step in the call tree */

/* Indentation beyond this would be a line of nothing. */
#define DEPTH_MAX 512

void pp_page_done(struct pp_page *page)
{
	for (size_t i = 0; i < page->nr; i++)
		free(page->lines[i].text);
	free(page->lines);
}

static int add(struct pp_page *page, enum pp_page_style style, const char *text, size_t len)
{
	int r;

	r = pp_array_grow(&page->lines, &page->cap, page->nr + 1, sizeof(*page->lines), SIZE_MAX);
	if (r < 0)
		return r;
	page->lines[page->nr].style = style;
	page->lines[page->nr].text = strndup(text, len);
	if (!page->lines[page->nr].text)
		return -ENOMEM;
	page->nr++;
	return 0;
}

/* One line, cut at the page's width. */
static int put(struct pp_page *page, enum pp_page_style style, const char *text)
{
	return add(page, style, text, pp_text_clip(text, page->width));
}

static int putf(struct pp_page *page, enum pp_page_style style, const char *format, ...)
	_printf_(3, 4);
static int putf(struct pp_page *page, enum pp_page_style style, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return put(page, style, text);
}

/* A sentence over as many lines as it takes, broken at spaces. */
static int put_wrapped(struct pp_page *page, enum pp_page_style style, const char *text)
{
	while (*text) {
		size_t n = pp_text_clip(text, page->width), end = n;
		int r;

		if (text[n]) {
			while (end && text[end] != ' ')
				end--;
			end = end ?: n;
		}
		end = end ?: 1;
		r = add(page, style, text, end);
		if (r < 0)
			return r;
		text += end;
		text += strspn(text, " ");
	}
	return 0;
}

/* Adds a part to a line of parts, as long as there is room for it. */
static void part(char *line, size_t size, int width, const char *format, ...) _printf_(4, 5);
static void part(char *line, size_t size, int width, const char *format, ...)
{
	size_t len = strlen(line);
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (pp_text_width(line) + pp_text_width(text) + (len ? 2 : 0) <= width)
		snprintf(line + len, size - len, "%s%s", len ? "  " : "", text);
}

static int put_title(struct pp_page *page, const struct pp_top *t, const struct pp_page_facts *f)
{
	const struct pp_profile *p = t->profile;
	char line[512] = "";
	int w = page->width;

	part(line, sizeof(line), w, "pyprof top");
	if (t->paused)
		part(line, sizeof(line), w, "PAUSED");
	part(line, sizeof(line), w, "%u Hz", f->frequency);
	if (!p) {
		part(line, sizeof(line), w, "waiting for the first samples");
		return put(page, PP_STYLE_TITLE, line);
	}
	part(line, sizeof(line), w, "%.1f s", (double)f->span_ns / 1e9);
	part(line, sizeof(line), w, "%" PRIu64 " samples", p->samples);
	part(line, sizeof(line), w, "%.1f%% complete",
	     pp_percent_down(p->samples - p->truncated, p->samples, 1));
	part(line, sizeof(line), w, "%" PRIu64 " lost", f->lost);
	if (f->pythons.running)
		part(line, sizeof(line), w, "%zu/%zu Pythons named", f->pythons.named,
		     f->pythons.running);
	if (f->hidden)
		part(line, sizeof(line), w, "%" PRIu64 " processes hidden", f->hidden);
	return put(page, PP_STYLE_TITLE, line);
}

/* A value of an attribute; of samples without one nothing is said. */
static const char *group_name(const struct pp_top *t, uint32_t value)
{
	return value ? pp_profile_text(t->profile, value) : "-";
}

static int put_state(struct pp_page *page, const struct pp_top *t)
{
	static const char *const modes[] = { "functions", "processes", "call tree", "lines" };
	static const struct {
		enum pp_view view;
		const char *text, *brief;
	} flags[] = {
		{ PP_VIEW_PYTHON, "Python only", "py" },
		{ PP_VIEW_LINES, "by line", "ln" },
		{ PP_VIEW_NO_KERNEL, "kernel off", "-k" },
		{ PP_VIEW_NO_NATIVE, "native off", "-n" },
	};
	char line[512] = "";
	uint32_t process;
	int w = page->width;

	if (t->mode == PP_TOP_GROUPS)
		part(line, sizeof(line), w, "by %s", pp_attribute_title(t->by));
	else
		part(line, sizeof(line), w, "%s%s", modes[t->mode],
		     t->mode != PP_TOP_FUNCTIONS && t->mode != PP_TOP_LINES ? ""
		     : t->by_self					    ? " by self"
									    : " by total");
	if (t->mode == PP_TOP_LINES && t->profile)
		part(line, sizeof(line), w, "of py::%s",
		     pp_profile_text(t->profile, t->profile->frames[t->function].name));
	if (t->within && t->profile)
		part(line, sizeof(line), w, "%s: %s", pp_attribute_title(t->within_by),
		     group_name(t, t->value));
	if (t->editing || *t->filter)
		part(line, sizeof(line), w, "/%s%s", t->filter, t->editing ? "_" : "");
	if (t->focused && t->profile && pp_profile_find_process(t->profile, t->focus, &process))
		part(line, sizeof(line), w, "in %" PRId64 " %s", t->profile->processes[process].pid,
		     pp_profile_text(t->profile, t->profile->processes[process].comm));
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (t->view & flags[i].view)
			part(line, sizeof(line), w, "%s",
			     w >= WIDE ? flags[i].text : flags[i].brief);
	return put(page, PP_STYLE_PLAIN, line);
}

/* ---- Rows --------------------------------------------------------------------------------------
 */

/* What a function is called here: a Python one without its file, which stands beside it. */
static int function_name(const struct pp_profile *p, uint32_t frame, bool with_file,
			 struct pp_buf *out)
{
	const struct pp_frame *f = &p->frames[frame];
	int r;

	if (f->kind == PP_KIND_PYTHON && !with_file) {
		r = pp_buf_printf(out, "py::%s", pp_profile_text(p, f->name));
		if (r >= 0 && f->line)
			r = pp_buf_printf(out, ":%u", f->line);
	} else {
		r = pp_profile_symbol(p, frame, out);
	}
	return r < 0 ? r : pp_buf_add(out, "", 1);
}

static const char *function_place(const struct pp_profile *p, uint32_t frame)
{
	const struct pp_frame *f = &p->frames[frame];

	if (f->kind == PP_KIND_PYTHON)
		return pp_profile_text(p, f->file);
	if (f->kind == PP_KIND_NOTE)
		return "";
	return pp_profile_object(p, frame);
}

/* The text from cell `shift` on. */
static const char *shifted(const char *text, size_t shift)
{
	return text + pp_text_clip(text, (int)MIN(shift, (size_t)INT16_MAX));
}

/*
 * Where a function is, in so many cells. What tells one path from another is its end: that is kept,
 * from a slash on if there is one, until the page is moved sideways. *cut stands for the rest.
 */
static const char *placed(const char *text, size_t shift, int cells, const char **cut)
{
	static const char dots[] = "...";
	int width = pp_text_width(text), room = MAX(cells - (int)strlen(dots), 1);
	const char *slash;

	*cut = "";
	if (shift || *text != '/' || width <= cells)
		return shifted(text, shift);
	*cut = dots;
	text = shifted(text, (size_t)(width - room));
	slash = strchr(text, '/');
	return slash ?: text;
}

static int put_function(struct pp_page *page, const struct pp_top *t, const struct pp_top_line *l,
			enum pp_page_style style)
{
	_cleanup_buf_ struct pp_buf name = { 0 };
	bool wide = page->width >= WIDE;
	int width = page->width - 18, place = wide ? width / 3 : 0, gap, r;
	const char *text, *where, *cut = "";

	r = function_name(t->profile, l->frame, !wide, &name);
	if (r < 0)
		return r;
	width -= place + (wide ? 2 : 0);
	text = shifted((char *)name.data, t->shift);
	where = wide ? placed(function_place(t->profile, l->frame), t->shift, place, &cut) : "";
	gap = width - pp_text_width(text);
	return putf(page, style, "%7.2f %7.2f  %.*s%*s%s%s", pp_percent(l->self, t->total),
		    pp_percent(l->total, t->total), (int)pp_text_clip(text, width), text,
		    MAX(gap, 0) + (wide ? 2 : 0), "", cut, where);
}

static int put_branch(struct pp_page *page, const struct pp_top *t, const struct pp_top_line *l,
		      enum pp_page_style style)
{
	_cleanup_buf_ struct pp_buf name = { 0 };
	int indent = (int)MIN(l->depth, (uint32_t)DEPTH_MAX) * INDENT, r;

	r = pp_buf_printf(&name, "%*s%c ", indent, "", l->closed ? '+' : ' ');
	if (r >= 0)
		r = function_name(t->profile, l->frame, true, &name);
	if (r < 0)
		return r;
	return putf(page, style, "%7.2f %7.2f %s", pp_percent(l->total, t->total),
		    pp_percent(l->self, t->total), shifted((char *)name.data, t->shift));
}

static const char *fact(const struct pp_page_facts *f, int64_t id, const char *key)
{
	const json_t *p;
	size_t i;

	json_array_foreach (f->processes, i, p)
		if (json_integer_value(json_object_get(p, "id")) == id)
			return json_string_value(json_object_get(p, key)) ?: "-";
	return "-";
}

static int put_process(struct pp_page *page, const struct pp_top *t, const struct pp_top_line *l,
		       const struct pp_page_facts *f, enum pp_page_style style)
{
	const struct pp_profile *p = t->profile;
	const struct pp_process *pr = &p->processes[l->process];
	struct pp_label label =
		pp_label_of(pp_profile_text(p, pr->container), pp_profile_text(p, pr->unit),
			    pp_profile_text(p, pr->slice));
	double cpu = p->cpu_ns ? pp_percent(l->total, f->span_ns) : 0;

	if (page->width < WIDE)
		return putf(page, style, "%7.2f %7" PRId64 "  %s", pp_percent(l->total, t->total),
			    pr->pid, pp_profile_text(p, pr->comm));
	/* The words of the version and of what names it are the daemon's own. */
	return putf(page, style, "%7.2f %7.1f %8" PRId64 "  %-15s  %-9.9s %-11.11s %.*s",
		    pp_percent(l->total, t->total), cpu, pr->pid, pp_profile_text(p, pr->comm),
		    fact(f, pr->id, "python"), fact(f, pr->id, "named_by"), label.len, label.text);
}

static int put_group(struct pp_page *page, const struct pp_top *t, const struct pp_top_line *l,
		     const struct pp_page_facts *f, enum pp_page_style style)
{
	double cpu = t->profile->cpu_ns ? pp_percent(l->total, f->span_ns) : 0;

	return putf(page, style, "%7.2f %7.1f  %s", pp_percent(l->total, t->total), cpu,
		    shifted(group_name(t, l->value), t->shift));
}

static int put_header(struct pp_page *page, const struct pp_top *t)
{
	bool wide = page->width >= WIDE;
	int width = page->width - 18;

	if (t->mode == PP_TOP_TREE)
		return put(page, PP_STYLE_HEADER, " TOTAL%   SELF%   CALL TREE");
	if (t->mode == PP_TOP_PROCESSES)
		return put(page, PP_STYLE_HEADER,
			   wide ? " SHARE%    CPU%      PID  COMMAND          PYTHON    "
				  "NAMED BY    WHERE"
				: " SHARE%     PID  COMMAND");
	if (t->mode == PP_TOP_GROUPS)
		return putf(page, PP_STYLE_HEADER, " SHARE%%    CPU%%  %s",
			    pp_attribute_title(t->by));
	if (!wide)
		return put(page, PP_STYLE_HEADER, "  SELF%  TOTAL%  FUNCTION");
	return putf(page, PP_STYLE_HEADER, "  SELF%%  TOTAL%%  %-*s  WHERE", width - width / 3 - 2,
		    "FUNCTION");
}

static enum pp_page_style style_of(const struct pp_top *t, const struct pp_top_line *l)
{
	enum pp_kind kind;

	if (t->mode == PP_TOP_PROCESSES || t->mode == PP_TOP_GROUPS)
		return PP_STYLE_PLAIN;
	kind = (enum pp_kind)t->profile->frames[l->frame].kind;
	return kind == PP_KIND_PYTHON	? PP_STYLE_PYTHON
	       : kind == PP_KIND_KERNEL ? PP_STYLE_KERNEL
					: PP_STYLE_PLAIN;
}

static int put_lines(struct pp_page *page, const struct pp_top *t, const struct pp_page_facts *f,
		     bool cursor)
{
	int r = 0;

	for (size_t i = t->top; i < t->nr_lines && i < t->top + t->page && r >= 0; i++) {
		const struct pp_top_line *l = &t->lines[i];
		enum pp_page_style style =
			cursor && i == t->cursor ? PP_STYLE_CURSOR : style_of(t, l);

		if (t->mode == PP_TOP_FUNCTIONS || t->mode == PP_TOP_LINES)
			r = put_function(page, t, l, style);
		else if (t->mode == PP_TOP_PROCESSES)
			r = put_process(page, t, l, f, style);
		else if (t->mode == PP_TOP_GROUPS)
			r = put_group(page, t, l, f, style);
		else
			r = put_branch(page, t, l, style);
	}
	if (t->profile && !t->nr_lines && r >= 0)
		r = put(page, PP_STYLE_PLAIN,
			*t->filter ? "Nothing matches the filter; Esc clears it."
				   : "Nothing used CPU.");
	return r;
}

/* ---- Help --------------------------------------------------------------------------------------
 */

static const struct {
	const char *key, *text, *more;
} keys[] = {
	{ "f", "functions", ": what each costs on its own and with what it calls" },
	{ "p", "processes", ": what each uses; Enter looks into one, Esc comes back" },
	{ "l", "lines", ": of the Python function under the cursor, as Enter; Esc comes back" },
	{ "b", "by state",
	  ": by GIL, GC, thread, task in turn; Enter looks into one, Esc comes "
	  "back" },
	{ "t", "call tree", ": who calls whom; Enter closes and opens a branch" },
	{ "Tab", "next view", ": functions, processes, call tree" },
	{ "s", "self/total", ": order the functions by the one or the other" },
	{ "/", "filter", ": only what contains this text; Enter keeps it, Esc clears it" },
	{ "Space", "pause", ": holds the picture, sampling goes on" },
	{ "y", "Python only", ": C code and the kernel cost their Python caller" },
	{ "k", "kernel", " frames on or off; off, they cost their caller" },
	{ "n", "native", " frames on or off; off, they cost their caller" },
	{ "Enter", "in/fold", ": looks into a process or a function, closes or opens a branch" },
	{ "- +", "all folds", ": closes or opens every branch of the tree" },
	{ "Esc", "back", ": drops the filter, then leaves the process" },
	{ "<- ->", "sideways", ": shows the rest of long names" },
	{ "h ?", "help", "; any key leaves it" },
	{ "q", "quit", "" },
};

static int put_help(struct pp_page *page, int height)
{
	size_t nr = ARRAY_SIZE(keys), half = (nr + 1) / 2;
	bool high = height >= (int)nr + 4, wide = page->width >= WIDE;
	int r = put(page, PP_STYLE_TITLE, "pyprof top: keys; any key goes back");

	for (size_t i = 0; i < (high ? nr : half) && r >= 0; i++) {
		if (high)
			r = putf(page, PP_STYLE_PLAIN, "  %-6s %s%s", keys[i].key, keys[i].text,
				 wide ? keys[i].more : "");
		else
			r = putf(page, PP_STYLE_PLAIN, "%-5s %-12s %-5s %s", keys[i].key,
				 keys[i].text, i + half < nr ? keys[i + half].key : "",
				 i + half < nr ? keys[i + half].text : "");
	}
	if (!high || r < 0)
		return r;
	r = put(page, PP_STYLE_PLAIN, "");
	return r < 0 ? r
		     : put_wrapped(page, PP_STYLE_PLAIN,
				   "Python functions have names where the interpreter is a CPython "
				   "that pyprofd knows, or runs with trampolines (-X perf).");
}

/* ---- The page ----------------------------------------------------------------------------------
 */

static int put_keys(struct pp_page *page)
{
	return put(page, PP_STYLE_KEYS,
		   "h help  q quit  f functions  p processes  t tree  s sort  / filter  Space "
		   "pause  y Python  k kernel  n native");
}

static int put_banner(struct pp_page *page, const struct pp_page_facts *f, int height)
{
	const char *text = pp_pythons_banner(&f->pythons);

	if (!text || !f->processes)
		return 0;
	if (height && height < HIGH)
		return put(page, PP_STYLE_WARNING, pp_pythons_banner_short(&f->pythons));
	return put_wrapped(page, PP_STYLE_WARNING, text);
}

static int put_head(struct pp_page *page, const struct pp_top *t, const struct pp_page_facts *f,
		    int height)
{
	int r;

	r = put_title(page, t, f);
	if (r >= 0)
		r = put_banner(page, f, height);
	if (r >= 0 && height)
		r = put_state(page, t);
	return r < 0 ? r : put_header(page, t);
}

int pp_page_make(struct pp_page *page, struct pp_top *t, const struct pp_page_facts *f, int width,
		 int height)
{
	int r;

	for (size_t i = 0; i < page->nr; i++)
		free(page->lines[i].text);
	page->nr = 0;
	page->width = MAX(width, 1);
	if (t->help)
		return put_help(page, height);
	r = put_head(page, t, f, height);
	if (r < 0)
		return r;
	if (height) {
		int left = height - (int)page->nr - 1;

		pp_top_resize(t, (size_t)MAX(left, 1));
	}
	r = put_lines(page, t, f, height > 0);
	while (r >= 0 && height && (int)page->nr < height - 1)
		r = put(page, PP_STYLE_PLAIN, "");
	return r < 0 || !height ? r : put_keys(page);
}
