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
elif kind == "socket":
    import socket

    held = socket.socket(socket.AF_UNIX)
    held.bind(attack.MAP)
attack.activate()
attack.ready()
attack.spin()
