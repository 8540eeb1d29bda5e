/* SPDX-License-Identifier: GPL-2.0-only */
/* Symbol names as people write them. */
#pragma once

#include "base/macro.h"

/*
 * Writes the name to show for a raw ELF symbol name: without its version suffix (foo@@GLIBC_2.34),
 * C++ and Rust (legacy and v0) demangled, without parameters and without Rust's hash; cut to size
 * with "..." at the end. Returns the length written, without the NUL. size >= 4.
 */
size_t pp_demangle(const char *raw, char *buf, size_t size);
