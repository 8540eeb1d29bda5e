# SPDX-License-Identifier: GPL-2.0-only
"""Programs whose paths would drive a terminal, are no UTF-8, or are as long as paths may be."""

import os
import sys

import elf_files as elf

HOME = os.fsencode(sys.argv[1])
NAMES = (
    b"own\x1b]0;own\x07\x1b[2J", b"own\nown", "own\u202e\u2066own\u2028".encode(), b"own\xff\xfe\x9b31m",
    b"own\r\x08\x7f ;own", b"own (deleted)", b"%s%n%x own",
)  # fmt: skip


def program(path):
    """One that runs for ever in a function whose name its file does not say."""
    with open(path, "wb") as out:
        out.write(elf.header(kind=2, entry=0x400000 + elf.CODE))
        out.write(elf.program(elf.CODE + elf.PAGE, address=0x400000))
        out.seek(elf.CODE)
        out.write(elf.SPIN + bytes(elf.PAGE))
    os.chmod(path, 0o755)


def run(path):
    """As a child: by a path from where we are, with arguments that are no better."""
    pid = os.fork()
    if pid == 0:
        os.execv(path, [path, b"\x1b]0;own\x07\n" + b"\xff" * 5000, b"\n"])
    print(f"child {pid}", flush=True)


os.nice(19)
for name in NAMES:
    os.chdir(HOME)
    program(name)
    run(b"./" + name)
# As deep as a path that is absolute may be.
left = 4090 - len(HOME)
while left > 250:
    name = (b"\x1b[31m\xff" * 40)[: min(240, left - 8)]
    os.mkdir(name)
    os.chdir(name)
    left -= len(name) + 1
program(b"own")
run(b"./own")
print("ready", flush=True)
while True:
    os.wait()
