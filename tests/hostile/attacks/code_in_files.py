# SPDX-License-Identifier: GPL-2.0-only
"""Running in files: each is mapped, and a child runs in it until it is ended."""

import ctypes
import os
import signal

READ_EXEC, WRITE_EXEC, PRIVATE, SHARED, FIXED = 5, 7, 2, 1, 0x10
ANONYMOUS = 0x20

FAILED = ctypes.c_void_p(-1).value

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def map_file(path, size=4096, at=None, offset=0):
    """Maps it executable; its address. The file may be one that has no such page."""
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = PRIVATE | (FIXED if at else 0)
        where = libc.mmap(at, size, READ_EXEC, flags, fd, offset)
    finally:
        os.close(fd)
    if where == FAILED:
        raise OSError(ctypes.get_errno(), path)
    return where


def run(where, seconds):
    """Runs at an address in a child, which is ended after so much CPU time, or by what it does."""
    pid = os.fork()
    if pid == 0:
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        ctypes.CFUNCTYPE(None)(where)()
        os._exit(0)
    os.waitpid(pid, 0)


def run_file(path, code, seconds):
    where = map_file(path, code + 4096)
    run(where + code, seconds)
    libc.munmap(where, code + 4096)
