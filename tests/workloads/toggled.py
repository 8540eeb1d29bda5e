# SPDX-License-Identifier: GPL-2.0-only
"""A program whose trampolines are turned on and off from outside. It never does so itself.

Its main thread calls functions and makes a new one every few rounds ("made N" on its output), with
its own frames on the stack all the time; other threads call functions as well. On a line of its
standard input it ends as any program does ("end"), so that a crash on the way out would show.

    toggled.py [THREADS]
"""

import gc
import os
import select
import sys
import threading
import time

ROUND_SECONDS = 0.05
KEPT = 20  # functions made; older ones are let go

ended = threading.Event()


def leaf(count):
    total = 0
    for number in range(count):
        total += number
    return total


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        leaf(2000)


def make(number):
    names = {}
    exec(f"def fresh_{number}(spin):\n    spin({ROUND_SECONDS})\n", names)
    return names[f"fresh_{number}"]


def rounds():
    kept = []
    number = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        fresh = make(number)
        list(map(fresh, [spin]))  # through C, so that its eval loop is one of its own
        kept.append(fresh)
        del kept[:-KEPT]
        gc.collect()
        print("made", number, flush=True)
        number += 1


def other():
    while not ended.is_set():
        leaf(2000)
        time.sleep(0.01)


def main():
    threads = [threading.Thread(target=other) for _ in range(int((sys.argv[1:] or ["0"])[0]))]
    for thread in threads:
        thread.start()
    print("ready", os.getpid(), flush=True)
    rounds()
    ended.set()
    for thread in threads:
        thread.join()
    print("end", sys.is_stack_trampoline_active(), flush=True)


main()
