# SPDX-License-Identifier: GPL-2.0-only
"""ELF files that lie, and the code in them.

What a file made by build() holds at CODE is a jump to itself, so whoever runs it is sampled there.
"""

import os
import struct

CODE = 0x1000
PAGE = 4096
SPIN = b"\xeb\xfe"
NULL, PROGBITS, SYMTAB, STRTAB, NOTE, DYNSYM = 0, 1, 2, 3, 7, 11
COMPRESSED = 0x800
FAR = 0x10000000  # where sections that are not in a segment say that they are
FUNCTION = 0x12  # global


class Section:
    """data is written where there is room, unless offset says where it lies; size may lie too."""

    def __init__(
        self, name, kind=PROGBITS, data=b"", *, address=0, flags=0, link=0, size=None, offset=None
    ):  # fmt: skip
        self.name, self.kind, self.data, self.address = name, kind, data, address
        self.flags, self.link, self.offset = flags, link, offset
        self.size = len(data) if size is None else size


def header(*, programs=1, at=0, sections=0, names=0, kind=3, entry=0):
    fields = (kind, 62, 1, entry, 64, at, 0, 64, 56, programs, 64, sections, names)
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)


def program(file_size, *, kind=1, flags=5, offset=0, address=0, memory_size=None):
    memory_size = file_size if memory_size is None else memory_size
    return struct.pack(
        "<IIQQQQQQ", kind, flags, offset, address, address, file_size, memory_size, PAGE
    )


def symbol(name, value, size):
    return struct.pack("<IBBHQQ", name, FUNCTION, 0, 1, value, size)


def build(path, sections, programs=None, code=SPIN):
    """A file of a page of code and these sections; the names of sections are added."""
    names = Section(".shstrtab", STRTAB)
    names.data = b"\0" + b"".join(s.name.encode() + b"\0" for s in [*sections, names])
    names.size = len(names.data)
    programs = programs or [program(CODE + PAGE)]
    rows = [bytes(64)]
    at, name = CODE + PAGE, 1
    with open(path, "wb") as out:
        out.seek(CODE)
        out.write(code)
        for s in [*sections, names]:
            if s.offset is None:
                s.offset = at
                at = (at + s.size + 63) & ~63
                if s.data:
                    out.seek(s.offset)
                    out.write(s.data)
            fields = (name, s.kind, s.flags, s.address, s.offset, s.size, s.link, 0, 1, 0)
            rows.append(struct.pack("<IIQQQQIIQQ", *fields))
            name += len(s.name) + 1
        out.seek(at)
        out.write(b"".join(rows))
        out.seek(0)
        out.write(header(programs=len(programs), at=at, sections=len(rows), names=len(rows) - 1))
        out.write(b"".join(programs))
    return path


def named(path, name, *more):
    """A file whose code has this raw name."""
    return build(path, [
        Section(".symtab", SYMTAB, symbol(0, 0, 0) + symbol(1, CODE, PAGE), link=2),
        Section(".strtab", STRTAB, b"\0" + name + b"\0"), *more,
    ])  # fmt: skip


# ---- .eh_frame -----------------------------------------------------------------------------------


def entry(body):
    body += bytes(-len(body) % 4)
    return struct.pack("<I", len(body)) + body


# Version 1, "zR", alignments 1 and -8, return address 16, pc-relative; CFA = rsp + 8, ra at CFA - 8.
CIE = entry(b"\0\0\0\0\1zR\0\1\x78\x10\1\x1b\x0c\x07\x08\x90\x01")


def fde(at, cie, address, length, instructions=b""):
    """at: the entry's own offset in the section, which lies at FAR; cie: that one's offset."""
    return entry(
        struct.pack("<IiI", at + 4 - cie, address - (FAR + at + 8), length) + b"\0" + instructions
    )


def eh_frame(functions, instructions=lambda n: b""):
    """One CIE, and a function for each (address, length)."""
    out = bytearray(CIE)
    for n, (address, length) in enumerate(functions):
        out += fde(len(out), 0, address, length, instructions(n))
    return Section(".eh_frame", data=bytes(out), address=FAR)


class Library:
    """A real file, and where in it its .eh_frame and the first pages of its code are."""

    def __init__(self, path):
        with open(path, "rb") as source:
            self.data = source.read()
        self.programs_at, self.sections_at = struct.unpack_from("<QQ", self.data, 32)
        self.nr_programs, _size, self.nr_sections, names = struct.unpack_from("<HHHH", self.data, 56)
        self.sections = [
            struct.unpack_from("<IIQQQQIIQQ", self.data, self.sections_at + 64 * n)
            for n in range(self.nr_sections)
        ]
        names_at = self.sections[names][4]
        for name, _kind, _flags, address, offset, size, *_rest in self.sections:
            if self.data.startswith(b".eh_frame\0", names_at + name):
                self.frames = (address, offset, size)
        self.entries = list(self._entries())
        # Where one of its functions begins; the file's code lies at its own address.
        self.code = self._function(self.entries[min(10, len(self.entries) - 1)])

    def _entries(self):
        """(offset, bytes) of each entry."""
        _address, at, size = self.frames
        end = at + size
        while at + 4 <= end:
            length = struct.unpack_from("<I", self.data, at)[0] + 4
            if length == 4:
                return
            yield at, length
            at += length

    def _function(self, found):
        address, offset, _size = self.frames
        at = found[0] + 8
        return address + at - offset + struct.unpack_from("<i", self.data, at)[0]

    def cuts(self, random, count):
        """Lengths to cut it to: around each header, each table, each section; and at random."""
        cuts = {1, 3, 4, 15, 16, 17, 32, 40, 52, 60, 63, 64}
        for at, size, n in (
            (self.programs_at, 56, self.nr_programs), (self.sections_at, 64, self.nr_sections),
        ):  # fmt: skip
            cuts |= {at + size * i + d for i in range(n + 1) for d in (-1, 0, 1)}
        for section in self.sections:
            cuts |= {section[4] - 1, section[4], section[4] + 1, section[4] + section[5] - 1}
        cuts |= {random.randrange(len(self.data)) for _ in range(count)}
        return sorted(cut for cut in cuts if 0 < cut < len(self.data))


ULEBS = (
    b"\x80" * 9 + b"\x02", b"\xff" * 10 + b"\x7f", b"\x80" * 30 + b"\0", b"\xff\xff\xff\xff\x0f",
    b"\x7f", b"\0",
)  # fmt: skip
# Every instruction of a frame's program; expressions (0x0f, 0x10, 0x16) have lengths.
INSTRUCTIONS = (*range(0x40), 0x41, 0x7F, 0x80, 0x86, 0x87, 0x90, 0xBF, 0xC6, 0xC7, 0xD0, 0xFF)
AUGMENTATIONS = (
    b"zR\0", b"zPLR\0", b"eh\0", b"zRS\0", b"zRZ\0", b"zzzz\0", b"z", b"\0", b"zPLRS" * 4 + b"\0",
)  # fmt: skip


def mutate(library, random):
    """The library with one field of its .eh_frame changed, and a loop where its code begins."""
    data = bytearray(library.data)
    _address, offset, size = library.frames
    at, length = random.choice(library.entries[:1] * 50 + library.entries)
    is_cie = struct.unpack_from("<I", data, at + 4)[0] == 0
    program_at = at + (13 if is_cie else 17)
    lengths = (0, 1, 3, 4, length, length + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, size)

    def put(where, raw):
        raw = raw[: max(0, offset + size - where)]
        data[where : where + len(raw)] = raw

    def inside():
        return min(program_at + random.randrange(max(1, length - 17)), at + length - 1)

    fields = (
        lambda: put(at, struct.pack("<I", random.choice(lengths))),
        lambda: put(at + 4, struct.pack("<I", random.choice(lengths))),  # 0: a CIE; else back to it
        lambda: put(at + 8, random.randbytes(4)),  # the function's start, or a CIE's version
        lambda: put(at + 12, struct.pack("<I", random.choice(lengths))),
        lambda: put(at + 8, bytes([random.randrange(6)]) + random.choice(AUGMENTATIONS)),
        lambda: put(at + 12, random.randbytes(6)),  # alignments, register, encodings
        lambda: put(inside(), bytes([random.choice(INSTRUCTIONS)])),
        lambda: put(inside(), bytes([random.choice(INSTRUCTIONS)]) + random.choice(ULEBS)),
        lambda: put(program_at - 1, random.choice(ULEBS)),  # the augmentation's length
        lambda: [put(offset + random.randrange(size), random.randbytes(1)) for _ in range(20)],
    )
    random.choice(fields)()
    data[library.code : library.code + 2] = SPIN
    return bytes(data)


# ---- Names ---------------------------------------------------------------------------------------

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def doubling_rust(steps=60):
    """A name in Rust's mangling: a pair of what the step before made, so often."""
    name, pair = "INvC1a1bTmmE", len("INvC1a1b")
    for _ in range(steps):
        at = len(name)
        back = f"B{(DIGITS[(pair - 1) // 62] if pair > 62 else '') + DIGITS[(pair - 1) % 62]}_"
        name += f"T{back}{back}E"
        pair = at
    return f"_R{name}E".encode()


def doubling_cpp(steps=60):
    """The same in C++'s."""
    name = "_Z1fI1AIiiE"
    for step in range(steps):
        number = (DIGITS[step // 36] if step >= 36 else "") + DIGITS[step % 36].upper()
        name += f"S0_IS{number}_S{number}_E"
    return f"{name}Evv".encode()


def build_id(path):
    """The build-id note of a real file, whole."""
    with open(path, "rb") as source:
        data = source.read(1 << 20)
    at = data.index(struct.pack("<III", 4, 20, 3) + b"GNU\0")
    return data[at : at + 36]


def mapped(name):
    """The path of a file that this process runs from."""
    with open("/proc/self/maps", encoding="utf-8") as source:
        for line in source:
            if name in os.path.basename(line.split(None, 5)[-1].strip()) and " r-xp " in line:
                return line.split(None, 5)[-1].strip()
    raise SystemExit(f"no {name} is mapped")
