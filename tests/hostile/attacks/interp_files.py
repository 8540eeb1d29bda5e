# SPDX-License-Identifier: GPL-2.0-only
"""Programs that hold a forged CPython: an ELF file with a runtime, an interpreter, a thread, frames
and code objects, all of it as CPython 3.13 has them, at fixed addresses, writable. Its code says
which thread state is its thread's, and spins.
"""

import os
import struct

import elf_files as elf

BASE = 0x400000
READY, RUNTIME, INTERP, STATE, THREAD = 0x1800, 0x2000, 0x4000, 0x7000, 0x8800
TYPES, STRINGS, CODES, FRAMES = 0xA000, 0xB000, 0x10000, 0x20000

# What _Py_DebugOffsets says behind its cookie: CPython 3.13.0's.
DESCRIPTION = (
    51183856, 0, 283320, 608, 632, 194968, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16, 7752, 0,
    7768, 7760, 304, 0, 8, 16, 72, 152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 208, 112, 120, 128, 136,
    68, 52, 96, 104, 200, 16, 8, 416, 24, 88, 168, 32, 24, 16, 40, 24, 16, 48, 32, 40, 24, 16, 32,
    16, 24, 40, 16, 32, 64, 32, 16, 40, 240, 200,
)  # fmt: skip

STATE_FRAME = STATE + 72
FRAME_BYTES = 88
OWNER_THREAD, OWNER_ENTRY = 0, 3
CODE_BYTES = 512
STR, BYTES = 1 << 28, 1 << 27  # tp_flags
ASCII, UCS4 = 1 << 2 | 1 << 5 | 1 << 6, 4 << 2 | 1 << 5  # kind, compact, ascii


class Image:
    """The file's bytes, and what is forged in them. Addresses are offsets in it unless they go in."""

    def __init__(self):
        self.data = bytearray(FRAMES)
        self.tail = b""  # at FRAMES, written as it is
        self.words(RUNTIME, *struct.unpack("<Q", b"xdebugpy"), *DESCRIPTION)
        self.words(RUNTIME + 632, BASE + INTERP, BASE + INTERP)
        self.words(INTERP + 7344, BASE + STATE)
        self.words(STATE + 16, BASE + INTERP)
        self.words(STATE_FRAME, BASE + FRAMES)
        self.words(STATE + 152, BASE + THREAD)
        self.words(THREAD, BASE + THREAD, 0, BASE + THREAD)
        self.words(THREAD + 0x310, 1, BASE + STATE)  # the first pthread key
        self.types = [self.type(n, *what) for n, what in enumerate((("code", 0), ("str", STR), ("bytes", BYTES)))]
        self.string(0, "function")
        self.string(1, "file.py")

    def words(self, at, *values):
        struct.pack_into(f"<{len(values)}Q", self.data, at, *(value % (1 << 64) for value in values))

    def type(self, n, name, flags):
        at = TYPES + n * 0x200
        self.words(at + 24, BASE + at + 0x100)
        self.words(at + 168, flags)
        self.data[at + 0x100 : at + 0x100 + len(name)] = name.encode()
        return BASE + at

    def string(self, n, text, length=None, state=ASCII):
        """The n-th str; its address."""
        at = STRINGS + n * 0x400
        raw = text.encode("ascii") if state == ASCII else text.encode("utf-32-le")
        self.words(at + 8, self.types[1], len(text) if length is None else length, 0, state)
        start = at + (40 if state == ASCII else 56)
        self.data[start : start + len(raw)] = raw
        return BASE + at

    def code(self, n, name=BASE + STRINGS, file=BASE + STRINGS + 0x400, table=0, kind=None):
        """The n-th code object; its address."""
        at = CODES + n * CODE_BYTES
        self.words(at + 8, kind or self.types[0], 100)
        struct.pack_into("<I", self.data, at + 68, n + 1)
        struct.pack_into("<I", self.data, at + 92, n + 1)
        self.words(at + 112, file, name, name, table)
        return BASE + at

    @staticmethod
    def frame(code, previous, owner=OWNER_THREAD, position=None):
        position = code + 200 if position is None else position
        head = struct.pack("<QQ", code % (1 << 64), previous % (1 << 64))
        return head + bytes(40) + struct.pack("<Q", position % (1 << 64)) + bytes(6) + bytes([owner]) + bytes(17)

    def chain(self, codes):
        """A chain of these, and an entry frame at its end."""
        frames = [
            self.frame(code, BASE + FRAMES + (n + 1) * FRAME_BYTES) for n, code in enumerate(codes)
        ]
        self.tail = b"".join(frames) + self.frame(0, 0, OWNER_ENTRY)

    def write(self, path, text):
        """The program: sets its thread's base, says that it is ready, and does what text does."""
        start = b"\xbf\x02\x10\0\0\x48\xbe" + struct.pack("<Q", BASE + THREAD)
        start += b"\xb8\x9e\0\0\0\x0f\x05"  # arch_prctl(ARCH_SET_FS)
        start += b"\xbf\1\0\0\0\x48\xbe" + struct.pack("<Q", BASE + READY)
        start += b"\xba\6\0\0\0\xb8\1\0\0\0\x0f\x05" + text  # write(1, "ready\n", 6)
        self.data[READY : READY + 6] = b"ready\n"
        self.data[elf.CODE : elf.CODE + len(start)] = start
        names = b"\0_PyRuntime\0"
        symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x11, 0, 1, BASE + RUNTIME, 283320)
        at = len(self.data) + len(self.tail)
        sections = (
            bytes(64),
            struct.pack("<IIQQQQIIQQ", 0, elf.DYNSYM, 0, 0, at, len(symbols), 2, 0, 8, 24),
            struct.pack("<IIQQQQIIQQ", 0, elf.STRTAB, 0, 0, at + len(symbols), len(names), 0, 0, 1, 0),
        )
        end = at + len(symbols) + len(names)
        head = elf.header(kind=2, entry=BASE + elf.CODE, at=end, sections=3, names=2)
        head += elf.program(at, address=BASE, flags=7)
        self.data[: len(head)] = head
        with open(path, "wb") as out:
            for part in (self.data, self.tail, symbols, names, *sections):
                out.write(part)
        os.chmod(path, 0o755)
        return path


# Takes a tenth of a second or so, and waits for ever.
SPIN_AND_WAIT = b"\xb9\0\0\0\x10\xff\xc9\x75\xfc" + b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7"  # pause()


def toggle(address, one, other):
    """Writes one and the other there, in turn, for ever."""
    values = struct.pack("<2sQ2sQ2sQ", b"\x48\xbb", address, b"\x48\xb8", one % (1 << 64), b"\x48\xb9", other % (1 << 64))
    return values + b"\x48\x89\x03\x48\x89\x0b\xeb\xf8"


def advance(address, base, step, mask):
    """Writes base + (n * step & mask) there, for n = 1, 2, 3 ..."""
    values = struct.pack("<2sQ2sQ", b"\x48\xbb", address, b"\x48\xba", base) + b"\x31\xc9"
    loop = struct.pack("<3sI3sI", b"\x48\x81\xc1", step, b"\x48\x81\xe1", mask)
    return values + loop + b"\x48\x8d\x04\x0a\x48\x89\x03\xeb\xe9"
