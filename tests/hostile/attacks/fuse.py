# SPDX-License-Identifier: GPL-2.0-only
"""A file that is a FUSE server: this process answers what is asked of it, as it likes.

    fuse.py --mount WHAT COMMAND...  as root: mounts one over /tmp/perf-PID.map (map) or
                                     /tmp/jit-PID.dump (dump), in a mount namespace of its own, and
                                     becomes the command, which is handed the descriptor
    File(...)                        as the attacker: answers
    Directory(...)                   the same, of a directory that the attacker mounts itself

Only what a single regular file, and a directory of one, need of the protocol (linux/fuse.h).
"""

import ctypes
import os
import struct
import sys
import time

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE = 1, 2, 3, 4, 14, 15, 16
STATFS, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT = 17, 18, 25, 26, 27, 29, 36
ENOENT, ENOSYS, EIO = 2, 38, 5
WRITEBACK_CACHE = 1 << 16  # what is written is kept, and handed over later
HEADER = struct.Struct("<IIQQIIII")
BUFFER = 1 << 20


PATHS = {"map": "/tmp/perf-{}.map", "dump": "/tmp/jit-{}.dump"}


def mount(what, command):
    """Lays the file over the perf map or the jitdump that this process will have."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = PATHS[what].format(os.getpid())
    uid = next(int(word[8:]) for word in command if word.startswith("--reuid="))
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        print(f"cannot: /dev/fuse: {error}", flush=True)
        return
    with open(path, "w", encoding="ascii"):
        pass
    if libc.unshare(0x00020000) or libc.mount(None, b"/", None, 0x44000, None):
        raise OSError(ctypes.get_errno(), "unshare")
    options = f"fd={fd},rootmode=100644,user_id={uid},group_id={uid},allow_other"
    if libc.mount(b"hostile", path.encode(), b"fuse", 0, options.encode()):
        print(f"cannot: mounting FUSE: {os.strerror(ctypes.get_errno())}", flush=True)
        return
    os.set_inheritable(fd, True)
    os.environ["FUSE_FD"] = str(fd)
    os.execvp(command[0], command)


class File:
    """The file: its size, its text, and which requests are not answered."""

    def __init__(self, size=0, read=None, silent=(), delay=0.0, failing=(), fd=None, flags=0):
        """read(offset, length) → bytes. silent, failing: operations. delay: before each answer to a
        READ. flags: of INIT."""
        self.fd = int(os.environ["FUSE_FD"]) if fd is None else fd
        self.size = size
        self.read = read
        self.silent = set(silent)
        self.failing = set(failing)
        self.delay = delay
        # A process of its own: a thread could not answer while CPython opens the file, with its lock held.
        self.owner = os.getpid()
        self.flags = flags
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, 9)  # die with the attacker
            self.serve()
            os._exit(0)
        os.close(self.fd)

    def attributes(self, node=1, mode=0o100600):
        now = int(time.time())
        uid = os.getuid()
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, self.size, (self.size + 511) // 512, now, now, now, 0, 0, 0,
            mode, 1, uid, os.getgid(), 0, 4096, 0,
        )  # fmt: skip

    def is_ours(self, pid):
        return pid == self.owner

    def answer(self, opcode, _node, body):
        if opcode == INIT:
            major, minor, readahead, _flags = struct.unpack_from("<IIII", body)
            return struct.pack(
                "<IIIIHHIIHHIIIIIII", 7, min(minor, 31), readahead, self.flags, 12, 10, 1 << 17, 1, 32, 0,
                *[0] * 7,
            )  # fmt: skip
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 0, 0, 0) + self.attributes()
        if opcode == OPEN:
            return struct.pack("<QII", 1, 1, 0)  # direct I/O: nothing is cached
        if opcode == READ:
            _handle, offset, size = struct.unpack_from("<QQI", body)
            time.sleep(self.delay)
            return self.read(offset, size) if self.read else b""
        if opcode == WRITE:
            _handle, _offset, size = struct.unpack_from("<QQI", body)
            return struct.pack("<II", size, 0)
        return b"" if opcode in (RELEASE, FLUSH) else None

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, BUFFER)
            except OSError:
                return
            _length, opcode, unique, node, _uid, _gid, pid, _pad = HEADER.unpack_from(request)
            ours = self.is_ours(pid)
            if opcode in (FORGET, INTERRUPT) or (opcode in self.silent and not ours):
                continue
            reply = self.answer(opcode, node, request[HEADER.size:])
            error = 0 if reply is not None else -ENOENT if opcode == LOOKUP else -ENOSYS
            if opcode in self.failing and not ours:
                reply, error = None, -EIO
            reply = reply or b""
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(reply), error, unique) + reply)
            except OSError:
                pass  # whoever asked has been killed


class Directory(File):
    """A directory that holds one file. What the attacker's own session asks is
    answered."""

    NODE = 2
    NAME = b"file"

    def is_ours(self, pid):
        try:
            return pid and os.getsid(pid) == os.getsid(0)  # 0: the kernel's own, as when it writes back
        except OSError:
            return False

    def answer(self, opcode, node, body):
        if opcode == LOOKUP:
            if body.rstrip(b"\0") != self.NAME:
                return None
            return struct.pack("<QQQQII", self.NODE, 1, 0, 0, 0, 0) + self.attributes(self.NODE)
        if opcode in (GETATTR, SETATTR):
            kind = 0o100700 if node == self.NODE else 0o040700
            return struct.pack("<QII", 0, 0, 0) + self.attributes(node, kind)
        if opcode in (OPEN, OPENDIR):
            # Where reads are silent nothing may be cached: what the attacker runs was read once.
            direct = opcode == OPEN and READ in self.silent
            return struct.pack("<QII", 1, int(direct), 0)
        if opcode == RELEASEDIR:
            return b""
        if opcode == STATFS:
            return struct.pack("<5Q10I", 1, 1, 1, 1, 1, 4096, 255, 4096, *[0] * 7)
        return super().answer(opcode, node, body)


if __name__ == "__main__" and sys.argv[1:2] == ["--mount"]:
    mount(sys.argv[2], sys.argv[3:])
