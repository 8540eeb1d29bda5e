# SPDX-License-Identifier: GPL-2.0-only
"""A perf map that is no regular file of the attacker's: KIND [TARGET]."""

import os

import attack

kind, *target = attack.ARGUMENTS
if kind == "fifo":
    os.mkfifo(attack.MAP)
    # Open for both, so that CPython's own open() does not wait either.
    held = os.open(attack.MAP, os.O_RDWR)
elif kind == "directory":
    os.mkdir(attack.MAP)
elif kind == "symlink":
    os.symlink(target[0], attack.MAP)
elif kind == "renamed":
    os.rename(target[0], attack.MAP)
elif kind == "linked":
    # Not writable: so CPython does not hold it, and its path is all there is.
    with open(attack.MAP, "w", encoding="ascii") as out:
        out.write("7fff00000000 f7fff000 linked\n")
    os.link(attack.MAP, os.path.join(attack.HOME, "link"))
    os.chmod(attack.MAP, 0o400)
elif kind == "held":
    held = attack.hold(target[0], {"read": os.O_RDONLY, "write": os.O_WRONLY, "path": os.O_PATH}[target[1]])
elif kind == "socket":
    import socket

    held = socket.socket(socket.AF_UNIX)
    held.bind(attack.MAP)
attack.activate()
attack.ready()
attack.spin()
