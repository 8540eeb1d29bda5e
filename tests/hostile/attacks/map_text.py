# SPDX-License-Identifier: GPL-2.0-only
"""A perf map of the attacker's own whose text is the attack: HOW."""

import itertools
import os

import attack

PLACE = 0x7FFE00000000  # in what an attacker's anonymous memory may lie in
BLOCK = 1 << 20
GROWN = 1 << 30  # bytes that a map may grow to


def write(*parts):
    with open(attack.MAP, "wb") as out:
        out.writelines(parts)


def many(count, line):
    """Lines of line(n), a million distinct ones at a time: the first digits are replaced."""
    block = b"".join(line(n) for n in range(BLOCK))
    return (block.replace(b"7f00", b"7f%02x" % n) for n in range(-(-count // BLOCK)))


def sparse(size, head=b""):
    write(head)
    os.truncate(attack.MAP, size)
    with open(attack.MAP, "ab") as out:
        out.write(b"\n")


def rewrite():
    texts = [b"%x 1000 first_%d\n" % (PLACE + 16 * n, n) for n in range(20000)]
    for n in itertools.count():
        with open(attack.MAP, "r+b") as out:
            out.truncate(0)
            out.writelines(texts[: 1 + n * 37 % len(texts)])


def grow():
    text = b"".join(b"%x 10 grown_%d\n" % (PLACE + 16 * n, n) for n in range(BLOCK // 32))
    with open(attack.MAP, "ab") as out:
        for _ in range(GROWN // len(text)):
            out.write(text)


HOW = {
    "sparse": lambda: sparse(10 << 30),
    "line": lambda: sparse(4 << 30, b"%x 10 " % PLACE),
    "entries": lambda: write(
        *many(int(attack.ARGUMENTS[1]) << 20, lambda n: b"7f00%08x 1 a\n" % n)
    ),
    "everywhere": lambda: write(
        b"0 ffffffffffffffff all\n", b"0 ffffffff low\n", b"ffffffff80000000 7fffffff kernel\n",
        b"ffff800000000000 10 kernel\n", b"7fff00000000 f7fff000 mine\n",
    ),
    "overlaps": lambda: write(
        *(b"%x %x over_%d\n" % (PLACE + n * 7919 % 65536, 1 << 20, n) for n in range(2000000))
    ),
    "rewritten": lambda: write(b""),
    "growing": lambda: write(b""),
}
ALSO = {"rewritten": rewrite, "growing": grow}

how = attack.ARGUMENTS[0]
HOW[how]()
os.chmod(attack.MAP, 0o600)
if how in ALSO and os.fork() == 0:
    attack.die_with_parent()
    ALSO[how]()
    os._exit(0)
attack.activate()
attack.ready()
attack.spin()
