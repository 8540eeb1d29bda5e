# SPDX-License-Identifier: GPL-2.0-only
"""A jitdump of the attacker's own whose contents are the attack: HOW."""

import array
import itertools
import os
import random
import struct
import time

import attack

PLACE = 0x7FFE00000000  # in what an attacker's anonymous memory may lie in
BLOCK = 1 << 20
GROWN = 1 << 28  # bytes that a dump may grow to
RANDOM = random.Random(4)

LOAD, MOVE, DEBUG, CLOSE, UNWIND = range(5)


def header(magic=0x4A695444, version=1, size=40, machine=62):
    return struct.pack("<6I2Q", magic, version, size, machine, 0, os.getpid(), time.monotonic_ns(), 0)


def record(kind, body, size=None):
    return struct.pack("<IIQ", kind, 16 + len(body) if size is None else size, 1) + body


def load(address, length, name, code=b"", size=None):
    body = struct.pack("<IIQQQQ", os.getpid(), os.getpid(), address, address, length, 1)
    return record(LOAD, body + name + b"\0" + code, size)


def move(start, to, length):
    return record(MOVE, struct.pack("<IIQQQQQ", os.getpid(), os.getpid(), to, start, to, length, 1))


GOOD = [load(PLACE + 16 * n, 16, b"py::good_%d:/dump" % n, bytes(16)) for n in range(2000)]


def cut():
    """Records that end anywhere, with more behind."""
    for n, whole in enumerate(GOOD):
        yield whole[: n % len(whole)]
        yield GOOD[0]


def sizes():
    """Records that say they are of another size than they are."""
    for size in (0, 1, 15, 16, 17, 55, 56, 57, 1 << 20, 1 << 26, (1 << 26) + 1, 0x7FFFFFFF, 0xFFFFFFFF):
        for kind in (*range(7), 0x7FFFFFFF, 0xFFFFFFFF):
            yield record(kind, bytes(64), size)
            yield load(PLACE, 0xFFFFFFFFFFFFFFFF, b"all", b"", size)
            yield GOOD[0]
        yield record(DEBUG, struct.pack("<QQ", PLACE, 1 << 62), size)
        yield record(UNWIND, struct.pack("<QQQ", 1 << 63, 1 << 63, 1 << 63), size)


def places():
    """Code everywhere: the kernel's, all there is, wrapping around; moves of all that and in circles."""
    edges = (0, 1, PLACE, (1 << 47) - 1, 1 << 47, 1 << 63, (1 << 64) - 1)
    for start, length in itertools.product(edges, edges):
        yield load(start, length, b"edge")
        yield from (move(start, to, length) for to in edges)
    for n in range(100000):
        yield move(PLACE + n % 7 * 8, PLACE + (n + 1) % 7 * 8, 16)


def noise():
    """Bytes that are no records, among them the beginnings of some."""
    for _ in range(16):
        block = bytearray(RANDOM.randbytes(BLOCK))
        for at in range(0, BLOCK - 256, 200):
            block[at : at + 56] = GOOD[at % len(GOOD)][:56]
        yield bytes(block)


MILLIONS = 5


def many():
    """Millions of good records, each of code elsewhere."""
    count = 100_000
    block = array.array("Q", load(0, 16, b"of mine") * count)  # a record of eight words
    for n in range(MILLIONS * 10):
        first = PLACE + 16 * n * count
        for word in (3, 4):  # where it was made, and where it lies
            block[word::8] = array.array("Q", range(first, first + 16 * count, 16))
        yield block


def names():
    yield load(PLACE, 16, b"x" * (8 << 20))
    for _ in range(64):
        yield load(PLACE, 16, b"py::" + RANDOM.randbytes(60000).replace(b"\0", b"\n") + b":\x1b[2J")
    yield load(PLACE, 16, b"endless" * BLOCK)[:-1]


def write(out, parts):
    out.write(header())
    for part in parts:
        out.write(part)
    out.flush()


def rewrite():
    for n in itertools.count():
        with open(attack.DUMP, "r+b") as out:
            out.truncate(0)
            write(out, GOOD[: 1 + n * 37 % len(GOOD)])


def grow():
    text = b"".join(GOOD)
    with open(attack.DUMP, "ab") as out:
        for _ in range(GROWN // len(text)):
            out.write(text)


HOW = {
    "cut": cut, "many": many, "sizes": sizes, "places": places, "noise": noise, "names": names,
    "sparse": list, "rewritten": list, "growing": list, "foreign": list,
}  # fmt: skip
ALSO = {"rewritten": rewrite, "growing": grow}

how = attack.ARGUMENTS[0]
attack.activate_unnamed()
with open(attack.DUMP, "w+b") as held:
    os.fchmod(held.fileno(), 0o600)
    held.write(bytes(4096) if how == "foreign" else b"")
    if how != "foreign":
        write(held, HOW[how]())
    if how == "sparse":
        os.truncate(attack.DUMP, 10 << 30)
    attack.map_as_code(held.fileno())
    if how in ALSO and os.fork() == 0:
        attack.die_with_parent()
        ALSO[how]()
        os._exit(0)
    attack.ready()
    attack.spin()
