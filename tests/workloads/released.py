# SPDX-License-Identifier: GPL-2.0-only
"""Two threads that mostly run without the GIL: in hashes and compression of large buffers."""

import hashlib
import threading
import zlib

import workload

THREADS = 2
TRUTH = {
    "<module>": {"start": {"main": {}}},
    "body": {"turns": {}, "hashing": {"digest": {}}, "packing": {"shrink": {}}},
}

BUFFER = bytes(range(256)) * 4096


def digest(data):
    return hashlib.sha256(data).digest()


def hashing():
    return digest(BUFFER)


def shrink(data):
    return zlib.adler32(zlib.compress(data, 1))


def packing():
    return shrink(BUFFER)


def body():
    for _ in workload.turns():
        hashing()
        packing()


def main():
    threads = [threading.Thread(target=body) for _ in range(THREADS)]
    with workload.Recorder():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    workload.start(TRUTH, main, workers=THREADS)
