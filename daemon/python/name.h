/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names as perf maps have them. CPython writes `py::QUALNAME:FILE`; whatever does not begin with
 * `py::` is another JIT's and is kept whole. Any byte may be in a name: it is pointer and length.
 */
#pragma once

#include "base/buf.h"

enum pp_name_kind {
	PP_NAME_PYTHON, /* py::QUALNAME:FILE */
	PP_NAME_JIT,	/* anything else */
};

struct pp_name {
	enum pp_name_kind kind;
	bool has_file;	  /* a ':' followed the qualname; the file itself may be empty */
	const char *name; /* PYTHON: the qualname; JIT: the whole name */
	size_t len;
	const char *file; /* NULL unless has_file */
	size_t file_len;
};

/* Whether text begins with py::. */
bool pp_name_is_python(const char *text, size_t len);
/*
 * Splits text at the colon behind `py::` that stands between qualname and file. Where there are
 * several, nothing tells which it is for certain: it is the first one with a file behind it that
 * looks like one (`/…`, `<…>` or a URL's `SCHEME://`), else the first one. So a file's name may
 * have any colons in it where it begins like that or the qualname has none, and a qualname where
 * the file begins like that; wrong is `a:/b` or `a:<b` as a qualname, `a:b` as the qualname of a
 * relative file, and `c:/d` as such a file.
 * Borrows text.
 */
void pp_name_split(const char *text, size_t len, struct pp_name *ret);

/*
 * Whether CPython, of a function of this qualname and file, may have written this entry. For what
 * is no UTF-8 (lone surrogates, as of paths in another encoding) it writes `(null)` or nothing,
 * depending on its version; the rest up to a NUL; and a newline ends the entry. Where qualname and
 * file meet the entry does not tell. Of long ones the beginnings are looked at.
 */
bool pp_name_agrees(const struct pp_name *entry, const char *name, size_t len, const char *file,
		    size_t file_len);

/* Appends the name as the map had it, byte for byte. Returns 0 or the buffer's error. */
int pp_name_write(struct pp_buf *out, const struct pp_name *name);
