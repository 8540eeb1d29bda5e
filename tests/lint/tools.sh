# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the lint programs share: the pinned tools and the lists of files. Sourced.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
. tests/lib/tap.sh

# Majors of clang-format differ in taste and those of clang-tidy in checks, so one is pinned:
# Debian 12's. Elsewhere, what cannot be run is skipped.
clang_major=14

# clang_tool NAME: prints the command of that major; fails if there is none.
clang_tool()
{
	local tool
	for tool in "$1-$clang_major" "/usr/lib/llvm-$clang_major/bin/$1" "$1"; do
		"$tool" --version 2>/dev/null | grep -q "version $clang_major\." || continue
		echo "$tool"
		return
	done
	return 1
}

# c_files [PATTERN...]: the C files of the tree, committed or about to be, or those that match;
# vmlinux.h is the kernel's own text.

c_files()
{
	git ls-files --cached --others --exclude-standard -- "${@:-*.[ch]}" |
		grep -vx 'bpf/vmlinux\.h' | while IFS= read -r file; do
		[[ ! -f $file ]] || echo "$file"
	done
}
