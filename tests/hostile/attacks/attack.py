# SPDX-License-Identifier: GPL-2.0-only
"""What the attacks share: trampolines whose names go where the attacker wants them to go."""

import contextlib
import ctypes
import os
import sys

HOME = sys.argv[1]  # the attacker's own directory
ARGUMENTS = sys.argv[2:]
MAP = f"/tmp/perf-{os.getpid()}.map"
DUMP = f"/tmp/jit-{os.getpid()}.dump"

TEXT = """
def leaf_{n}():
    for _ in range(200000):
        pass

def branch_{n}():
    leaf_{n}()
"""


def activate():
    """Trampolines; CPython opens its perf map now, if it can."""
    sys.activate_stack_trampoline("perf")


def ready():
    print("ready", flush=True)


def make(n):
    """A function that has not run before."""
    scope = {}
    exec(compile(TEXT.format(n=n), f"attack-{n}", "exec"), scope)
    return scope[f"branch_{n}"]


def spin(also=None):
    """Runs new functions for ever, and calls also() between them."""
    n = 0
    while True:
        n += 1
        make(n)()
        if also:
            also()


def activate_unnamed():
    """Trampolines without a perf map: what else there is has to name them."""
    with contextlib.suppress(FileExistsError):  # a leftover of somebody else's will do
        os.mkdir(MAP)
    activate()


def map_as_code(fd):
    """Maps a file's first page executable, as writers of jitdumps do to be noticed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    where = libc.mmap(None, 4096, 5, 2, fd, ctypes.c_long(0))
    if where == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return where


def show_dump(fd):
    """Maps and unmaps it: a jitdump is looked for from then on, among what is held open."""
    libc = ctypes.CDLL(None)
    libc.munmap(ctypes.c_void_p(map_as_code(fd)), ctypes.c_size_t(4096))


def die_with_parent():
    ctypes.CDLL(None).prctl(1, 9)


NEWNS, NEWUSER, BIND, REC_PRIVATE = 0x00020000, 0x10000000, 0x1000, 0x44000


def cannot(why):
    """There is something missing here."""
    print(f"cannot: {why}", flush=True)
    sys.exit(0)


def own_mounts():
    """A user and a mount namespace of its own: root among its mounts, nobody else's."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(NEWUSER | NEWNS):
        cannot(f"no user namespace of one's own here: {os.strerror(ctypes.get_errno())}")
    for name, text in (
        ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"),
    ):  # fmt: skip
        with open(f"/proc/self/{name}", "w", encoding="ascii") as out:
            out.write(text)
    mount(None, "/", REC_PRIVATE)


def mount(source, target, flags, kind=None, options=None):
    libc = ctypes.CDLL(None, use_errno=True)
    words = [word.encode() if word else None for word in (source, target, kind, options)]
    if libc.mount(words[0], words[1], words[2], flags, words[3]):
        raise OSError(ctypes.get_errno(), "mount", target)


def hold(path, flags, like=MAP):
    """Somebody's file, open, under the name of this process's map."""
    own_mounts()
    name = os.path.join(HOME, os.path.basename(like))
    with open(name, "w", encoding="ascii"):
        pass
    mount(path, name, BIND)
    return os.open(name, flags)
