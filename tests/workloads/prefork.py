# SPDX-License-Identifier: GPL-2.0-only
"""A server that forks its workers, and goes on; workers that fork; one whose parent dies first.

    prefork.py PREFIX SECONDS [persist]

Every process names itself PREFIX and its number, and so do its functions: NAME_NUMBER. Which names
may be in whose stacks is thereby known: one's own, and those that its ancestors had called before
the fork. The master is 0. Each makes functions all the time, so that arenas come to lie where those
of its kin do.
"""

import ctypes
import os
import sys
import time

from life import named

# number: (its parent, when the parent ends)
WORKERS = {1: 0, 2: 0, 3: 1, 4: 2}
ORPHANED = 4


def kept(number):
    """A function that the process calls before it forks, and its children after."""
    function = named(f"kept_{number}", number)
    function()
    return function


def make(number, turn):
    return [named(f"own_{number}_{turn * 100 + k}", number) for k in range(100)]


def children(number, inherited, end):
    for child, parent in WORKERS.items():
        # CPython ends a child's child that is to keep its trampolines.
        if parent == number and not (PERSIST and number) and os.fork() == 0:
            live(child, inherited, end)
            os._exit(0)


def live(number, inherited, end):
    with open("/proc/self/comm", "w") as comm:
        comm.write(PREFIX + str(number))
    inherited = [*inherited, kept(number)]
    children(number, inherited, end)
    if number == WORKERS[ORPHANED]:
        end = time.monotonic() + (end - time.monotonic()) / 3
    turn = 0
    while time.monotonic() < end:
        for function in make(number, turn):
            function()
        for function in inherited * 20:
            function()
        turn += 1


PREFIX = sys.argv[1]
PERSIST = sys.argv[3:] == ["persist"]
if PERSIST:
    ctypes.pythonapi.PyUnstable_PerfTrampoline_SetPersistAfterFork(1)
print("ready", flush=True)
live(0, [], time.monotonic() + float(sys.argv[2]))
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
print("done", flush=True)
