# SPDX-License-Identifier: GPL-2.0-only
"""Too much of what is ordinary: KIND."""

import ctypes
import mmap
import os
import signal
import sys
import time

import code_in_files as code
import elf_files as elf

HOME, KIND = sys.argv[1:]


def two_files():
    return [elf.build(os.path.join(HOME, f"file-{n}"), []) for n in range(2)]


def mappings():
    """As many as the kernel lets a process have, none of which joins its neighbour."""
    fds = [os.open(path, os.O_RDONLY) for path in two_files()]
    last = code.map_file(f"/proc/self/fd/{fds[0]}", elf.CODE + 4096)
    n = 0
    while n < 100_000:
        where = code.libc.mmap(None, 4096, code.READ_EXEC, code.PRIVATE, fds[n % 2], 0)
        if where == code.FAILED:
            break
        n += 1
    print(f"made {n}", flush=True)
    while True:
        code.run(last + elf.CODE, 0.1)


def mapped():
    """Processes each with as many mappings of its own as are kept of one."""
    fds = [os.open(path, os.O_RDONLY) for path in two_files()]
    for n in range(1900):
        code.libc.mmap(None, 4096, code.READ_EXEC, code.PRIVATE, fds[n % 2], 0)
    for _ in range(300):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, 9)  # die with the attacker
            # What it maps itself is what makes all of them its own.
            code.libc.mmap(None, 4096, code.READ_EXEC, code.PRIVATE, fds[1], 0)
            signal.pause()
    print("made 300", flush=True)
    while True:
        time.sleep(1)


def remapping():
    """Ranges that show another file all the time, among many."""
    fds = [os.open(path, os.O_RDONLY) for path in two_files()]
    held = [code.map_file(f"/proc/self/fd/{fds[n % 2]}") for n in range(3000)]
    n = 0
    while True:
        n += 1
        code.libc.mmap(
            held[n % 3000], 4096, code.READ_EXEC, code.PRIVATE | code.FIXED, fds[n // 3000 % 2], 0
        )


def flood():
    """Records of mappings, as fast as one process can make them: each call is one, and shows the
    kernel the same page again."""
    fds = [os.open(path, os.O_RDONLY) for path in two_files()]
    where = code.map_file(f"/proc/self/fd/{fds[0]}")
    libc = code.libc
    n = 0
    while True:
        n += 1
        at = libc.mmap(None, 4096, code.READ_EXEC, code.PRIVATE, fds[n % 2], 0)
        libc.munmap(at, 4096)
        libc.mprotect(where, 4096, 1)
        libc.mprotect(where, 4096, code.READ_EXEC)
        if n % 10000 == 0:
            print(f"made {3 * n}", flush=True)


def program(name, text):
    """The smallest program: code alone."""
    path = os.path.join(HOME, name)
    with open(path, "wb") as out:
        head = elf.header(kind=2, entry=0x400000 + elf.CODE)
        out.write(head + elf.program(elf.CODE + 4096, address=0x400000))
        out.seek(elf.CODE)
        out.write(text + bytes(4096 - len(text)))
    os.chmod(path, 0o755)
    return path


def execs(pause=0.003):
    """Programs that end at once, from several processes: with the pause several times what the row
    asks for, without it all that the machine can do."""
    path = program("ends", b"\xb8\x3c\0\0\0\x31\xff\x0f\x05")  # exit(0)
    counts = mmap.mmap(-1, mmap.PAGESIZE)
    number = next((n for n in range(1, 4) if os.fork() == 0), 0)
    own = memoryview(counts).cast("Q")
    started = time.monotonic()
    while True:
        os.waitpid(os.posix_spawn(path, ["ends"], {}), 0)
        own[number] += 1
        if pause:
            time.sleep(pause)
        if number == 0 and own[0] % 100 == 0:
            print(f"ran {sum(own[:4])} {time.monotonic() - started:.1f}", flush=True)


def processes():
    """5,000 children that wait."""
    path = program("waits", b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7")  # pause(), again and again
    n = 0
    while n < 5000:
        try:
            os.posix_spawn(path, ["waits"], {})
        except OSError:
            break
        n += 1
    print(f"made {n}", flush=True)
    while True:
        pass


print("ready", flush=True)
{
    "mappings": mappings, "mapped": mapped, "remapping": remapping, "flood": flood, "execs": execs,
    "storm": lambda: execs(0), "processes": processes,
}[KIND]()  # fmt: skip
