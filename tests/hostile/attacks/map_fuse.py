# SPDX-License-Identifier: GPL-2.0-only
"""A perf map behind a FUSE server that does not answer, or slowly, or without end: HOW."""

import attack
import fuse

LINE = b"%012x 10 py::served_%07d:/fuse\n"


def lines(offset, size):
    """Lines without end, each the address of the next 16 bytes."""
    length = len(LINE % (0, 0))
    first = offset // length
    text = b"".join(
        LINE % (0x7FFE00000000 + 16 * n, n % 10**7) for n in range(first, first + size // length + 2)
    )
    return text[offset - first * length:][:size]


HOW = {
    "stat": {"silent": [fuse.GETATTR]},
    "open": {"silent": [fuse.OPEN]},
    "read": {"silent": [fuse.READ], "size": 1 << 20},
    "close": {"silent": [fuse.FLUSH], "size": 1 << 20, "read": lines},
    "slow": {"delay": 0.4, "size": 1 << 40, "read": lambda offset, _size: lines(offset, 1)},
    "error": {"failing": [fuse.READ], "size": 1 << 20},
    "endless": {"size": 1 << 60, "read": lines},
    "line": {"size": 1 << 60, "read": lambda offset, size: b"7" * size},
}

fuse.File(**HOW[attack.ARGUMENTS[0]])
attack.activate()
attack.ready()
attack.spin()
