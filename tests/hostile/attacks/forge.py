# SPDX-License-Identifier: GPL-2.0-only
"""A copy of another's library, its build-id with it, with false rules and names: LIBRARY OFFSET."""

import os
import sys

import code_in_files as code
import elf_files as elf

HOME, LIBRARY, OFFSET = sys.argv[1:4]

library = elf.Library(LIBRARY)
data = bytearray(library.data)
_address, start, size = library.frames
# Every "CFA is 8n bytes above" says another n.
at = start
while at < start + size - 1:
    if data[at] == 0x0E and data[at + 1] % 8 == 0:
        data[at + 1] ^= 0x20
        at += 1
    at += 1
for right, wrong in ((b"outer", b"liar1"), (b"inner", b"liar2")):
    data = data.replace(right, wrong)
path = os.path.join(HOME, "forged")
with open(path, "wb") as out:
    out.write(data)
print("ready", flush=True)
while True:
    code.run_file(path, int(OFFSET), 0.1)
