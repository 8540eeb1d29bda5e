# SPDX-License-Identifier: GPL-2.0-only
"""Files that code runs from and that are not what they should be: KIND [ARGUMENT]."""

import itertools
import lzma
import os
import random
import struct
import sys
import threading
import zlib

import code_in_files as code
import elf_files as elf
from elf_files import CODE, FAR, PAGE, Section

HOME, KIND, *ARGUMENTS = sys.argv[1:]
RANDOM = random.Random(KIND)
SAMPLED = 0.12  # seconds of CPU: the service takes two samples

# What the attacks cut up: small, real, and mapped by every program.
LIBRARY = elf.Library(elf.mapped("ld-linux"))


def place(name):
    """A path for a new file, which is not the one that was there."""
    path = os.path.join(HOME, name)
    if os.path.exists(path):
        os.unlink(path)
    return path


def write(name, data):
    path = place(name)
    with open(path, "wb") as out:
        out.write(data)
    return path


def truncated():
    for cut in LIBRARY.cuts(RANDOM, 100):
        where = code.map_file(write("cut", LIBRARY.data[:cut]))
        code.run(where, 0.004)
        code.libc.munmap(where, PAGE)


def mutated():
    for n in range(16):
        code.run_file(write(f"frames-{n}", elf.mutate(LIBRARY, RANDOM)), LIBRARY.code, 0.02)


def overlapping():
    """Segments over each other and the headers; every section the same bytes, or all of the file."""
    everything = elf.program(CODE + PAGE)
    shifted = elf.program(CODE + PAGE, offset=64, address=32)
    beyond = elf.program(1 << 40, memory_size=1 << 62)
    last = elf.program(PAGE, offset=CODE, address=(1 << 64) - PAGE, memory_size=PAGE)
    segments = (everything, shifted, beyond, last)
    for n, programs in enumerate(itertools.product(segments, repeat=3)):
        same = [
            Section(".eh_frame", offset=0, size=CODE + PAGE, address=RANDOM.choice((0, FAR))),
            Section(".symtab", elf.SYMTAB, offset=0, size=CODE + PAGE, link=3),
            Section(".strtab", elf.STRTAB, offset=0, size=CODE + PAGE),
            Section(".note", elf.NOTE, offset=0, size=CODE),
            Section(".plt", offset=0, size=CODE + PAGE),
        ]  # fmt: skip
        path = elf.build(place("overlapping"), same, [everything, *programs][:3])
        code.run_file(path, CODE, SAMPLED if n % 8 == 0 else 0.01)


def huge():
    mib = 1 << 20
    alike = [(CODE + n % 0xFF0, 1) for n in range(600_000)]
    yield [Section(".eh_frame", size=1 << 30, address=FAR)]
    yield [Section(".eh_frame", size=60 * mib, address=FAR)]
    yield [elf.eh_frame(alike)]
    yield [Section(".eh_frame", data=struct.pack("<II", 4, 0x7FFFFFFF) * (mib + 9), address=FAR)]
    yield [
        Section(".symtab", elf.SYMTAB, size=250 * mib, link=2),
        Section(".strtab", elf.STRTAB, size=250 * mib),
    ]
    yield [
        Section(".symtab", elf.SYMTAB, elf.symbol(1, CODE, PAGE) * 2_000_000, link=2),
        Section(".strtab", elf.STRTAB, b"\0x" * 32 * mib),
    ]
    yield [
        Section(".dynsym", elf.DYNSYM, size=63 * mib, link=2),
        Section(".dynstr", elf.STRTAB, b"_PyRuntime\0", size=63 * mib),
    ]
    yield [
        Section(".eh_frame", offset=12 << 30, size=40 * mib, address=FAR),
        Section(".symtab", elf.SYMTAB, offset=13 << 30, size=100 * mib, link=3),
        Section(".strtab", elf.STRTAB, offset=14 << 30, size=10 * mib),
    ]


def run_huge():
    for n, sections in enumerate(huge()):
        path = elf.build(place("huge"), sections)
        if n == 7:
            os.truncate(path, 15 << 30)
        code.run_file(path, CODE, SAMPLED)
    for field in (56, 60):  # numbers of headers: as many as there can be
        path = elf.build(place("headers"), [])
        with open(path, "r+b") as out:
            out.seek(field)
            out.write(b"\xff\xff" if field == 56 else b"\xff\xfe")
            out.truncate(8 << 20)
        code.run_file(path, CODE, SAMPLED)


def packed_gib():
    """A gibibyte of zeros as xz."""
    packer = lzma.LZMACompressor(preset=1)
    block = bytes(1 << 24)
    return b"".join([packer.compress(block) for _ in range(64)] + [packer.flush()])


def compressed():
    bomb = packed_gib()
    while True:
        for data in (bomb, lzma.compress(bytes(60 << 20), preset=0), bomb[: len(bomb) // 2], b"\xfd7zXZ"):
            path = elf.build(place("minidebug"), [Section(".gnu_debugdata", data=data)])
            code.run_file(path, CODE, SAMPLED)
        for kind, size in ((1, 1 << 40), (2, 1 << 62), (77, 0)):
            data = struct.pack("<IIQQ", kind, 0, size, 1) + zlib.compress(bytes(1 << 24))
            path = elf.build(place("compressed"), [
                Section(".eh_frame", data=data, flags=elf.COMPRESSED, address=FAR),
                Section(".symtab", elf.SYMTAB, data, flags=elf.COMPRESSED, link=3),
                Section(".strtab", elf.STRTAB, data, flags=elf.COMPRESSED),
            ])  # fmt: skip
            code.run_file(path, CODE, SAMPLED)


def names():
    raw = (
        elf.doubling_rust(), elf.doubling_cpp(), b"_Z" + b"N" * 4000, b"_Z1f" + b"P" * 4000,
        b"_Z1f" + b"F" * 4000, b"_Z1fIX" + b"cv" * 1900, b"_Z1f" + b"1AI" * 1300, b"_Z" + b"9" * 4000,
        b"_RNvC1a" + b"B_" * 1000, b"x" * (8 << 20), b"\x1b]0;title\7\x1b[2J\n;", b"\xff" * 100,
    )  # fmt: skip
    for name in raw:
        code.run_file(elf.named(place("name"), name), CODE, SAMPLED)
    for offset in (0xFFFFFFFF, 2, 3):
        table = elf.symbol(offset, CODE, PAGE) * 20000
        path = elf.build(place("offsets"), [
            Section(".symtab", elf.SYMTAB, table, link=RANDOM.choice((1, 2, 77, 0xFFFF))),
            Section(".strtab", elf.STRTAB, b"\0a"),
        ])  # fmt: skip
        code.run_file(path, CODE, SAMPLED)


def debuglink():
    """Names of files that are somewhere else."""
    secret = ARGUMENTS[0]
    up = "/.." * 12
    for link in (secret, f"{up[1:]}{secret}", f"{up}{secret}", "..", ".", "secret.map/..", ""):
        data = link.encode() + b"\0"
        data += bytes(-len(data) % 4) + struct.pack("<I", zlib.crc32(b""))
        path = elf.build(place("linked"), [Section(".gnu_debuglink", data=data)])
        code.run_file(path, CODE, SAMPLED)
    # A name that is one, beside the program, and leads to the secret.
    os.symlink(secret, place("plain.debug"))
    data = b"plain.debug\0" + struct.pack("<I", 0)
    code.run_file(elf.build(place("beside"), [Section(".gnu_debuglink", data=data)]), CODE, SAMPLED)


def changing():
    """A file that becomes shorter, and longer, while it is read."""
    path = write("changing", LIBRARY.data)
    os.chmod(path, 0o700)

    def change():
        while True:
            for size in (PAGE, 64, 0, len(LIBRARY.data) // 2):
                os.truncate(path, size)
                with open(path, "r+b") as out:
                    out.write(LIBRARY.data[:LIBRARY.code] + elf.SPIN)
                    out.write(LIBRARY.data[LIBRARY.code + 2 :])

    threading.Thread(target=change, daemon=True).start()
    while True:
        code.run_file(path, LIBRARY.code, 0.02)


ATTACKS = {
    "truncated": truncated, "mutated": mutated, "overlapping": overlapping, "huge": run_huge,
    "compressed": compressed, "names": names, "debuglink": debuglink, "changing": changing,
}  # fmt: skip

print("ready", flush=True)
while True:
    ATTACKS[KIND]()
