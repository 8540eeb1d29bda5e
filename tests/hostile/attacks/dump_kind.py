# SPDX-License-Identifier: GPL-2.0-only
"""A jitdump that is no regular file of the attacker's: KIND [TARGET [HOW]]."""

import os
import socket

import attack

kind, *target = attack.ARGUMENTS
attack.activate_unnamed()

# A jitdump is only looked for once a file of that name was mapped. This one is let go at once.
os.mkdir(os.path.join(attack.HOME, "sign"))
sign = os.path.join(attack.HOME, "sign", os.path.basename(attack.DUMP))
with open(sign, "wb") as out:
    out.write(bytes(4096))

if kind == "fifo":
    os.mkfifo(attack.DUMP)
    held = os.open(attack.DUMP, os.O_RDWR)
elif kind == "directory":
    os.mkdir(attack.DUMP)
    held = os.open(attack.DUMP, os.O_RDONLY)
elif kind == "device":
    os.rename(target[0], attack.DUMP)
    held = os.open(attack.DUMP, os.O_RDONLY)
elif kind == "symlink":
    os.symlink(target[0], attack.DUMP)
    held = os.open(attack.DUMP, os.O_PATH | os.O_NOFOLLOW)
elif kind == "linked":
    os.rename(target[0], attack.DUMP)
    held = os.open(attack.DUMP, os.O_PATH)
elif kind == "socket":
    held = socket.socket(socket.AF_UNIX)
    held.bind(attack.DUMP)
    held = (held, os.open(attack.DUMP, os.O_PATH))
elif kind == "held":
    flags = {"read": os.O_RDONLY, "write": os.O_WRONLY, "path": os.O_PATH}[target[1]]
    held = attack.hold(target[0], flags, attack.DUMP)

with open(sign, "rb") as source:
    attack.show_dump(source.fileno())
attack.ready()
attack.spin()
