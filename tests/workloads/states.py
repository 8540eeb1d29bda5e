# SPDX-License-Identifier: GPL-2.0-only
"""Threads whose state is known by construction, each under its own name:

    left, right    run Python code and never let go of the GIL but when another asks for it
    eager          the same, and asks for it soon
    digest         computes digests of large blocks, which hashlib does without the GIL
    collect        collects garbage
    tasks          two asyncio tasks, of coroutines alpha and Beta.gamma
    odd            as left; its name is not for a terminal

    states.py NAME ...    runs these threads, until it is killed
"""

import asyncio
import ctypes
import gc
import hashlib
import os
import sys
import threading

PR_SET_NAME = 15
BLOCK = bytes(64 << 20)

GARBAGE = [[[]] for _ in range(200000)] if "collect" in sys.argv else []

prctl = ctypes.CDLL(None).prctl


def spin():
    total = 0
    while True:
        for number in range(100):
            total ^= number * number


def contend():
    sys.setswitchinterval(1e-5)  # who waits looks again that often
    spin()


def digest():
    while True:
        hashlib.sha256(BLOCK)


def collect():
    while GARBAGE:
        gc.collect()


def turn():
    total = 0
    for number in range(20000):
        total ^= number * number
    return total


async def alpha():
    while True:
        turn()
        await asyncio.sleep(0)


class Beta:
    async def gamma(self):
        while True:
            turn()
            await self.inner()

    async def inner(self):
        turn()
        await asyncio.sleep(0)


async def both():
    await asyncio.gather(alpha(), Beta().gamma())


def tasks():
    asyncio.run(both())


NAMES = {"odd": b"\x1b[2J;\xff"}
BODIES = {"odd": spin, "left": spin, "right": spin, "eager": contend, "digest": digest, "collect": collect, "tasks": tasks}


def run(name):
    prctl(PR_SET_NAME, NAMES.get(name, name.encode()), 0, 0, 0)
    BODIES[name]()


def main():
    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in sys.argv[1:]]
    for thread in threads:
        thread.start()
    print("ready", os.getpid(), flush=True)
    threads[0].join()


if __name__ == "__main__":
    main()
