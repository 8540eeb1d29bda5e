# SPDX-License-Identifier: GPL-2.0-only
"""So many processes, each with a perf map of another sort that is none, and a name: COUNT SECRET."""

import ctypes
import os
import time

import attack

count, secret = int(attack.ARGUMENTS[0]), attack.ARGUMENTS[1]
NAMES = (b"\x1b]0;own\x07", b"\x1b[31m\n", "own\u202e\u2066".encode(), b"own\xff\x9b", b") S 1 1", b" ")
EVERYWHERE = "7fff00000000 f7fff000 mine\n0 ffffffffffffffff all\nffffffff80000000 7fffffff kernel\n"


def text(path, lines, size=None):
    with open(path, "w", encoding="ascii") as out:
        out.write(lines)
    os.chmod(path, 0o400)  # so CPython does not hold it
    if size:
        os.chmod(path, 0o600)
        os.truncate(path, size)
        os.chmod(path, 0o400)


def link(path):
    text(path, EVERYWHERE)
    os.link(path, os.path.join(attack.HOME, os.path.basename(path)))


LAY = (
    os.mkfifo, os.mkdir, lambda path: os.symlink(secret, path), link,
    lambda path: text(path, EVERYWHERE), lambda path: text(path, "", 10 << 30),
    lambda path: text(path, "x" * 100000), lambda path: os.symlink("/dev/zero", path),
)  # fmt: skip


def child(number):
    path = f"/tmp/perf-{os.getpid()}.map"
    if os.path.lexists(path):
        os.unlink(path)
    LAY[number % len(LAY)](path)
    ctypes.CDLL(None).prctl(15, NAMES[number % len(NAMES)] + b"%d" % number)
    attack.activate()
    n = 0
    while True:
        n += 1
        attack.make(n)()
        time.sleep(10)


made = 0
while made < count:
    if os.fork() == 0:
        attack.die_with_parent()
        os.nice(19)
        child(made)
    made += 1
print(f"made {made}", flush=True)
attack.ready()
while True:
    time.sleep(1)
