# SPDX-License-Identifier: GPL-2.0-only
"""A forged CPython (interp_files.py), in one way or another: KIND. The attack becomes that program,
but for the kinds that take many.
"""

import os
import random
import struct
import sys
import time

import elf_files as elf
import fuse
import interp_files as forged
from interp_files import BASE, CODES, FRAMES, STATE, STATE_FRAME, STRINGS, THREAD, Image

HOME, KIND = sys.argv[1:3]
PATH = os.path.join(HOME, "interp")
FUSE_AT = 0x10000000
EXTREMES = (
    0, 1, 7, 8, 0x7F, 0x80, 0x400, 0xFFFF, 0x10000, 0x7FFFFFFF, 1 << 31, (1 << 32) - 1, 1 << 32,
    1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1, BASE, BASE + forged.RUNTIME + 1,
    0x030700F0, 0x031000F0,
)  # fmt: skip
# Where nothing is; where nothing can be, or no object can.
NOWHERE = (8, 0x1000, 0xDEAD0000, 0x7FFFFFFFE000)
NEVER = (1 << 47, 0xFFFF800000000000, (1 << 64) - 4096, BASE + 4)


def become(image, text=elf.SPIN):
    """Runs it in the place of this process."""
    image.write(PATH, text)
    os.execv(PATH, ["interp"])


def cycle():
    image = Image()
    codes = [image.code(n) for n in range(3)]
    image.tail = b"".join(
        image.frame(code, BASE + FRAMES + (n + 1) % 3 * forged.FRAME_BYTES) for n, code in enumerate(codes)
    )
    become(image)


def million():
    image = Image()
    image.chain([image.code(n % 100) for n in range(100)] * 10000)
    become(image)


def unmapped():
    image = Image()
    image.chain([image.code(0), *NOWHERE * 16])
    become(image)


def impossible():
    image = Image()
    image.chain([image.code(0), *NEVER])
    become(image)


def lengths():
    """Names and line tables that say they are far longer than all memory."""
    image = Image()
    lengths = (1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 30) + 1, 1 << 30)
    names = [image.string(n, "x" * 100, length) for n, length in enumerate(lengths, 2)]
    names += [image.string(n, "y" * 20, length, forged.UCS4) for n, length in enumerate(lengths, 10)]
    table = STRINGS + 20 * 0x400
    image.words(table + 8, image.types[2], 1 << 60)
    codes = [image.code(n, name=name, table=BASE + table) for n, name in enumerate(names)]
    image.chain(codes + [image.code(len(codes), file=names[0]), image.code(90, table=BASE + table)])
    become(image)


def rewritten():
    """Its name's address, and so its identity, changes all the time."""
    image = Image()
    image.chain([image.code(0)])
    become(image, forged.toggle(BASE + CODES + 128, BASE + STRINGS, BASE + STRINGS + 0x400 - 8))


def moving():
    """What says whose thread state it is changes all the time."""
    image = Image()
    image.chain([image.code(0)])
    become(image, forged.toggle(BASE + STATE + 152, BASE + THREAD, BASE))


def elsewhere():
    """The first frame's caller is anything that the program has."""
    image = Image()
    image.chain([image.code(n) for n in range(20)])
    become(image, forged.advance(BASE + FRAMES + 8, BASE, 8 * 9001, 0x3FFF8))


def flood():
    """65,536 code objects, each with a name's worth of its own; 1,024 others in each sample."""
    image = Image()
    count, stride = 1 << 16, 128
    codes = BASE + FRAMES + count * stride
    frames, heads = [], []
    for n in range(count):
        code = codes + n * 256
        frame = image.frame(code, BASE + FRAMES + (n + 1) % count * stride)
        frames.append(frame + bytes(stride - len(frame)))
        head = bytearray(256)
        struct.pack_into("<QQ", head, 8, image.types[0], 100)
        struct.pack_into("<I", head, 68, n + 1)
        struct.pack_into("<I", head, 92, n + 1)
        struct.pack_into("<QQQQ", head, 112, BASE + STRINGS + 0x400, BASE + STRINGS, BASE + STRINGS, 0)
        heads.append(bytes(head))
    image.tail = b"".join(frames) + b"".join(heads)
    become(image, forged.advance(BASE + STATE_FRAME, BASE + FRAMES, stride * 9001, (count - 1) * stride))


def silent():
    """A name in memory that is a file whose server does not answer."""
    file = fuse.File(size=4096, silent=[fuse.READ])
    fd = os.open(f"/tmp/perf-{os.getpid()}.map", os.O_RDONLY)
    os.set_inheritable(fd, True)
    image = Image()
    image.chain([image.code(0, name=FUSE_AT)] * 8)
    mapping = struct.pack("<BIBIBI2sI2sI", 0xBF, FUSE_AT, 0xBE, 4096, 0xBA, 1, b"\x41\xba", 0x12, b"\x41\xb8", fd)
    mapping += b"\x45\x31\xc9\xb8\x09\0\0\0\x0f\x05"  # mmap(FUSE_AT, 4096, READ, PRIVATE | FIXED, fd, 0)
    del file
    become(image, mapping + elf.SPIN)


def spawn(image, n, text=elf.SPIN):
    path = image.write(f"{PATH}-{n}", text)
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    return os.posix_spawn(path, ["interp"], {}, file_actions=silent)


def extremes():
    """Each word of what the runtime says of itself, and of what it leads to, one at a time."""
    places = [forged.RUNTIME + 8 * n for n in range(1, 73)]
    places += [forged.RUNTIME + 632, forged.RUNTIME + 640, forged.INTERP + 7264, forged.INTERP + 7344]
    places += [STATE + at for at in (8, 16, 72, 152, 232, 240, 248)]
    places += [THREAD + at for at in (0, 16, 0x318, 0x518)]
    places += [CODES + at for at in (8, 16, 112, 120, 128, 136)]
    places += [forged.TYPES + at for at in (24, 168)] + [STRINGS + at for at in (8, 16, 32)]
    tries = [(place, value) for place in places for value in EXTREMES]
    random.Random(3).shuffle(tries)
    # First what is refused at once: other versions, builds without the GIL.
    at_once = (forged.RUNTIME + 8, forged.RUNTIME + 16)
    tries.sort(key=lambda change: (change[0] not in at_once, change[1] not in EXTREMES[-2:]))
    print("ready", flush=True)
    for number in range(4):  # at once
        if number == 3 or os.fork() == 0:
            break
    while True:
        for n, (place, value) in enumerate(tries):
            if n % 4 == number:
                image = Image()
                image.chain([image.code(n) for n in range(4)])
                image.words(place, value)
                pid = spawn(image, number)
                time.sleep(0.5 if place in at_once else 0.1)
                os.kill(pid, 9)
                os.waitpid(pid, 0)


def layouts():
    """Runtimes each of which says another thing of its frames, and none of which is wrong."""
    made = 0
    for owner in range(60, 72):
        for position in range(16, 64, 8):
            image = Image()
            image.chain([image.code(0)])
            image.words(forged.RUNTIME + 8 + 30 * 8, position, 72, owner)
            spawn(image, made, forged.SPIN_AND_WAIT)
            made += 1
    print(f"made {made}\nready", flush=True)
    while True:
        time.sleep(1)


globals()[KIND]()
